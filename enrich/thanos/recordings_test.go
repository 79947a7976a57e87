package thanos_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
)

// A recorded series whose name has no colon is resolved where the rules are
// known, and no page waits twice for rules that nobody may need.
func TestRecordingsWithoutAColon(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t,
		enrichtest.Gauge(now, 9, "__name__", "lag", "host", "a"), enrichtest.Gauge(now, 1, "__name__", "lag", "host", "b"),
		enrichtest.Gauge(now, 10, "__name__", "lag_everywhere"),
	)
	f.Know(enrichtest.Rule{Record: "lag_everywhere", Expr: "sum(lag)"})
	target, err := url.Parse(f.URL)
	require.NoError(t, err)
	behind := httputil.NewSingleHostReverseProxy(target)
	var lists atomic.Int32
	var hangs atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/rules" {
			lists.Add(1)
			if hangs.Load() {
				<-r.Context().Done()
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	defer web.Close()
	var clock atomic.Int64
	clock.Store(now.UnixNano())
	opened := func() enrich.Source {
		cfg, ok := thanos.Kind().Config().(*thanos.Config)
		require.True(t, ok)
		cfg.HTTP = web.URL
		s, err := thanos.Kind().New(cfg, enrich.Deps{
			Name: "main", Transport: http.DefaultTransport, Now: func() time.Time { return time.Unix(0, clock.Load()) },
		})
		require.NoError(t, err)
		return s
	}
	q := enrich.Question{Expr: "lag_everywhere > 8", At: now}
	s := opened()
	rows := func(s enrich.Source) int {
		table, err := s.Table(t.Context(), q)
		require.NoError(t, err)
		return table.Rows()
	}
	require.Equal(t, 2, rows(s))
	require.EqualValues(t, 1, lists.Load())

	hangs.Store(true) // an old list is used at once, and read anew behind the page's back
	clock.Add(int64(2 * time.Minute))
	began := time.Now()
	require.Equal(t, 2, rows(s))
	require.Less(t, time.Since(began), time.Second)
	require.Eventually(t, func() bool { return lists.Load() == 2 }, 10*time.Second, time.Millisecond)

	s = opened() // it knows no list, and waits for one
	require.Equal(t, 1, rows(s))
	require.EqualValues(t, 3, lists.Load())
	clock.Add(int64(30 * time.Second))
	require.Equal(t, 1, rows(s))
	require.EqualValues(t, 3, lists.Load(), "once in a minute")
	hangs.Store(false)
	clock.Add(int64(time.Minute))
	require.Equal(t, 2, rows(s))
}
