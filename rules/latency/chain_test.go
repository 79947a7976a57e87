package latency_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules/latency"
)

func sec(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Published figures for common configurations, in seconds; all d's are 0.
func TestTotal(t *testing.T) {
	for _, tt := range []struct {
		name              string
		chain             latency.Chain
		best, mean, worst float64
	}{
		{"Prometheus defaults", latency.Chain{Scrape: sec(60), Eval: sec(60), For: sec(300), GroupWait: sec(30)}, 330, 390, 450},
		{"joins an existing group", latency.Chain{Scrape: sec(60), Eval: sec(60), For: sec(300), GroupWait: sec(30), GroupInterval: sec(300), Joins: true}, 300, 510, 720},
		{"kube-prometheus", latency.Chain{Scrape: sec(30), Eval: sec(30), For: sec(300), GroupWait: sec(30)}, 330, 360, 390},
		{"for 2m", latency.Chain{Scrape: sec(30), Eval: sec(30), For: sec(120), GroupWait: sec(30)}, 150, 180, 210},
		{"15 s, for 1m", latency.Chain{Scrape: sec(15), Eval: sec(15), For: sec(60), GroupWait: sec(30)}, 90, 105, 120},
		{"for is quantised", latency.Chain{Scrape: sec(15), Eval: sec(60), For: sec(90), GroupWait: sec(30)}, 150, 187.5, 225},
		{"burn rate at an outage", latency.Chain{Condition: latency.Constant(sec(51.8)), Scrape: sec(15), Eval: sec(15)}, 51.8, 66.8, 81.8},
		{"Thanos Ruler with query offset", latency.Chain{Scrape: sec(30), Eval: sec(30), Offset: sec(10)}, 10, 40, 70},
		{"remote write under the offset", latency.Chain{Offset: sec(10), Arrives: sec(4)}, 10, 10, 10},
		{"remote write over the offset", latency.Chain{Offset: sec(10), Arrives: sec(14)}, 14, 14, 14},
		{"fast lane with for", latency.Chain{Condition: latency.Constant(sec(15)), Scrape: sec(10), Eval: sec(5), For: sec(10)}, 25, 32.5, 40},
		{"fast lane without for", latency.Chain{Condition: latency.Constant(sec(15)), Scrape: sec(15), Eval: sec(15)}, 15, 30, 45},
		{"one failed send at e 5", latency.Chain{Eval: sec(5), Resend: sec(60), FailedSends: 1}, 65, 67.5, 70},
		{"one failed send at e 60", latency.Chain{Eval: sec(60), Resend: sec(60), FailedSends: 1}, 120, 150, 180},
		{"second peer", latency.Chain{Position: 1, PeerTimeout: sec(15)}, 15, 15, 15},
		{"recorded in another group", latency.Chain{Eval: sec(15), Recorded: []latency.Recorded{{Eval: sec(30), Offset: sec(2)}}}, 2, 24.5, 47},
		{"recorded ahead in its group", latency.Chain{Eval: sec(15), Recorded: []latency.Recorded{{Eval: sec(15), Same: true}}}, 0, 7.5, 15},
		{"recorded behind in its group", latency.Chain{Eval: sec(15), Recorded: []latency.Recorded{{Eval: sec(15), Same: true, Behind: true}}}, 15, 22.5, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, latency.Span{Best: sec(tt.best), Mean: sec(tt.mean), Worst: sec(tt.worst)}, tt.chain.Total())
		})
	}
}

// ticks are the moments of something that happens every so often at a phase.
type ticks struct{ phase, every time.Duration }

func (t ticks) atOrAfter(at time.Duration) time.Duration {
	n := (at - t.phase + t.every - 1) / t.every
	return t.phase + max(0, n)*t.every
}

// play walks one fault through scrapes, recording, evaluation, `for`, a failed
// send and the group, tick by tick, knowing nothing of the formula.
func play(c latency.Chain, rng *rand.Rand) time.Duration {
	phase := func(every time.Duration) ticks {
		return ticks{time.Duration(rng.Float64() * float64(every)), every}
	}
	const start = time.Hour
	scrape, eval := phase(c.Scrape), phase(c.Eval)
	at := scrape.atOrAfter(start + c.Condition.Mean)
	at += c.ScrapeTakes + max(c.Offset, c.Arrives)
	for _, r := range c.Recorded {
		at = phase(r.Eval).atOrAfter(at) + r.Offset
	}
	active := eval.atOrAfter(at)
	fires := active
	for fires-active < c.For {
		fires += c.Eval
	}
	sent := fires
	for range c.FailedSends { // the next evaluation that is strictly later than the delay
		for last := sent; sent-last <= c.Resend; {
			sent += c.Eval
		}
	}
	at = sent + c.EvalTakes + c.SendTakes
	if c.Joins {
		at = phase(c.GroupInterval).atOrAfter(at)
	} else {
		at += c.GroupWait
	}
	return at + time.Duration(c.Position)*c.PeerTimeout + c.Receiver.Mean - start
}

// For random settings the formula's mean is that of the process it stands for,
// and no fault is outside its bounds.
func TestAgreesWithMonteCarlo(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	some := func(list ...float64) time.Duration { return sec(list[rng.IntN(len(list))]) }
	for i := range 40 {
		c := latency.Chain{
			Condition: latency.Constant(some(0, 7, 51.8, 240)), Scrape: some(5, 10, 15, 30, 60), Eval: some(5, 10, 15, 30, 60),
			ScrapeTakes: some(0, 0.2, 2), Offset: some(0, 0, 10), Arrives: some(0, 0, 5, 20), For: some(0, 10, 25, 60, 90, 300),
			EvalTakes: some(0, 0.5), Resend: some(15, 60), FailedSends: rng.IntN(2), SendTakes: some(0, 0.1),
			GroupWait: some(0, 10, 30), GroupInterval: some(10, 60, 300), Joins: rng.IntN(3) == 0,
			Position: rng.IntN(2), PeerTimeout: sec(15), Receiver: latency.Constant(some(0, 1)),
		}
		for range rng.IntN(3) {
			c.Recorded = append(c.Recorded, latency.Recorded{Eval: some(15, 30, 60), Offset: some(0, 5)})
		}
		want := c.Total()
		const n = 4000
		var sum time.Duration
		for range n {
			took := play(c, rng)
			require.GreaterOrEqual(t, took, want.Best, "%+v", c)
			require.LessOrEqual(t, took, want.Worst, "%+v", c)
			sum += took
		}
		spread := (want.Worst - want.Best).Seconds()
		require.InDelta(t, want.Mean.Seconds(), (sum / n).Seconds(), 0.05+spread/30, fmt.Sprintf("%d: %+v", i, c))
	}
}

func TestStagesAddUp(t *testing.T) {
	c := latency.Chain{Scrape: sec(15), Eval: sec(30), For: sec(50), GroupWait: sec(30), Receiver: latency.Span{Worst: sec(5)}}
	require.Equal(t, sec(60), c.Hold())
	stages := c.Stages()
	require.Equal(t, latency.StageFor, stages[2].Name)
	require.Equal(t, sec(60), stages[2].Best)
	require.Equal(t, latency.Span{Worst: sec(5)}, stages[5].Span)
	require.Equal(t, sec(60), latency.Chain{For: sec(60)}.Hold())
	require.Equal(t, sec(60), latency.Chain{Resend: sec(60)}.ResendCost())
}
