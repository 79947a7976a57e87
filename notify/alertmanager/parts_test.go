package alertmanager_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

const two = `
receiver:
  webhook_configs: [{url_file: HOOK/webhook}, {url_file: HOOK/msteamsv2}]
`

func paths(s *service) map[string]int {
	out := map[string]int{}
	for _, r := range s.requests() {
		out[r.Path[:len("/webhook")]]++
	}
	return out
}

// Of two integrations one took it: the other alone is asked again.
func TestAPartThatAcceptedIsNotToldTwice(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Path: "/msteamsv2/"}))
	m := open(notifytest.Page())
	r, err := n.Notify(t.Context(), m)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Empty(t, r.Ref)
	require.Equal(t, []string{"webhook[0] firing"}, r.Parts)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(m.Page, notify.VerbOpen, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	require.Empty(t, r.Parts)
	require.Equal(t, map[string]int{"/webhook": 1, "/msteams": 1}, paths(s))

	// The same for its end.
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 503, Path: "/webhook/"}))
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.Equal(t, []string{"webhook[1] resolved"}, r.Parts)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	require.Equal(t, map[string]int{"/webhook": 2, "/msteams": 2}, paths(s))
}

// It is over before the second was told of it: only the first hears of the end.
func TestOverBeforeAllWereTold(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Path: "/msteamsv2/"}))
	r, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Error(t, err)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbOpen, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0]", r.Ref)
	require.Equal(t, map[string]int{"/webhook": 2}, paths(s))

	never, err := n.Notify(t.Context(), open(notifytest.Resolved()))
	require.NoError(t, err)
	require.Empty(t, never.Ref, "nobody is told of the end of what nobody was told of")
	require.Equal(t, map[string]int{"/webhook": 2}, paths(s))
}

func TestADoubtOutweighsARefusal(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1,
		fault.Fault{Kind: fault.Status, Status: 404, Path: "/webhook/"}, fault.Fault{Kind: fault.Drop, Path: "/msteamsv2/"}))
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.NoError(t, s.Faults.Set(1,
		fault.Fault{Kind: fault.Status, Status: 404, Path: "/webhook/"}, fault.Fault{Kind: fault.RateLimit, RetryAfter: 3, Path: "/msteamsv2/"}))
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Equal(t, 3*time.Second, remote.RetryAfter(err))
}

// The room keeps what was accepted, over a crash too.
func TestTheRoomKeepsTheParts(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	path := filepath.Join(t.TempDir(), "tocsin.db")
	router := &notify.Router{First: "team", Receivers: map[string][]notify.Target{"team": {{Kind: "alertmanager", Name: "team", Notifier: n}}}}
	p := page.Problem{ID: "p1", Receiver: "team", State: page.Open, Episode: 1, Revision: 1, Opened: time.Now(), Updated: time.Now()}
	l := page.Labels{"alertname": "A"}
	p.Members = map[string]page.Member{l.ID(): {Open: true, Episode: 1, Alert: page.Alert{ID: l.ID(), Labels: l, Status: page.Firing, StartsAt: time.Now()}}}
	receipt := func(st store.Store) (r page.Receipt) {
		if rec, err := st.Get(t.Context(), store.ReceiptKey("p1", 1, "alertmanager/team")); err == nil {
			require.NoError(t, store.Unmarshal(rec.Value, &r))
		}
		return r
	}
	life := func(first bool, until func(page.Receipt) bool) {
		st, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
		require.NoError(t, err)
		if first {
			value, err := store.Marshal(p.View())
			require.NoError(t, err)
			require.NoError(t, st.Apply(t.Context(), append([]store.Op{store.Put(store.PageKey("p1", 1), value)}, router.Ops(p)...)...))
		}
		w := &notify.Worker{
			Store: st, Targets: router.Targets(), Now: time.Now, Metrics: notify.NewMetrics(nil), Log: slog.New(slog.DiscardHandler),
			Tracer: noop.NewTracerProvider().Tracer(""), Timing: notify.Timing{
				PerTarget: 1, Timeout: 5 * time.Second, Grace: time.Millisecond, BackoffMin: 5 * time.Millisecond, BackoffMax: 20 * time.Millisecond,
				Reconcile: 5 * time.Millisecond, RepeatAfter: time.Second, Mend: 20 * time.Millisecond, Expire: time.Hour,
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(ctx) })
		require.Eventually(t, func() bool { return until(receipt(st)) }, 30*time.Second, 5*time.Millisecond)
		cancel()
		wg.Wait()
		require.NoError(t, st.Close())
	}
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Path: "/msteamsv2/"}))
	life(true, func(r page.Receipt) bool { return r.State == page.Waiting && len(r.Parts) == 1 })
	s.Faults.Clear()
	router.Receivers["team"][0].Notifier = build(t, decode(t, write(t, s.URL, two))) // the process begins anew
	life(false, func(r page.Receipt) bool { return r.State == page.Sent && r.Ref == "webhook[0],webhook[1]" })
	require.Equal(t, map[string]int{"/webhook": 1, "/msteams": 1}, paths(s))
}
