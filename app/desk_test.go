package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

func TestWhoMayDoWhat(t *testing.T) {
	named := &Config{People: []Person{
		{Name: "Jane", Slack: []string{"U1", "SONCALL"}, PagerDuty: []string{"PJANE"}},
		{Name: "Ops", Role: "operator", Slack: []string{"SOPS"}},
		{Name: "Dan", Roles: []string{"dba"}, Slack: []string{"U5"}},
	}}
	const approval = page.Verb("approve")
	for _, tc := range []struct {
		config *Config
		kind   string
		ids    []string
		verb   page.Verb
		name   string
		ok     bool
		run    page.Run
	}{
		{&Config{}, "slack", []string{"U9", "SX"}, page.Acknowledge, "U9", true, page.Run{}},
		{&Config{}, "slack", []string{"U9"}, page.SilenceIt, "U9", true, page.Run{}},
		{&Config{}, "slack", []string{"U9"}, approval, "U9", false, page.Run{}},
		{&Config{}, "pagerduty", nil, page.Acknowledge, "pagerduty", true, page.Run{}},
		{named, "slack", []string{"U1"}, page.Acknowledge, "Jane", true, page.Run{}},
		{named, "slack", []string{"U7", "SONCALL"}, page.UnsilenceIt, "Jane", true, page.Run{}},
		{named, "slack", []string{"U1"}, approval, "Jane", false, page.Run{}},
		{named, "slack", []string{"U1", "SOPS"}, approval, "Ops", true, page.Run{}},
		{named, "slack", []string{"U2"}, page.Acknowledge, "", false, page.Run{}},
		{named, "slack", nil, page.Acknowledge, "", false, page.Run{}},
		{named, "slack", []string{"PJANE"}, page.Acknowledge, "", false, page.Run{}},
		{named, "pagerduty", []string{"PJANE"}, page.Remark, "Jane", true, page.Run{}},
		{named, "pagerduty", []string{"U1"}, page.Remark, "", false, page.Run{}},
		{named, "slack", []string{"U5"}, approval, "Dan", false, page.Run{}},
		{named, "slack", []string{"U5"}, approval, "Dan", true, page.Run{Roles: []string{"dba"}}},
		{named, "slack", []string{"SOPS"}, approval, "Ops", false, page.Run{Roles: []string{"dba"}}},
		{named, "slack", []string{"SOPS"}, page.DenyIt, "Ops", true, page.Run{Roles: []string{"dba"}}},
		{named, "slack", []string{"U1"}, page.DenyIt, "Jane", false, page.Run{Roles: []string{"dba"}}},
		{named, "slack", []string{"U1"}, approval, "Jane", true, page.Run{Roles: []string{"responder"}}},
		{named, "slack", []string{"SOPS"}, approval, "Ops", true, page.Run{Roles: []string{"responder"}}},
		{named, "slack", []string{"U2"}, approval, "", false, page.Run{Roles: []string{"responder"}}},
		{&Config{}, "slack", []string{"U2"}, approval, "U2", false, page.Run{Roles: []string{"responder"}}},
		{named, "teams", []string{"U1"}, page.Remark, "", false, page.Run{}},
	} {
		name, ok := tc.config.may(tc.kind, tc.ids, tc.verb, tc.run)
		require.Equal(t, tc.ok, ok, "%s %v %s", tc.kind, tc.ids, tc.verb)
		require.Equal(t, tc.name, name, "%s %v %s", tc.kind, tc.ids, tc.verb)
	}
}

// caller is a notifier whose service calls back and is listened to.
type caller struct {
	listen func(context.Context, notify.Desk) error
}

func (c *caller) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	return m.Receipt, nil
}

func (c *caller) Callback(d notify.Desk) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		receipt, err := d.Lookup(r.Context(), string(body))
		if errors.Is(err, store.ErrNotFound) {
			http.Error(w, "unknown", http.StatusNotFound)
			return
		}
		shown, err2 := d.Page(r.Context(), receipt.Problem)
		name, ok := d.May([]string{"U1"}, page.Acknowledge, page.Run{})
		err3 := d.Put(r.Context(), page.Event{
			Problem: receipt.Problem, Episode: receipt.Episode, Kind: page.Acted, ID: "e1",
			Act: &page.Act{Verb: page.Acknowledge, By: name},
		})
		if err = errors.Join(err, err2, err3); err != nil || !ok {
			http.Error(w, "no: "+errString(err), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, shown.Title)
	})
}

func errString(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (c *caller) Listen(ctx context.Context, d notify.Desk) error { return c.listen(ctx, d) }

// deskHouse is a house with one target, mine/a, and its shadow twin, mine/b.
func deskHouse(t *testing.T, c *caller) (*house, *parts) {
	t.Helper()
	now := time.Now().UTC()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	h := &house{store: s, lent: lent{now: func() time.Time { return now }}, options: Options{Log: slog.New(slog.DiscardHandler)}, archive: newArchive(s, func() []string { return []string{"user"} })}
	a := notify.Target{Kind: "mine", Name: "a", Notifier: c}
	b := notify.Target{Kind: "quiet", Name: "b", Notifier: struct{ notify.Notifier }{c}}
	p := &parts{plan: &plan{Config: DefaultConfig()}, router: &notify.Router{Receivers: map[string][]notify.Target{"team": {a, b}}}}
	return h, p
}

func TestCallbacksReachTheirTarget(t *testing.T) {
	h, b := deskHouse(t, &caller{})
	l := page.Labels{"alertname": "Slow", "user": "a.smith"}
	p := page.Problem{
		ID: "p1", Episode: 3, State: page.Open, Group: page.Notification{GroupLabels: l},
		Members: map[string]page.Member{"m": {Open: true, Alert: page.Alert{ID: "m", Labels: l}}},
	}
	for key, v := range map[string]any{
		store.ProblemKey("p1"):                     p,
		store.ReceiptKey("p1", 3, "mine/a"):        page.Receipt{Problem: "p1", Episode: 3, Target: "mine/a", Ref: "17.5"},
		store.DeliveryKey("mine/a", "17.5"):        map[string]any{"problem": "p1", "episode": 3},
		store.DeliveryKey("mine/a", "unreceipted"): map[string]any{"problem": "p2", "episode": 1},
	} {
		value, err := store.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, h.store.Apply(t.Context(), store.Put(key, value)))
	}
	next := &rooms{parts: b, callbacks: h.callbacks(b)}
	h.rooms.Store(next)
	mux := http.NewServeMux()
	mux.HandleFunc("/callback/{kind}/{name}", h.callback)
	call := func(path, body string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	code, said := call("/callback/mine/a", "17.5")
	require.Equal(t, http.StatusOK, code, said)
	require.Equal(t, "Slow · user=<redacted>", said)
	lease, err := h.store.Take(t.Context(), store.LaneEvents, time.Minute)
	require.NoError(t, err)
	var e page.Event
	require.NoError(t, store.Unmarshal(lease.Value, &e))
	require.WithinDuration(t, time.Now(), e.At, time.Minute)
	require.Equal(t, page.Event{Problem: "p1", Episode: 3, Kind: page.Acted, ID: "e1", At: e.At, Act: &page.Act{Verb: page.Acknowledge, By: "U1"}}, e)

	for path, body := range map[string]string{
		"/callback/mine/b":  "17.5", // no such target
		"/callback/quiet/b": "17.5", // its service does not call
		"/callback/mine/a":  "unheard",
		"/callback/mine/a/": "17.5",
	} {
		code, said = call(path, body)
		require.Equal(t, http.StatusNotFound, code, "%s %s: %s", path, body, said)
	}
	code, _ = call("/callback/mine/a", "unreceipted")
	require.Equal(t, http.StatusNotFound, code)
	code, _ = call("/callback/mine/a", strings.Repeat("x", callbackBytes+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, code)

	shadowed := *b
	shadowed.router = &notify.Router{Receivers: map[string][]notify.Target{"team": {notify.Target{Kind: "mine", Name: "a", Notifier: &caller{}}.Shadowed()}}}
	require.Contains(t, h.callbacks(&shadowed), "mine/a", "what was sent before the shadow is still acted on")
	require.Len(t, h.callbacks(&shadowed), 1)
}

func TestAServiceIsListenedToAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		began := time.Now()
		l := listener{notify.Target{Kind: "mine", Name: "a"}, func(ctx context.Context) error {
			switch tries.Add(1) {
			case 1:
				panic("a kind breaks")
			case 2:
				return errors.New("token revoked")
			case 3:
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx); close(done) }()
		time.Sleep(time.Minute) //nolint:forbidigo // of the bubble
		require.EqualValues(t, 4, tries.Load())
		require.Less(t, time.Since(began), 2*time.Minute)
		stop()
		<-done
	})
}

// A service may send a button again after it was worked on.
func TestWhatIsPutAgainChangesNothing(t *testing.T) {
	h, b := deskHouse(t, &caller{})
	d := h.desk(b, notify.Target{Kind: "mine", Name: "a"})
	e := page.Event{Problem: "p", ID: "same", Kind: page.Acted}
	require.NoError(t, d.Put(t.Context(), e))
	require.NoError(t, d.Put(t.Context(), e))
	lease, err := h.store.Take(t.Context(), store.LaneEvents, time.Minute)
	require.NoError(t, err)
	require.NoError(t, h.store.Apply(t.Context(), store.Done(lease)))
	require.NoError(t, d.Put(t.Context(), e))
	lanes, err := h.store.Lanes(t.Context())
	require.NoError(t, err)
	require.Empty(t, lanes)
}
