package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// Replicas runs what an engine keeps that several processes share: open is called
// twice on one dir, and neither is closed before.
func Replicas(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	t.Helper()
	for _, tc := range slices.Concat(sharedTests(), takeoverTests(), raceTests()) {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			body := func(t *testing.T) {
				p := &pair{a: &engine{T: t, open: open, dir: dir}, b: &engine{T: t, open: open, dir: dir}}
				p.a.reopen()
				p.b.reopen()
				defer func() {
					require.NoError(t, p.a.Close())
					require.NoError(t, p.b.Close())
				}()
				tc.run(t, p)
			}
			if tc.real {
				body(t)
				return
			}
			synctest.Test(t, body)
		})
	}
}

// pair is two replicas on one state.
type pair struct{ a, b *engine }

type pairTest struct {
	name string
	real bool
	run  func(*testing.T, *pair)
}

func sharedTests() []pairTest {
	return []pairTest{
		{name: "what one wrote the other reads at once", run: func(t *testing.T, p *pair) {
			for i := range 20 {
				p.a.apply(store.Put("k", fmt.Append(nil, i)))
				require.Equal(t, fmt.Sprint(i), p.b.value("k"))
				require.Equal(t, p.a.rev("k"), p.b.rev("k"))
			}
			p.b.apply(store.Swap("k", p.a.rev("k"), nil), store.Create("other", nil))
			p.a.refuse(store.ErrConflict, store.Create("other", nil))
			got, err := p.a.Scan(t.Context(), "", "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{"k", "other"}, keys(got))
		}},
		{name: "a change at one is told at the other", run: func(t *testing.T, p *pair) {
			var s seen
			p.b.Watch(t.Context(), "p/", s.note)
			synctest.Wait()
			p.a.apply(store.Put("p/1", []byte("a")), store.Put("q", nil))
			p.b.apply(store.Put("p/1", []byte("b")))
			p.a.apply(store.Delete("p/1"))
			synctest.Wait()
			require.Equal(t, []string{"p/1=a", "p/1=b", "-p/1"}, s.changes)
		}},
		{name: "a record expires once for all", run: func(t *testing.T, p *pair) {
			var s seen
			p.a.apply(store.Put("k", nil).Until(time.Now().Add(time.Minute)))
			synctest.Wait()
			p.b.Watch(t.Context(), "", s.note)
			p.b.pass(2 * time.Minute)
			synctest.Wait()
			require.Equal(t, []string{"-k"}, s.changes)
			p.a.absent("k")
		}},
		{name: "both count the lanes", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("a", "a", 0), enqueue("b", "b", 0))
			p.a.take()
			synctest.Wait()
			for _, e := range []*engine{p.a, p.b} {
				lanes, err := e.Lanes(t.Context())
				require.NoError(t, err)
				require.Len(t, lanes, 1)
				require.Equal(t, []int{2, 1}, []int{lanes[0].Items, lanes[0].Leased})
			}
		}},
		{name: "an ID that waits at one changes nothing at the other", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("i", "k", 0))
			p.b.apply(enqueue("i", "k", 0), store.Put("k", nil))
			require.Equal(t, []string{"i"}, p.b.drain("l"))
			p.a.nothing("l")
		}},
	}
}

func takeoverTests() []pairTest {
	return []pairTest{
		{name: "what one has leased the other does not get, nor what comes behind", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 9), enqueue("b1", "b", 0))
			l := p.a.take()
			require.Equal(t, "a1", l.ID)
			require.Equal(t, []string{"b1"}, p.b.drain("l"))
			p.a.apply(store.Done(l))
			require.Equal(t, []string{"a2"}, p.b.drain("l"))
		}},
		{name: "a lease that ran out is taken over, and fenced", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("i", "k", 0))
			began := time.Now()
			old := p.a.takeFor(time.Minute)
			l := p.b.takeFor(time.Hour)
			require.Equal(t, time.Minute, time.Since(began))
			require.Equal(t, "i", l.ID)
			require.Greater(t, l.Token, old.Token)
			for _, op := range []store.Op{store.Done(old), store.Retry(old, time.Now()), store.Extend(old, time.Now().Add(time.Hour))} {
				p.a.refuse(store.ErrFenced, store.Put("harm", nil), op)
			}
			p.b.absent("harm")
			p.b.apply(store.Done(l), store.Put("k", nil))
			p.a.value("k")
		}},
		{name: "one that closes gives its leases to the other", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("i", "k", 0))
			p.a.takeFor(time.Hour)
			began := time.Now()
			require.NoError(t, p.a.Close())
			require.Equal(t, "i", p.b.take().ID)
			require.Zero(t, time.Since(began))
			p.a.Store = nil
			p.a.reopen()
		}},
		{name: "retry at one is due at the other, in its old place", run: func(t *testing.T, p *pair) {
			p.a.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 0))
			p.a.apply(store.Retry(p.a.take(), time.Now().Add(time.Minute)))
			began := time.Now()
			l := p.b.take()
			require.Equal(t, time.Minute, time.Since(began))
			require.Equal(t, []any{"a1", 1}, []any{l.ID, l.Attempt})
		}},
		{name: "a lease of the one is nothing at the other", run: func(_ *testing.T, p *pair) {
			p.a.apply(enqueue("i", "k", 0))
			l := p.a.take()
			p.b.refuse(store.ErrFenced, store.Done(l))
			p.a.apply(store.Done(l))
		}},
	}
}

func raceTests() []pairTest {
	return []pairTest{
		{name: "of two that create one wins", real: true, run: func(t *testing.T, p *pair) {
			for i := range 30 {
				key := fmt.Sprint(i)
				won := p.both(func(e *engine) bool { return e.Apply(t.Context(), store.Create(key, nil)) == nil })
				require.Equal(t, 1, won, key)
			}
		}},
		{name: "increments at both lose nothing", real: true, run: func(t *testing.T, p *pair) {
			const each = 50
			p.both(func(e *engine) bool {
				for range each {
					increment(e, "counter")
				}
				return true
			})
			require.Equal(t, fmt.Sprint(2*each), p.a.value("counter"))
		}},
		{name: "every item is worked once, in the order of its key", real: true, run: workOnceAtBoth},
	}
}

// both calls fn for each replica at the same time, and counts where it held.
func (p *pair) both(fn func(*engine) bool) int {
	var mu sync.Mutex
	var all sync.WaitGroup
	n := 0
	for _, e := range []*engine{p.a, p.b} {
		all.Go(func() {
			if fn(e) {
				mu.Lock()
				defer mu.Unlock()
				n++
			}
		})
	}
	all.Wait()
	return n
}

func workOnceAtBoth(t *testing.T, p *pair) {
	const orders, each = 5, 30
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	worked := map[string][]string{}
	left := orders * each
	var all sync.WaitGroup
	work := func(e *engine) {
		for {
			l, err := e.Take(ctx, "l", time.Minute)
			if err != nil {
				return
			}
			mu.Lock()
			worked[l.Key] = append(worked[l.Key], l.ID)
			mu.Unlock()
			if err := e.Apply(t.Context(), store.Done(l)); err != nil {
				t.Errorf("done: %v", err)
			}
			mu.Lock()
			if left--; left == 0 {
				cancel()
			}
			mu.Unlock()
		}
	}
	for range 4 {
		all.Go(func() { work(p.a) })
		all.Go(func() { work(p.b) })
	}
	for i := range each {
		var ops []store.Op
		for k := range orders {
			ops = append(ops, enqueue(fmt.Sprintf("%d-%02d", k, i), fmt.Sprint(k), k))
		}
		[]*engine{p.a, p.b}[i%2].apply(ops...)
	}
	all.Wait()
	require.Len(t, worked, orders)
	for k, ids := range worked {
		require.Len(t, ids, each, "key %s", k)
		require.True(t, slices.IsSorted(ids), "key %s: %v", k, ids)
	}
}
