package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// dater answers as its function says.
type dater func(ctx context.Context, p page.Problem, known []page.Change) (page.Context, bool)

func (d dater) Since(ctx context.Context, p page.Problem, known []page.Change) (page.Context, bool) {
	return d(ctx, p, known)
}

// datable is a context that says whom to ask since when.
func datable(v string) page.Context {
	c := deploy(v)
	c.Traits[0].Course, c.Traits[0].Source = &page.Course{Query: "q"}, "main"
	return c
}

func onset(c page.Context, at time.Time, after *page.Change) page.Context {
	c.Onset = &page.Onset{At: at, From: at.Add(-10 * time.Second), To: at.Add(5 * time.Second), After: after}
	return c
}

// The first message leaves without waiting for the date; the date is its first edit.
func TestTheDateNeverHoldsUpThePage(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		var known []page.Change
		w.date = func(_ context.Context, p page.Problem, k []page.Change) (page.Context, bool) {
			time.Sleep(8 * time.Second) //nolint:forbidigo // virtual time
			known = k
			return onset(p.Context, time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC), &page.Change{
				Kind: "deploy", Title: "v42", Labels: page.Labels{"service": "checkout", "dc": "dc1"}, At: time.Date(2026, 3, 1, 12, 2, 35, 0, time.UTC),
			}), true
		}
		for i, ago := range []time.Duration{3 * time.Hour, time.Hour, time.Minute} {
			c := page.Change{ID: string(rune('a' + i)), At: time.Now().Add(-ago)}
			value, err := store.Marshal(c)
			require.NoError(t, err)
			require.NoError(t, w.store.Apply(w.t.Context(), store.Put(store.ChangeKey(c.At, c.ID), value)))
		}
		w.send("0 a+")
		shown := w.after(2 * time.Second)
		require.Len(t, shown, 1)
		require.NotContains(t, shown[0].Headline, "began")
		require.Nil(t, shown[0].Onset)
		shown = w.after(time.Minute)
		require.Len(t, shown, 2)
		require.Equal(t, "38 of 40 failing share deploy=v42 (6 % of healthy do) · began 12:03:10, 35 s after deploy v42 of checkout (dc1)", shown[1].Headline)
		require.Len(t, known, 2, "changes of two hours")
		require.Equal(t, "b", known[0].ID)
		require.Len(t, w.after(10*time.Minute), 2, "a date is said once")
	})
}

func TestADateThatCannotBeToldYetIsAskedForAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		asked := 0
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		w.date = func(_ context.Context, p page.Problem, _ []page.Change) (page.Context, bool) {
			asked++
			return onset(p.Context, time.Now().Add(-time.Minute), nil), asked == 3
		}
		w.send("0 a+")
		require.Len(t, w.after(30*time.Second), 1)
		require.Len(t, w.after(40*time.Second), 2)
		require.Equal(t, 3, asked)
	})
	inWorld(t, func(w *world) {
		asked := 0
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		w.date = func(context.Context, page.Problem, []page.Change) (page.Context, bool) {
			asked++
			return page.Context{}, false
		}
		w.send("0 a+")
		require.Len(t, w.after(time.Hour), 1)
		require.Equal(t, 4, asked, "and given up")
	})
}

// Context that comes after the date, and dates of what is no longer said.
func TestADateGoesWithWhatItDates(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, snapshot(t, "0 a+")).Problem
	open.Context = datable("v42")
	at := time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC)
	event := func(kind page.EventKind, c page.Context) page.Event {
		return page.Event{Problem: open.ID, Kind: kind, ID: "x", At: at, Episode: 1, Context: &c}
	}
	other := pipeline.Advance(open, event(page.Dated, onset(datable("v41"), at, nil)))
	require.False(t, other.Changed, "it dates another trait")
	dated := pipeline.Advance(open, event(page.Dated, onset(datable("v42"), at, nil)))
	require.True(t, dated.Changed)
	require.Equal(t, open.Revision+1, dated.Problem.Revision)
	require.Nil(t, open.Context.Onset, "the argument is left as it was")
	require.False(t, pipeline.Advance(dated.Problem, event(page.Dated, onset(datable("v42"), at.Add(time.Second), nil))).Changed)

	grown := datable("v42")
	grown.Traits[0].Failing.Total++
	kept := pipeline.Advance(dated.Problem, event(page.Enriched, grown))
	require.True(t, kept.Changed)
	require.Equal(t, at, kept.Problem.Context.Onset.At, "the same trait with other counts keeps its date")
	moved := pipeline.Advance(dated.Problem, event(page.Enriched, datable("v43")))
	require.True(t, moved.Changed)
	require.Nil(t, moved.Problem.Context.Onset)
	late := pipeline.Advance(open, event(page.Enriched, onset(datable("v42"), at, nil)))
	require.True(t, late.Changed, "context that brings a date only is an edit too")
	gone := event(page.Dated, onset(datable("v42"), at, nil))
	gone.Episode = 2
	require.False(t, pipeline.Advance(open, gone).Changed)
}
