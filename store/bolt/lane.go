package bolt

import (
	"container/heap"
	"time"
)

// item is what is known of a lane's item without reading the file: all but its
// value. Times are of the index's clock, 0 for none.
type item struct {
	seq      uint64 // its place: enqueued earlier, smaller
	sum      uint32 // of its entry in the file
	lane     *lane
	id, key  string
	priority int64
	due      int64
	enqueued int64 // by the wall clock

	token uint64 // of the lease; 0: not leased
	until int64  // end of the lease

	pinned bool // a transaction under way holds it: its lease neither ends nor moves
	ended  bool // that transaction ends the lease
	gone   bool // and removes the item

	next *item  // behind it under its order key
	heap *queue // the heap it lies in, if any
	pos  int    // its index there
}

// leased reports whether token holds the item at now.
func (it *item) leased(token uint64, now int64) bool {
	return it.token == token && token != 0 && !it.ended && (it.pinned || now < it.until)
}

// at is when a waiting head has its turn: its lease ends, or it falls due.
func (it *item) at() int64 {
	if it.token != 0 {
		return it.until
	}
	return it.due
}

// order is the FIFO of one order key: only its head is ever due.
type order struct{ head, tail *item }

// lane holds the items of one lane. Every order key's head, and nothing else,
// lies in ready or in later, unless it is pinned or was set aside.
type lane struct {
	name    string
	items   map[string]*item // by ID
	orders  map[string]*order
	ready   queue // due and not leased: highest priority first, then oldest
	later   queue // leased or not yet due: soonest first
	leased  int
	waiting chan struct{} // closed when something became ready; nil: nobody waits
	timer   *time.Timer
	armed   int64 // when timer fires; 0: it does not
}

func newLane(name string) *lane {
	return &lane{
		name:   name,
		items:  map[string]*item{},
		orders: map[string]*order{},
		ready: queue{before: func(a, b *item) bool {
			return a.priority > b.priority || a.priority == b.priority && a.seq < b.seq
		}},
		later: queue{before: func(a, b *item) bool { return a.at() < b.at() }},
	}
}

// add puts an item behind the others of its order key.
func (l *lane) add(it *item, now int64) {
	l.items[it.id] = it
	o := l.orders[it.key]
	if o == nil {
		l.orders[it.key] = &order{head: it, tail: it}
		l.place(it, now)
		return
	}
	o.tail.next = it
	o.tail = it
}

// place gives a head that is not leased its turn.
func (l *lane) place(it *item, now int64) {
	if it.due <= now {
		l.ready.push(it)
		return
	}
	l.later.push(it)
}

// drop removes a head, and gives the next of its order key its turn.
func (l *lane) drop(it *item, now int64) {
	it.unqueue()
	l.end(it)
	delete(l.items, it.id)
	o := l.orders[it.key]
	if o.head = it.next; o.head == nil {
		delete(l.orders, it.key)
		return
	}
	l.place(o.head, now)
}

// lease takes the next due item off ready, nil if there is none.
func (l *lane) lease(token uint64, until int64) *item {
	if len(l.ready.items) == 0 {
		return nil
	}
	it := l.ready.items[0]
	it.unqueue()
	it.token, it.until = token, until
	l.leased++
	l.later.push(it)
	return it
}

// end takes the lease off an item that lies in no heap.
func (l *lane) end(it *item) {
	if it.token != 0 {
		it.token, it.until = 0, 0
		l.leased--
	}
}

// promote gives their turn to all whose time has come.
func (l *lane) promote(now int64) {
	for len(l.later.items) > 0 && l.later.items[0].at() <= now {
		it := l.later.items[0]
		it.unqueue()
		l.end(it)
		l.place(it, now)
	}
}

// clear forgets all items.
func (l *lane) clear() {
	fresh := newLane(l.name)
	l.items, l.orders, l.ready, l.later, l.leased = fresh.items, fresh.orders, fresh.ready, fresh.later, 0
}

// oldest is the earliest time by the wall clock at which an item was enqueued,
// or became due if that is later. offset is how far the index's clock is ahead.
func (l *lane) oldest(offset int64) int64 {
	var first int64
	for _, it := range l.items {
		if t := max(it.enqueued, it.due-offset); first == 0 || t < first {
			first = t
		}
	}
	return first
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
