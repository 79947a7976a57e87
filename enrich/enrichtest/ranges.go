package enrichtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// ranges holds a source that can evaluate a query over a span of time to the
// bounds of its answers.
func ranges(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t,
		Gauge(epoch(), 3, "__name__", "queue", "host", "a", "dc", "x"), Gauge(epoch(), 5, "__name__", "queue", "host", "b", "dc", "x"),
	)
	s, ok := newSource(t, f).(enrich.Ranger)
	require.True(t, ok, "it evaluates no ranges")
	ask := func(ctx context.Context, text string) ([]enrich.Series, page.Query, error) {
		return s.Range(ctx, text, epoch().Add(-time.Minute), epoch(), 5*time.Second)
	}
	series, asked, err := ask(t.Context(), `queue`)
	require.NoError(t, err)
	require.Len(t, series, 2)
	require.Equal(t, []page.Label{{Name: "__name__", Value: "queue"}, {Name: "dc", Value: "x"}, {Name: "host", Value: "a"}}, series[0].Labels)
	require.Equal(t, []page.Label{{Name: "__name__", Value: "queue"}, {Name: "dc", Value: "x"}, {Name: "host", Value: "b"}}, series[1].Labels)
	require.Len(t, series[0].Points, 12)
	last := series[1].Points[11]
	require.True(t, last.At.Equal(epoch()))
	require.InDelta(t, 5, last.Value, 0)
	require.Equal(t, "main", asked.Source)
	require.Equal(t, 2, asked.Series)
	require.Positive(t, asked.Bytes)
	for _, p := range f.Params() {
		require.Equal(t, []string{"true"}, p["dedup"])
		require.Equal(t, []string{"replica"}, p["replicaLabels[]"])
	}
	series, _, err = ask(t.Context(), `sum by (dc) (queue)`)
	require.NoError(t, err)
	require.InDelta(t, 8, series[0].Points[11].Value, 0)

	f.Misbehave(Trouble{Warning: "store 10.0.0.7:10901 is down"})
	_, asked, err = ask(t.Context(), `queue`)
	require.NoError(t, err)
	require.True(t, asked.Partial)
	f.Misbehave(Trouble{Status: 500})
	_, asked, err = ask(t.Context(), `queue`)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "u7")
	require.NotEmpty(t, asked.Error)
	f.Misbehave(Trouble{})
	_, _, err = ask(t.Context(), `queue{`)
	require.Error(t, err)

	var many []Series
	for i := range 2 * MaxSeries {
		many = append(many, Gauge(epoch(), 1, "__name__", "queue", "host", string(rune('a'+i%26))+time.Duration(i).String()))
	}
	f.Set(many...)
	series, asked, err = ask(t.Context(), `queue`)
	require.NoError(t, err)
	require.True(t, asked.Partial)
	require.LessOrEqual(t, len(series), MaxSeries)
	f.Misbehave(Trouble{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err = ask(ctx, `queue`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
