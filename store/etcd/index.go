package etcd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
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

// at is the revision up to which all is known.
func (x *index) at() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.applied
}

// behind returns what is closed when the index has moved on, nil if it knows
// all up to rev.
func (x *index) behind(rev int64) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev <= x.applied {
		return nil
	}
	return x.next()
}

// same returns what is closed when the index has moved on, nil if a claimed item
// is no longer what it was when it was chosen.
func (x *index) same(c *claim) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if it := x.find(c.laneName, c.id); it != c.item || it.version != c.version || it.seen != c.seen {
		return nil
	}
	return x.next()
}

// next is closed when the index moves on. The caller holds the lock.
func (x *index) next() <-chan struct{} {
	if x.moved == nil {
		x.moved = make(chan struct{})
	}
	return x.moved
}

// moveTo notes that all up to rev is known, and wakes the lanes that changed.
// The caller holds the lock.
func (x *index) moveTo(rev int64) {
	x.applied = max(x.applied, rev)
	if x.moved != nil {
		close(x.moved)
		x.moved = nil
	}
	for l := range x.touched {
		x.wake(l)
	}
	clear(x.touched)
	signal(x.clear)
}

// suspend says whether the state is being read.
func (x *index) suspend(loading bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.loading = loading
	for _, l := range x.lanes {
		x.wake(l)
	}
}

// expiry returns when a record's version expires, 0 for never; known is false if
// the index does not know that version yet.
func (x *index) expiry(key string, rev int64) (expires int64, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev > x.applied {
		return 0, false
	}
	if e := x.catalog.records[key]; e != nil && e.rev == rev {
		return e.at, true
	}
	return 0, true
}

// toClear is how long after now the janitor has something to do.
func (x *index) toClear(now time.Time) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.loading:
	case len(x.catalog.garbage(1)) > 0:
		return 0
	case len(x.catalog.soon) > 0:
		return min(time.Duration(x.catalog.soon[0].at-now.UnixNano()), longest)
	}
	return longest
}

// cleared returns what may be cleared away, or some of it.
func (x *index) cleared(now time.Time) (records []expiring, bodies []string, uploads map[string]marker) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loading {
		return nil, nil, nil
	}
	c := x.catalog
	return c.expired(now.UnixNano(), maxPurge), c.garbage(maxPurge / 2), c.abandoned(now.Add(-uploadFor), maxPurge/2)
}

// knows returns the name under which known lists what an entry is about, if it does.
func (x *index) knows(key string) (name string, ok bool) {
	switch section, rest := cutSection(key); section {
	case sectionRecord:
		return key, x.catalog.records[rest] != nil || x.catalog.users[key] != ""
	case sectionChunk:
		return key[:strings.LastIndexByte(key, '/')+1], true
	}
	return key, true
}

// known lists the entries that the index holds something of. The caller holds the lock.
func (x *index) known() []string {
	var out []string
	for name, l := range x.lanes {
		for id, it := range l.items {
			out = append(out, itemKey(name, id))
			if it.leased != 0 {
				out = append(out, leaseKey(name, id))
			}
		}
	}
	for key := range x.catalog.records {
		out = append(out, recordKey(key))
	}
	for key := range x.catalog.users {
		out = append(out, key)
	}
	for body := range x.catalog.used {
		out = append(out, sectionChunk+body+"/")
	}
	for batch := range x.catalog.markers {
		out = append(out, sectionMarker+batch)
	}
	return out
}

// signal puts something into a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
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
		out = append(out, store.LaneStat{Lane: name, Items: len(l.items), Leased: l.leased(), Oldest: instant(l.oldest())})
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

// What follows notes what the watch says. The caller holds the lock, over all
// changes of one revision: nobody may choose between them. Then it calls moveTo.

// putItem notes an item's version.
func (x *index) putItem(lane, id string, s stored, version int64) {
	l := x.lane(lane)
	it := l.items[id]
	switch {
	case it == nil:
		it = &item{lane: l, id: id}
	case it.version >= version:
		return
	default:
		if next := l.remove(it); next != nil {
			x.settle(next)
		}
	}
	it.key, it.place, it.version = s.key, s.place, version
	it.priority, it.due, it.enqueued = s.priority, s.due, s.enqueued
	l.add(it)
	x.settle(it)
	x.touched[l] = true
}

// dropItem notes that an item is gone.
func (x *index) dropItem(it *item) {
	if next := it.lane.remove(it); next != nil {
		x.settle(next)
	}
	x.touched[it.lane] = true
}

// putLease notes that somebody leased an item.
func (x *index) putLease(it *item, h holder, rev int64) {
	x.changeLease(it, rev, func() {
		it.leased, it.by = rev, h
		if it.hold != nil && it.hold.token != rev {
			it.hold = nil
		}
		x.orphan(it)
	})
}

// dropLease notes that an item is no longer leased.
func (x *index) dropLease(it *item, rev int64) {
	x.changeLease(it, rev, func() { it.leased, it.by, it.hold = 0, holder{}, nil })
}

func (x *index) changeLease(it *item, rev int64, change func()) {
	if rev <= it.seen {
		return
	}
	it.unqueue()
	it.seen = rev
	change()
	x.settle(it)
	x.touched[it.lane] = true
}

// damage notes an item that cannot be read: the next Take is told.
func (x *index) damage(lane string, err error) {
	x.broken[lane] = append(x.broken[lane], fmt.Errorf("take from lane %q: %w", lane, err))
	x.touched[x.lane(lane)] = true
}
