package pipeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// A replica that is cut off from the store tells PagerDuty past it; the resolve
// reaches another replica, which knows of nothing. When the first is back, what
// it told must be ended, although its firing looks like an echo by now.
func TestWhatWasToldPastTheStoreIsEndedThoughItIsOver(t *testing.T) {
	for name, fires := range map[string]bool{"it is over": false, "it still fires": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				firing := snapshot(t, "0 a+@0")
				w.active = func() ([]page.Alert, error) {
					if fires {
						return firing.Notification.Alerts, nil
					}
					return nil, nil
				}
				w.send("5 a-@0:5")
				w.after(time.Second)
				delivery := page.Receipt{Delivery: "d", Problem: firing.Problem, Episode: 1, Target: "test/test", State: page.Sent, Ref: "incident"}
				firing.Receipts = []page.Receipt{delivery}
				w.put(firing)
				shown := w.after(time.Second)
				require.Len(t, shown, 1)
				require.Equal(t, page.Open, shown[0].State)
				rec, err := w.store.Get(t.Context(), store.ReceiptKey(firing.Problem, 1, "test/test"))
				require.NoError(t, err)
				var r page.Receipt
				require.NoError(t, store.Unmarshal(rec.Value, &r))
				require.Equal(t, "incident", r.Ref, "the ledger knows who was told")
				shown = w.after(time.Minute)
				last := shown[len(shown)-1]
				require.Equal(t, 1, last.Episode)
				require.Equal(t, fires, last.State == page.Open)
			})
		})
	}
}

// Two replicas tell of one episode, one of them past the store; the other has
// ended it when the first comes back. It is not opened anew: its end is told once
// more, also to whom only the first one told.
func TestWhatOthersEndedIsEndedAgain(t *testing.T) {
	for name, fires := range map[string]bool{"it is over": false, "it still fires": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				firing := snapshot(t, "0 a+@0")
				w.active = func() ([]page.Alert, error) {
					if fires {
						return firing.Notification.Alerts, nil
					}
					return nil, nil
				}
				w.send("0 a+@0")
				w.after(10 * time.Second)
				w.send("5 a-@0:5")
				shown := w.after(time.Second)
				over := shown[len(shown)-1]
				require.Equal(t, page.Closed, over.State)
				for _, target := range []string{"test/test", "test/last"} {
					firing.Receipts = append(firing.Receipts, page.Receipt{
						Delivery: "d", Problem: firing.Problem, Episode: 1, Target: target, State: page.Sent, Ref: "incident",
					})
				}
				w.put(firing)
				shown = w.after(time.Second)
				again := shown[len(shown)-1]
				require.Equal(t, page.Closed, again.State)
				require.Equal(t, 1, again.Episode)
				require.Greater(t, again.Revision, over.Revision)
				p, _, err := pipeline.Load(t.Context(), w.store, firing.Problem)
				require.NoError(t, err)
				require.Equal(t, []string{"test/last", "test/test"}, p.Told)
				shown = w.after(time.Minute)
				last := shown[len(shown)-1]
				require.Equal(t, fires, last.State == page.Open, "Alertmanager is asked whether it fires anew")
			})
		})
	}
}
