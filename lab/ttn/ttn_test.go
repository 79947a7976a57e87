package ttn_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/ttn"
)

// Published figures for common configurations, in seconds; all d's are 0.
func TestTotal(t *testing.T) {
	sec := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, tt := range []struct {
		name              string
		chain             ttn.Chain
		best, mean, worst float64
	}{
		{"Prometheus defaults", ttn.Chain{Scrape: sec(60), Eval: sec(60), For: sec(300), GroupWait: sec(30)}, 330, 390, 450},
		{"joins an existing group", ttn.Chain{Scrape: sec(60), Eval: sec(60), For: sec(300), GroupWait: sec(30), GroupInterval: sec(300), Joins: true}, 300, 510, 720},
		{"kube-prometheus", ttn.Chain{Scrape: sec(30), Eval: sec(30), For: sec(300), GroupWait: sec(30)}, 330, 360, 390},
		{"for 2m", ttn.Chain{Scrape: sec(30), Eval: sec(30), For: sec(120), GroupWait: sec(30)}, 150, 180, 210},
		{"15 s, for 1m", ttn.Chain{Scrape: sec(15), Eval: sec(15), For: sec(60), GroupWait: sec(30)}, 90, 105, 120},
		{"for is quantised", ttn.Chain{Scrape: sec(15), Eval: sec(60), For: sec(90), GroupWait: sec(30)}, 150, 187.5, 225},
		{"burn rate at an outage", ttn.Chain{Condition: sec(51.8), Scrape: sec(15), Eval: sec(15)}, 51.8, 66.8, 81.8},
		{"Thanos Ruler with query offset", ttn.Chain{Scrape: sec(30), Eval: sec(30), Offset: sec(10)}, 10, 40, 70},
		{"fast lane with for", ttn.Chain{Condition: sec(15), Scrape: sec(10), Eval: sec(5), For: sec(10)}, 25, 32.5, 40},
		{"fast lane without for", ttn.Chain{Condition: sec(15), Scrape: sec(15), Eval: sec(15)}, 15, 30, 45},
		{"one failed send at e 5", ttn.Chain{Eval: sec(5), Resend: sec(60), FailedSends: 1}, 65, 67.5, 70},
		{"one failed send at e 60", ttn.Chain{Eval: sec(60), Resend: sec(60), FailedSends: 1}, 120, 150, 180},
		{"second peer", ttn.Chain{Position: 1, PeerTimeout: sec(15)}, 15, 15, 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.chain.Total()
			require.Equal(t, ttn.Span{Best: sec(tt.best), Mean: sec(tt.mean), Worst: sec(tt.worst)}, got)
		})
	}
}

// The mean of the formula is the mean of the process it stands for.
func TestMeanAgreesWithMonteCarlo(t *testing.T) {
	c := ttn.Chain{
		Condition: 7 * time.Second, Scrape: 15 * time.Second, Eval: 10 * time.Second,
		For: 25 * time.Second, GroupInterval: 40 * time.Second, Joins: true,
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 200_000
	var sum time.Duration
	for range n {
		wait := func(d time.Duration) time.Duration { return time.Duration(rng.Float64() * float64(d)) }
		sum += c.Condition + wait(c.Scrape) + wait(c.Eval) + c.Hold() + wait(c.GroupInterval)
	}
	require.InDelta(t, c.Total().Mean.Seconds(), (sum / n).Seconds(), 0.2)
}

func TestLag(t *testing.T) {
	burn := ttn.Window{Range: time.Hour, Threshold: 14.4 * 0.001}
	lag, ok := burn.Lag(1)
	require.True(t, ok)
	require.InDelta(t, 51.8, lag.Seconds(), 0.1)
	lag, ok = burn.Lag(0.1)
	require.True(t, ok)
	require.InDelta(t, 518, lag.Seconds(), 1)
	_, ok = burn.Lag(0.0144)
	require.False(t, ok, "a fault below the threshold never fires")
}

func TestSettingsChain(t *testing.T) {
	c, ok := ttn.Fast().Chain(ttn.Errors, 0.08)
	require.True(t, ok)
	require.Equal(t, 15*time.Second, c.Condition, "the long window decides")
	require.LessOrEqual(t, c.Total().Worst, 45*time.Second)

	_, ok = ttn.Fast().Chain(ttn.Errors, 0.02)
	require.False(t, ok)

	c, ok = ttn.Stock().Chain(ttn.Down, 1)
	require.True(t, ok)
	require.Equal(t, 6*time.Minute, c.Total().Mean)

	_, err := ttn.Named("slow")
	require.EqualError(t, err, `settings "slow" are not known: write fast or stock`)
}

func TestTimes(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	run := ttn.Times{ttn.StageFault: at(0), ttn.StageScrape: at(4), ttn.StageFor: at(10), ttn.StageSend: at(9)}
	took, ok := run.Took(ttn.StageFor)
	require.True(t, ok)
	require.Equal(t, 6*time.Second, took, "an unseen stage is skipped")
	took, ok = run.Took(ttn.StageSend)
	require.True(t, ok)
	require.Zero(t, took, "a step back counts as none")
	_, ok = run.Since(ttn.StageDelivered)
	require.False(t, ok)

	sums := ttn.Summarise([]ttn.Times{run, {ttn.StageFault: at(0), ttn.StageScrape: at(2)}})
	require.Equal(t, ttn.StageScrape, sums[0].Stage)
	require.Equal(t, 2, sums[0].N)
	require.Equal(t, 2*time.Second, sums[0].SinceP50)
	require.Equal(t, 4*time.Second, sums[0].SinceP95)
}

func TestQuantile(t *testing.T) {
	var v []time.Duration
	require.Zero(t, ttn.Quantile(v, 0.5))
	for i := range 20 {
		v = append(v, time.Duration(20-i))
	}
	require.Equal(t, time.Duration(10), ttn.Quantile(v, 0.5))
	require.Equal(t, time.Duration(19), ttn.Quantile(v, 0.95))
	require.Equal(t, time.Duration(20), ttn.Quantile(v, 1))
	require.Equal(t, time.Duration(1), ttn.Quantile(v, 0))
}
