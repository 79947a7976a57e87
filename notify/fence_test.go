package notify_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// stopping is a store whose user is stopped once, for a while, when an intent is
// written and all is read again.
type stopping struct {
	store.Store
	after   time.Duration // until it is written
	asleep  time.Duration
	intents atomic.Int64
	slept   atomic.Bool
}

func (s *stopping) Apply(ctx context.Context, ops ...store.Op) error {
	intent := len(ops) == 2 && ops[1].Kind == store.OpExtend
	if intent {
		time.Sleep(s.after) //nolint:forbidigo // virtual time
	}
	err := s.Store.Apply(ctx, ops...)
	if err == nil && intent {
		s.intents.Add(1)
	}
	return err
}

func (s *stopping) Get(ctx context.Context, key string) (store.Record, error) {
	r, err := s.Store.Get(ctx, key)
	if s.intents.Load() > 0 && strings.HasPrefix(key, "receipt/") && !s.slept.Swap(true) {
		time.Sleep(s.asleep) //nolint:forbidigo // virtual time
	}
	return r, err
}

// A worker that is stopped between its intent and its request for longer than its
// lease sends nothing: another has gone on with it.
func TestAStoppedWorkerSendsNothing(t *testing.T) {
	s := &scripted{wrap: func(s store.Store) store.Store { return &stopping{Store: s, asleep: time.Minute} }}
	virtually(t, s, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(2 * time.Minute)
		made := v.made()
		require.Len(t, made, 1)
		require.Less(t, made[0].at, time.Minute, "it is the other's")
		require.Equal(t, page.Sent, v.receipt(t, problem(id(1))).State)
		require.Zero(t, v.items(t))
	})
}

// A store that is so slow that an intent proves nothing any more is asked once
// more: what is ours is sent.
func TestASlowStoreHoldsNothingBack(t *testing.T) {
	s := &scripted{wrap: func(s store.Store) store.Store { return &stopping{Store: s, after: 7 * time.Second} }}
	virtually(t, s, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(time.Minute)
		require.Len(t, v.made(), 1)
		require.Equal(t, page.Sent, v.receipt(t, problem(id(1))).State)
	})
}

// posting is a notifier that makes one request by a way out.
type posting struct{ out http.RoundTripper }

func (p posting) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service.example.org/", strings.NewReader(strings.Repeat("x", 10_000)))
	if err != nil {
		return m.Receipt, err
	}
	res, err := (&http.Client{Transport: p.out}).Do(req)
	if err != nil {
		return m.Receipt, err
	}
	r := m.Receipt
	r.Ref = "ref"
	return r, res.Body.Close()
}

// taken is a store in which somebody else has the lease once an intent is written.
type taken struct{ store.Store }

func (s taken) Apply(ctx context.Context, ops ...store.Op) error {
	if len(ops) == 1 && ops[0].Kind == store.OpExtend {
		return store.ErrFenced
	}
	return s.Store.Apply(ctx, ops...)
}

// Whoever loses the lease later still, while the connection is made, does not end
// its request. Whoever is merely slow does.
func TestALateRequestIsNeverWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		connects time.Duration
		fenced   bool
		lost     bool
		whole    int
	}{
		"late, without a fence": {7 * time.Second, false, true, 1},
		"late":                  {7 * time.Second, true, true, 0},
		"merely slow":           {7 * time.Second, true, false, 1},
		"in time":               {4 * time.Second, true, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var whole atomic.Int64
			out := http.RoundTripper(&http.Transport{
				DisableKeepAlives: true,
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					time.Sleep(tc.connects) //nolint:forbidigo // virtual time
					here, there := net.Pipe()
					go answer(there, &whole)
					return here, nil
				},
			})
			if tc.fenced {
				out = notify.Fenced(out)
			}
			s := &scripted{other: posting{out}}
			if tc.lost {
				s.wrap = func(s store.Store) store.Store { return taken{s} }
			}
			virtually(t, s, func(t *testing.T, v *timed) {
				v.put(t, problem(id(1)))
				pass(30 * time.Second)
				require.EqualValues(t, tc.whole, whole.Load())
			})
		})
	}
}

// answer serves one connection.
func answer(c net.Conn, whole *atomic.Int64) {
	defer c.Close()
	text := make([]byte, 0, 20_000)
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(text), strings.Repeat("x", 10_000)) {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		text = append(text, buf[:n]...)
	}
	whole.Add(1)
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}
