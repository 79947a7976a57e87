package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

// serve answers one request without a network.
func serve(tb testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, http.NoBody)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(tb, http.StatusOK, w.Code)
	return w
}

// many fills a world with n pages of so many alerts.
func many(tb testing.TB, w *world, n, alerts int, make func(page.Problem) page.Problem) {
	tb.Helper()
	var ops []store.Op
	for i := range n {
		p := problem(fmt.Sprintf("%064x", i), alerts)
		p.Clock.Received = p.Clock.Received.Add(time.Duration(i) * time.Second)
		ops = append(ops, store.Put(store.PageKey(p.ID, 1), encode(tb, make(p).View())))
		if len(ops) == store.MaxOps || i == n-1 {
			w.apply(tb, ops...)
			ops = nil
		}
	}
}

// BenchmarkOpenList renders the list of 2,000 open problems: from the board, and
// by reading all of them from the store.
func BenchmarkOpenList(b *testing.B) {
	const n = 2000
	s := newSite(b)
	many(b, s.world, n, 5, func(p page.Problem) page.Problem { return p })
	s.shown(b, n)
	mux := http.NewServeMux()
	require.NoError(b, s.server.Routes(mux))
	took := map[string]float64{}
	readAll := func() {
		for after := ""; ; {
			recs, err := s.store.Scan(b.Context(), store.PagesPrefix, after, 100)
			require.NoError(b, err)
			for _, rec := range recs {
				var v page.Page
				require.NoError(b, store.Unmarshal(rec.Value, &v))
				after = rec.Key
			}
			if len(recs) < 100 {
				return
			}
		}
	}
	for _, name := range []string{"naive", "ours"} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				if name == "naive" {
					readAll()
				}
				size = serve(b, mux, "/").Body.Len()
			}
			took[name] = b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(float64(size)/1e3, "KB")
			b.ReportMetric(took[name]/took["naive"], "of_naive")
		})
	}
}

// BenchmarkHistory searches 100,000 pages: the first answer, a search that finds
// nothing, and reading them at a start.
func BenchmarkHistory(b *testing.B) {
	const n = 100_000
	w := newWorld(b)
	many(b, w, n, 3, func(p page.Problem) page.Problem { return closed(p, time.Hour) })
	for name, q := range map[string]web.Query{
		"newest_50":       {Limit: 50},
		"severity":        {Limit: 50, Severity: page.Info},
		"nothing_at_once": {Limit: 50, Text: "nowhere"},
	} {
		b.Run(name, func(b *testing.B) {
			looked := 0
			for b.Loop() {
				found, err := w.board.Find(b.Context(), q)
				require.NoError(b, err)
				looked = found.Looked
			}
			b.ReportMetric(float64(looked), "looked")
		})
	}
	b.Run("start", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			board := web.NewBoard(w.archive, slog.New(slog.DiscardHandler))
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() { board.Run(ctx); close(done) }()
			require.Eventually(b, func() bool { _, all := board.Open(); return all }, time.Minute, 5*time.Millisecond)
			runtime.GC()
			runtime.ReadMemStats(&after)
			stop()
			<-done
			runtime.KeepAlive(board)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	})
}

// A page of a storm's worst problem stays small enough for a phone.
func TestAHugePageIsCut(t *testing.T) {
	s := newSite(t)
	s.save(t, problem("p1", 10_000))
	b := s.browser(t)
	g := b.get("/pages/p1")
	require.Contains(t, g.text, "10000 alerts")
	require.Contains(t, g.text, "9500 more")
	require.Less(t, len(g.raw), 500_000)
	for i := range 700 {
		s.put(t, store.TimelineKey("p1", 1, "pipeline", i), page.Entry{At: s.now.Add(time.Duration(i) * time.Second), Kind: "notified", Text: fmt.Sprintf("line %d.", i)})
	}
	g = b.get("/pages/p1")
	require.Contains(t, g.text, "line 699.")
	require.NotContains(t, g.text, "line 199.")
	require.Contains(t, g.text, "200 earlier lines")
}
