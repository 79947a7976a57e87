package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remote"
)

func ask(t *testing.T, url string) (remote.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/hook/s3cret?token=s3cret", strings.NewReader("hello"))
	require.NoError(t, err)
	return remote.New(http.DefaultTransport, 1000).Do(req, "post message")
}

// hangUp serves connections that are closed after reading n bytes at the least.
func hangUp(t *testing.T, n int) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, n))
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestWhatAFailureProves(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 2000))
	}))
	defer endless.Close()
	for name, tc := range map[string]struct {
		url  string
		want remote.Class
	}{
		"nobody listens: it was not sent":             {closed.URL, remote.NotSent},
		"no such host: it was not sent":               {"http://nowhere.invalid", remote.NotSent},
		"closed after the request: nobody can know":   {hangUp(t, 10), remote.Unknown},
		"an answer beyond the limit: nobody can know": {endless.URL, remote.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, tc.url)
			require.Equal(t, tc.want, remote.ClassOf(err), "%v", err)
			require.NotContains(t, err.Error(), "s3cret")
			require.Contains(t, err.Error(), "post message: ")
		})
	}
}

func TestAnyStatusIsAnAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}))
	defer s.Close()
	res, err := ask(t, s.URL)
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, res.Status)
	require.Equal(t, "short and stout", string(res.Body))
}

func TestCredentialsDoNotFollowARedirectElsewhere(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	res, err := ask(t, s.URL)
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, res.Status)
	require.False(t, asked)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "1.5": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):  0,
	} {
		require.Equal(t, want, remote.ParseRetryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
}

func TestErrorsOfOthersAreUnknown(t *testing.T) {
	require.Equal(t, remote.Unknown, remote.ClassOf(errors.New("boom")))
	require.Zero(t, remote.RetryAfter(context.Canceled))
	err := &remote.Error{Op: "post message", Status: 429, Reason: "ratelimited", Class: remote.NotSent, RetryAfter: time.Second}
	require.EqualError(t, err, "post message: status 429: ratelimited")
	require.Equal(t, time.Second, remote.RetryAfter(err))
}
