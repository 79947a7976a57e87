package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// model compares the engine, step by step, with the simplest store there is.
func model(t *testing.T, open func(*testing.T, string) store.Store) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				e := &engine{T: t, open: open, dir: dir}
				e.reopen()
				defer func() { require.NoError(e, e.Close()) }()
				w := &walk{
					engine: e, rand: rand.New(rand.NewPCG(seed, 1)),
					records: map[string]oracleRecord{}, leases: map[string]store.Lease{},
				}
				for range 400 {
					w.step()
				}
			})
		})
	}
}

type oracleRecord struct {
	value   string
	expires time.Time
}

type oracleItem struct {
	store.Item
	until time.Time // leased until
}

// walk is a random walk: an engine, and what it should hold.
type walk struct {
	*engine
	rand    *rand.Rand
	records map[string]oracleRecord
	items   []*oracleItem // of the one lane, oldest first
	leases  map[string]store.Lease
	serial  int
}

func (w *walk) step() {
	switch n := w.rand.IntN(100); {
	case n < 45:
		w.batch()
	case n < 70:
		w.tryTake()
	case n < 88:
		w.pass(time.Duration(w.rand.IntN(4000)) * time.Millisecond)
	case n < 92:
		w.reopen()
		for _, it := range w.items {
			it.until = time.Time{}
		}
	default:
		w.compare()
	}
}

// there returns the oracle's record, unless it has expired.
func (w *walk) there(key string) (oracleRecord, bool) {
	r, ok := w.records[key]
	if ok && !r.expires.IsZero() && !time.Now().Before(r.expires) {
		return r, false
	}
	return r, ok
}

// batch applies up to four random operations and expects what the oracle says.
func (w *walk) batch() {
	var ops []store.Op
	var do []func()
	used := map[string]bool{}
	refused := error(nil)
	for range 1 + w.rand.IntN(4) {
		op, act, err := w.op()
		name := op.Key + "/" + op.Lease.ID
		if op.Kind != store.OpEnqueue && used[name] {
			continue
		}
		used[name] = true
		ops, do = append(ops, op), append(do, act)
		if refused == nil {
			refused = err
		}
	}
	err := w.Apply(w.Context(), ops...)
	if refused != nil {
		require.Error(w, err)
		require.True(w, errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrFenced), "%v", err)
		return
	}
	require.NoError(w, err)
	for _, act := range do {
		act()
	}
}

// op returns an operation, what it does to the oracle, and how it is refused.
func (w *walk) op() (store.Op, func(), error) {
	if w.rand.IntN(2) == 0 {
		return w.recordOp()
	}
	return w.laneOp()
}

func (w *walk) recordOp() (store.Op, func(), error) {
	key := fmt.Sprintf("k%d", w.rand.IntN(5))
	value := fmt.Sprint(w.rand.IntN(1000))
	_, exists := w.there(key)
	var refused error
	op := store.Put(key, []byte(value))
	switch w.rand.IntN(4) {
	case 0:
		if op = store.Create(key, []byte(value)); exists {
			refused = store.ErrConflict
		}
	case 1:
		rev := uint64(1 << 50)
		refused = store.ErrConflict
		if r, err := w.Get(w.Context(), key); err == nil && w.rand.IntN(4) > 0 {
			rev, refused = r.Rev, nil
		}
		op = store.Swap(key, rev, []byte(value))
	case 2:
		return store.Delete(key), func() { delete(w.records, key) }, nil
	}
	if w.rand.IntN(3) == 0 {
		op = op.Until(time.Now().Add(time.Duration(w.rand.IntN(5000)) * time.Millisecond))
	}
	return op, func() { w.records[key] = oracleRecord{value, op.Expires} }, refused
}

func (w *walk) laneOp() (store.Op, func(), error) {
	if len(w.leases) == 0 || w.rand.IntN(2) == 0 {
		it := store.Item{
			Lane: "l", ID: fmt.Sprintf("i%02d", w.rand.IntN(30)), Key: fmt.Sprintf("o%d", w.rand.IntN(4)),
			Priority: w.rand.IntN(3), Value: fmt.Append(nil, w.serial),
		}
		w.serial++
		if w.rand.IntN(3) == 0 {
			it.Due = time.Now().Add(time.Duration(w.rand.IntN(5000)) * time.Millisecond)
		}
		return store.Enqueue(it), func() {
			if !slices.ContainsFunc(w.items, func(o *oracleItem) bool { return o.ID == it.ID }) {
				w.items = append(w.items, &oracleItem{Item: it})
			}
		}, nil
	}
	ids := []string{}
	for id := range w.leases {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	l := w.leases[ids[w.rand.IntN(len(ids))]]
	i := slices.IndexFunc(w.items, func(o *oracleItem) bool { return o.ID == l.ID && o.until.Equal(l.Until) })
	var refused error
	if i < 0 || !time.Now().Before(l.Until) {
		refused = store.ErrFenced
		delete(w.leases, l.ID)
		return store.Done(l), func() {}, refused
	}
	held := w.items[i]
	until := time.Now().Add(time.Duration(w.rand.IntN(3000)) * time.Millisecond)
	switch w.rand.IntN(3) {
	case 0:
		return store.Done(l), func() {
			w.items = slices.DeleteFunc(w.items, func(o *oracleItem) bool { return o == held })
			delete(w.leases, l.ID)
		}, nil
	case 1:
		return store.Retry(l, until), func() {
			held.Due, held.until = until, time.Time{}
			held.Attempt++
			delete(w.leases, l.ID)
		}, nil
	default:
		return store.Extend(l, until), func() {
			held.until, l.Until = until, until
			w.leases[l.ID] = l
		}, nil
	}
}

// next is the item that must be taken now: the best of the heads that are due.
func (w *walk) next() *oracleItem {
	var best *oracleItem
	heads := map[string]bool{}
	for _, it := range w.items {
		if heads[it.Key] {
			continue
		}
		heads[it.Key] = true
		if time.Now().Before(it.until) || time.Now().Before(it.Due) {
			continue
		}
		if best == nil || it.Priority > best.Priority {
			best = it
		}
	}
	return best
}

func (w *walk) tryTake() {
	want := w.next()
	if want == nil {
		// Less than the millisecond in which everything here happens.
		ctx, cancel := context.WithTimeout(w.Context(), time.Microsecond)
		defer cancel()
		_, err := w.Take(ctx, "l", time.Second)
		require.ErrorIs(w, err, context.DeadlineExceeded)
		w.pass(time.Millisecond - time.Microsecond)
		return
	}
	ttl := time.Duration(1+w.rand.IntN(5000)) * time.Millisecond
	l, err := w.Take(w.Context(), "l", ttl)
	require.NoError(w, err)
	require.Equal(w, want.ID, l.ID)
	require.Equal(w, string(want.Value), string(l.Value))
	require.Equal(w, want.Attempt, l.Attempt)
	require.Equal(w, want.Priority, l.Priority)
	want.until = l.Until
	w.leases[l.ID] = l
}

// compare reads everything.
func (w *walk) compare() {
	got, err := w.Scan(w.Context(), "", "", 100)
	require.NoError(w, err)
	found := map[string]string{}
	for _, r := range got {
		found[r.Key] = string(r.Value)
	}
	want := map[string]string{}
	for k := range w.records {
		if r, ok := w.there(k); ok {
			want[k] = r.value
		}
	}
	require.Equal(w, want, found)
	lanes, err := w.Lanes(w.Context())
	require.NoError(w, err)
	if len(w.items) == 0 {
		require.Empty(w, lanes)
		return
	}
	leased := 0
	for _, it := range w.items {
		if time.Now().Before(it.until) {
			leased++
		}
	}
	require.Len(w, lanes, 1)
	require.Equal(w, len(w.items), lanes[0].Items)
	require.Equal(w, leased, lanes[0].Leased)
}
