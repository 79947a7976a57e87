//go:build faults

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
)

// takenOver bounds how long what a replica held may wait once it is gone: its
// session with etcd of ten seconds, and ten for a machine that is busy.
const takenOver = 20 * time.Second

// TestFaultReplicas runs one, three, and again one replica of the real program on
// an etcd of three members, under webhooks all the while. One is killed, one is
// stopped between its intent and its request and woken much later, one is cut off
// from etcd. No page is lost, none is doubled, all are resolved, and what the one
// that is gone held stands within seconds.
func TestFaultReplicas(t *testing.T) {
	all := seeds(1)
	for _, seed := range all[:min(len(all), 20)] { // each takes minutes, and the machine for itself
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := newFleet(t, seed)
			looking, stop := context.WithCancel(t.Context())
			defer stop()
			go f.look(looking)
			over, poured := make(chan struct{}), make(chan struct{})
			f.start()
			go func() {
				defer close(poured)
				f.pour(over, seed)
			}()
			t.Logf("seed %d", seed)
			for _, s := range f.steps() {
				began := time.Now()
				s.do()
				t.Logf("%-22s %5s", s.name, time.Since(began).Round(100*time.Millisecond))
			}
			close(over)
			select {
			case <-poured:
			case <-time.After(time.Minute):
				v, _ := f.gist()
				t.Errorf("problems that do not come to their end: %v", v)
			}
			f.pairs.Wait()
			f.judge()
		})
	}
}

type fleetStep struct {
	name string
	do   func()
}

func (f *fleet) steps() []fleetStep {
	asleep, away := 60*time.Second, 30*time.Second
	if testing.Short() {
		asleep, away = 14*time.Second, 14*time.Second
	}
	return []fleetStep{
		{"one replica", func() { pause(2 * time.Second) }},
		{"three replicas", func() { f.start(); f.start(); pause(2 * time.Second) }},
		{"SIGKILL", f.killOne},
		{"SIGTERM, and SIGSTOP", func() {
			f.end(f.pick())
			f.stopOne(asleep)
		}},
		{"partition", func() { f.cutOne(away) }},
		{"one replica", func() {
			f.end(f.pick())
			r := f.pick()
			f.forget(r)
			r.kill()
			pause(2 * time.Second)
		}},
	}
}

// killOne kills a replica while it says a first message in Slack, and starts it again.
func (f *fleet) killOne() {
	r := f.pick()
	at := f.atFirst(r, func() { r.kill() })
	f.forget(r)
	f.takeover("killed", at)
	f.again(r)
}

// atFirst does something to a replica at the next first message that it posts,
// which Slack does not get, and returns when that was.
func (f *fleet) atFirst(r *replica, do func()) time.Time {
	f.Helper()
	done := make(chan time.Time, 1)
	asked := func() bool {
		r.asked.Store(nil)
		at := time.Now()
		do()
		done <- at
		return true
	}
	r.asked.Store(&asked)
	select {
	case at := <-done:
		return at
	case <-time.After(30 * time.Second):
		require.Fail(f, "it says nothing", "%s", r.tail())
		return time.Time{}
	}
}

// stopOne adds a replica that stops between the intent of a first message and its
// request, and wakes it when others have said it long ago.
func (f *fleet) stopOne(asleep time.Duration) {
	r := f.start(dieAt+"=after read slack intent open,1", stops+"=1")
	require.Eventually(f, func() bool { return r.stopped() }, 30*time.Second, 5*time.Millisecond)
	at := time.Now()
	f.takeover("stopped", at)
	pause(asleep - time.Since(at))
	signalGroup(r.group(), syscall.SIGCONT)
	pause(2 * time.Second)
	if !strings.Contains(r.logged(), "lease lost: somebody else goes on") {
		f.Errorf("it lost nothing\n%s", r.tail())
	}
}

// stopped reports whether the process is stopped.
func (r *replica) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.group()))
	require.NoError(r, err)
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // after the command's name
	return bytes.HasPrefix(rest, []byte("T"))
}

// cutOne cuts a replica off from etcd while it says a first message.
func (f *fleet) cutOne(away time.Duration) {
	r := f.pick()
	at := f.atFirst(r, r.cable.cut)
	f.takeover("cut off", at)
	pause(away - time.Since(at))
	r.cable.mend()
	pause(2 * time.Second)
}

// takeover waits until what was accepted, and said nowhere yet at some time,
// stands, and says how long that took.
func (f *fleet) takeover(name string, began time.Time) {
	f.Helper()
	var waiting []string
	for end := began.Add(takenOver + 20*time.Second); ; pause(20 * time.Millisecond) {
		missing, at := f.missing()
		if at.Before(began) {
			require.Less(f, time.Since(began), time.Minute, "the ledgers cannot be read")
			continue
		}
		if waiting == nil {
			waiting = append([]string{}, missing...)
		}
		left := slices.ContainsFunc(missing, func(name string) bool { return slices.Contains(waiting, name) })
		if left && time.Now().Before(end) {
			continue
		}
		took := at.Sub(began)
		f.Logf("%-8s %2d pages were on their way, all stand after %5s", name, len(waiting), took.Round(100*time.Millisecond))
		if took > takenOver || left {
			f.Errorf("%s: %v did not stand within %s", name, waiting, takenOver)
		}
		return
	}
}

// gist is the last verdict, and when it was so.
func (f *fleet) gist() (crash.Verdict, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen, f.seenAt
}

// judge waits until all is told, and holds the ledgers against what was sent.
func (f *fleet) judge() {
	f.Helper()
	began := time.Now()
	v, at := f.gist()
	for ; (!v.Complete() || at.Before(began)) && time.Since(began) < time.Minute; v, at = f.gist() {
		pause(100 * time.Millisecond)
	}
	fenced, sessions, past := 0, 0, 0
	for _, r := range f.all {
		log := r.logged()
		fenced += strings.Count(log, "lease lost: somebody else goes on")
		sessions += strings.Count(log, "session with etcd lost")
		past += strings.Count(log, "webhook is told past the store")
	}
	f.Logf("ledger: %d problems, %d webhooks accepted; lost %d, doubled %d, marked as possible repeats %d, left open %d; fenced %d times, %d sessions lost, %d webhooks told past the store",
		v.Problems, f.sender.Accepted(), len(v.Slack.Lost)+len(v.PagerDuty.Lost), len(v.Slack.Doubled)+len(v.PagerDuty.Doubled),
		len(v.Slack.Admitted)+len(v.PagerDuty.Admitted), len(v.Slack.Unresolved)+len(v.PagerDuty.Unresolved), fenced, sessions, past)
	if !v.Good() || !v.Complete() || len(v.Slack.Admitted)+len(v.PagerDuty.Admitted) > 0 {
		f.Errorf("%s", v)
		for _, r := range f.all {
			f.Logf("%s\n%s", r.listen, r.tail())
		}
	}
}
