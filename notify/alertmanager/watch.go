package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	amnotify "github.com/prometheus/alertmanager/notify"

	"github.com/tocsin/tocsin/remote"
)

const (
	maxAnswer = 64 << 10
	maxHops   = 4 // redirects, all on one host
)

// trip is one HTTP request of a call and what came of it.
type trip struct {
	status int // 0: no answer
	after  time.Duration
	body   []byte // of the answer, as far as it is read
	wrote  bool   // a byte of the request may have left
	err    error
}

func (t trip) failed() bool { return t.err != nil || t.status >= 300 }

// call is one call of a notifier. A notifier that does not come back goes on
// writing into it, so it is locked.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	trips []trip
}

func (c *call) add(t trip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trips = append(c.trips, t)
}

// last returns the last round trip, ok false where there was none.
func (c *call) last() (t trip, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.trips) == 0 {
		return t, false
	}
	return c.trips[len(c.trips)-1], true
}

type callKey struct{}

// watch stands between a notifier and its transport: the notifiers hide
// Retry-After, whether a request left, and some of them their statuses too. It
// reads answers whole, so that none keeps its connection.
type watch struct {
	next   http.RoundTripper
	now    func() time.Time
	amend  func(body []byte) []byte // of requests; nil leaves them alone
	once   bool                     // its client tries again by itself, and would double what was accepted
	single atomic.Pointer[call]     // of a notifier that drops its context
}

// RoundTrip notes the round trip in the call that it belongs to.
func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok {
		if c = w.single.Load(); c == nil {
			return nil, errors.New("request outside of a call")
		}
		req = req.WithContext(c.ctx)
	}
	once := w.once && req.Method == http.MethodPost // what only reads credentials may try again
	if last, ok := c.last(); once && ok && last.failed() {
		return nil, errors.New("one try is enough")
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	if err := w.rewrite(req); err != nil {
		c.add(trip{err: err})
		return nil, err
	}
	res, err := w.next.RoundTrip(req)
	if err != nil {
		c.add(trip{wrote: wrote.Load(), err: err})
		if once {
			c.cancel()
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	res.Body.Close()
	if err != nil {
		c.add(trip{wrote: true, err: err})
		return nil, err
	}
	c.add(trip{
		status: res.StatusCode, wrote: true, body: body,
		after: max(remote.ParseRetryAfter(res.Header, w.now()), retryAfter(body)),
	})
	if once && res.StatusCode >= 300 {
		c.cancel() // its wait before the next try
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (w *watch) rewrite(req *http.Request) error {
	if w.amend == nil || req.Body == nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return err
	}
	body = w.amend(body)
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
	return nil
}

// retryAfter reads what Telegram and Discord write into the body, in seconds.
func retryAfter(body []byte) time.Duration {
	var a struct {
		After      float64 `json:"retry_after"`
		Parameters struct {
			After float64 `json:"retry_after"`
		} `json:"parameters"`
	}
	if json.Unmarshal(body, &a) != nil {
		return 0
	}
	return time.Duration(min(max(a.After, a.Parameters.After, 0), 3600) * float64(time.Second))
}

// noMentions is Discord's own way to say that text pings nobody.
func noMentions(body []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return body
	}
	m["allowed_mentions"] = json.RawMessage(`{"parse":[]}`)
	out, err := json.Marshal(m)
	if err != nil {
		return body
	}
	return out
}

// watched puts w into the HTTP client of an integration. The notifiers make
// their client themselves and lend nobody a place in it; its pointer is reached
// through their unexported field, which a test does for each of them, so that
// a new version that hides it elsewhere is noticed when it is built.
func watched(in *amnotify.Integration, w *watch) error {
	client := clientIn(reflect.ValueOf(in).Elem().FieldByName("notifier"), 2)
	if client == nil {
		return fmt.Errorf("%s: its HTTP client cannot be watched (of sns: leave use_aws_http_client out and AWS_CA_BUNDLE unset; tls_config does the same)", in)
	}
	w.next = client.Transport
	client.Transport = w
	client.CheckRedirect = stay(client.CheckRedirect)
	return nil
}

// stay follows a redirect only where the body, and the credentials, stay with
// the host that they were meant for, and where the config follows any.
func stay(configured func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) > maxHops || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
			return http.ErrUseLastResponse
		}
		if configured != nil {
			return configured(req, via)
		}
		return nil
	}
}

// clientIn finds the *http.Client in the field "client" of what v points to.
func clientIn(v reflect.Value, depth int) *http.Client {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil
	}
	if v.Type() == reflect.TypeFor[*http.Client]() {
		return (*http.Client)(v.UnsafePointer())
	}
	if depth == 0 || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	return clientIn(v.Elem().FieldByName("client"), depth-1)
}
