package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// slow is a source that takes its time, and knows pending alerts.
type slow struct {
	source
	pending func() ([]page.Alert, error)
}

func (s *slow) Pending(context.Context, time.Duration) ([]page.Alert, error) { return s.pending() }

func takes(d time.Duration) *slow {
	s := &slow{}
	s.table = func(ctx context.Context, q enrich.Question) (*enrich.Table, error) {
		select {
		case <-time.After(d):
			return at(q), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s
}

// pass lets time go by, in a bubble.
func pass(d time.Duration) { <-time.After(d) }

// failing is an alert of one service; each has a group of its own.
func failing(service string) page.Alert {
	return alert("Errors", "critical", "sum by (service) (x) > 1", "service", service)
}

func grouped(alerts ...page.Alert) page.Problem {
	p := problem(alerts...)
	p.Group.GroupLabels = page.Labels{"alertname": alerts[0].Name(), "service": alerts[0].Labels["service"]}
	return p
}

func ahead(t *testing.T, s enrich.Source, reg prometheus.Registerer) *enrich.Enricher {
	t.Helper()
	return enrich.New(enrich.Options{
		Sources:   []enrich.Named{{Name: "main", Source: s}},
		Explainer: explainer{"Errors": {Traits: []page.Trait{trait(40, "deploy", "v42")}, Failing: 4, Healthy: 9}, "Nothing": {None: true, Failing: 1, Healthy: 1}},
		GroupBy:   []string{"alertname", "service"}, Metrics: enrich.NewMetrics(reg), Log: slog.New(slog.DiscardHandler),
	})
}

func within(t *testing.T, e *enrich.Enricher, d time.Duration, p page.Problem) page.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	return e.Context(ctx, p)
}

func looks(reg *prometheus.Registry, from string) float64 {
	return counted(reg, "tocsin_prewarm_first_messages_total", from)
}

// counted sums a metric's series that have a label value.
func counted(reg *prometheus.Registry, name, value string) float64 {
	all, err := reg.Gather()
	if err != nil {
		return -1
	}
	sum := 0.0
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == value {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// A source takes 3 s, a page has 1 s: asked ahead, every first message has its context.
func TestWarm(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprint(warm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				e := ahead(t, takes(3*time.Second), reg)
				const pages = 20
				complete := 0
				for i := range pages {
					a := failing(fmt.Sprintf("s%d", i))
					if warm {
						e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
						pass(8 * time.Second)
					}
					if c := within(t, e, time.Second, grouped(a)); len(c.Traits) > 0 && !c.Pending {
						complete++
					}
					pass(5 * time.Second)
				}
				t.Logf("pre-warm %t: %d of %d first messages complete", warm, complete, pages)
				pass(time.Minute)
				if !warm {
					require.Zero(t, complete)
					require.InDelta(t, pages, looks(reg, "late"), 0)
					return
				}
				require.Equal(t, pages, complete)
				require.InDelta(t, pages, looks(reg, "warm"), 0)
				require.Equal(t, 1, testutil.CollectAndCount(reg, "tocsin_prewarm_lead_seconds"))
			})
		})
	}
}

func TestWarmAnswersAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := takes(3 * time.Second)
		e := ahead(t, s, nil)
		a := failing("s")
		e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
		pass(20 * time.Second)
		c := within(t, e, time.Second, grouped(a))
		require.NotEmpty(t, c.Traits, "an old answer serves")
		require.True(t, c.Pending, "and is asked anew")
		synctest.Wait()
		require.EqualValues(t, 2, s.asked.Load())
		p := grouped(a)
		p.Context = c
		c = within(t, e, time.Minute, p)
		require.False(t, c.Pending)
		require.EqualValues(t, 2, s.asked.Load(), "the edit has the new answer")

		pass(3 * time.Minute)
		e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
		pass(90 * time.Second)
		c = within(t, e, time.Second, grouped(a))
		require.Empty(t, c.Traits, "one that is too old does not")
		require.True(t, c.Pending)
		pass(time.Minute)
	})
}

// What was asked ahead of one fault is no answer for the next one, which begins
// after it: its page would name the cause of what is over.
func TestWarmAnswersAreOfTheSameFault(t *testing.T) {
	for _, tt := range []struct {
		name   string
		began  time.Duration // before the page
		serves bool
	}{
		{"held back since before it was asked", 50 * time.Second, true},
		{"asked while it was pending, fired now", 30 * time.Second, true},
		{"fired long after", time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := takes(3 * time.Second)
				e := ahead(t, s, nil)
				a := failing("s")
				e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
				pass(45 * time.Second)
				a.StartsAt = time.Now().Add(-tt.began)
				c := within(t, e, time.Second, grouped(a))
				require.Equal(t, tt.serves, len(c.Traits) > 0)
				require.True(t, c.Pending, "it is asked anew in any case")
				pass(time.Minute)
				require.EqualValues(t, 2, s.asked.Load())
			})
		})
	}
}

// While an answer is asked for again, the one before it serves.
func TestWarmAnswersAreKeptWhileTheyAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ahead(t, takes(3*time.Second), nil)
		a := failing("s")
		e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
		pass(12 * time.Second)
		e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
		pass(time.Second)
		c := within(t, e, 100*time.Millisecond, grouped(a))
		require.NotEmpty(t, c.Traits)
		require.True(t, c.Pending)
		pass(time.Minute)
	})
}

func TestWarmTellsNoLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := takes(0)
		e := ahead(t, s, nil)
		nothing := alert("Nothing", "critical", "sum by (service) (x) > 1", "service", "s")
		e.Warm(t.Context(), "poll", []page.Alert{nothing}, nil)
		synctest.Wait()
		within(t, e, time.Second, grouped(nothing))
		require.EqualValues(t, 2, s.asked.Load(), "nothing in common, while it was pending, is no answer")

		table := s.table
		s.table = func(context.Context, enrich.Question) (*enrich.Table, error) { return nil, errors.New("down") }
		a := failing("t")
		e.Warm(t.Context(), "poll", []page.Alert{a}, nil)
		synctest.Wait()
		s.table = table
		require.NotEmpty(t, within(t, e, time.Second, grouped(a)).Traits, "nor is an error")
	})
}

// Pages go first: what is asked ahead takes none of their turns and is dropped
// while they need many of them; a page that wants it takes it over.
func TestWarmGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := takes(3 * time.Second)
		e := ahead(t, s, reg)
		var soon []page.Alert
		for i := range 6 {
			soon = append(soon, failing(fmt.Sprintf("w%d", i)))
		}
		e.Warm(t.Context(), "poll", soon, nil)
		synctest.Wait()
		require.EqualValues(t, 2, s.asked.Load(), "two at a time")
		require.InDelta(t, 6, counted(reg, "tocsin_prewarm_total", "asked"), 0)
		c := within(t, e, 3500*time.Millisecond, grouped(soon[5]))
		require.NotEmpty(t, c.Traits, "a page does not stand in that line")

		for i := range 8 {
			go e.Context(t.Context(), grouped(failing(fmt.Sprintf("p%d", i))))
		}
		synctest.Wait()
		before := s.asked.Load()
		e.Warm(t.Context(), "alerts", []page.Alert{failing("x")}, nil)
		pass(time.Second)
		require.Equal(t, before, s.asked.Load())
		require.InDelta(t, 1, counted(reg, "tocsin_prewarm_total", "alerts"), 0)
		require.InDelta(t, 1, counted(reg, "tocsin_prewarm_total", "dropped"), 0)
		pass(time.Minute)
	})
}

// What is asked for before a page is what the page asks for, by how its alerts were
// grouped the last time.
func TestWarmLearnsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := takes(0)
		e := ahead(t, s, nil)
		byDC := func(service string) page.Problem {
			p := problem(alert("Errors", "critical", "x > 1", "service", service, "dc", "a"))
			p.Group.GroupLabels = page.Labels{"dc": "a"}
			return p
		}
		within(t, e, time.Second, byDC("s"))
		pass(time.Minute)
		var alerts []page.Alert
		for _, m := range byDC("s").Members {
			alerts = append(alerts, m.Alert)
		}
		e.Warm(t.Context(), "poll", alerts, nil)
		synctest.Wait()
		require.EqualValues(t, 2, s.asked.Load())
		within(t, e, time.Second, byDC("s"))
		require.EqualValues(t, 2, s.asked.Load())
		e.Warm(t.Context(), "events", alerts, []string{"service"})
		synctest.Wait()
		require.EqualValues(t, 3, s.asked.Load(), "an event knows better")
	})
}

func TestPollPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := takes(time.Second)
		var looked atomic.Int32
		var err atomic.Pointer[error]
		err.Store(new(error))
		s.pending = func() ([]page.Alert, error) {
			looked.Add(1)
			return []page.Alert{alert("Info", "info", "sum(y) > 1"), failing("s")}, *err.Load()
		}
		e := ahead(t, s, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() {
			e.PollPending(ctx, enrich.Poll{Every: 5 * time.Second, Lead: 20 * time.Second, Max: 1})
			close(ended)
		}()
		pass(22 * time.Second)
		require.EqualValues(t, 4, looked.Load())
		require.EqualValues(t, 2, s.asked.Load(), "the worst only, and again once it is old")
		require.NotEmpty(t, within(t, e, time.Millisecond, grouped(failing("s"))).Traits)
		err.Store(new(errors.New("down")))
		pass(10 * time.Second)
		require.EqualValues(t, 6, looked.Load(), "it goes on")
		err.Store(new(enrich.ErrNoRule))
		<-ended // it never will
		stop()
		e.PollPending(t.Context(), enrich.Poll{})
	})
}

func TestWarmIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := takes(0)
		e := ahead(t, s, reg)
		var many []page.Alert
		for i := range 500 {
			many = append(many, failing(fmt.Sprintf("s%d", i)))
		}
		e.Warm(t.Context(), "alerts", many, nil)
		synctest.Wait()
		require.LessOrEqual(t, s.asked.Load(), int32(20))
		e.Warm(t.Context(), "alerts", []page.Alert{{}, {Labels: page.Labels{"alertname": "unknown to the explainer"}}}, []string{""})
		synctest.Wait()
		pass(3 * time.Minute)
	})
}

// On a real source the question that is asked ahead of a page is the page's own.
func TestWarmOfPendingAlerts(t *testing.T) {
	now := time.Now()
	fleet := enrichtest.Fleet{Now: now, Since: time.Minute, Seed: 1, Fault: enrichtest.Fault{Errors: has("deploy", "v42")}}
	f := enrichtest.New(t, fleet.Series()...)
	ratio := `sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.02`
	f.Know(
		enrichtest.Rule{Name: "Errors", Expr: ratio, Labels: map[string]string{"severity": "critical"}, For: 30 * time.Second},
		enrichtest.Rule{Name: "Later", Expr: "up == 0", For: time.Hour},
	)
	f.Hold(
		enrichtest.Pending{Labels: map[string]string{"alertname": "Errors", "severity": "critical", "service": "checkout", "replica": "a"}, ActiveAt: now.Add(-25 * time.Second)},
		enrichtest.Pending{Labels: map[string]string{"alertname": "Later"}, ActiveAt: now},
		enrichtest.Pending{Labels: map[string]string{"alertname": "Errors", "severity": "critical", "service": "cart"}, ActiveAt: now, Firing: true},
		enrichtest.Pending{Labels: map[string]string{"alertname": "Stranger"}, ActiveAt: now},
	)
	f.Configure("global:\n  external_labels: {cluster: dc1-prod, prometheus_replica: a}\n")
	source := open(t, func(c *thanos.Config) { c.HTTP, c.Baselines = f.URL, nil })
	alerts, err := source.(enrich.Pender).Pending(t.Context(), 20*time.Second)
	require.NoError(t, err)
	require.Len(t, alerts, 1)
	require.Equal(t, page.Labels{"alertname": "Errors", "severity": "critical", "service": "checkout", "cluster": "dc1-prod"}, alerts[0].Labels)

	reg := prometheus.NewRegistry()
	e := enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: source}}, Explainer: traits.New(roles()), Roles: roles(),
		GroupBy: []string{"alertname", "cluster", "service"}, Metrics: enrich.NewMetrics(reg),
	})
	e.Warm(t.Context(), "poll", alerts, nil)
	fired := alert("Errors", "critical", ratio, "service", "checkout", "cluster", "dc1-prod")
	p := problem(fired)
	p.Group.GroupLabels = page.Labels{"alertname": "Errors", "cluster": "dc1-prod", "service": "checkout"}
	require.Eventually(t, func() bool { return counted(reg, "tocsin_prewarm_total", "asked") == 1 }, 10*time.Second, 5*time.Millisecond)
	c := within(t, e, 20*time.Second, p)
	require.Equal(t, page.Labels{"deploy": "v42"}, c.Traits[0].Labels)
	require.Zero(t, counted(reg, "tocsin_enrich_answers_total", "source"), "the page asked nothing of its own")

	// Behind Thanos the external labels stand on the rules alone.
	f.Configure("")
	f.Know(
		enrichtest.Rule{Name: "Errors", Expr: ratio, Labels: map[string]string{"severity": "critical", "cluster": "dc1-prod", "replica": "a", "site": "x"}, For: 30 * time.Second},
		enrichtest.Rule{Name: "Errors", Expr: ratio, Labels: map[string]string{"severity": "critical", "cluster": "dc1-prod", "site": "y"}, For: 30 * time.Second},
	)
	behind := open(t, func(c *thanos.Config) { c.HTTP = f.URL })
	alerts, err = behind.(enrich.Pender).Pending(t.Context(), 20*time.Second)
	require.NoError(t, err)
	require.Equal(t, page.Labels{"alertname": "Errors", "severity": "critical", "service": "checkout", "cluster": "dc1-prod"}, alerts[0].Labels)

	f.Misbehave(enrichtest.Trouble{Status: 404})
	_, err = source.(enrich.Pender).Pending(t.Context(), time.Minute)
	require.ErrorIs(t, err, enrich.ErrNoRule)
	f.Misbehave(enrichtest.Trouble{Body: "<html>"})
	_, err = source.(enrich.Pender).Pending(t.Context(), time.Minute)
	require.Error(t, err)
	require.NotErrorIs(t, err, enrich.ErrNoRule)
}
