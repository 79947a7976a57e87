package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/web"
)

// world is a store with pages in it, and a door that takes events.
type world struct {
	store   store.Store
	archive *web.Archive
	board   *web.Board
	acts    *web.Acts
	now     time.Time

	mu     sync.Mutex
	hidden []string
	events []page.Event
	sick   error
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(tb.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(tb, err)
	w := &world{store: s, now: time.Date(2026, 3, 1, 12, 3, 45, 0, time.UTC)}
	w.archive = &web.Archive{Store: s, Redact: w.redacted, Unsent: func(t string) bool { return strings.HasPrefix(t, "shadow/") }}
	w.board = web.NewBoard(w.archive, slog.New(slog.DiscardHandler))
	w.acts = &web.Acts{Archive: w.archive, Door: w, Now: func() time.Time { return w.now }}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.board.Run(ctx) })
	tb.Cleanup(func() { stop(); running.Wait(); require.NoError(tb, s.Close()) })
	return w
}

func (w *world) redacted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hidden
}

// Once implements web.Door.
func (w *world) Once(_ context.Context, e page.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return w.sick
}

func (w *world) put(tb testing.TB, key string, v any) {
	tb.Helper()
	w.apply(tb, store.Put(key, encode(tb, v)))
}

func (w *world) apply(tb testing.TB, ops ...store.Op) {
	tb.Helper()
	require.NoError(tb, w.store.Apply(context.Background(), ops...))
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := store.Marshal(v)
	require.NoError(tb, err)
	return b
}

// save writes a problem and its page as the pipeline does.
func (w *world) save(tb testing.TB, p page.Problem) {
	tb.Helper()
	w.apply(tb, store.Put(store.ProblemKey(p.ID), encode(tb, p)), store.Put(store.PageKey(p.ID, p.Episode), encode(tb, p.View())))
}

// shown waits until the board shows n open problems.
func (w *world) shown(tb testing.TB, n int) []web.Row {
	tb.Helper()
	var rows []web.Row
	require.Eventually(tb, func() bool {
		var all bool
		rows, all = w.board.Open()
		return all && len(rows) == n
	}, 20*time.Second, 5*time.Millisecond, "the board shows %d", len(rows))
	return rows
}

// problem is one with n firing alerts that share deploy=v42.
func problem(id string, n int) page.Problem {
	at := time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC)
	p := page.Problem{
		ID: id, Cluster: "dc1", Receiver: "team-payments", GroupKey: "{}:" + id, State: page.Open, Episode: 1, Revision: 3,
		Opened: at, Updated: at, Members: map[string]page.Member{},
		Group: page.Notification{GroupLabels: page.Labels{"alertname": "CheckoutErrors", "service": "checkout"}, ExternalURL: "http://alertmanager.example.org"},
		Clock: page.Clock{
			Started: at, Received: at.Add(2 * time.Second), Durable: at.Add(2*time.Second + 4*time.Millisecond),
			Enriched: at.Add(3 * time.Second), Deadline: at.Add(7 * time.Second), Decided: at.Add(3*time.Second + 10*time.Millisecond),
		},
	}
	for i := range n {
		l := page.Labels{"alertname": "CheckoutErrors", "severity": "critical", "service": "checkout", "instance": fmt.Sprintf("web-%02d:9090", i)}
		a := page.Alert{
			ID: l.ID(), Status: page.Firing, Labels: l, StartsAt: at, GeneratorURL: "http://prometheus.example.org/graph?g0.expr=up",
			Annotations: page.Labels{"summary": "Checkout fails", "description": "More than 5 % of requests fail.", "runbook_url": "https://runbooks.example.org/CheckoutErrors"},
		}
		p.Members[a.ID] = page.Member{Alert: a, Open: true, Episode: 1, Began: at, Seen: at}
	}
	p.Context = page.Context{
		Failing: n, Healthy: 100, At: at.Add(3 * time.Second),
		Traits: []page.Trait{{
			Labels: page.Labels{"deploy": "v42"}, Failing: page.Count{Matched: n, Total: n}, Healthy: page.Count{Matched: 6, Total: 100}, Share: .97,
			Role: "deploy", Query: `sum(rate(http_requests_total{deploy="v42"}[5m]))`, Link: "http://thanos.example.org/graph", Source: "main", Strength: "strong",
			Rival: page.Labels{"pod": "checkout-7f9"}, Also: []page.Label{{Name: "version", Value: "42"}},
		}},
		Onset:  &page.Onset{At: at, From: at.Add(-5 * time.Second), To: at.Add(5 * time.Second), After: &page.Change{Kind: "deploy", Title: "v42", At: at.Add(-35 * time.Second)}},
		Impact: &page.Impact{Unit: page.Events, Bad: 12, All: 100, Inside: .25},
	}
	return p
}

// close ends the problem.
func closed(p page.Problem, after time.Duration) page.Problem {
	p.State, p.Ended = page.Closed, p.Opened.Add(after)
	members := map[string]page.Member{}
	for id, m := range p.Members {
		m.Open, m.Closed, m.Alert.Status, m.Alert.EndsAt = false, p.Ended, page.Resolved, p.Ended
		members[id] = m
	}
	p.Members = members
	return p
}

var ErrSick = errors.New("store is sick")
