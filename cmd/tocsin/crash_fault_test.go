//go:build faults

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// dieAt names the variable that holds the point of death of a child: its name,
// a comma, and at which pass.
const dieAt = "TOCSIN_DIE_AT"

// stops names the variable that lets the child only be stopped there, until it
// is woken.
const stops = "TOCSIN_STOPS"

// mortal is a store whose process dies before or after a kind of batch.
type mortal struct {
	store.Store
	batch  string
	after  bool
	passes atomic.Int64 // left
}

func dyingStore(point string) func(store.Store) store.Store {
	name, pass, _ := strings.Cut(point, ",")
	when, batch, _ := strings.Cut(name, " ")
	n, err := strconv.ParseInt(pass, 10, 64)
	if err != nil {
		panic(err)
	}
	return func(s store.Store) store.Store {
		m := &mortal{Store: s, batch: batch, after: when == "after"}
		m.passes.Store(n)
		return m
	}
}

// Apply is the contract's, as long as the process lives.
func (m *mortal) Apply(ctx context.Context, ops ...store.Op) error {
	last := slices.ContainsFunc(ops, func(op store.Op) bool { return strings.HasPrefix(batchOf(op), m.batch) }) && m.passes.Add(-1) == 0
	if last && !m.after {
		die()
	}
	err := m.Store.Apply(ctx, ops...)
	if last {
		die()
	}
	return err
}

// Get is the contract's. Reading a record is a point of its own: "after read slack
// intent open" is when all is ready for the request.
func (m *mortal) Get(ctx context.Context, key string) (store.Record, error) {
	r, err := m.Store.Get(ctx, key)
	if err == nil && strings.HasPrefix("read "+batchOf(store.Put(key, r.Value)), m.batch) && m.passes.Add(-1) == 0 {
		die()
	}
	return r, err
}

func die() {
	if os.Getenv(stops) != "" {
		at := time.Now()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// Another thread may be the one that takes the signal in: it was taken
		// when time has leapt.
		for now := time.Now(); now.Sub(at) < time.Second; now = time.Now() {
			at = now
		}
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// batchOf names the batch that an operation gives away, "" if it does not.
func batchOf(op store.Op) string {
	record, id, _ := strings.Cut(op.Key, "/")
	switch {
	case op.Kind == store.OpDelete && record == "problem":
		return "drop"
	case op.Kind != store.OpPut:
		if op.Lease.Lane == store.LaneLater {
			return "later"
		}
	case record == "seen":
		return "append"
	case record == "problem":
		var p page.Problem
		_ = store.Unmarshal(op.Value, &p)
		switch {
		case op.If == 0:
			return "open"
		case p.State == page.Closed:
			return "close"
		default:
			return "update"
		}
	case record == "receipt":
		var r page.Receipt
		_ = store.Unmarshal(op.Value, &r)
		kind := strings.Split(id, "/")[2]
		if r.State == page.Intent {
			return kind + " intent " + r.Verb
		}
		return kind + " receipt"
	}
	return ""
}

// death is a point at which the program dies. It is armed before the program is
// started; what it returns is run beside the webhooks.
type death struct {
	name string
	arm  func(g *gateway, rng *rand.Rand) (beside func())
}

func deaths() []death {
	var all []death
	for _, batch := range []string{
		"append", "open", "update", "close", "later",
		"slack intent", "slack receipt", "pagerduty intent", "pagerduty receipt",
	} {
		for _, when := range []string{"before", "after"} {
			all = append(all, death{when + " " + batch, func(g *gateway, rng *rand.Rand) func() {
				g.start(nil, fmt.Sprintf("%s=%s %s,%d", dieAt, when, batch, 1+rng.IntN(4)))
				return nil
			}})
		}
	}
	for _, service := range []string{"slack", "pagerduty"} {
		for _, when := range []string{"request not taken", "taken and not answered", "answer torn"} {
			all = append(all, death{service + ": " + when, func(g *gateway, rng *rand.Rand) func() {
				g.meddle = killAt(g, service, when, 1+rng.IntN(6))
				g.start(nil)
				return nil
			}})
		}
	}
	return append(all, kernelDeaths()...)
}

// kernelDeaths happen inside a transaction, while the file is made or opened, or
// while the program closes or reloads.
func kernelDeaths() []death {
	// strace counts the calls of each thread for itself
	syscalls := func(name, call string, most int) death {
		return death{name, func(g *gateway, rng *rand.Rand) func() {
			g.start([]string{
				"strace", "-f", "-qq", "-o", "/dev/null", "-P", g.db, "-e", "trace=" + call,
				"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, 1+rng.IntN(most)),
			})
			return nil
		}}
	}
	signals := func(name string, s syscall.Signal) death {
		return death{name, func(g *gateway, rng *rand.Rand) func() {
			g.start(nil)
			g.ready()
			first, then := time.Duration(rng.IntN(700))*time.Millisecond, time.Duration(rng.IntN(30))*time.Millisecond
			group := g.group()
			return func() {
				pause(first)
				signalGroup(group, s)
				pause(then)
				signalGroup(group, syscall.SIGKILL)
			}
		}}
	}
	return []death{
		syscalls("the file is made", "pwrite64", 2),
		syscalls("a page is written", "pwrite64", 6),
		syscalls("a transaction is synced", "fdatasync", 4),
		{"the file is opened", func(g *gateway, rng *rand.Rand) func() {
			g.start(nil)
			g.ready()
			g.sender.Live(context.Background(), 99, crash.Life{Until: g.paged(99)})
			g.kill()
			g.start(nil)
			group := g.group()
			return func() {
				pause(time.Duration(rng.IntN(200)) * time.Millisecond)
				signalGroup(group, syscall.SIGKILL)
			}
		}},
		signals("it closes", syscall.SIGTERM),
		signals("it reloads", syscall.SIGHUP),
	}
}

// killAt kills the program at the n-th request that a service gets.
func killAt(g *gateway, service, when string, n int) func(string, http.Handler, http.ResponseWriter, *http.Request) bool {
	var left atomic.Int64
	left.Store(int64(n))
	return func(at string, fake http.Handler, w http.ResponseWriter, r *http.Request) bool {
		if at != service || r.Method != http.MethodPost || left.Add(-1) != 0 {
			return false
		}
		answer := httptest.NewRecorder()
		if when != "request not taken" {
			fake.ServeHTTP(answer, r)
		}
		if when == "answer torn" {
			w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			_ = http.NewResponseController(w).Flush()
		}
		g.kill()
		panic(http.ErrAbortHandler)
	}
}

// TestFaultDeath kills the program at each named point, starts it again, and
// asks the ledgers: no page is lost, none is doubled.
func TestFaultDeath(t *testing.T) {
	all, each := deaths(), seeds(10)
	t.Logf("%d points of death, seeds %d to %d", len(all), each[0], each[len(each)-1])
	var mu sync.Mutex
	pages := 0
	t.Run("at", func(t *testing.T) {
		for _, d := range all {
			for _, seed := range each {
				t.Run(fmt.Sprintf("%s/seed %d", d.name, seed), func(t *testing.T) {
					t.Parallel()
					v := dieOnce(t, d, seed)
					mu.Lock()
					defer mu.Unlock()
					pages += v.Problems
				})
			}
		}
	})
	t.Logf("%d deaths at %d points, %d pages in each of Slack and PagerDuty, each once, resolved", len(all)*len(each), len(all), pages)
}

// dieOnce runs a few problems through a program that dies at one point.
func dieOnce(t *testing.T, d death, seed uint64) crash.Verdict {
	rng := rand.New(rand.NewPCG(seed, 7))
	g := newGateway(t, seed, "")
	beside := d.arm(g, rng)
	died := make(chan struct{})
	go func() { // whoever watches over it starts it again
		<-g.ended()
		close(died)
		g.start(nil)
	}()
	if beside != nil {
		go beside()
	}
	var all sync.WaitGroup
	for n := range 4 {
		part := func(most int) time.Duration { return time.Duration(1+rng.IntN(most)) * time.Millisecond }
		first, life := part(300), crash.Life{Grows: part(500), Lasts: part(500), Repeat: rng.IntN(3), Until: g.paged(n)}
		all.Go(func() {
			pause(first)
			g.sender.Live(t.Context(), n, life)
		})
	}
	all.Wait()
	for n := 4; ; n++ { // it has not been there often enough yet
		select {
		case <-died:
			return g.settled(60 * time.Second)
		default:
		}
		require.Less(t, n, 100, "it did not die: %s, seed %d\n%s", d.name, seed, g.tail())
		g.sender.Live(t.Context(), n, crash.Life{Grows: time.Millisecond, Until: g.paged(n)})
	}
}
