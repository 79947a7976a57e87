package etcd

import "fmt"

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

// signal puts something into a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
