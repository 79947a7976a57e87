package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// manyPages is a store with n pages of so many members, each told two targets.
func manyPages(tb testing.TB, n, members int) *api {
	tb.Helper()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(tb.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	var ops []store.Op
	add := func(key string, v any) {
		value, err := store.Marshal(v)
		require.NoError(tb, err)
		ops = append(ops, store.Put(key, value))
	}
	for i := range n {
		p := page.Problem{
			ID: fmt.Sprintf("p%04d", i), Episode: 1, Revision: 3, Receiver: "team", State: page.Open, Members: map[string]page.Member{},
			Group: page.Notification{GroupLabels: page.Labels{"alertname": "HighErrors"}},
		}
		if i%2 == 1 {
			p.State = page.Closed
		}
		for m := range members {
			l := page.Labels{"alertname": "HighErrors", "instance": fmt.Sprintf("10.0.%d.%d:8080", i, m), "severity": "critical", "service": "checkout"}
			a := page.Alert{ID: l.ID(), Status: page.Firing, Labels: l, StartsAt: time.Now(), GeneratorURL: "http://prometheus:9090/graph?g0.expr=up", Annotations: map[string]string{"summary": "5 % of checkout fail"}}
			p.Members[a.ID] = page.Member{Alert: a, Open: true, Episode: 1}
		}
		add(store.ProblemKey(p.ID), p)
		for _, target := range []string{"slack/payments", "pagerduty/oncall"} {
			add(store.ReceiptKey(p.ID, 1, target), page.Receipt{Problem: p.ID, Episode: 1, Target: target, State: page.Sent, Ref: p.ID, First: time.Unix(int64(1_700_000_000+i), 0)})
		}
		if len(ops) > store.MaxOps-3 {
			require.NoError(tb, s.Apply(context.Background(), ops...))
			ops = nil
		}
	}
	if len(ops) > 0 {
		require.NoError(tb, s.Apply(context.Background(), ops...))
	}
	none := func() []string { return nil }
	return &api{store: s, log: slog.New(slog.DiscardHandler), redact: none, archive: newArchive(s, none)}
}

func (a *api) ask(tb testing.TB, query string) (status int, ids []string, size int) {
	tb.Helper()
	w := httptest.NewRecorder()
	a.list(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/api/v1/pages"+query, nil))
	if size = w.Body.Len(); w.Code != http.StatusOK {
		return w.Code, nil, size
	}
	var pages []page.Page
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &pages))
	for _, p := range pages {
		require.Len(tb, p.Receipts, 2, p.Problem)
		require.False(tb, p.Clock.Sent.IsZero())
		ids = append(ids, p.Problem)
	}
	return w.Code, ids, size
}

// The list in one answer and the list in many are the same.
func TestListByPages(t *testing.T) {
	a := manyPages(t, 620, 1)
	var every, open []string
	for i := range 620 {
		id := fmt.Sprintf("p%04d", i)
		if every = append(every, id); i%2 == 0 {
			open = append(open, id)
		}
	}
	_, got, _ := a.ask(t, "")
	require.Equal(t, open, got)
	_, got, _ = a.ask(t, "?state=all")
	require.Equal(t, every[:500], got, "no more in one answer")
	for state, want := range map[string][]string{"": open, "all": every} {
		for _, limit := range []int{1, 70, 100, 310, 500} {
			var whole []string
			for after := ""; ; after = whole[len(whole)-1] {
				_, got, _ := a.ask(t, fmt.Sprintf("?state=%s&limit=%d&after=%s", state, limit, after))
				require.LessOrEqual(t, len(got), limit)
				if whole = append(whole, got...); len(got) < limit {
					break
				}
			}
			require.Equal(t, want, whole, "state %q, limit %d", state, limit)
		}
	}
	for _, bad := range []string{"0", "-1", "501", "x"} {
		status, _, _ := a.ask(t, "?limit="+bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
	status, got, _ := a.ask(t, "?after=zzz")
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, got)
}

// naiveList is the list page after page, whole.
func naiveList(a *api, w http.ResponseWriter, r *http.Request) error {
	out, after := []page.Page{}, ""
	for {
		recs, err := a.store.Scan(r.Context(), store.ProblemPrefix, after, 100)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			var p page.Problem
			if err := store.Unmarshal(rec.Value, &p); err != nil {
				return err
			}
			v, err := a.archive.View(r.Context(), p)
			if err != nil {
				return err
			}
			out, after = append(out, v), rec.Key
		}
		if len(recs) < 100 {
			break
		}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// BenchmarkList answers GET /api/v1/pages?state=all of 500 pages: whole without
// limits, whole as we do, and the first 50.
func BenchmarkList(b *testing.B) {
	for _, members := range []int{1, 40} {
		a, took := manyPages(b, 500, members), map[string]float64{}
		for _, name := range []string{"naive", "ours", "ours_limit_50"} {
			b.Run(fmt.Sprintf("%d_members/%s", members, name), func(b *testing.B) {
				query, size := "?state=all", 0
				if name == "ours_limit_50" {
					query += "&limit=50"
				}
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/pages"+query, nil)
					if name == "naive" {
						require.NoError(b, naiveList(a, w, r))
					} else {
						a.list(w, r)
					}
					require.Equal(b, http.StatusOK, w.Code)
					size = w.Body.Len()
				}
				took[name] = b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(float64(size)/1e6, "MB")
				b.ReportMetric(took[name]/took["naive"], "of_naive")
			})
		}
	}
}
