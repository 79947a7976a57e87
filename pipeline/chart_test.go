package pipeline_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// charter answers as its function says.
type charter func(ctx context.Context, p page.Problem) (page.Chart, bool)

func (c charter) Chart(ctx context.Context, p page.Problem) (page.Chart, bool) { return c(ctx, p) }

// posting is the outbox of targets that take charts.
type posting struct{ *world }

func (o posting) Chart(p page.Problem) []store.Op {
	return []store.Op{store.Enqueue(store.Item{Lane: "charts", ID: p.ID, Key: p.ID + "/chart"})}
}

func (w *world) posted() int {
	stats, err := w.store.Lanes(w.t.Context())
	require.NoError(w.t, err)
	for _, s := range stats {
		if s.Lane == "charts" {
			return s.Items
		}
	}
	return 0
}

// A date that is not to be found keeps nobody waiting for the chart for longer than a minute.
func TestTheChartWaitsAMinuteForItsDate(t *testing.T) {
	var drawn []time.Duration
	inWorldOf(t, func(w *pipeline.Worker) {
		began := time.Now()
		w.Charter = charter(func(context.Context, page.Problem) (page.Chart, bool) {
			drawn = append(drawn, time.Since(began))
			return page.Chart{}, true
		})
	}, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		w.date = func(_ context.Context, p page.Problem, _ []page.Change) (page.Context, bool) { return p.Context, false }
		w.send("0 a+")
		w.after(5 * time.Minute)
		require.Len(t, drawn, 1)
		require.GreaterOrEqual(t, drawn[0], time.Minute)
		require.Less(t, drawn[0], 90*time.Second)
	})
}

// The chart comes after the page and its date, once, and is no revision.
func TestTheChartComesAfterThePage(t *testing.T) {
	var mu sync.Mutex
	var drawn []time.Duration
	looks := func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(drawn)
	}
	inWorldOf(t, func(w *pipeline.Worker) {
		began := time.Now()
		w.Charter = charter(func(_ context.Context, p page.Problem) (page.Chart, bool) {
			mu.Lock()
			defer mu.Unlock()
			drawn = append(drawn, time.Since(began))
			return page.Chart{Title: "Slow", Marks: []page.Mark{{At: p.Context.Onset.At}}}, len(drawn) > 1
		})
		w.Outbox = posting{w.Outbox.(*world)}
	}, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		w.date = func(_ context.Context, p page.Problem, _ []page.Change) (page.Context, bool) {
			time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
			return onset(p.Context, time.Now(), nil), true
		}
		w.send("0 a+")
		require.Len(t, w.after(time.Second), 1)
		require.Empty(t, looks())
		require.Len(t, w.after(5*time.Minute), 2, "the page and its date: the chart is no revision")
		require.Len(t, looks(), 2, "the first was not there yet")
		require.GreaterOrEqual(t, looks()[0], 30*time.Second, "it waits for the date it shows")
		id := snapshot(t, "0 a+").Problem
		require.False(t, w.problem(id).Charted.IsZero())
		rec, err := w.store.Get(t.Context(), store.ChartKey(id, 1))
		require.NoError(t, err)
		var c page.Chart
		require.NoError(t, store.Unmarshal(rec.Value, &c))
		require.Len(t, c.Marks, 1)
		require.Equal(t, 1, w.posted())
		rec, err = w.store.Get(t.Context(), store.PageKey(id, 1))
		require.NoError(t, err)
		var v page.Page
		require.NoError(t, store.Unmarshal(rec.Value, &v))
		require.Equal(t, uint64(2), v.Revision)
		require.False(t, v.Charted.IsZero(), "the page knows of it")
	})
}

func TestAChartThatCannotBeDrawnIsGivenUp(t *testing.T) {
	asked := 0
	inWorldOf(t, func(w *pipeline.Worker) {
		w.Charter = charter(func(context.Context, page.Problem) (page.Chart, bool) { asked++; return page.Chart{}, false })
	}, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		w.send("0 a+")
		w.after(time.Hour)
		require.Equal(t, 14, asked)
		require.True(t, w.problem(snapshot(t, "0 a+").Problem).Charted.IsZero())
	})
}

// A date that comes after the chart draws it anew for the page on the web; the
// targets have theirs.
func TestOneChartIsPostedInAnEpisode(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, snapshot(t, "0 a+")).Problem
	e := page.Event{Kind: page.Charted, At: at(20), Episode: 1, Chart: &page.Chart{Title: "x"}}
	s := pipeline.Advance(open, e)
	require.False(t, s.Changed)
	require.Equal(t, at(20), s.Problem.Charted)
	require.Equal(t, "the chart is there", s.Why)
	require.Equal(t, "the chart is drawn anew", pipeline.Advance(s.Problem, e).Why)
	e.Episode = 2
	require.Equal(t, open, pipeline.Advance(open, e).Problem)
}
