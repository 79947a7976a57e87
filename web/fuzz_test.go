package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tocsin/tocsin/web"
)

// Whatever stands in an address, the history answers it, or says what is wrong.
func FuzzHistoryQuery(f *testing.F) {
	for _, s := range []string{
		"", "q=a+b&limit=1", "limit=-1", "after=MTc3MjM2NjU5MiBwYWdlL3AxLzAwMDAwMDAx", "after=%%%", "match=a=b&match=c", "match==", "from=2026-03-01&to=2026-03-01T12:00:00Z", "severity=critical&state=open", "q=%ff%00",
	} {
		f.Add(s)
	}
	s := newSite(f)
	s.save(f, closed(problem("p1", 1), 0))
	mux := http.NewServeMux()
	require.NoError(f, s.server.Routes(mux))
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := web.ParseQuery(values)
		if err == nil {
			found, err := s.board.Find(t.Context(), q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(found.Pages), q.Limit)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/history", http.NoBody)
		r.URL.RawQuery, r.RemoteAddr, r.Host = values.Encode(), "127.0.0.1:1", "localhost"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, err == nil, w.Code == http.StatusOK, w.Code)
		doc, err := html.Parse(w.Body)
		require.NoError(t, err)
		for n := range doc.Descendants() {
			require.NotEqual(t, html.CommentNode, n.Type)
			require.False(t, n.Data == "script" && attr(n, "src") == "", "a script of its own")
		}
	})
}

// Nobody gets in by a cookie that no token signed.
func FuzzSession(f *testing.F) {
	s := newSite(f, tokens()...)
	mux := http.NewServeMux()
	require.NoError(f, s.server.Routes(mux))
	for _, c := range []string{"", "YWxpY2U.9999999999.x.y", "...", "YWxpY2U.1.x.", "YWxpY2U.9999999999.x.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Cookie", "tocsin_session="+value)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusSeeOther, w.Code)
	})
}
