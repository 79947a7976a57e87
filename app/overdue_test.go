package app

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// What Alertmanager no longer holds is over; what it holds, however quietly,
// what was heard of a moment ago, and all that an Alertmanager that has only
// begun does not hold yet, is not.
func TestWhatAlertmanagerHasForgottenIsOver(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		held   []string // pods
		up     time.Duration
		after  time.Duration
		status int
		firing []string // afterwards
	}{
		{"all gone", nil, time.Hour, 10 * time.Minute, 200, nil},
		{"one gone", []string{"b"}, time.Hour, 10 * time.Minute, 200, []string{"b"}},
		{"held", []string{"a", "b", "other"}, time.Hour, 10 * time.Minute, 200, []string{"a", "b"}},
		{"heard a moment ago", nil, time.Hour, time.Minute, 200, []string{"a", "b"}},
		{"just restarted", nil, 9 * time.Minute, 30 * time.Minute, 200, []string{"a", "b"}},
		{"does not answer", nil, time.Hour, 10 * time.Minute, 503, []string{"a", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := began.Add(tc.after)
			am := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tc.status)
				if r.URL.Path == "/api/v2/status" {
					_ = json.NewEncoder(w).Encode(map[string]any{"uptime": now.Add(-tc.up)})
					return
				}
				out := []map[string]any{}
				for _, pod := range tc.held {
					out = append(out, map[string]any{"labels": podLabels(pod)})
				}
				_ = json.NewEncoder(w).Encode(out)
			}))
			defer am.Close()
			s, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
			require.NoError(t, err)
			defer s.Close()
			o := &overdue{
				store: s, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now },
				clusters: func() asker {
					return asker{"dc1": &alertmanager.Client{Base: am.URL, Remote: remote.New(&http.Transport{}, alertmanager.MaxAnswer)}}
				},
			}
			n := page.Notification{Cluster: "dc1", Receiver: "team", GroupKey: "k", Status: page.Firing}
			for _, pod := range []string{"a", "b"} {
				n.Alerts = append(n.Alerts, page.Alert{ID: podLabels(pod).ID(), Status: page.Firing, Labels: podLabels(pod), StartsAt: began})
			}
			p := pipeline.Advance(page.Problem{}, page.Event{Problem: n.ProblemID(), Kind: page.Notified, ID: "1", At: began, Notification: &n}).Problem
			value, err := store.Marshal(p)
			require.NoError(t, err)
			require.NoError(t, s.Apply(t.Context(), store.Put(store.ProblemKey(p.ID), value)))

			err = o.look(t.Context(), "dc1")
			require.Equal(t, tc.status != 200, err != nil)
			advance(t, s)
			p, _, err = pipeline.Load(t.Context(), s, p.ID)
			require.NoError(t, err)
			var firing []string
			for _, a := range p.Firing() {
				firing = append(firing, a.Labels["pod"])
			}
			require.Equal(t, tc.firing, firing)
			require.Equal(t, tc.firing == nil, p.State == page.Closed)
		})
	}
}

func podLabels(pod string) page.Labels {
	return page.Labels{"alertname": "HighErrors", "pod": pod}
}

// An alert that fires anew between the look and its verdict is left alone.
func TestWhatFiresAnewIsNotOver(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := began.Add(10 * time.Minute)
	a := page.Alert{ID: podLabels("a").ID(), Status: page.Firing, Labels: podLabels("a"), StartsAt: began}
	notified := func(p page.Problem, a page.Alert, at time.Time, kind page.EventKind) page.Problem {
		n := page.Notification{Cluster: "dc1", Receiver: "team", GroupKey: "k", Alerts: []page.Alert{a}}
		return pipeline.Advance(p, page.Event{Problem: n.ProblemID(), Kind: kind, At: at, Notification: &n}).Problem
	}
	p := notified(page.Problem{}, a, began, page.Notified)
	over := a
	over.Status, over.EndsAt = page.Resolved, at
	resolved := a
	resolved.Status, resolved.EndsAt = page.Resolved, at.Add(-time.Minute)
	p = notified(p, resolved, at, page.Notified)
	again := a
	again.StartsAt = at.Add(time.Second)
	p = notified(p, again, at.Add(2*time.Second), page.Notified)
	p = notified(p, over, at.Add(3*time.Second), page.Recheck)
	require.Equal(t, page.Open, p.State)
}
