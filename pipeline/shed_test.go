package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

// While half of the writers wait for context, first pages that are not critical
// take what is at hand; critical ones are given their time, and all are asked
// about again.
func TestContextIsShedBeforePages(t *testing.T) {
	inWorld(t, func(w *world) { // of eight writers
		w.ask = func(ctx context.Context, _ page.Problem) page.Context {
			select {
			case <-ctx.Done():
				return page.Context{Pending: true}
			case <-time.After(4 * time.Second):
				return deploy("v42")
			}
		}
		for i := range 6 {
			w.put(one("Slow", "warning", i, false))
		}
		w.put(one("Down", "critical", 0, false))
		shown := w.after(time.Second)
		require.Len(t, shown, 2, "the fifth and the sixth")
		for _, p := range shown {
			require.True(t, p.Pending)
			require.Equal(t, page.Warning, p.Severity)
		}
		shown = w.after(4 * time.Second)
		require.Len(t, of(shown, one("Down", "critical", 0, false).Problem), 1)
		last := map[string]page.Page{}
		for _, p := range w.after(time.Minute) {
			last[p.Problem] = p
		}
		require.Len(t, last, 7)
		for _, p := range last {
			require.Contains(t, p.Headline, "deploy=v42")
		}
	})
}
