package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// house is the room with a real store, and two real targets at fakes.
type house struct {
	t       *testing.T
	path    string
	store   store.Store
	wrap    func(store.Store) store.Store
	router  *notify.Router
	timing  notify.Timing
	metrics *notify.Metrics
	reg     *prometheus.Registry
	log     *lockedBuffer
	observe func(string, time.Duration)
	alarm   func(context.Context, string, page.Page, error)

	slack *fakeslack.Fake
	pd    *fakepagerduty.Fake
	stop  func()
}

// swift is Timing for tests over real sockets: the order of waits is kept, their size is not.
func swift() notify.Timing {
	return notify.Timing{
		PerTarget: 2, Timeout: 5 * time.Second, Grace: time.Millisecond,
		BackoffMin: 5 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		Reconcile: 5 * time.Millisecond, RepeatAfter: time.Second, Mend: 20 * time.Millisecond, Expire: time.Hour,
	}
}

func newHouse(t *testing.T) *house {
	reg := prometheus.NewRegistry()
	h := &house{
		t: t, path: filepath.Join(t.TempDir(), "tocsin.db"), timing: swift(), reg: reg,
		metrics: notify.NewMetrics(reg), log: &lockedBuffer{}, stop: func() {},
	}
	h.openStore()
	t.Cleanup(func() { h.stop(); _ = h.store.Close() })
	return h
}

func (h *house) openStore() {
	h.t.Helper()
	s, err := bolt.Open(bolt.Config{Path: h.path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(h.t, err)
	h.store = s
}

// targets furnishes Slack and PagerDuty for one receiver, "team".
func (h *house) targets() {
	h.t.Helper()
	h.slack = fakeslack.New(fakeslack.Options{NoRateLimits: true})
	h.pd = fakepagerduty.New(fakepagerduty.Options{NoRateLimits: true})
	slackURL, pdURL := serve(h.t, h.slack), serve(h.t, h.pd)
	h.t.Cleanup(h.slack.Faults.Clear)
	h.t.Cleanup(h.pd.Faults.Clear)
	sc := slack.Kind(nil).Config().(*slack.Config)
	sc.APIURL, sc.Channel, sc.TokenFile = slackURL+"/api/", "C0PAGES", secretFile(h.t, fakeslack.DefaultToken)
	pc := pagerduty.Kind().Config().(*pagerduty.Config)
	// rates are another test's: nothing waits for them here
	sc.MessagesPerSecond, sc.EditsPerMinute, pc.EventsPerMinute = 1000, 60_000, 60_000
	pc.EventsURL, pc.RoutingKeyFile = pdURL, secretFile(h.t, fakepagerduty.DefaultKey)
	// Slack's clock of lag runs faster here: the fake shows a message at once.
	ahead := func() time.Time { return time.Now().Add(3 * time.Second) }
	h.router = &notify.Router{First: "team", Receivers: map[string][]notify.Target{"team": {
		{Kind: "slack", Name: "team", Notifier: h.open(slack.Kind(nil), sc, ahead)},
		{Kind: "pagerduty", Name: "team", Notifier: h.open(pagerduty.Kind(), pc, time.Now)},
	}}}
}

func (h *house) open(k notify.Kind, cfg any, now func() time.Time) notify.Notifier {
	h.t.Helper()
	n, err := k.New(cfg, notify.Deps{Name: "team", Transport: &http.Transport{}, Log: slog.New(slog.DiscardHandler), Now: now})
	require.NoError(h.t, err)
	return n
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

func secretFile(t *testing.T, secret string) config.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(secret), 0o600))
	return config.SecretFile(path)
}

// start runs a worker until stop, which waits for it.
func (h *house) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s := h.store
	if h.wrap != nil {
		s = h.wrap(s)
	}
	w := &notify.Worker{
		Store: s, Targets: h.router.Targets(), Timing: h.timing, Now: time.Now, Metrics: h.metrics,
		Log: slog.New(slog.NewTextHandler(h.log, nil)), Tracer: noop.NewTracerProvider().Tracer(""),
		Observe: h.observe, Alarm: h.alarm,
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	h.stop = func() {
		cancel()
		wg.Wait()
		h.stop = func() {}
	}
}

// restart is a crash: the worker is gone, the file is opened anew.
func (h *house) restart() {
	h.t.Helper()
	h.stop()
	require.NoError(h.t, h.store.Close())
	h.openStore()
	h.wrap = nil
	h.start()
}

// problem is what the pipeline would hold of one group.
func problem(id string) page.Problem {
	now := time.Now()
	l := page.Labels{"alertname": "HighErrors", "instance": "web-1", "severity": "critical"}
	a := page.Alert{ID: l.ID(), Status: page.Firing, Labels: l, StartsAt: now.Add(-3 * time.Second)}
	return page.Problem{
		ID: id, Cluster: "dc1", Receiver: "team", State: page.Open, Episode: 1, Revision: 1,
		Opened: now, Updated: now, Members: map[string]page.Member{a.ID: {Alert: a, Open: true, Episode: 1}},
		Group: page.Notification{GroupLabels: page.Labels{"service": "checkout"}},
		Context: page.Context{Traits: []page.Trait{{
			Labels: page.Labels{"deploy": "v42"}, Failing: page.Count{Matched: 38, Total: 40}, Healthy: page.Count{Matched: 7, Total: 120},
		}}},
		Clock: page.Clock{Started: now.Add(-3 * time.Second), Received: now, Durable: now},
	}
}

func resolve(p page.Problem) page.Problem {
	p.State, p.Revision = page.Closed, p.Revision+1
	members := map[string]page.Member{}
	for id, m := range p.Members {
		m.Open, m.Alert.Status, m.Alert.EndsAt = false, page.Resolved, time.Now()
		members[id] = m
	}
	p.Members = members
	return p
}

// put writes a revision as the pipeline does: page and work in one batch.
func (h *house) put(p page.Problem) {
	h.t.Helper()
	value, err := store.Marshal(p.View())
	require.NoError(h.t, err)
	ops := append([]store.Op{store.Put(store.PageKey(p.ID, p.Episode), value)}, h.router.Ops(p)...)
	require.NoError(h.t, h.store.Apply(context.Background(), ops...))
}

func (h *house) receipt(p page.Problem, target string) page.Receipt {
	h.t.Helper()
	var r page.Receipt
	rec, err := h.store.Get(context.Background(), store.ReceiptKey(p.ID, p.Episode, target))
	if err != nil {
		return r
	}
	require.NoError(h.t, store.Unmarshal(rec.Value, &r))
	return r
}

// idle waits until no work is left in the lanes.
func (h *house) idle() {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		lanes, err := h.store.Lanes(context.Background())
		require.NoError(h.t, err)
		for _, l := range lanes {
			if l.Items > 0 {
				return false
			}
		}
		return true
	}, 60*time.Second, 5*time.Millisecond, "%s", h.log)
}

func (h *house) shows(p page.Problem, target string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		r := h.receipt(p, target)
		return r.State == page.Sent && r.Revision == p.Revision
	}, 60*time.Second, 5*time.Millisecond, "%s", h.log)
}

// count reads tocsin_notify_deliveries_total, 0 where nothing was counted yet.
func (h *house) count(kind, verb, outcome string) float64 {
	h.t.Helper()
	return h.counted("tocsin_notify_deliveries_total", kind, verb, outcome)
}

func (h *house) counted(name, kind, verb, outcome string) float64 {
	h.t.Helper()
	families, err := h.reg.Gather()
	require.NoError(h.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["kind"] == kind && got["verb"] == verb && got["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func id(n int) string { return fmt.Sprintf("problem-%04d", n) }
