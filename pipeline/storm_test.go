package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

func storms() pipeline.Rules {
	return pipeline.Rules{Storms: pipeline.Storms{Problems: 5, Within: time.Minute, Calm: 2 * time.Minute}}
}

// one is a problem of its own: the group of one rule and service.
func one(alertname, severity string, n int, over bool) page.Event {
	text := fmt.Sprintf("%s/%s/web-1", alertname, severity)
	if over {
		text += "!"
	}
	e := group(0, text)
	service := fmt.Sprint("s", n)
	e.Notification.GroupKey = alertname + service
	e.Notification.GroupLabels = page.Labels{"alertname": alertname, "service": service, "dc": "dc1"}
	e.Notification.Alerts[0].StartsAt = time.Now()
	if over {
		e.Notification.Alerts[0].EndsAt = time.Now()
	}
	e.Problem = e.Notification.ProblemID()
	return e
}

// of returns the pages that were shown of a problem.
func of(shown []page.Page, problem string) []page.Page {
	return slices.DeleteFunc(slices.Clone(shown), func(p page.Page) bool { return p.Problem != problem })
}

func TestAStorm(t *testing.T) {
	var asked atomic.Int64
	inWorldOf(t, func(w *pipeline.Worker) { w.Rules = storms() }, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { asked.Add(1); return deploy("v42") }
		storm := page.StormID("team")
		for i := range 5 {
			w.put(one("Slow", "warning", i, false))
		}
		w.after(100 * time.Millisecond)
		for i := 5; i < 25; i++ {
			w.put(one("Slow", "warning", i, false))
		}
		w.put(one("CheckoutErrors", "critical", 1, false))
		require.Empty(t, of(w.after(2*time.Second), storm), "it gathers for a moment")
		first := of(w.after(2*time.Second), storm)
		require.Len(t, first, 1)
		p := first[0]
		require.Equal(t, "Storm at team: 21 new problems, 21 open", p.Title)
		require.Equal(t, "too many new problems to tell of each: 2 rules, worst CheckoutErrors (critical) · all have dc=dc1", p.Headline)
		require.Equal(t, "1 CheckoutErrors (critical), 20 Slow (warning)", p.Summary)
		require.Equal(t, page.Critical, p.Severity)
		require.Equal(t, page.Labels{"alertname": "CheckoutErrors", "severity": "critical", "service": "s1", "dc": "dc1"}, p.Alerts[0].Labels)
		require.Equal(t, page.Labels{"alertname": "Slow", "severity": "warning", "dc": "dc1"}, p.Alerts[1].Labels)
		require.Len(t, w.after(0), 6, "five problems and the storm")
		require.EqualValues(t, 5, asked.Load(), "sources are not asked about what is folded")
		folded := one("Slow", "warning", 20, false)
		require.Equal(t, storm, w.problem(folded.Problem).Folded)
		require.Contains(t, texts(w.timeline(folded.Problem))[0], "folded into the storm of its receiver")
		require.True(t, strings.HasPrefix(w.timeline(storm)[0].Text, "a storm begins: more than 5 new problems within 60 s"), w.timeline(storm)[0].Text)

		w.put(one("PaymentsDown", "critical", 1, false))
		shown := of(w.after(time.Second), storm)
		u := shown[len(shown)-1].Updates[0]
		require.Equal(t, "worse: PaymentsDown (critical) joined", u.Text)
		require.True(t, u.Aloud)
		require.Equal(t, 1, shown[len(shown)-1].Worse)

		for i := range 25 {
			w.put(one("Slow", "warning", i, true))
		}
		shown = of(w.after(30*time.Second), storm)
		require.Equal(t, "Storm at team: 22 new problems, 2 open", shown[len(shown)-1].Title)
		require.Empty(t, of(shown, one("CheckoutErrors", "critical", 1, false).Problem))
		shown = w.after(2 * time.Minute)
		for _, name := range []string{"CheckoutErrors", "PaymentsDown"} {
			own := of(shown, one(name, "critical", 1, false).Problem)
			require.NotEmpty(t, own, "what is critical is told by itself once it is calm")
			require.Contains(t, own[len(own)-1].Headline, "deploy=v42")
			require.Empty(t, own[0].Folded)
		}
		shown = of(w.after(time.Second), storm)
		require.Equal(t, page.Closed, shown[len(shown)-1].State, "nothing is folded into it any more")

		w.put(one("CheckoutErrors", "critical", 1, true))
		own := of(w.after(time.Second), one("CheckoutErrors", "critical", 1, true).Problem)
		require.Equal(t, page.Closed, own[len(own)-1].State)
	})
}

func TestAFoldedProblemThatGetsWorseIsToldByItself(t *testing.T) {
	inWorldOf(t, func(w *pipeline.Worker) { w.Rules = storms() }, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		for i := range 8 {
			w.put(one("Slow", "warning", i, false))
		}
		w.after(5 * time.Second)
		var folded page.Event
		for i := range 8 {
			if e := one("Slow", "warning", i, false); w.problem(e.Problem).Folded != "" {
				folded = e
			}
		}
		require.NotEmpty(t, folded.Problem)
		require.Empty(t, of(w.after(0), folded.Problem))
		worse := folded
		n := *folded.Notification
		n.Alerts = append(slices.Clone(n.Alerts), group(0, "Slow/critical/web-2").Notification.Alerts...)
		worse.Notification = &n
		w.put(worse)
		shown := w.after(10 * time.Second)
		own := of(shown, folded.Problem)
		require.NotEmpty(t, own)
		require.Equal(t, 0, own[0].Worse, "its own page rings")
		p := w.problem(page.StormID("team"))
		require.Equal(t, 3, p.Storm.Total)
		require.Equal(t, 2, p.Storm.Open)
		shown = of(w.after(10*time.Minute), p.ID)
		last := shown[len(shown)-1]
		require.True(t, last.Storm.Calmed)
		require.Equal(t, page.Open, last.State, "two are still folded into it")
		require.Contains(t, last.Updates[len(last.Updates)-1].Text, "calm: no new problem for 2 min, 2 of 3 still open")
		for i := range 8 {
			w.put(one("Slow", "warning", i, true))
		}
		shown = of(w.after(time.Minute), p.ID)
		require.Equal(t, page.Closed, shown[len(shown)-1].State)
		require.Equal(t, 3, shown[len(shown)-1].Storm.Total)

		for i := range 8 { // the next storm is the next episode
			w.put(one("Other", "warning", i, false))
		}
		w.after(10 * time.Second)
		require.Equal(t, 2, w.problem(p.ID).Episode)
		require.Equal(t, 3, w.problem(p.ID).Storm.Total)
	})
}

func TestFewProblemsAndNoStorms(t *testing.T) {
	for name, rules := range map[string]pipeline.Rules{"as many as may be": {Storms: pipeline.Storms{Problems: 8, Within: time.Minute, Calm: time.Minute}}, "off": {}} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, func(w *pipeline.Worker) { w.Rules = rules }, func(w *world) {
				for i := range 8 {
					w.put(one("Slow", "warning", i, false))
				}
				require.Len(t, w.after(10*time.Second), 8)
				w.after(time.Minute)
				for i := range 8 {
					w.put(one("More", "warning", i, false))
				}
				require.Len(t, of(w.after(10*time.Second), page.StormID("team")), 0)
			})
		})
	}
}

// Two replicas on one store: each folds from its own count on, and every problem
// is either told by itself or counted in the storm.
func TestAStormOverReplicas(t *testing.T) {
	var second *pipeline.Worker
	inWorldOf(t, func(w *pipeline.Worker) {
		w.Rules = storms()
		second = &pipeline.Worker{
			Store: w.Store, Enricher: w.Enricher, Outbox: w.Outbox, Asker: w.Asker, Rules: w.Rules, Deadline: w.Deadline,
			Log: w.Log, Now: w.Now, Metrics: w.Metrics, Tracer: w.Tracer, Writers: w.Writers,
		}
	}, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		ctx, cancel := context.WithCancel(w.t.Context())
		var running sync.WaitGroup
		running.Go(func() { second.Run(ctx) })
		const problems = 60
		for i := range problems {
			w.put(one("Slow", "warning", i, false))
		}
		told := map[string]bool{}
		storm := page.StormID("team")
		for _, p := range w.after(20 * time.Second) {
			told[p.Problem] = true
		}
		require.True(t, told[storm])
		require.LessOrEqual(t, len(told)-1, 2*5)
		require.Equal(t, problems, len(told)-1+w.problem(storm).Storm.Total)
		require.Equal(t, 1, w.problem(storm).Episode)
		cancel()
		running.Wait()
	})
}

// gust is what a storm is told of one problem.
func gust(second int, alert, severity string, over bool) page.Event {
	return page.Event{
		Problem: page.StormID("team"), Kind: page.Blown, At: at(second), ID: fmt.Sprint(second),
		Gust: &page.Gust{Problem: "p", Receiver: "team", Alert: alert, Severity: page.Severity(severity), Labels: page.Labels{"alertname": alert, "dc": "dc1"}, Over: over},
	}
}

// However problems blow in and out: what is open is what came less what went,
// the rules are bounded, every critical rule has been named, and the end comes
// once it is calm and nothing is open.
func TestStormOfAnyKind(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var p page.Problem
		type in struct{ alert, severity string }
		var open []in
		total, second := 0, 0
		critical := map[string]bool{}
		step := func(e page.Event) pipeline.Step {
			s := storms().Advance(p, e)
			p = s.Problem
			return s
		}
		for range 600 {
			second += rnd.IntN(2)
			if i := rnd.IntN(10); i < 7 || len(open) == 0 {
				x := in{fmt.Sprint("rule-", rnd.IntN(300)), "warning"}
				if rnd.IntN(12) == 0 {
					x = in{fmt.Sprint("critical-", rnd.IntN(40)), "critical"}
					critical[x.alert] = true
				}
				step(gust(second, x.alert, x.severity, false))
				open, total = append(open, x), total+1
			} else {
				i := rnd.IntN(len(open))
				step(gust(second, open[i].alert, open[i].severity, true))
				open = slices.Delete(open, i, i+1)
			}
			if rnd.IntN(20) == 0 {
				step(page.Event{Problem: p.ID, Kind: page.Blown, At: at(second)})
			}
			require.Equal(t, total, p.Storm.Total)
			require.Equal(t, len(open), p.Storm.Open)
			require.LessOrEqual(t, len(p.Storm.Rules), 100)
			sum := 0
			for _, r := range p.Storm.Rules {
				sum += r.Total
			}
			require.Equal(t, total, sum, "no problem is lost from the counts")
		}
		for name := range critical {
			require.Contains(t, p.Storm.Rules, name, "seed %d", seed)
			require.Contains(t, p.View().Summary, name)
		}
		s := step(page.Event{Kind: page.Calmed, Episode: 1, At: at(second + 60)})
		require.False(t, s.Closed, "it is not calm yet")
		for _, x := range open {
			s = step(gust(second+90, x.alert, x.severity, true))
			require.False(t, s.Closed)
		}
		s = step(page.Event{Kind: page.Calmed, Episode: 1, At: at(second + 200)})
		require.True(t, s.Closed, s.Why)
		require.Equal(t, page.Closed, p.State)
		require.Empty(t, p.Firing())
	}
}

// The first page of a storm does not wait for the end of it.
func TestAStormIsToldWhileItBlows(t *testing.T) {
	var p page.Problem
	first := -1
	for i := range 60 {
		s := storms().Advance(p, gust(i/5, fmt.Sprint("rule-", i), "warning", false))
		p = s.Problem
		if s.Changed && first < 0 {
			first = i
		}
	}
	require.Equal(t, 15, first, "the first gust three seconds after the storm began")
	require.Equal(t, uint64(2), p.Revision, "then every five seconds")
}

// What a storm writes stays small, however many problems it has.
func TestAStormsRecordStaysSmall(t *testing.T) {
	var p page.Problem
	for i := range 10_000 {
		p = storms().Advance(p, gust(i/100, fmt.Sprint("rule-", i%500), "warning", false)).Problem
	}
	value, err := store.Marshal(p)
	require.NoError(t, err)
	require.Less(t, len(value), 32<<10)
	require.Equal(t, 10_000, p.Storm.Open)
}

func BenchmarkGust(b *testing.B) {
	var p page.Problem
	for i := range 10_000 {
		p = storms().Advance(p, gust(i/100, fmt.Sprint("rule-", i%500), "warning", false)).Problem
	}
	for b.Loop() {
		if _, err := store.Marshal(storms().Advance(p, gust(100, "rule-7", "warning", false)).Problem); err != nil {
			b.Fatal(err)
		}
	}
}
