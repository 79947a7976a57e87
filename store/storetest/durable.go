package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

func durableTests() []test {
	return []test{
		{name: "everything is there after a restart", run: func(e *engine) {
			until := time.Now().Add(time.Hour)
			e.apply(store.Put("k", []byte("v")), store.Put("x", []byte("y")).Until(until), store.Put("gone", nil))
			e.apply(store.Delete("gone"), enqueue("b", "b", 1), enqueue("a1", "a", 0), enqueue("a2", "a", 9), later("c", "c", time.Minute))
			before, err := e.Scan(e.Context(), "", "", 10)
			require.NoError(e, err)
			for range 3 {
				e.reopen()
				after, err := e.Scan(e.Context(), "", "", 10)
				require.NoError(e, err)
				require.Len(e, after, 2)
				for i := range after {
					require.True(e, before[i].Expires.Equal(after[i].Expires))
					after[i].Expires, before[i].Expires = time.Time{}, time.Time{}
				}
				require.Equal(e, before, after)
				before, err = e.Scan(e.Context(), "", "", 10)
				require.NoError(e, err)
			}
			require.Equal(e, []string{"b", "a1", "a2"}, e.drain("l"))
			e.pass(time.Hour)
			e.reopen()
			require.Equal(e, []string{"c"}, e.drain("l"))
			e.absent("x")
		}},
		{name: "what expired while it was closed is absent", run: func(e *engine) {
			e.apply(store.Put("k", nil).Until(time.Now().Add(time.Minute)))
			require.NoError(e, e.Close())
			e.pass(time.Hour)
			e.Store = nil
			e.reopen()
			e.absent("k")
			e.apply(store.Create("k", nil))
		}},
	}
}

func closeTests() []test {
	return []test{
		{name: "after close every call is refused", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			require.NoError(e, e.Close())
			e.refuse(store.ErrClosed, store.Put("k", nil))
			_, err := e.Get(e.Context(), "k")
			require.ErrorIs(e, err, store.ErrClosed)
			_, err = e.Scan(e.Context(), "", "", 1)
			require.ErrorIs(e, err, store.ErrClosed)
			_, err = e.Take(e.Context(), "l", time.Minute)
			require.ErrorIs(e, err, store.ErrClosed)
			require.NoError(e, e.Close(), "again")
			e.Store = nil
			e.reopen()
			e.absent("k")
		}},
		{name: "close ends those who wait", run: func(e *engine) {
			done := make(chan error)
			go func() {
				_, err := e.Take(e.Context(), "l", time.Minute)
				done <- err
			}()
			e.Watch(e.Context(), "", func(store.Record, error) {})
			synctest.Wait()
			require.NoError(e, e.Close())
			require.ErrorIs(e, <-done, store.ErrClosed)
			e.Store = nil
			e.reopen()
		}},
		{name: "a context that has ended does nothing", run: func(e *engine) {
			ctx, cancel := context.WithCancel(e.Context())
			cancel()
			require.ErrorIs(e, e.Apply(ctx, store.Put("k", nil)), context.Canceled)
			_, err := e.Get(ctx, "k")
			require.ErrorIs(e, err, context.Canceled)
			e.absent("k")
		}},
	}
}

func concurrentTests() []test {
	return []test{
		{name: "increments by compare and set lose nothing", real: true, run: func(e *engine) {
			const writers, each = 16, 25
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for range each {
						increment(e, "counter")
					}
				})
			}
			all.Wait()
			require.Equal(e, fmt.Sprint(writers*each), e.value("counter"))
		}},
		{name: "of many creates one wins", real: true, run: func(e *engine) {
			var won atomic.Int32
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if e.Apply(e.Context(), store.Create("k", nil), enqueue("i", "k", 0)) == nil {
						won.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(e, 1, won.Load())
			lanes, err := e.Lanes(e.Context())
			require.NoError(e, err)
			require.Len(e, lanes, 1)
			require.Equal(e, 1, lanes[0].Items)
			require.Equal(e, "i", e.take().ID)
		}},
		{name: "every item is worked once, in the order of its key", real: true, run: workOnce},
		{name: "of two that use one lease one wins", real: true, run: func(e *engine) {
			for i := range 20 {
				id := fmt.Sprint(i)
				e.apply(enqueue(id, id, 0))
				l := e.take()
				var won atomic.Int32
				var all sync.WaitGroup
				for _, op := range []store.Op{store.Done(l), store.Retry(l, time.Now().Add(time.Hour)), store.Done(l)} {
					all.Go(func() {
						if e.Apply(e.Context(), op) == nil {
							won.Add(1)
						}
					})
				}
				all.Wait()
				require.EqualValues(e, 1, won.Load())
			}
		}},
	}
}

// increment adds one to a number, however often it must try.
func increment(e *engine, key string) {
	for {
		r, err := e.Get(e.Context(), key)
		n := 0
		if err == nil {
			_, err = fmt.Sscan(string(r.Value), &n)
			if err != nil {
				e.Errorf("read %q: %v", r.Value, err)
				return
			}
		}
		if e.Apply(e.Context(), store.Swap(key, r.Rev, []byte(fmt.Sprint(n+1)))) == nil {
			return
		}
		if e.Context().Err() != nil {
			return
		}
	}
}

func workOnce(e *engine) {
	const orders, each = 7, 20
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	var mu sync.Mutex
	worked := map[string][]string{}
	left := orders * each
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				l, err := e.Take(ctx, "l", time.Minute)
				if err != nil {
					return
				}
				mu.Lock()
				worked[l.Key] = append(worked[l.Key], l.ID)
				mu.Unlock()
				if err := e.Apply(e.Context(), store.Done(l)); err != nil {
					e.Errorf("done: %v", err)
				}
				mu.Lock()
				if left--; left == 0 {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range each {
		for k := range orders {
			e.apply(enqueue(fmt.Sprintf("%d-%02d", k, i), fmt.Sprint(k), k))
		}
	}
	all.Wait()
	require.Len(e, slices.Collect(maps.Keys(worked)), orders)
	for k, ids := range worked {
		require.Len(e, ids, each, "key %s", k)
		require.True(e, slices.IsSorted(ids), "key %s: %v", k, ids)
	}
}
