package etcd

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

// index knows the order of every lane's items, and who has leased them, as of
// one revision. It says what to try; transactions say what is so.
type index struct {
	now   func() time.Time
	owner uint64 // of our leases

	mu      sync.Mutex
	lanes   map[string]*lane
	nonce   uint64
	broken  map[string][]error // by lane: damaged items that nobody was told of yet
	lapsed  []lapsed           // leases of ours that are to be given back
	closed  bool
	loading bool           // the state is being read: nothing may be chosen by half of it
	touched map[*lane]bool // by the changes that are being noted
	applied int64          // the revision up to which all is known
	moved   chan struct{}  // closed when applied grows; nil: nobody waits
	catalog *catalog
	pending *pending // nil: the catalogue is complete

	give  chan struct{} // holds one: lapsed is not empty
	clear chan struct{} // holds one: the janitor should look
}

// lapsed is a lease of ours that nobody works on any more.
type lapsed struct {
	lane, id string
	token    int64
}

// claim is an item that one Take tries to lease.
type claim struct {
	item     *item
	laneName string
	id       string
	version  int64
	leased   int64 // what its lease's ModRevision must be
	seen     int64 // the last change of the lease that was known
	nonce    uint64
}

func newIndex(now func() time.Time) *index {
	return &index{
		now: now, owner: rand.Uint64(), lanes: map[string]*lane{}, broken: map[string][]error{},
		touched: map[*lane]bool{}, catalog: newCatalog(),
		give: make(chan struct{}, 1), clear: make(chan struct{}, 1),
	}
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

// find returns an item, nil if there is none. The caller holds the lock.
func (x *index) find(lane, id string) *item {
	if l := x.lanes[lane]; l != nil {
		return l.items[id]
	}
	return nil
}

// choose returns the next due item of a lane for a Take to try, or what is
// closed when there may be one. The error tells of a damaged item, once.
func (x *index) choose(name string) (*claim, <-chan struct{}, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lane(name)
	if told := x.broken[name]; len(told) > 0 {
		x.broken[name] = told[1:]
		return nil, nil, told[0]
	}
	x.wake(l)
	if len(l.ready.items) == 0 || x.loading {
		if l.waiting == nil {
			l.waiting = make(chan struct{})
		}
		return nil, l.waiting, nil
	}
	it := l.ready.items[0]
	it.unqueue()
	x.nonce++
	it.claim = x.nonce
	return &claim{item: it, laneName: name, id: it.id, version: it.version, leased: it.leased, seen: it.seen, nonce: x.nonce}, nil, nil
}

// won notes that the claim was granted by the transaction of revision token.
func (x *index) won(c *claim, token int64, until time.Time, s stored) {
	x.mu.Lock()
	defer x.mu.Unlock()
	it := c.item
	if it.claim == c.nonce {
		it.claim = 0
	}
	if token >= it.seen { // else it was lost already
		it.unqueue()
		it.leased, it.seen, it.by = token, token, holder{x.owner, c.nonce}
		it.hold = &hold{token: token, until: until.UnixNano(), stored: s}
	}
	x.settle(it)
	x.wake(it.lane)
}

// lost notes that the claim was refused, or that nobody knows. Then its lease may
// yet appear: it is given back by whoever sees it.
func (x *index) lost(c *claim) {
	x.mu.Lock()
	defer x.mu.Unlock()
	it := c.item
	if it.claim != c.nonce {
		return
	}
	it.unqueue()
	it.claim = 0
	x.orphan(it)
	x.settle(it)
	x.wake(it.lane)
}

// orphan gives back a lease of ours that no Take knows of. The caller holds the lock.
func (x *index) orphan(it *item) {
	if it.leased == 0 || it.by.owner != x.owner || it.by.nonce == it.claim || it.hold != nil && it.hold.token == it.leased {
		return
	}
	it.hold = &hold{token: it.leased, ended: true}
	x.giveBack(it)
}

// giveBack has a lease's entry deleted. The caller holds the lock.
func (x *index) giveBack(it *item) {
	x.lapsed = append(x.lapsed, lapsed{it.lane.name, it.id, it.hold.token})
	signal(x.give)
}

// toGiveBack takes the leases that are to be given back.
func (x *index) toGiveBack() []lapsed {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.lapsed
	x.lapsed = nil
	return out
}

// tryAgain puts back what could not be given back.
func (x *index) tryAgain(l lapsed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if it := x.find(l.lane, l.id); it != nil && it.leased == l.token {
		x.lapsed = append(x.lapsed, l)
	}
}

// held returns the item of a lease of ours as it was taken.
func (x *index) held(l store.Lease) (stored, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	it := x.find(l.Lane, l.ID)
	if it == nil || !it.valid(l.Token, x.now().UnixNano()) {
		return stored{}, false
	}
	return it.hold.stored, true
}

// extend moves the end of a lease of ours.
func (x *index) extend(l store.Lease, until time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	it := x.find(l.Lane, l.ID)
	if it == nil || it.hold == nil || uint64(it.hold.token) != l.Token || it.hold.ended {
		return
	}
	it.unqueue()
	it.hold.until = until.UnixNano()
	x.settle(it)
	x.wake(it.lane)
}

// endAll ends all leases of ours: their session was lost.
func (x *index) endAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.lanes {
		for _, it := range l.items {
			if it.hold == nil || it.hold.ended {
				continue
			}
			it.unqueue()
			it.hold.ended = true
			x.giveBack(it)
			x.settle(it)
		}
		x.wake(l)
	}
}

// setAside takes a damaged item out of its lane: it stays in etcd, and the items
// behind it have their turn. The lease with which it was read is given back.
func (x *index) setAside(c *claim, token int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	it := c.item
	x.lapsed = append(x.lapsed, lapsed{c.laneName, c.id, token})
	signal(x.give)
	if it.lane.items[it.id] == it {
		if next := it.lane.remove(it); next != nil {
			x.settle(next)
		}
		x.wake(it.lane)
	}
}

// settle puts an item where it belongs now. The caller holds the lock.
func (x *index) settle(it *item) {
	if it.lane.items[it.id] == it {
		it.lane.settle(it, x.now().UnixNano())
	}
}

// wake gives their turn to all whose time has come, tells those who wait, and
// sets the timer. The caller holds the lock.
func (x *index) wake(l *lane) {
	now := x.now().UnixNano()
	for _, it := range l.promote(now) {
		x.giveBack(it)
	}
	if !x.loading && (len(l.ready.items) > 0 || len(x.broken[l.name]) > 0) && l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
	x.arm(l, now)
}

// arm sets the lane's timer to the next lease or item whose time comes. The
// caller holds the lock.
func (x *index) arm(l *lane, now int64) {
	if x.closed || len(l.later.items) == 0 {
		return
	}
	at, _ := l.later.items[0].waits()
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
		x.wake(l)
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
		x.wake(l)
		out = append(out, store.LaneStat{Lane: name, Items: len(l.items), Leased: l.leased(), Oldest: store.Instant(l.oldest())})
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
