package ttn_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/ttn"
)

func TestSettingsChain(t *testing.T) {
	c, ok := ttn.Fast().Chain(ttn.Errors, 0.08)
	require.True(t, ok)
	require.Equal(t, 14375*time.Millisecond, c.Condition.Mean, "the long window decides")
	require.LessOrEqual(t, c.Total().Worst, 45*time.Second)

	_, ok = ttn.Fast().Chain(ttn.Errors, 0.02)
	require.False(t, ok)

	c, ok = ttn.Stock().Chain(ttn.Down, 1)
	require.True(t, ok)
	require.Equal(t, 6*time.Minute, c.Total().Mean)

	_, err := ttn.Named("slow")
	require.EqualError(t, err, `settings "slow" are not known: write fast, stock, or the name of a .yml file`)
}

func TestSettingsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.yml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("from: fast\nscrape: 15s\nfor: 1m\nwindow: 40s\ngroup_wait: 10s\n")
	s, err := ttn.Named(path)
	require.NoError(t, err)
	require.Equal(t, 15*time.Second, s.Scrape)
	require.Equal(t, 5*time.Second, s.Eval, "of the lane it is from")
	require.Equal(t, []ttn.Window{{Range: 40 * time.Second, Threshold: 0.03}}, s.Errors)
	c, ok := s.Chain(ttn.Errors, 0.3)
	require.True(t, ok)
	require.Equal(t, ttn.Span{Best: 72500 * time.Millisecond, Mean: 82500 * time.Millisecond, Worst: 92500 * time.Millisecond}, c.Total())

	write("from: slow\n")
	_, err = ttn.Named(path)
	require.EqualError(t, err, path+": from: write fast or stock")
	write("from: fast\nscrap: 1s\n")
	_, err = ttn.Named(path)
	require.ErrorContains(t, err, path+":2: ")
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
