//go:build faults

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

// gateway is the real program between an Alertmanager and the fakes of Slack
// and PagerDuty, which live in the test: their ledgers say what became of it.
type gateway struct {
	testing.TB
	dir    string
	db     string
	listen string // on a loopback address of its own, so that runs can go side by side
	slack  *fakeslack.Fake
	pd     *fakepagerduty.Fake
	sender *crash.Sender
	// meddle, if set, stands before the fakes; it returns true when it has
	// dealt with the request.
	meddle func(service string, fake http.Handler, w http.ResponseWriter, r *http.Request) bool

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	log  *os.File
}

// gatewayConfig has a source that never answers in time: each page leaves at its
// deadline, and leaves work for later behind. Each problem is told by itself, and
// each opening of it, so that they can be counted.
const gatewayConfig = `listen: %[1]s:9095
operators: {listen: %[1]s:9096}
alertmanagers: [{name: lab, inbound_token_files: [am.token]}]
store: {bolt: {path: tocsin.db}%[5]s}
deadline: {critical: 150ms, other: 150ms}
storms: {problems: 0}
flapping: {openings: 0}
sources: [{kind: thanos, name: slow, with: {http: "%[4]s"}}]
last_resort: {kind: pagerduty, name: ops, with: {routing_key_file: pagerduty.key, events_url: "%[3]s"}}
receivers:
  - name: lab
    notify:
      - {kind: slack, name: pages, with: {token_file: slack.token, channel: C0PAGES, api_url: "%[2]s/api/", messages_per_second: 1000, edits_per_minute: 60000}}
      - {kind: pagerduty, name: oncall, with: {routing_key_file: pagerduty.key, events_url: "%[3]s", events_per_minute: 60000}}
`

// newGateway writes the config of a gateway; more goes into its store.
func newGateway(t testing.TB, seed uint64, more string) *gateway {
	t.Helper()
	g := &gateway{
		TB: t, dir: t.TempDir(), listen: fmt.Sprintf("127.%d.%d.%d", 2+rand.IntN(250), rand.IntN(250), 2+rand.IntN(250)),
		slack: fakeslack.New(fakeslack.Options{NoRateLimits: true}),
		pd:    fakepagerduty.New(fakepagerduty.Options{NoRateLimits: true}),
	}
	g.db = filepath.Join(g.dir, "tocsin.db")
	serve := func(service string, fake http.Handler) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if g.meddle == nil || !g.meddle(service, fake, w, r) {
				fake.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	config := fmt.Sprintf(gatewayConfig, g.listen, serve("slack", g.slack), serve("pagerduty", g.pd), serve("source", slow), more)
	for name, text := range map[string]string{
		"am.token": "am-secret", "slack.token": fakeslack.DefaultToken, "pagerduty.key": fakepagerduty.DefaultKey, "tocsin.yml": config,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600))
	}
	g.sender = &crash.Sender{
		URL: "http://" + g.listen + ":9095/webhook/alertmanager", Token: "am-secret",
		Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		Rand:   rand.New(rand.NewPCG(seed, 5)),
	}
	var err error
	g.log, err = os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() {
		g.kill()
		g.log.Close()
	})
	return g
}

// start runs the program, under a tracer if under is not empty. env chooses what
// it is to do beside that, see TestFaultChild.
func (g *gateway) start(under []string, env ...string) {
	g.Helper()
	args := append(under, os.Args[0], "serve", "--config.file", "tocsin.yml")
	if len(env) > 0 {
		args = append(under, os.Args[0], "-test.run=^TestFaultChild$")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = g.dir, g.log, g.log
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	if len(env) == 0 {
		cmd.Env = append(cmd.Env, "TOCSIN_MAIN=1")
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(g, cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cmd, g.done = cmd, done
}

// ended is closed when the program has.
func (g *gateway) ended() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}

// group is the process group of the program as it runs now, and of whatever
// traces it; 0 before it was started.
func (g *gateway) group() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == nil {
		return 0
	}
	return g.cmd.Process.Pid
}

func signalGroup(group int, s syscall.Signal) {
	if group > 0 {
		_ = syscall.Kill(-group, s)
	}
}

// kill ends the program without notice.
func (g *gateway) kill() {
	signalGroup(g.group(), syscall.SIGKILL)
	if done := g.ended(); done != nil {
		<-done
	}
}

// ready waits until webhooks are taken.
func (g *gateway) ready() {
	g.Helper()
	for end := time.Now().Add(time.Minute); ; pause(20 * time.Millisecond) {
		if _, status := g.get(":9095/-/ready"); status == http.StatusOK {
			return
		}
		select {
		case <-g.ended():
			g.Fatalf("it ended before it was ready:\n%s", g.tail())
		default:
		}
		if time.Now().After(end) {
			g.Fatalf("it is not ready:\n%s", g.tail())
		}
	}
}

// get returns an answer of the program, and 0 when there is none.
func (g *gateway) get(path string) (string, int) {
	res, err := g.sender.Client.Get("http://" + g.listen + path)
	if err != nil {
		return "", 0
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	return b.String(), res.StatusCode
}

// metric returns the sum of a metric's series.
func (g *gateway) metric(name string) float64 {
	text, _ := g.get(":9095/metrics")
	sum := 0.0
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			require.NoError(g, err)
			sum += v
		}
	}
	return sum
}

// ledger is all that PagerDuty was told.
func (g *gateway) ledger() string {
	b, err := json.Marshal(g.pd.Ledger())
	require.NoError(g, err)
	return string(b)
}

// logged is all that the program has said.
func (g *gateway) logged() string {
	b, err := os.ReadFile(g.log.Name())
	require.NoError(g, err)
	return string(b)
}

func (g *gateway) tail() string {
	b, _ := os.ReadFile(g.log.Name())
	return string(b[max(0, len(b)-4000):])
}

func (g *gateway) verdict() crash.Verdict { return g.sender.Judge(g.slack.Ledger(), g.pd.Ledger()) }

// paged tells whether PagerDuty has problem n. An incident of Tocsin about
// itself does not count: it may quote the page that does not come through.
func (g *gateway) paged(n int) func() bool {
	return func() bool {
		return slices.ContainsFunc(g.pd.Ledger().Incidents, func(in fakepagerduty.Incident) bool {
			return !strings.Contains(in.Title, "Tocsin") && strings.Contains(in.Title+string(in.Details), crash.Name(n))
		})
	}
}

// settled waits until every page stands and is resolved in both places, and
// fails the test if one is lost, doubled or left open.
func (g *gateway) settled(limit time.Duration) crash.Verdict {
	g.Helper()
	for end := time.Now().Add(limit); ; pause(20 * time.Millisecond) {
		v := g.verdict()
		if v.Complete() || time.Now().After(end) {
			if !v.Complete() || !v.Good() {
				g.Errorf("%s\n%s", v, g.tail())
			}
			return v
		}
	}
}

// seeds are those of one fault: want of them, 200 for FULL=1, one for -short,
// or the one that SEED names.
func seeds(want int) []uint64 {
	switch {
	case os.Getenv("SEED") != "":
		n, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
		return []uint64{n}
	case os.Getenv("FULL") != "":
		want = 200
	case testing.Short():
		want = 1
	}
	first := uint64(time.Now().UnixNano()) % 1_000_000
	out := make([]uint64, want)
	for i := range out {
		out[i] = first + uint64(i)
	}
	return out
}

// TestFaultChild is the program with a seam in it; the tests run it in a
// process of its own.
func TestFaultChild(t *testing.T) {
	o := app.Options{ConfigFile: "tocsin.yml", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "test"}
	if path := os.Getenv(compactFile); path != "" {
		writeAndCompact(t, path)
		return
	}
	if os.Getenv(dieAt) == "" && os.Getenv(clockFile) == "" {
		return
	}
	if point := os.Getenv(dieAt); point != "" {
		o.Store = dyingStore(point)
	}
	if path := os.Getenv(clockFile); path != "" {
		o.Now = jumpingClock(path)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	require.NoError(t, app.Run(ctx, o))
}

// pause lets time go by for another process.
func pause(d time.Duration) { <-time.After(d) }
