package etcd

import (
	"container/heap"
	"math"
	"time"
)

// item is what the index knows of a lane's item: all but its value. Times are
// Unix nanoseconds, 0 for none.
type item struct {
	lane     *lane
	id, key  string
	place    place
	version  int64 // ModRevision of its entry
	priority int64
	due      int64
	enqueued int64

	leased int64  // ModRevision of its lease's entry: the token; 0: there is none
	by     holder // who wrote that
	seen   int64  // revision of the lease's last change
	claim  uint64 // nonce of our own call that tries to lease it; 0: none does
	hold   *hold  // the lease is ours

	prev, next *item  // before and behind it under its order key
	heap       *queue // the heap it lies in, if any
	pos        int    // its index there
}

// hold is a lease of ours.
type hold struct {
	token  int64
	until  int64
	ended  bool   // the time is over, or the session lost: nobody works on it here
	stored stored // as it was taken
}

// valid reports whether the lease with that token is ours at now.
func (it *item) valid(token uint64, now int64) bool {
	h := it.hold
	return h != nil && token != 0 && token <= math.MaxInt64 && h.token == int64(token) && !h.ended && now < h.until
}

// waits reports whether the item's turn may come while nobody else acts, and when.
func (it *item) waits() (at int64, ok bool) {
	switch {
	case it.prev != nil || it.claim != 0:
		return 0, false
	case it.leased == 0:
		return it.due, true
	case it.hold == nil:
		return 0, false // another replica's
	case it.hold.ended:
		return it.due, true // our own leftover: it is taken over in one go
	default:
		return it.hold.until, true
	}
}

// order is the queue of one order key: only its head is ever due.
type order struct{ head, tail *item }

// lane holds the items of one lane.
type lane struct {
	name    string
	items   map[string]*item // by ID
	orders  map[string]*order
	ready   queue // their turn is now: highest priority first, then oldest
	later   queue // their turn comes with time: soonest first
	waiting chan struct{}
	timer   *time.Timer
	armed   int64 // when timer fires; 0: it does not
}

func newLane(name string) *lane {
	return &lane{
		name:   name,
		items:  map[string]*item{},
		orders: map[string]*order{},
		ready: queue{before: func(a, b *item) bool {
			return a.priority > b.priority || a.priority == b.priority && a.place.before(b.place)
		}},
		later: queue{before: func(a, b *item) bool {
			s, _ := a.waits()
			t, _ := b.waits()
			return s < t
		}},
	}
}

// add puts an item in its place among its order key: mostly at the end.
func (l *lane) add(it *item) {
	l.items[it.id] = it
	o := l.orders[it.key]
	if o == nil {
		o = &order{}
		l.orders[it.key] = o
	}
	it.prev = o.tail
	for it.prev != nil && it.place.before(it.prev.place) {
		it.prev = it.prev.prev
	}
	if it.prev == nil {
		it.next, o.head = o.head, it
	} else {
		it.next, it.prev.next = it.prev.next, it
	}
	if it.next == nil {
		o.tail = it
	} else {
		it.next.prev = it
		it.next.unqueue() // if it was the head, it is no more
	}
}

// remove takes an item out of its lane, and returns the one behind it.
func (l *lane) remove(it *item) (next *item) {
	it.unqueue()
	delete(l.items, it.id)
	o := l.orders[it.key]
	if it.prev == nil {
		o.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		o.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	if o.head == nil {
		delete(l.orders, it.key)
	}
	next, it.prev, it.next = it.next, nil, nil
	return next
}

// settle puts an item where its state says it belongs.
func (l *lane) settle(it *item, now int64) {
	it.unqueue()
	at, ok := it.waits()
	switch {
	case !ok:
	case at <= now && (it.hold == nil || it.hold.ended):
		l.ready.push(it)
	default:
		l.later.push(it)
	}
}

// promote gives their turn to all whose time has come, and returns the leases of
// ours that ran out.
func (l *lane) promote(now int64) (lapsed []*item) {
	for len(l.later.items) > 0 {
		it := l.later.items[0]
		if at, _ := it.waits(); at > now {
			return lapsed
		}
		it.unqueue() // before its order in the heap changes
		if it.hold != nil && !it.hold.ended {
			it.hold.ended = true
			lapsed = append(lapsed, it)
		}
		l.settle(it, now)
	}
	return lapsed
}

// oldest is the earliest time at which an item was enqueued, or became due if
// that is later.
func (l *lane) oldest() int64 {
	var first int64
	for _, it := range l.items {
		if t := max(it.enqueued, it.due); first == 0 || t < first {
			first = t
		}
	}
	return first
}

// leased counts the items that somebody works on.
func (l *lane) leased() int {
	n := 0
	for _, it := range l.items {
		if it.leased != 0 && (it.hold == nil || !it.hold.ended) {
			n++
		}
	}
	return n
}

// queue is a heap of items that know their place in it.
type queue struct {
	items  []*item
	before func(a, b *item) bool
}

func (q *queue) push(it *item) { heap.Push(q, it) }

// unqueue takes an item out of the heap it lies in.
func (it *item) unqueue() {
	if it.heap != nil {
		heap.Remove(it.heap, it.pos)
	}
}

func (q *queue) Len() int { return len(q.items) }

func (q *queue) Less(i, j int) bool { return q.before(q.items[i], q.items[j]) }

func (q *queue) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].pos, q.items[j].pos = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	it := x.(*item)
	it.heap, it.pos = q, len(q.items)
	q.items = append(q.items, it)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	last := len(q.items) - 1
	it := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	it.heap = nil
	return it
}
