package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// many is an outbox with as many targets as a receiver may have.
type many struct{ *world }

const mostTargets = 80

func (m many) Ops(p page.Problem) []store.Op { return m.to(p.ID, fmt.Sprint(p.Revision)) }

func (m many) Chart(p page.Problem) []store.Op { return m.to(p.ID+"/chart", "chart") }

func (many) to(key, id string) []store.Op {
	var ops []store.Op
	for i := range mostTargets {
		ops = append(ops, store.Enqueue(store.Item{Lane: fmt.Sprintf("%sx/%d", store.LaneDeliver, i), ID: key + id, Key: key}))
	}
	return ops
}

// With as many targets as there may be, all that a step writes is one batch that
// the store takes: at an opening, a swing that gets worse, what leaves a storm, a
// chart, an end that is held.
func TestABatchHasRoomForAllTargets(t *testing.T) {
	inWorldOf(t, func(w *pipeline.Worker) {
		w.Outbox = many{w.Outbox.(*world)}
		w.Charter = charter(func(context.Context, page.Problem) (page.Chart, bool) { return page.Chart{}, true })
		w.Rules = pipeline.Rules{Flapping: pipeline.Flapping{Openings: 1, Within: time.Hour, Quiet: time.Minute}, Storms: storms().Storms}
	}, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return datable("v42") }
		w.date = func(_ context.Context, p page.Problem, _ []page.Change) (page.Context, bool) {
			return onset(p.Context, time.Now(), nil), true
		}
		for i := range 7 {
			w.put(one("Slow", "warning", i, false))
		}
		w.after(time.Minute)
		for i := range 7 {
			e := one("Slow", "warning", i, false)
			e.Notification.Alerts = slices.Concat(e.Notification.Alerts, group(0, "Slow/critical/web-2").Notification.Alerts)
			w.put(e)
		}
		w.after(time.Minute)
		for i := range 7 {
			w.put(one("Slow", "warning", i, true))
		}
		w.after(10 * time.Minute)
		for i := range 7 {
			p := w.problem(one("Slow", "warning", i, true).Problem)
			require.Equal(t, page.Closed, p.State)
			require.Len(t, p.Told, mostTargets)
			require.False(t, p.Charted.IsZero())
			require.Empty(t, p.Folded)
		}
		require.Equal(t, page.Closed, w.problem(page.StormID("team")).State)
	})
}
