package fault_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
)

func service(t *testing.T) (*fault.Injector, *httptest.Server, *atomic.Int64) {
	t.Helper()
	var accepted atomic.Int64
	inj := fault.New(1)
	mux := http.NewServeMux()
	mux.Handle("/_fault", inj)
	mux.Handle("/", inj.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		accepted.Add(1)
		_, _ = io.WriteString(w, `{"ok":true}`)
	})))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Cleanup(inj.Clear)
	return inj, srv, &accepted
}

func get(t *testing.T, url string) (int, string, http.Header, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))
	require.NoError(t, err)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header, err
}

func TestKinds(t *testing.T) {
	for _, tc := range []struct {
		fault    fault.Fault
		status   int
		body     string
		broken   bool
		accepted int64
	}{
		{fault: fault.Fault{Kind: fault.Status, Status: 503, Body: "no"}, status: 503, body: "no"},
		{fault: fault.Fault{Kind: fault.Status, Status: 500, Accept: true}, status: 500, accepted: 1},
		{fault: fault.Fault{Kind: fault.RateLimit, RetryAfter: 7}, status: 429},
		{fault: fault.Fault{Kind: fault.Hang, DelayMS: 20}, broken: true},
		{fault: fault.Fault{Kind: fault.Hang, DelayMS: 20, Accept: true}, broken: true, accepted: 1},
		{fault: fault.Fault{Kind: fault.Drop}, broken: true},
		{fault: fault.Fault{Kind: fault.Drop, Accept: true}, broken: true, accepted: 1},
		{fault: fault.Fault{Kind: fault.Slow, DelayMS: 1}, status: 200, body: `{"ok":true}`, accepted: 1},
		{fault: fault.Fault{Kind: fault.HTML}, status: 502, body: "<html><body><h1>Bad gateway</h1></body></html>"},
		{fault: fault.Fault{Kind: fault.Truncated}, status: 200, body: `{"ok"`, accepted: 1},
	} {
		t.Run(fmt.Sprintf("%s accept=%t", tc.fault.Kind, tc.fault.Accept), func(t *testing.T) {
			inj, srv, accepted := service(t)
			tc.fault.Count = 1
			require.NoError(t, inj.Set(1, tc.fault))
			status, body, header, err := get(t, srv.URL)
			if tc.broken {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, tc.status, status)
				require.Equal(t, tc.body, body)
			}
			if tc.fault.RetryAfter > 0 {
				require.Equal(t, "7", header.Get("Retry-After"))
			}
			require.Equal(t, tc.accepted, accepted.Load())
			require.Equal(t, 1, inj.Hits())

			status, body, _, err = get(t, srv.URL) // count used up
			require.NoError(t, err)
			require.Equal(t, 200, status)
			require.JSONEq(t, `{"ok":true}`, body)
		})
	}
}

func TestControlOverHTTP(t *testing.T) {
	inj, srv, _ := service(t)
	control := func(method, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/_fault", bytes.NewBufferString(body))
		require.NoError(t, err)
		res, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(b)
	}
	status, body := control(http.MethodPost, `{"seed":7,"faults":[{"kind":"status","status":503,"probability":0.5}]}`)
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"faults":[{"kind":"status","status":503,"probability":0.5}],"hits":0}`, body)

	var first []int
	for range 40 {
		s, _, _, err := get(t, srv.URL)
		require.NoError(t, err)
		first = append(first, s)
	}
	require.Contains(t, first, 200)
	require.Contains(t, first, 503)
	require.NoError(t, inj.Set(7, fault.Fault{Kind: fault.Status, Status: 503, Probability: 0.5}))
	for _, want := range first { // the seed decides
		s, _, _, err := get(t, srv.URL)
		require.NoError(t, err)
		require.Equal(t, want, s)
	}

	for _, bad := range []string{`{`, `{"faults":[{"kind":"nope"}]}`, `{"faults":[{"kind":"status"}]}`, `{"typo":1}`, `{"faults":[{"kind":"drop","probability":2}]}`} {
		status, _ = control(http.MethodPost, bad)
		require.Equal(t, 400, status, bad)
	}
	status, body = control(http.MethodDelete, "")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"faults":[]`)
}
