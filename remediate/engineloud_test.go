package remediate_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
)

// loud are the runs the page is told of that are worth a ring, in order.
func (w *world) loud() []page.Run {
	w.t.Helper()
	var out []page.Run
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Millisecond)
		l, err := w.store.Take(ctx, store.LaneEvents, time.Minute)
		cancel()
		if err != nil {
			return out
		}
		var e page.Event
		require.NoError(w.t, store.Unmarshal(l.Value, &e))
		if e.Run.Aloud {
			out = append(out, *e.Run)
		}
		require.NoError(w.t, w.store.Apply(w.t.Context(), store.Done(l)))
	}
}

// People are rung once when a machine is at its end: not for every step on the
// way there, and not again by who starts the gateway anew.
func TestAMachineAtItsEndRingsOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		mode  remediate.Mode
		set   func(w *world)
		rungs int
		says  string
	}{
		"the ladder is exhausted": {remediate.Auto, func(*world) {}, 2, "nothing more is tried: people are needed; the alert still fires"},
		"nobody approves":         {remediate.Approve, func(*world) {}, 1, "nobody approved it in time"},
		"the server refuses": {remediate.Auto, func(w *world) {
			w.server.answers = append(w.server.answers, rejected)
		}, 1, "nothing more is tried: people are needed"},
		"a job on the wrong host": {remediate.Auto, func(w *world) {
			w.server.answers = append(w.server.answers, wide)
		}, 1, "UNSAFE"},
		"a playbook that does not claim": {remediate.Auto, func(w *world) {
			w.claim = "https://tocsin"
			for i := range w.policy.Steps {
				w.policy.Steps[i].Claim = true
			}
		}, 1, "without its claim"},
		"the breaker opens, so that the next step never passes": {remediate.Auto, func(w *world) {
			w.policy.Guards.Breaker.Failures = 1
		}, 1, "people are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy = policy(tc.mode)
				tc.set(w)
				stop := w.start(w.store)
				w.fires("p1", 1, "web-1")
				w.until(tc.rungs-1, remediate.Escalated, 2*time.Hour)
				stop()
				w.start(w.store)
				w.sleep(time.Minute)
				rung := w.loud()
				require.Len(t, rung, 1, "%v", rung)
				require.Contains(t, rung[0].Text, tc.says)
				require.Len(t, w.all(), tc.rungs)
				w.sound()
			})
		})
	}
}
