package enrich_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// source answers as its functions say.
type source struct {
	asked atomic.Int32
	table func(ctx context.Context, q enrich.Question) (*enrich.Table, error)
}

func (s *source) Table(ctx context.Context, q enrich.Question) (*enrich.Table, error) {
	s.asked.Add(1)
	return s.table(ctx, q)
}

func (s *source) Link(query string, _ time.Time) string {
	return "http://main/graph?q=" + url.QueryEscape(query)
}

// rulebook is a source that knows rules as well.
type rulebook struct {
	source
	expr string
	err  error
}

func (r *rulebook) Expr(context.Context, string, page.Labels) (string, error) { return r.expr, r.err }

// explainer says what it was told to say about each alert.
type explainer map[string]enrich.Finding

func (e explainer) Explain(t *enrich.Table) enrich.Finding {
	f, ok := e[t.Alert]
	if !ok {
		panic("nothing to say about " + t.Alert)
	}
	f.Traits = slices.Clone(f.Traits) // each finding is its asker's own
	return f
}

func at(q enrich.Question) *enrich.Table {
	return &enrich.Table{
		Alert:   q.Alert,
		Queries: []page.Query{{Source: "main", Text: q.Expr, Series: 7, Bytes: 70}},
		Query: func(ls page.Labels) string {
			a, err := expr.Parse(q.Expr)
			if err != nil {
				return ""
			}
			return a.Show(expr.Population{}, ls)
		},
	}
}

func prompt(_ context.Context, q enrich.Question) (*enrich.Table, error) { return at(q), nil }

func alert(name, severity, text string, more ...string) page.Alert {
	ls := page.Labels{"alertname": name, "severity": severity}
	for i := 0; i+1 < len(more); i += 2 {
		ls[more[i]] = more[i+1]
	}
	a := page.Alert{Status: page.Firing, Labels: ls}
	if text != "" {
		a.GeneratorURL = "http://prom/graph?g0.expr=" + url.QueryEscape(text)
	}
	a.ID = ls.ID()
	return a
}

func problem(alerts ...page.Alert) page.Problem {
	p := page.Problem{ID: "p", Members: map[string]page.Member{}}
	for _, a := range alerts {
		p.Members[a.ID] = page.Member{Alert: a, Open: true}
	}
	return p
}

func trait(score float64, pairs ...string) page.Trait {
	t := page.Trait{Labels: page.Labels{}, Score: score, Failing: page.Count{Matched: 3, Total: 4}, Healthy: page.Count{Total: 9}}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Labels[pairs[i]] = pairs[i+1]
	}
	return t
}

func texts(notes []page.Note) []string {
	var out []string
	for _, n := range notes {
		out = append(out, n.Text)
	}
	return out
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &source{table: prompt}
		e := enrich.New(enrich.Options{
			Sources: []enrich.Named{{Name: "main", Source: main}},
			Explainer: explainer{"Errors": {
				Traits: []page.Trait{trait(40, "deploy", "v42")}, Failing: 4, Healthy: 9, Scope: page.Labels{"job": "api"},
			}},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got := e.Context(ctx, problem(alert("Errors", "critical", `err{job="api"} > 5`)))
		require.Equal(t, page.Context{
			Traits: []page.Trait{{
				Labels: page.Labels{"deploy": "v42"}, Score: 40,
				Failing: page.Count{Matched: 3, Total: 4}, Healthy: page.Count{Total: 9}, Source: "main", Alert: "Errors",
				Query: `err{deploy="v42",job="api"}`, Link: "http://main/graph?q=err%7Bdeploy%3D%22v42%22%2Cjob%3D%22api%22%7D",
			}},
			Failing: 4, Healthy: 9, Scope: page.Labels{"job": "api"},
			Queries: []page.Query{{Source: "main", Text: `err{job="api"} > 5`, Series: 7, Bytes: 70}},
			At:      time.Now(),
		}, got)
	})
}

// A source that hangs delays nobody beyond the deadline; its answer serves the
// second call.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &source{table: func(ctx context.Context, q enrich.Question) (*enrich.Table, error) {
			select {
			case <-time.After(12 * time.Second):
				return at(q), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		e := enrich.New(enrich.Options{
			Sources:   []enrich.Named{{Name: "main", Source: slow}},
			Explainer: explainer{"Errors": {Traits: []page.Trait{trait(9, "host", "h3")}}},
		})
		p := problem(alert("Errors", "critical", "err > 5"))
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got := e.Context(ctx, p)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.True(t, got.Pending)
		require.False(t, got.Known())
		require.Zero(t, got.At)
		require.Equal(t, []string{"no answer from main within 5s: traits follow"}, texts(got.Notes))

		later, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		got = e.Context(later, p)
		require.Equal(t, 12*time.Second, time.Since(began))
		require.Len(t, got.Traits, 1)
		require.False(t, got.Pending)
		require.Empty(t, got.Notes)
		require.True(t, got.Queries[0].Cached)
		require.EqualValues(t, 1, slow.asked.Load(), "the first flight went on")
	})
}

func TestOneFlightForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		main := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
			time.Sleep(time.Second) //nolint:forbidigo // a bubble's clock: the time a server takes
			return at(q), nil
		}}
		e := enrich.New(enrich.Options{
			Sources:   []enrich.Named{{Name: "main", Source: main}},
			Explainer: explainer{"Errors": {None: true, Failing: 5}},
			Metrics:   enrich.NewMetrics(reg),
		})
		p := problem(alert("Errors", "critical", "err > 5"))
		for range 50 {
			go e.Context(t.Context(), p)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		require.EqualValues(t, 1, main.asked.Load())
		require.True(t, e.Context(t.Context(), p).None)
		require.EqualValues(t, 1, main.asked.Load(), "within its time an answer serves")
		time.Sleep(10 * time.Second) //nolint:forbidigo // a bubble's clock
		e.Context(t.Context(), p)
		require.EqualValues(t, 2, main.asked.Load(), "and then no longer")
		e.Context(t.Context(), problem(alert("Errors", "critical", "err > 6")))
		require.EqualValues(t, 3, main.asked.Load(), "another expression is another question")

		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		require.Equal(t, []promlint.Problem(nil), problems)
		got, err := testutil.GatherAndCount(reg, "tocsin_enrich_answers_total")
		require.NoError(t, err)
		require.Equal(t, 3, got, "source, flight, cache")
	})
}

func TestWhatIsMissingIsNoted(t *testing.T) {
	ratio := "err > 5"
	fails := func(err error) func(context.Context, enrich.Question) (*enrich.Table, error) {
		return func(context.Context, enrich.Question) (*enrich.Table, error) { return nil, err }
	}
	for _, c := range []struct {
		name  string
		table func(context.Context, enrich.Question) (*enrich.Table, error)
		alert page.Alert
		want  string
	}{
		{"status", fails(&remote.Error{Op: "query", Status: 500}), alert("A", "critical", ratio), "main answered with status 500"},
		{"unreachable", fails(&remote.Error{Op: "query", Class: remote.NotSent, Reason: "Unavailable"}), alert("A", "critical", ratio), "main cannot be reached"},
		{"its own timeout", fails(&remote.Error{Op: "query", Err: context.DeadlineExceeded}), alert("A", "critical", ratio), "main did not answer in time"},
		{"gRPC code", fails(&remote.Error{Op: "query", Class: remote.Unknown, Reason: "ResourceExhausted"}), alert("A", "critical", ratio), "main did not answer: ResourceExhausted"},
		{"malformed", fails(&remote.Error{Op: "query", Class: remote.Unknown, Err: errors.New("x")}), alert("A", "critical", ratio), "main gave no readable answer"},
		{"absent", fails(fmt.Errorf("%w: absent()", expr.ErrNoPopulation)), alert("A", "critical", ratio), "A: no population to compare with: absent()"},
		{"not PromQL", fails(fmt.Errorf("%w: 1:3", expr.ErrSyntax)), alert("A", "critical", ratio), "A: its expression cannot be read"},
		{"no rule", fails(enrich.ErrNoRule), alert("A", "critical", ratio), "A: not asked what they share: the alert links to no query, and main has no rule of its name, or several"},
		{"something else", fails(errors.New(`user="u7"`)), alert("A", "critical", ratio), "main has no answer about A"},
		{"source panics", func(context.Context, enrich.Question) (*enrich.Table, error) { panic("boom") }, alert("A", "critical", ratio), "main could not be asked: an error of ours, see the log"},
		{"explainer panics", prompt, alert("Unknown", "critical", ratio), "main could not be asked: an error of ours, see the log"},
		{"partial", func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
			t := at(q)
			t.Partial = true
			return t, nil
		}, alert("A", "critical", ratio), "main answered in part: some of its stores did not"},
		{"cut", func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
			t := at(q)
			t.Cut = true
			return t, nil
		}, alert("A", "critical", ratio), "main has more members than its limits let in: the counts are of those that were read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := enrich.New(enrich.Options{
				Sources: []enrich.Named{{Name: "main", Source: &source{table: c.table}}}, Explainer: explainer{"A": {}},
			})
			got := e.Context(t.Context(), problem(c.alert))
			require.Equal(t, []string{c.want}, texts(got.Notes))
			require.Equal(t, "enrich", got.Notes[0].Room)
			require.False(t, got.Known())
			require.False(t, got.Pending)
		})
	}
	t.Run("no source", func(t *testing.T) {
		got := enrich.New(enrich.Options{}).Context(t.Context(), problem(alert("A", "critical", ratio)))
		require.Equal(t, []string{"no source is configured: what they share is not asked"}, texts(got.Notes))
	})
	t.Run("no alert", func(t *testing.T) {
		e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: &source{table: prompt}}}})
		got := e.Context(t.Context(), problem())
		require.False(t, got.Known())
		require.Empty(t, got.Notes)
	})
}

func TestExpressionFromTheRules(t *testing.T) {
	book := &rulebook{expr: "err > 5", source: source{table: prompt}}
	deaf := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
		if q.Expr == "" {
			return nil, enrich.ErrNoRule
		}
		return at(q), nil
	}}
	e := enrich.New(enrich.Options{
		Sources:   []enrich.Named{{Name: "main", Source: book}, {Name: "deaf", Source: deaf}},
		Explainer: explainer{"A": {None: true, Failing: 3}},
	})
	got := e.Context(t.Context(), problem(alert("A", "critical", "")))
	require.True(t, got.None)
	require.Equal(t, "err > 5", got.Queries[0].Text)
	require.Equal(t, []string{"A: not asked what they share: the alert links to no query, and deaf has no rule of its name, or several"}, texts(got.Notes))

	book.err = &remote.Error{Op: "list rules", Status: 502}
	got = e.Context(t.Context(), problem(alert("A", "critical", "", "service", "x")))
	require.Equal(t, "main answered with status 502", texts(got.Notes)[0])
}

// The worst rules are asked first, and no more than three.
func TestRulesOfAProblem(t *testing.T) {
	e := enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: &source{table: prompt}}},
		Explainer: explainer{
			"Worst": {None: true}, "Many": {Traits: []page.Trait{trait(7, "dc", "dc1"), trait(6, "host", "h3")}, Failing: 8},
			"Two": {Traits: []page.Trait{trait(50, "host", "h3"), trait(3, "zone", "z")}, Failing: 2},
		},
	})
	got := e.Context(t.Context(), problem(
		alert("Minor", "info", "a > 5"), alert("Two", "warning", "b > 5", "i", "1"), alert("Two", "warning", "b > 5", "i", "2"),
		alert("Many", "warning", "c > 5", "i", "1"), alert("Many", "warning", "c > 5", "i", "2"), alert("Many", "warning", "c > 5", "i", "3"),
		alert("Worst", "critical", "d > 5"),
	))
	require.Equal(t, []string{"of 4 rules 3 were asked about, not: Minor"}, texts(got.Notes))
	var names []string
	for _, q := range got.Queries {
		names = append(names, q.Text)
	}
	require.Equal(t, []string{"d > 5", "c > 5", "b > 5"}, names)
	require.Len(t, got.Traits, 3)
	require.Equal(t, page.Labels{"host": "h3"}, got.Traits[0].Labels)
	require.Equal(t, "Two", got.Traits[0].Alert, "of two that say the same the more evident one stays")
	require.Equal(t, []string{"Two", "Many"}, got.Traits[0].Rules)
	require.Equal(t, []string{"Many"}, got.Traits[1].Rules)
	require.Equal(t, "3 of 4 failing share host=h3 (0 % of healthy do) · two rules agree", page.Headline(got))
	require.Equal(t, "Many: 3 of 4 failing share dc=dc1 (0 % of healthy do)", page.Headline(page.Context{Traits: got.Traits[1:]}))
	require.Equal(t, 2, got.Failing, "the page counts what its first trait is about")
	require.False(t, got.None)
}

// One rule is not named, and neither is it when several have its name; a trait
// goes by either of its names.
func TestRulesThatAgree(t *testing.T) {
	host, instance := trait(9, "host", "h3"), trait(7, "instance", "h3:1")
	host.Also = []page.Label{{Name: "instance", Value: "h3:1"}}
	e := enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: &source{table: prompt}}},
		Explainer: explainer{
			"A": {Traits: []page.Trait{host}}, "B": {Traits: []page.Trait{instance}}, "C": {None: true, Failing: 3},
			"D": {Traits: []page.Trait{trait(20, "host", "h3", "dc", "d")}},
		},
	})
	ask := func(alerts ...page.Alert) page.Context { return e.Context(t.Context(), problem(alerts...)) }
	a, b := alert("A", "critical", "a > 5"), alert("B", "critical", "b > 5")
	for _, c := range []struct {
		want   string
		alerts []page.Alert
	}{
		{"3 of 4 failing share host=h3 (0 % of healthy do)", []page.Alert{a, alert("A", "critical", "a > 6")}},
		{"3 of 4 failing share host=h3 (0 % of healthy do) · two rules agree", []page.Alert{a, b}},
		{"A: 3 of 4 failing share host=h3 (0 % of healthy do)", []page.Alert{a, alert("C", "critical", "c > 5")}},
		{"D: 3 of 4 failing share dc=d AND host=h3 (0 % of healthy do)", []page.Alert{a, alert("D", "critical", "d > 5")}},
	} {
		require.Equal(t, c.want, page.Headline(ask(c.alerts...)))
	}
	require.Len(t, ask(a, b).Traits, 1, "two names of the same members are one trait")
}

func TestRedaction(t *testing.T) {
	var logged bytes.Buffer
	minor := trait(3, "tenant", "secret-tenant")
	minor.Share = .12
	also := trait(40, "user", "secret-user")
	also.Also = []page.Label{{Name: "tenant", Value: "secret-tenant"}, {Name: "dc", Value: "dc1"}}
	e := enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: &source{table: prompt}}},
		Explainer: explainer{
			"A": {Traits: []page.Trait{also, trait(20, "host", "h3")}, Scope: page.Labels{"user": "secret-user", "job": "api"}},
			"B": {Minor: &minor},
		},
		Roles:  enrich.Roles{"user": {"user", "tenant"}, "host": {"host"}, "else": {"tenant"}},
		Redact: []string{"user"}, Log: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	got := e.Context(t.Context(), problem(
		alert("A", "critical", `err{tenant=~"secret-tenant|b"} > 5`), alert("B", "warning", "lat > 5"),
	))
	require.NotContains(t, fmt.Sprintf("%+v", got)+logged.String(), "secret")
	require.Equal(t, page.Labels{"user": "<redacted 1>"}, got.Traits[0].Labels)
	require.Equal(t, []page.Label{{Name: "tenant", Value: "<redacted 2>"}, {Name: "dc", Value: "dc1"}}, got.Traits[0].Also)
	require.Equal(t, `err{tenant="<redacted>"}`, got.Traits[0].Query)
	require.Empty(t, got.Traits[0].Link, "it could not be followed to what the trait is about")
	require.Equal(t, `err{host="h3",tenant="<redacted>"}`, got.Traits[1].Query)
	require.Equal(t, page.Labels{"user": "<redacted 1>", "job": "api"}, got.Scope)
	require.Equal(t, []string{"B: tenant=<redacted 2> looks worse than the rest, but does not explain the alert: it holds 12 % of what is bad"}, texts(got.Notes))
}

// A storm of problems waits its turn in our house.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		main := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second) //nolint:forbidigo // a bubble's clock: the time a server takes
			now.Add(-1)
			return at(q), nil
		}}
		e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: main}}, Explainer: explainer{"A": {}}})
		for i := range 100 {
			go e.Context(t.Context(), problem(alert("A", "critical", fmt.Sprintf("err > %d", i))))
		}
		time.Sleep(time.Minute) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		require.EqualValues(t, 100, main.asked.Load())
		require.EqualValues(t, 8, most.Load())
	})
}
