// Package storetest is what every engine of the store keeps: the contract of
// package store, a subtest for each of its sentences.
package storetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// Run runs the suite. open returns an engine on what dir holds; it is called
// again on the same dir after Close, and sometimes within a synctest bubble, so
// the engine's clock must be time.Now.
func Run(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	t.Helper()
	groups := []struct {
		name  string
		tests []test
	}{
		{"record", recordTests()},
		{"revision", revisionTests()},
		{"scan", scanTests()},
		{"batch", batchTests()},
		{"order", orderTests()},
		{"lane", laneTests()},
		{"lease", leaseTests()},
		{"retry", retryTests()},
		{"watch", append(watchTests(), watchEndTests()...)},
		{"durable", durableTests()},
		{"close", closeTests()},
		{"concurrent", concurrentTests()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, tc := range g.tests {
				t.Run(tc.name, func(t *testing.T) {
					dir := t.TempDir()
					body := func(t *testing.T) {
						e := &engine{T: t, open: open, dir: dir}
						e.reopen()
						defer func() { require.NoError(t, e.Close()) }()
						tc.run(e)
					}
					if tc.real {
						body(t)
						return
					}
					synctest.Test(t, body)
				})
			}
		})
	}
	t.Run("model", func(t *testing.T) { model(t, open) })
}

// test is one promise. It runs in a bubble, where sleeping costs nothing, unless
// it is about real concurrency.
type test struct {
	name string
	real bool
	run  func(*engine)
}

// engine is the store under test, and what the tests say of it.
type engine struct {
	*testing.T
	store.Store

	open func(*testing.T, string) store.Store
	dir  string
}

// reopen closes the engine, if it is open, and opens it again on its folder.
func (e *engine) reopen() {
	e.Helper()
	if e.Store != nil {
		require.NoError(e, e.Close())
	}
	e.Store = e.open(e.T, e.dir)
}

// apply does a batch that must succeed.
func (e *engine) apply(ops ...store.Op) {
	e.Helper()
	require.NoError(e, e.Apply(e.Context(), ops...))
}

// refuse does a batch that must fail with target.
func (e *engine) refuse(target error, ops ...store.Op) {
	e.Helper()
	require.ErrorIs(e, e.Apply(e.Context(), ops...), target)
}

// value reads a record that must be there.
func (e *engine) value(key string) string {
	e.Helper()
	r, err := e.Get(e.Context(), key)
	require.NoError(e, err)
	return string(r.Value)
}

func (e *engine) rev(key string) uint64 {
	e.Helper()
	r, err := e.Get(e.Context(), key)
	require.NoError(e, err)
	return r.Rev
}

// absent makes sure that there is no record under key.
func (e *engine) absent(key string) {
	e.Helper()
	_, err := e.Get(e.Context(), key)
	require.ErrorIs(e, err, store.ErrNotFound)
}

// take waits for an item of the lane most tests use.
func (e *engine) take() store.Lease { return e.takeFor(time.Minute) }

func (e *engine) takeFor(ttl time.Duration) store.Lease {
	e.Helper()
	l, err := e.Take(e.Context(), "l", ttl)
	require.NoError(e, err)
	return l
}

// nothing makes sure that no item of the lane is due.
func (e *engine) nothing(lane string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), time.Millisecond)
	defer cancel()
	l, err := e.Take(ctx, lane, time.Minute)
	require.ErrorIs(e, err, context.DeadlineExceeded, "item %q is due", l.ID)
}

// drain takes all that is due, one after the other, and returns the IDs.
func (e *engine) drain(lane string) []string {
	e.Helper()
	var ids []string
	for {
		ctx, cancel := context.WithTimeout(e.Context(), time.Millisecond)
		l, err := e.Take(ctx, lane, time.Minute)
		cancel()
		if err != nil {
			require.ErrorIs(e, err, context.DeadlineExceeded)
			return ids
		}
		ids = append(ids, l.ID)
		e.apply(store.Done(l))
	}
}

// pass lets time go by.
func (e *engine) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble it costs nothing
}

func keys(records []store.Record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, r.Key)
	}
	return out
}
