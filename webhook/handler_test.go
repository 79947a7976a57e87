package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

func openStore(t testing.TB) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: t.TempDir() + "/tocsin.db"}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	return s
}

func newHandler(s store.Store) *webhook.Handler {
	return &webhook.Handler{
		Clusters: []webhook.Cluster{{Name: "dc1", Tokens: []config.Secret{"old", "new"}}},
		Limits:   webhook.DefaultLimits(), Door: &webhook.Door{Store: s},
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: webhook.NewMetrics(nil),
	}
}

func request(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook/alertmanager", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer new")
	return r
}

type said struct{ Status, Problem, Error string }

func serve(t testing.TB, h http.Handler, r *http.Request) (*httptest.ResponseRecorder, said) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var s said
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s), "%s", w.Body)
	return w, s
}

// waiting takes all events that wait for the pipeline.
func waiting(t testing.TB, s store.Store) []page.Event {
	t.Helper()
	var out []page.Event
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		l, err := s.Take(ctx, store.LaneEvents, time.Minute)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return out
		}
		var e page.Event
		require.NoError(t, store.Unmarshal(l.Value, &e))
		require.Equal(t, e.ID, l.ID)
		require.Equal(t, e.Problem, l.Key)
		out = append(out, e)
		require.NoError(t, s.Apply(t.Context(), store.Done(l)))
	}
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble it costs nothing
}

// bubble runs fn in a synctest bubble with a store of its own.
func bubble(t *testing.T, fn func(t *testing.T, s *bolt.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t)
		defer func() { require.NoError(t, s.Close()) }()
		fn(t, s)
	})
}

func TestHandlerOverHTTP(t *testing.T) {
	s := openStore(t)
	defer func() { require.NoError(t, s.Close()) }()
	srv := httptest.NewServer(newHandler(s))
	defer srv.Close()
	body := sent(t, "0.34-route-labels")
	before := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer old")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	n := decode(t, body)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.JSONEq(t, fmt.Sprintf(`{"status":"accepted","problem":%q}`, n.ProblemID()), string(answer))

	events := waiting(t, s)
	require.Len(t, events, 1)
	e := events[0]
	require.Equal(t, page.Notified, e.Kind)
	require.Equal(t, "alertmanager/dc1", e.Actor)
	require.Equal(t, n.ProblemID(), e.Problem)
	require.Equal(t, n, *e.Notification)
	require.Contains(t, e.Trace, "0af7651916cd43dd8448eb211c80319c")
	require.WithinRange(t, e.At, before.Add(-time.Second), time.Now())
}

func TestDuplicate(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		body := sent(t, "0.31-firing")
		_, first := serve(t, h, request(body))
		require.Equal(t, "accepted", first.Status)
		pass(time.Minute)
		w, again := serve(t, h, request(body))
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Equal(t, said{Status: "duplicate", Problem: first.Problem}, again)
		_, other := serve(t, h, request(append(bytes.TrimSpace(body), ' ')))
		require.Equal(t, "accepted", other.Status, "another body")
		require.Len(t, waiting(t, s), 2)
		pass(2 * time.Minute)
		_, reminder := serve(t, h, request(body))
		require.Equal(t, "accepted", reminder.Status, "a reminder may be the same to the byte")
		require.Len(t, waiting(t, s), 1)
	})
}

// An alert is silenced and comes back: what is sent then is to the byte what was
// sent before, and Alertmanager will not say it again for hours.
func TestOlderBodyIsNews(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		both := sent(t, "0.31-firing")
		one := append(bytes.TrimSpace(bytes.Clone(both)), '\n', ' ')
		for _, body := range [][]byte{both, one, both} {
			pass(10 * time.Second)
			_, a := serve(t, h, request(body))
			require.Equal(t, "accepted", a.Status)
			_, again := serve(t, h, request(body))
			require.Equal(t, "duplicate", again.Status)
		}
		require.Len(t, waiting(t, s), 3)
	})
}

func TestDuplicateOfAnotherCluster(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		h.Clusters = append(h.Clusters, webhook.Cluster{Name: "dc2", Tokens: []config.Secret{"two"}})
		body := sent(t, "0.31-firing")
		_, first := serve(t, h, request(body))
		r := request(body)
		r.Header.Set("Authorization", "Bearer two")
		_, second := serve(t, h, r)
		require.Equal(t, "accepted", second.Status)
		require.NotEqual(t, first.Problem, second.Problem)
		require.Len(t, waiting(t, s), 2)
	})
}

// post sends a body as Alertmanager does.
func post(ctx context.Context, url string, body []byte) (int, said, error) {
	var a said
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, a, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer new")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, a, err
	}
	defer res.Body.Close()
	return res.StatusCode, a, json.NewDecoder(res.Body).Decode(&a)
}

func TestSameBodyAtOnce(t *testing.T) {
	s := openStore(t)
	defer func() { require.NoError(t, s.Close()) }()
	srv := httptest.NewServer(newHandler(s))
	defer srv.Close()
	body := sent(t, "0.31-firing")
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			code, a, err := post(t.Context(), srv.URL, body)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(code, a.Status, err)]++
		})
	}
	all.Wait()
	require.Equal(t, map[string]int{"202accepted<nil>": 1, "202duplicate<nil>": 49}, got)
	require.Len(t, waiting(t, s), 1)
}

// broken is a store whose next calls of Apply go as its list says.
type broken struct {
	store.Store

	mu    sync.Mutex
	calls int
	plan  []func(ctx context.Context, do func() error) error
}

func (b *broken) Apply(ctx context.Context, ops ...store.Op) error {
	do := func() error { return b.Store.Apply(ctx, ops...) }
	b.mu.Lock()
	i := b.calls
	b.calls++
	b.mu.Unlock()
	if i < len(b.plan) {
		return b.plan[i](ctx, do)
	}
	return do()
}

var errDisk = errors.New("no space left on device")

func fails(context.Context, func() error) error { return errDisk }

func closed(context.Context, func() error) error { return store.ErrClosed }

// hidden does the batch, and says that it did not.
func hidden(_ context.Context, do func() error) error { return errors.Join(errDisk, do()) }

func hangs(ctx context.Context, _ func() error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStoreInTrouble(t *testing.T) {
	type plan = []func(context.Context, func() error) error
	for name, tc := range map[string]struct {
		plan   plan
		code   int
		status string
		calls  int
		stored int
		within time.Duration
	}{
		"fails":                 {plan{fails, fails}, 503, "failed", 2, 0, 0},
		"fails once":            {plan{fails}, 202, "accepted", 2, 1, 0},
		"did it and said no":    {plan{hidden}, 202, "duplicate", 2, 1, 0},
		"hangs":                 {plan{hangs, hangs}, 503, "failed", 2, 0, 3 * time.Second},
		"hangs once":            {plan{hangs}, 202, "accepted", 2, 1, 3 * time.Second},
		"is closed":             {plan{closed}, 503, "failed", 1, 0, 0},
		"did it and hangs then": {plan{hidden, hangs}, 503, "failed", 2, 1, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *bolt.Store) {
				b := &broken{Store: s, plan: tc.plan}
				h := newHandler(b)
				began := time.Now()
				w, a := serve(t, h, request(sent(t, "0.31-firing")))
				require.Equal(t, tc.code, w.Code)
				require.Equal(t, tc.status, a.Status)
				require.Equal(t, tc.calls, b.calls)
				require.LessOrEqual(t, time.Since(began), tc.within)
				if tc.code == 503 {
					require.NotEmpty(t, w.Header().Get("Retry-After"))
				}
				require.Len(t, waiting(t, s), tc.stored)
				_, again := serve(t, h, request(sent(t, "0.31-firing")))
				if tc.stored == 1 {
					require.Equal(t, "duplicate", again.Status, "Alertmanager's retry")
				} else {
					require.Equal(t, "accepted", again.Status, "Alertmanager's retry")
				}
			})
		})
	}
}

// witness notes when a store has answered and when a response begins.
type witness struct {
	store.Store
	http.ResponseWriter

	order []string
}

func (w *witness) Apply(ctx context.Context, ops ...store.Op) error {
	err := w.Store.Apply(ctx, ops...)
	w.order = append(w.order, "durable")
	return err
}

func (w *witness) WriteHeader(code int) {
	w.order = append(w.order, fmt.Sprint(code))
	w.ResponseWriter.WriteHeader(code)
}

func TestDurableBeforeAnswer(t *testing.T) {
	for name, body := range map[string]string{"good": string(sent(t, "0.31-firing")), "bad": "{"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *bolt.Store) {
				w := &witness{Store: s, ResponseWriter: httptest.NewRecorder()}
				newHandler(w).ServeHTTP(w, request([]byte(body)))
				require.Equal(t, []string{"durable", "202"}, w.order)
			})
		})
	}
}

func TestRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		body := sent(t, "0.31-firing")
		for name, tc := range map[string]struct {
			edit func(*http.Request)
			code int
		}{
			"GET":               {func(r *http.Request) { r.Method = http.MethodGet }, 405},
			"no credentials":    {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
			"wrong credentials": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401},
		} {
			r := request(body)
			tc.edit(r)
			w, a := serve(t, h, r)
			require.Equal(t, tc.code, w.Code, name)
			require.NotEmpty(t, a.Error, name)
			require.Equal(t, tc.code == 401, w.Header().Get("WWW-Authenticate") != "", name)
			require.Equal(t, tc.code == 405, w.Header().Get("Allow") == "POST", name)
		}
		require.Empty(t, waiting(t, s))
	})
}

// No page is lost for its Content-Type: who has the token may send as curl does.
func TestAnyContentType(t *testing.T) {
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", ";;"} {
		bubble(t, func(t *testing.T, s *bolt.Store) {
			r := request(sent(t, "0.31-firing"))
			r.Header.Set("Content-Type", media)
			r.Header.Set("Origin", "https://console.example.org") // no site can add the token
			w, a := serve(t, newHandler(s), r)
			require.Equal(t, http.StatusAccepted, w.Code, "%s: %s", media, a.Error)
			require.Len(t, waiting(t, s), 1, media)
		})
	}
}

// A web site must not have the browser of somebody who is let in post here.
func TestBrowsersAreRefused(t *testing.T) {
	marks := map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
	for name, value := range marks {
		for _, user := range []string{"", "am1"} { // by where it stands; by a password that the browser remembers
			bubble(t, func(t *testing.T, s *bolt.Store) {
				h := newHandler(s)
				h.Clusters, h.Users, h.Anonymous = []webhook.Cluster{{Name: "dc1", Users: []string{"am1"}}}, []string{"am1"}, "dc1"
				for _, marked := range []bool{true, false} {
					r := request(sent(t, "0.31-firing"))
					r.Header.Del("Authorization")
					if user != "" {
						r.SetBasicAuth(user, "x")
					}
					want := http.StatusAccepted
					if marked {
						r.Header.Set(name, value)
						want = http.StatusForbidden
					}
					w, a := serve(t, h, r)
					require.Equal(t, want, w.Code, "%s %q: %s", name, user, a.Error)
				}
				require.Len(t, waiting(t, s), 1)
			})
		}
	}
}

// slow is a body that is there when it is told.
type slow struct {
	io.Reader

	begin chan struct{}
}

func (s *slow) Read(p []byte) (int, error) {
	<-s.begin
	return s.Reader.Read(p)
}

func TestOverload(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		h.Limits.InFlight = 40 << 20
		begin := make(chan struct{})
		codes := make(chan int, 1)
		go func() {
			r := request(nil)
			r.Body, r.ContentLength = io.NopCloser(&slow{bytes.NewReader(sent(t, "0.31-firing")), begin}), -1
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			codes <- w.Code
		}()
		synctest.Wait()
		_, small := serve(t, h, request(sent(t, "0.25-firing")))
		require.Equal(t, "accepted", small.Status, "a small one has room")
		large := request(sent(t, "0.27-truncated"))
		large.ContentLength = 30 << 20
		w, a := serve(t, h, large)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "overloaded", a.Status)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		close(begin)
		require.Equal(t, http.StatusAccepted, <-codes)
		_, a = serve(t, h, request(sent(t, "0.27-truncated")))
		require.Equal(t, "accepted", a.Status, "the room is given back")
	})
}

func TestTornBody(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		r := request(nil)
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"receiver":`), &slowError{}))
		r.ContentLength = 1000
		w, a := serve(t, newHandler(s), r)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "torn", a.Status)
		require.Empty(t, waiting(t, s), "it is no bad body: its sender has hung up")
	})
}

type slowError struct{}

func (*slowError) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		reg := prometheus.NewRegistry()
		h := newHandler(s)
		h.Metrics = webhook.NewMetrics(reg)
		body := sent(t, "0.31-firing")
		serve(t, h, request(body))
		serve(t, h, request(body))
		serve(t, h, request([]byte("{")))
		wrong := request(body)
		wrong.Header.Set("Authorization", "Bearer x")
		serve(t, h, wrong)
		require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP tocsin_webhook_quarantined_total Webhooks that could not be read, by cluster and reason.
# TYPE tocsin_webhook_quarantined_total counter
tocsin_webhook_quarantined_total{cluster="dc1",reason="syntax"} 1
# HELP tocsin_webhook_requests_total Webhooks by the cluster that sent them and what became of them: accepted, duplicate, quarantined and passed (told past an unusable store) were answered 202; overloaded, torn and failed 503; refused and denied 4xx.
# TYPE tocsin_webhook_requests_total counter
tocsin_webhook_requests_total{cluster="",outcome="denied"} 1
tocsin_webhook_requests_total{cluster="dc1",outcome="accepted"} 1
tocsin_webhook_requests_total{cluster="dc1",outcome="duplicate"} 1
tocsin_webhook_requests_total{cluster="dc1",outcome="quarantined"} 1
`), "tocsin_webhook_quarantined_total", "tocsin_webhook_requests_total"))
		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		require.Equal(t, []promlint.Problem(nil), problems)
		require.Equal(t, 1, testutil.CollectAndCount(reg, "tocsin_webhook_body_bytes"))
	})
}
