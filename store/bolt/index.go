package bolt

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/store"
)

// longest is the most a timer is set for: if the wall clock is moved, what it
// made due is found by then.
const longest = time.Minute

// index knows the order of every lane's items, and who has leased them. It
// changes only after the transaction that did so is on disk.
type index struct {
	clock  clock
	mu     sync.Mutex
	lanes  map[string]*lane
	token  uint64
	closed bool
}

func newIndex(now func() time.Time) *index {
	// Tokens begin anywhere, so that a lease of before a restart fits none of after it.
	return &index{clock: newClock(now), lanes: map[string]*lane{}, token: rand.Uint64() >> 1}
}

// lane returns a lane, made if it is new. The caller holds the lock.
func (x *index) lane(name string) *lane {
	l := x.lanes[name]
	if l == nil {
		l = newLane(name)
		x.lanes[name] = l
	}
	return l
}

// take leases the next due item of a lane for ttl, or returns nil and what is
// closed when there may be one.
func (x *index) take(name string, ttl time.Duration) (*item, store.Lease, <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lane(name)
	now := x.clock.now()
	l.promote(now)
	it := l.lease(x.token+1, now+int64(ttl))
	x.wake(l, now)
	if it != nil {
		x.token++
		return it, store.Lease{Token: it.token, Until: x.clock.wall().Add(ttl)}, nil
	}
	if l.waiting == nil {
		l.waiting = make(chan struct{})
	}
	return nil, store.Lease{}, l.waiting
}

// add puts an item of the file in its lane. The caller holds the lock.
func (x *index) add(seq uint64, s stored, now int64) {
	l := x.lane(s.lane)
	l.add(&item{
		seq: seq, sum: s.sum, lane: l, id: s.id, key: s.key,
		priority: s.priority, due: s.due, enqueued: s.enqueued,
	}, now)
}

// load replaces all items by those of a file. Leases of before are lost.
func (x *index) load(items []sequenced) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.lanes {
		l.clear()
	}
	now := x.clock.now()
	for _, it := range items {
		x.add(it.seq, it.stored, now)
	}
	for _, l := range x.lanes {
		x.wake(l, now)
	}
}

// pin keeps a lease as it is until settle or unpin, and reports whether it was
// not pinned already. It returns nil if the lease is not valid.
func (x *index) pin(l store.Lease) (held *item, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ln := x.lanes[l.Lane]
	if ln == nil {
		return nil, false
	}
	it := ln.items[l.ID]
	if it == nil || !it.leased(l.Token, x.clock.now()) {
		return nil, false
	}
	first = !it.pinned
	it.unqueue()
	it.pinned = true
	return it, first
}

// has reports whether an item is there that no transaction under way removes.
func (x *index) has(lane, id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lanes[lane]
	if l == nil {
		return false
	}
	it := l.items[id]
	return it != nil && !it.gone
}

// settle does the changes of a transaction that is on disk, in their order,
// and lets go of what it had pinned.
func (x *index) settle(changes []func(*index, int64), pinned []*item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.clock.now()
	for _, change := range changes {
		change(x, now)
	}
	x.release(pinned)
	for _, l := range x.lanes {
		x.wake(l, now)
	}
}

// unpin lets go of what a transaction that came to nothing had pinned.
func (x *index) unpin(pinned []*item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.clock.now()
	for _, it := range pinned {
		it.ended, it.gone = false, false
	}
	x.release(pinned)
	for _, it := range pinned {
		x.wake(it.lane, now)
	}
}

// release puts pinned items that are still leased back among those whose lease
// runs out. The caller holds the lock.
func (x *index) release(pinned []*item) {
	for _, it := range pinned {
		if !it.pinned {
			continue
		}
		it.pinned = false
		if it.token != 0 && it.heap == nil {
			it.lane.later.push(it)
		}
	}
}

// setAside takes a damaged item out of its lane: it stays in the file, and the
// items behind it have their turn.
func (x *index) setAside(it *item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if it.lane.items[it.id] != it {
		return
	}
	now := x.clock.now()
	it.lane.drop(it, now)
	x.wake(it.lane, now)
}

// wake gives their turn to all whose time has come, tells those who wait, and
// sets the timer. The caller holds the lock.
func (x *index) wake(l *lane, now int64) {
	l.promote(now)
	if len(l.ready.items) > 0 && l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
	x.arm(l, now)
}

// arm sets the lane's timer to the next lease or item whose time comes, if
// somebody waits for it. The caller holds the lock.
func (x *index) arm(l *lane, now int64) {
	if x.closed || len(l.later.items) == 0 {
		return
	}
	at := l.later.items[0].at()
	if l.armed != 0 && l.armed <= at {
		return // it fires before, and is set again then
	}
	l.armed = at
	wait := min(max(time.Duration(at-now), 0), longest)
	if l.timer != nil {
		l.timer.Reset(wait)
		return
	}
	l.timer = time.AfterFunc(wait, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		l.armed = 0
		x.wake(l, x.clock.now())
	})
}

// stats returns the state of every lane that holds an item, by name.
func (x *index) stats() []store.LaneStat {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []store.LaneStat
	for _, name := range slices.Sorted(maps.Keys(x.lanes)) {
		l := x.lanes[name]
		if len(l.items) == 0 {
			continue
		}
		x.wake(l, x.clock.now())
		out = append(out, store.LaneStat{Lane: name, Items: len(l.items), Leased: l.leased, Oldest: store.Instant(l.oldest(x.clock.offset()))})
	}
	return out
}

// close stops the timers.
func (x *index) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, l := range x.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}
