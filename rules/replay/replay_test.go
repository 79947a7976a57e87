package replay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules/replay"
)

// noon is when the histories of the tests begin.
func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// gauge is a series scraped every 10 seconds; value says its value at a time after noon.
func gauge(host string, length time.Duration, value func(time.Duration) float64) enrichtest.Series {
	s := enrichtest.Series{Labels: labels.FromStrings("__name__", "bad", "host", host)}
	for d := time.Duration(0); d < length; d += 10 * time.Second {
		s.Samples = append(s.Samples, enrichtest.Sample{At: noon().Add(d), Value: value(d)})
	}
	return s
}

// between is 1 from from until to, else 0.
func between(from, to time.Duration) func(time.Duration) float64 {
	return func(d time.Duration) float64 {
		if d >= from && d < to {
			return 1
		}
		return 0
	}
}

func history(t *testing.T, url string, memory *replay.Memory) *replay.History {
	t.Helper()
	c, err := prometheus.New(prometheus.Options{URL: url})
	require.NoError(t, err)
	h := replay.NewHistory(c, prometheus.Limits{Series: 10_000, Bytes: 64 << 20}, 1, memory)
	h.Pause = func(context.Context, time.Duration) error { return nil }
	return h
}

func rule() replay.Rule {
	return replay.Rule{
		Group: "g", Alert: "Bad", Expr: "bad == 1", Every: 15 * time.Second, For: 30 * time.Second,
		Labels: page.Labels{"severity": "critical"}, Annotations: page.Labels{"summary": "{{ $labels.host }} is bad: {{ $value }}"},
	}
}

func window(length time.Duration) replay.Window {
	return replay.Window{From: noon(), To: noon().Add(length)}
}

func TestEvaluate(t *testing.T) {
	fake := enrichtest.New(t,
		gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)),
		gauge("b", time.Hour, between(5*time.Minute, 5*time.Minute+20*time.Second)), // shorter than for
		gauge("c", time.Hour, between(50*time.Minute, 2*time.Hour)))
	done := 0
	out, err := replay.Evaluate(t.Context(), history(t, fake.URL, nil), rule(), window(time.Hour), func(n int) { done += n })
	require.NoError(t, err)
	require.Empty(t, out.Failed)
	require.Equal(t, replay.Steps(rule(), window(time.Hour)), done)
	require.Equal(t, done, out.Evaluations)
	at := func(d time.Duration) time.Time { return noon().Add(d) }
	require.Equal(t, []replay.Firing{
		{
			Alert: "Bad", Labels: page.Labels{"alertname": "Bad", "host": "a", "severity": "critical"}, Summary: "a is bad: 1", Annotations: page.Labels{"summary": "a is bad: 1"},
			Active: at(5 * time.Minute), Fired: at(5*time.Minute + 30*time.Second), Resolved: at(8 * time.Minute),
		},
		{
			Alert: "Bad", Labels: page.Labels{"alertname": "Bad", "host": "c", "severity": "critical"}, Summary: "c is bad: 1", Annotations: page.Labels{"summary": "c is bad: 1"},
			Active: at(50 * time.Minute), Fired: at(50*time.Minute + 30*time.Second),
		},
	}, out.Firings)
}

// However the history is cut into questions, and whatever phase the group has,
// the outcome is that of evaluating each moment by itself.
func TestChunksDoNotShow(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		values := func(time.Duration) float64 { return float64(rng.IntN(5) / 4) }
		stretch := 0
		fake := enrichtest.New(t, gauge("a", time.Hour, func(d time.Duration) float64 {
			if stretch--; stretch < 0 {
				stretch = rng.IntN(20)
				return values(d)
			}
			return float64(stretch % 2)
		}), gauge("b", time.Hour, func(d time.Duration) float64 { return float64(int(d.Minutes()) / 7 % 2) }))
		r := rule()
		r.Every = time.Duration(5+rng.IntN(20)) * time.Second
		r.Phase = time.Duration(rng.IntN(int(r.Every.Milliseconds()))) * time.Millisecond
		r.For, r.KeepFiringFor = time.Duration(rng.IntN(3))*30*time.Second, time.Duration(rng.IntN(2))*time.Minute
		r.Offset = time.Duration(rng.IntN(2)) * 10 * time.Second
		want, err := replay.Evaluate(t.Context(), history(t, fake.URL, nil), r, window(time.Hour), nil)
		require.NoError(t, err)
		require.NotEmpty(t, want.Firings)
		require.Equal(t, naive(t, fake, r, window(time.Hour)), shape(want.Firings), "seed %d", seed)

		templated := r // takes the long way
		templated.Labels = page.Labels{"severity": `{{ "critical" }}`}
		slow, err := replay.Evaluate(t.Context(), history(t, fake.URL, nil), templated, window(time.Hour), nil)
		require.NoError(t, err)
		require.Equal(t, want.Firings, slow.Firings)

		for _, steps := range []int{1, 7, 100} {
			h := history(t, fake.URL, nil)
			h.Client = short{h.Client, steps}
			got, err := replay.Evaluate(t.Context(), h, r, window(time.Hour), nil)
			require.NoError(t, err)
			require.Equal(t, want, got, "%d steps at a time", steps)
		}
	}
}

// short refuses ranges over so many steps, as servers refuse too many samples.
type short struct {
	replay.Client
	steps int
}

func (s short) Range(ctx context.Context, text string, from, to time.Time, step time.Duration, limits prometheus.Limits, each func([]page.Label, []prometheus.Point)) (prometheus.Answer, error) {
	a, err := s.Client.Range(ctx, text, from, to, step, limits, each)
	a.Cut = a.Cut || int(to.Sub(from)/step)+1 > s.steps
	return a, err
}

// naive is the state machine of an alert, written once more and plainly.
func naive(t *testing.T, fake *enrichtest.Fake, r replay.Rule, w replay.Window) []string {
	t.Helper()
	c, err := prometheus.New(prometheus.Options{URL: fake.URL})
	require.NoError(t, err)
	var out []string
	for _, host := range []string{"a", "b"} {
		var active, fired, quiet time.Time
		k := w.From.Add(-24*time.Hour).UnixMilli() / r.Every.Milliseconds()
		for ts := time.UnixMilli(k*r.Every.Milliseconds() + r.Phase.Milliseconds()).UTC(); ts.Before(w.To); ts = ts.Add(r.Every) {
			if ts.Before(noon().Add(-time.Hour)) {
				continue
			}
			holds := false
			at := ts.Add(-r.Offset)
			_, err := c.Range(t.Context(), r.Expr, at, at, time.Second, prometheus.Limits{Series: 10, Bytes: 1 << 20}, func(l []page.Label, _ []prometheus.Point) {
				holds = holds || slices.Contains(l, page.Label{Name: "host", Value: host})
			})
			require.NoError(t, err)
			switch {
			case holds && active.IsZero():
				active = ts
			case !holds && fired.IsZero():
				active = time.Time{}
			case !holds:
				if quiet.IsZero() {
					quiet = ts
				}
				if ts.Sub(quiet) < r.KeepFiringFor {
					break
				}
				if ts.After(w.From) {
					out = append(out, fmt.Sprint(host, " ", fired.UnixMilli(), " ", ts.UnixMilli()))
				}
				active, fired, quiet = time.Time{}, time.Time{}, time.Time{}
			}
			if holds {
				quiet = time.Time{}
			}
			if !active.IsZero() && fired.IsZero() && ts.Sub(active) >= r.For {
				fired = ts
			}
		}
		if !fired.IsZero() {
			out = append(out, fmt.Sprint(host, " ", fired.UnixMilli(), " 0"))
		}
	}
	slices.Sort(out)
	return out
}

func shape(list []replay.Firing) []string {
	var out []string
	for _, f := range list {
		end := int64(0)
		if !f.Resolved.IsZero() {
			end = f.Resolved.UnixMilli()
		}
		out = append(out, fmt.Sprint(f.Labels["host"], " ", f.Fired.UnixMilli(), " ", end))
	}
	slices.Sort(out)
	return out
}
