//go:build faults

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

// fleetConfig is gatewayConfig for replicas that share an etcd. The Alertmanager
// can be asked what fires: a webhook that a stopped replica reads when it wakes
// speaks of the past.
const fleetConfig = `listen: %[1]s:9095
operators: {listen: %[1]s:9096}
alertmanagers: [{name: lab, url: "%[2]s", inbound_token_files: [am.token]}]
store: {etcd: {endpoints: [%[3]s], prefix: /tocsin}}
deadline: {critical: 150ms, other: 150ms}
sources: [{kind: thanos, name: slow, with: {http: "%[4]s"}}]
last_resort: {kind: pagerduty, name: ops, with: {routing_key_file: pagerduty.key, events_url: "%[6]s"}}
storms: {problems: 0} # every page is counted by itself
flapping: {openings: 0}
receivers:
  - name: lab
    notify:
      - {kind: slack, name: pages, with: {token_file: slack.token, channel: C0PAGES, api_url: "%[5]s/api/", messages_per_second: 1000, edits_per_minute: 60000}}
      - {kind: pagerduty, name: oncall, with: {routing_key_file: pagerduty.key, events_url: "%[6]s", events_per_minute: 60000}}
`

// fleet is a number of replicas of the real program on a real etcd of three
// members, one Slack and one PagerDuty. It stands before them as a balancer that
// looks at nobody's health, and behind them as the Alertmanager that they ask.
type fleet struct {
	*testing.T
	cluster *etcdcluster.Cluster
	rand    *rand.Rand // of the test's own goroutine
	slack   *fakeslack.Fake
	pd      *fakepagerduty.Fake
	sender  *crash.Sender
	am      string // address of the Alertmanager
	source  string // of a source that answers too late
	pairs   sync.WaitGroup

	mu     sync.Mutex
	living []*replica
	all    []*replica
	firing map[string][]json.RawMessage // alerts, by problem
	seen   crash.Verdict
	seenAt time.Time // when the ledgers of seen were read
}

// replica is one of them, with its own way to etcd and to the fakes.
type replica struct {
	*gateway
	cable *cable
	// asked, if set, is told of each first message in Slack before it is taken;
	// true means that it is not.
	asked atomic.Pointer[func() bool]
}

func newFleet(t *testing.T, seed uint64) *fleet {
	t.Helper()
	cluster, err := etcdcluster.Start(t.Context(), etcdcluster.Options{Dir: t.TempDir(), Members: 3, Out: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	f := &fleet{
		T: t, cluster: cluster, rand: rand.New(rand.NewPCG(seed, 23)), firing: map[string][]json.RawMessage{},
		slack: fakeslack.New(fakeslack.Options{NoRateLimits: true, ReadLag: time.Second}),
		pd:    fakepagerduty.New(fakepagerduty.Options{NoRateLimits: true}),
	}
	f.am = f.serve(http.HandlerFunc(f.alerts))
	f.source = f.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	f.sender = &crash.Sender{
		URL: "http://balancer.example.org/webhook/alertmanager", Token: "am-secret",
		Client: &http.Client{Timeout: 4 * time.Second, Transport: f}, Severities: []string{"critical", "warning", "error", "critical", "info"},
	}
	return f
}

func (f *fleet) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	f.Cleanup(s.Close)
	return s.URL
}

// start adds a replica; more goes into its environment, see gateway.start.
func (f *fleet) start(more ...string) *replica {
	f.Helper()
	r := &replica{cable: newCable(f, f.cluster.Endpoints())}
	r.gateway = &gateway{
		TB: f, dir: f.TempDir(), listen: fmt.Sprintf("127.%d.%d.%d", 2+rand.IntN(250), rand.IntN(250), 2+rand.IntN(250)),
		slack: f.slack, pd: f.pd,
		sender: &crash.Sender{Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}},
	}
	slack := f.serve(whole(func(w http.ResponseWriter, q *http.Request, body []byte) {
		if first(q, body) {
			if asked := r.asked.Load(); asked != nil && (*asked)() {
				panic(http.ErrAbortHandler)
			}
		}
		f.slack.ServeHTTP(w, q)
	}))
	pd := f.serve(whole(func(w http.ResponseWriter, q *http.Request, _ []byte) { f.pd.ServeHTTP(w, q) }))
	config := fmt.Sprintf(fleetConfig, r.listen, f.am, strings.Join(r.cable.endpoints, ", "), f.source, slack, pd)
	for name, text := range map[string]string{
		"am.token": "am-secret", "slack.token": fakeslack.DefaultToken, "pagerduty.key": fakepagerduty.DefaultKey, "tocsin.yml": config,
	} {
		require.NoError(f, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
	var err error
	r.log, err = os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	require.NoError(f, err)
	f.Cleanup(func() {
		r.kill()
		r.log.Close()
	})
	f.again(r, more...)
	f.all = append(f.all, r)
	return r
}

// again starts the process of a replica, and lets it have webhooks once it is ready.
func (f *fleet) again(r *replica, more ...string) {
	f.Helper()
	r.start(nil, more...)
	r.ready()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.living = append(f.living, r)
}

// whole serves requests that have come to their end: a replica is stopped in the
// middle of one as well, and must hold up nobody else's.
func whole(serve func(http.ResponseWriter, *http.Request, []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		serve(w, r, body)
	})
}

// first reports whether a request to Slack posts the first message of a problem.
func first(r *http.Request, body []byte) bool {
	return strings.HasSuffix(r.URL.Path, "/chat.postMessage") &&
		!bytes.Contains(body, []byte("thread_ts")) && bytes.Contains(body, []byte("svc-"))
}

// forget takes a replica out of the balancer.
func (f *fleet) forget(r *replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.living = slices.DeleteFunc(f.living, func(o *replica) bool { return o == r })
}

// end lets a replica end by itself.
func (f *fleet) end(r *replica) {
	f.Helper()
	f.forget(r)
	signalGroup(r.group(), syscall.SIGTERM)
	select {
	case <-r.ended():
	case <-time.After(30 * time.Second):
		f.Errorf("it did not end\n%s", r.tail())
		r.kill()
	}
}

// pick takes a living replica at random.
func (f *fleet) pick() *replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.living[f.rand.IntN(len(f.living))]
}

// RoundTrip is the balancer: each webhook goes to a living replica, stopped and
// cut off ones too, and one in five to a second one as well, at the same time,
// for Alertmanagers come in pairs.
func (f *fleet) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	f.note(body)
	f.mu.Lock()
	if len(f.living) == 0 {
		f.mu.Unlock()
		return nil, io.ErrUnexpectedEOF
	}
	to := []*replica{f.living[rand.IntN(len(f.living))]}
	if rand.IntN(5) == 0 {
		to = append(to, f.living[rand.IntN(len(f.living))])
	}
	f.mu.Unlock()
	send := func(ctx context.Context, r *replica) (*http.Response, error) {
		copied := q.Clone(ctx)
		copied.URL.Host, copied.Body = r.listen+":9095", io.NopCloser(bytes.NewReader(body))
		return r.sender.Client.Transport.RoundTrip(copied)
	}
	for _, r := range to[1:] {
		f.pairs.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
			defer cancel()
			if res, err := send(ctx, r); err == nil {
				res.Body.Close()
			}
		})
	}
	return send(q.Context(), to[0])
}

// note remembers what fires.
func (f *fleet) note(body []byte) {
	var n struct {
		Status      string
		GroupLabels struct{ Service string }
		Alerts      []json.RawMessage
	}
	if err := json.Unmarshal(body, &n); err != nil {
		panic(err) // the sender made it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.firing[n.GroupLabels.Service] = n.Alerts; n.Status == "resolved" {
		delete(f.firing, n.GroupLabels.Service)
	}
}

// alerts serves the active alerts of one problem, as Alertmanager does.
func (f *fleet) alerts(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path != "/api/v2/alerts" {
		http.Error(w, "not here", http.StatusServiceUnavailable)
		return
	}
	out := []json.RawMessage{}
	f.mu.Lock()
	for name, alerts := range f.firing {
		if slices.Contains(q.URL.Query()["filter"], fmt.Sprintf("service=%q", name)) {
			out = append(out, alerts...)
		}
	}
	f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(out)
}

// look reads the ledgers again and again until ctx ends.
func (f *fleet) look(ctx context.Context) {
	for ctx.Err() == nil {
		now := time.Now()
		v := f.sender.Judge(f.slack.Ledger(), f.pd.Ledger())
		f.mu.Lock()
		f.seen, f.seenAt = v, now
		f.mu.Unlock()
		pause(200 * time.Millisecond)
	}
}

// missing returns the problems that do not stand in both places yet, and when
// that was so.
func (f *fleet) missing() ([]string, time.Time) {
	v, at := f.gist()
	return append(slices.Clone(v.Slack.Lost), v.PagerDuty.Lost...), at
}

// shows returns what holds back a problem's end: not before it stands in both places.
func (f *fleet) shows(n int) func() bool {
	var asked time.Time
	return func() bool {
		if asked.IsZero() {
			asked = time.Now()
		}
		missing, at := f.missing()
		return at.After(asked) && !slices.Contains(missing, crash.Name(n))
	}
}

// pour sends webhooks of ever new problems until stop is closed, and returns
// when all are over.
func (f *fleet) pour(stop <-chan struct{}, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 29))
	var all sync.WaitGroup
	defer all.Wait()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(250*time.Millisecond))):
		}
		life := crash.Life{Lasts: time.Duration(300+rng.IntN(3000)) * time.Millisecond, Until: f.shows(n)}
		if rng.IntN(3) == 0 {
			life.Grows = time.Duration(300+rng.IntN(1500)) * time.Millisecond
		}
		if rng.IntN(10) == 0 {
			life.Repeat = 2
		}
		all.Go(func() { f.sender.Live(f.Context(), n, life) })
	}
}

// cable is a replica's way to etcd. While it is cut nothing passes in either
// direction, and nothing is closed: the other side is silent.
type cable struct {
	gate      sync.RWMutex // held while it is cut
	endpoints []string
}

func newCable(f *fleet, members []string) *cable {
	c := &cable{}
	for _, m := range members {
		u, err := url.Parse(m)
		require.NoError(f, err)
		l, err := new(net.ListenConfig).Listen(f.Context(), "tcp", "127.0.0.1:0")
		require.NoError(f, err)
		f.Cleanup(func() { l.Close() })
		c.endpoints = append(c.endpoints, "http://"+l.Addr().String())
		go func() {
			for {
				from, err := l.Accept()
				if err != nil {
					return
				}
				go c.join(from, u.Host)
			}
		}()
	}
	return c
}

// join carries one connection.
func (c *cable) join(from net.Conn, addr string) {
	defer from.Close()
	_ = c.pass(func() error { return nil })
	to, err := new(net.Dialer).Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			defer func() { ended <- struct{}{} }()
			buf := make([]byte, 32<<10)
			for {
				n, err := way[0].Read(buf)
				if c.pass(func() error { _, err := way[1].Write(buf[:n]); return err }) != nil || err != nil {
					return // its end is news too, and waited for its turn
				}
			}
		}()
	}
	<-ended
}

func (c *cable) pass(do func() error) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return do()
}

func (c *cable) cut()  { c.gate.Lock() }
func (c *cable) mend() { c.gate.Unlock() }
