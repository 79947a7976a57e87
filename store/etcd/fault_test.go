//go:build faults

package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
)

const orderKeys = 12

// TestFaultReplicas lets replicas, processes of their own, work on a cluster of
// three while both are hurt: nothing is lost, nothing is done twice, and the order
// of every key is kept. TOCSIN_SEED repeats a run's choices.
func TestFaultReplicas(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TOCSIN_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	network := etcdcluster.CanNetwork(t.Context())
	t.Logf("seed %d; partitions by network namespaces: %v (else by SIGSTOP)", seed, network)
	c := run(t, etcdcluster.Options{Members: 3, Network: network})
	f := &faults{T: t, cluster: c, store: open(t, c, "/fault"), rand: rand.New(rand.NewPCG(seed, 0)), done: map[string]int{}, last: time.Now()}
	f.store.Watch(t.Context(), "ledger/", f.progress)
	stop := f.produce()

	for _, step := range f.steps() {
		f.begin()
		step.do()
		f.settle(step.name)
	}
	sent := stop()
	f.drain(sent)
	f.judge(sent)
}

type faults struct {
	*testing.T
	cluster  *etcdcluster.Cluster
	store    *Store
	rand     *rand.Rand
	replicas []*replica

	mu    sync.Mutex
	done  map[string]int // by order key: entries in its ledger
	last  time.Time      // of the last progress
	gap   time.Duration  // longest time without progress since begin
	quick int            // entries since begin

	unknown int // batches of the producer that had to be tried again
	fenced  int
}

// replica is a child process that works.
type replica struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func (f *faults) start() *replica {
	cmd := itself(f, f.cluster, "/fault")
	cmd.Env = append(cmd.Env, childWorks+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(f, err)
	cmd.Stderr = f.Output()
	require.NoError(f, cmd.Start())
	r := &replica{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.mu.Lock()
			f.fenced++
			f.mu.Unlock()
		}
		_ = cmd.Wait()
	}()
	f.replicas = append(f.replicas, r)
	return r
}

func (r *replica) signal(s syscall.Signal) { _ = syscall.Kill(r.cmd.Process.Pid, s) }

// pick takes a replica at random.
func (f *faults) pick() *replica { return f.replicas[f.rand.IntN(len(f.replicas))] }

func (f *faults) kill(r *replica) {
	r.signal(syscall.SIGKILL)
	<-r.ended
	f.replicas = slices.DeleteFunc(f.replicas, func(o *replica) bool { return o == r })
}

type faultStep struct {
	name string
	do   func()
}

func (f *faults) steps() []faultStep {
	leader := func() *etcdcluster.Member {
		m, err := f.cluster.Leader(f.Context())
		require.NoError(f, err)
		return m
	}
	follower := func() *etcdcluster.Member {
		l := leader()
		for {
			if m := f.cluster.Members[f.rand.IntN(3)]; m != l {
				return m
			}
		}
	}
	hold := func(d time.Duration) { f.store.pause(d) }
	return []faultStep{
		{"one replica", func() { f.start(); hold(2 * time.Second) }},
		{"three replicas", func() { f.start(); f.start(); hold(3 * time.Second) }},
		{"SIGKILL of a replica", func() { f.kill(f.pick()) }},
		{"SIGSTOP of a replica for longer than its session", func() {
			r := f.pick()
			r.signal(syscall.SIGSTOP)
			hold((sessionTTL + 4) * time.Second)
			r.signal(syscall.SIGCONT)
		}},
		{"SIGKILL of the leader", func() { m := leader(); m.Kill(); hold(4 * time.Second); require.NoError(f, m.Start()) }},
		{"SIGSTOP of the leader", func() {
			m := leader()
			require.NoError(f, m.Pause())
			hold(6 * time.Second)
			require.NoError(f, m.Resume())
		}},
		{"partition of a follower", func() { f.cut(follower(), 6*time.Second) }},
		{"partition of the leader", func() { f.cut(leader(), 6*time.Second) }},
		{"lost quorum", func() {
			a, b := f.cluster.Members[0], f.cluster.Members[1]
			require.NoError(f, a.Pause())
			require.NoError(f, b.Pause())
			began := time.Now()
			ctx, cancel := context.WithTimeout(f.Context(), 3*time.Second)
			err := f.store.Apply(ctx, store.Put("quorum", nil))
			cancel()
			require.Error(f, err)
			require.Less(f, time.Since(began), 4*time.Second, "within the caller's deadline")
			hold(3 * time.Second)
			require.NoError(f, a.Resume())
			require.NoError(f, b.Resume())
		}},
		{"a new replica, and two are killed", func() {
			old := slices.Clone(f.replicas)
			f.start()
			hold(time.Second)
			for _, r := range old {
				f.kill(r)
			}
		}},
	}
}

func (f *faults) cut(m *etcdcluster.Member, d time.Duration) {
	require.NoError(f, m.Cut(f.Context()))
	f.store.pause(d)
	require.NoError(f, m.Mend(f.Context()))
}

// progress is told of every ledger.
func (f *faults) progress(r store.Record, err error) {
	if err != nil {
		return // what is read at the end counts
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.gap = max(f.gap, now.Sub(f.last))
	f.last = now
	f.quick++
	f.done[r.Key] = strings.Count(string(r.Value), " ")
}

func (f *faults) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gap, f.quick, f.last = 0, 0, time.Now()
}

// settle waits until every key moves again, and says how long that took.
func (f *faults) settle(name string) {
	began := time.Now()
	f.mu.Lock()
	before := map[string]int{}
	for k, n := range f.done {
		before[k] = n
	}
	f.mu.Unlock()
	require.Eventually(f, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range orderKeys {
			k := fmt.Sprintf("ledger/%d", i)
			if f.done[k] <= before[k] {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond, "after %s not every key moves", name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Logf("%-50s every key moves again after %5s; longest standstill of all %5s; %d done meanwhile",
		name, time.Since(began).Round(10*time.Millisecond), f.gap.Round(10*time.Millisecond), f.quick)
}

// produce enqueues items for every key, in order, until it is told to stop. It
// returns how many were acknowledged of each.
func (f *faults) produce() (stop func() []int) {
	ctx, cancel := context.WithCancel(f.Context())
	sent := make([]int, orderKeys)
	var all sync.WaitGroup
	for k := range orderKeys {
		all.Go(func() {
			for ctx.Err() == nil {
				id := fmt.Sprintf("%d-%d", k, sent[k])
				for !f.enqueue(id, strconv.Itoa(k)) {
					f.mu.Lock()
					f.unknown++
					f.mu.Unlock()
				}
				sent[k]++
				f.store.pause(100 * time.Millisecond)
			}
		})
	}
	return func() []int {
		cancel()
		all.Wait()
		return sent
	}
}

// enqueue reports whether an item is known to be there. An unknown outcome is
// settled by trying again: the record says whether it was done.
func (f *faults) enqueue(id, key string) bool {
	within, cancel := context.WithTimeout(f.Context(), 3*time.Second)
	defer cancel()
	err := f.store.Apply(within, store.Create("sent/"+id, nil), store.Enqueue(store.Item{Lane: "work", ID: id, Key: key}))
	return err == nil || errors.Is(err, store.ErrConflict)
}

func (f *faults) drain(sent []int) {
	total := 0
	for _, n := range sent {
		total += n
	}
	require.Eventually(f, func() bool {
		lanes, err := f.store.Lanes(f.Context())
		return err == nil && len(lanes) == 0
	}, time.Minute, 50*time.Millisecond, "the lane does not run empty")
	for _, r := range slices.Clone(f.replicas) {
		f.kill(r)
	}
}

// judge compares the ledgers with what was sent.
func (f *faults) judge(sent []int) {
	total, lost, doubled, disordered := 0, 0, 0, 0
	for k, n := range sent {
		total += n
		r, err := f.store.Get(f.Context(), fmt.Sprintf("ledger/%d", k))
		require.NoError(f, err)
		ids := strings.Fields(string(r.Value))
		count := map[string]int{}
		for i, id := range ids {
			count[id]++
			if i > 0 && number(id) <= number(ids[i-1]) {
				disordered++
			}
		}
		for i := range n {
			switch c := count[fmt.Sprintf("%d-%d", k, i)]; {
			case c == 0:
				lost++
			case c > 1:
				doubled += c - 1
			}
		}
	}
	f.Logf("ledger: %d sent, lost %d, doubled %d, out of order %d; %d batches of the sender had an unknown outcome; %d batches of replicas were fenced",
		total, lost, doubled, disordered, f.unknown, f.fenced)
	require.Zero(f, lost)
	require.Zero(f, doubled)
	require.Zero(f, disordered)
}

func number(id string) int {
	_, n, _ := strings.Cut(id, "-")
	i, _ := strconv.Atoi(n)
	return i
}
