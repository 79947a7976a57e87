package etcd

import (
	"container/heap"
	"strings"
	"time"
)

// catalog knows what of the state must be cleared away some day: records that
// expire, and chunks that nobody points at. The caller of its methods holds the
// index's lock: chunks and what points at them change in one revision.
type catalog struct {
	records map[string]*expiring // that expire, by key
	soon    soonest
	users   map[string]string // entry to the body it points at
	used    map[string]bool   // bodies that are there; true: an entry points at it
	idle    map[string]bool   // those of them at which none does
	markers map[string]marker // uploads under way, by batch
}

// expiring is a record that expires.
type expiring struct {
	key string
	rev int64
	at  int64 // Unix nanoseconds
	pos int
}

// marker is an upload that no entry points at yet.
type marker struct {
	rev   int64
	since time.Time // when it was first seen here
}

func newCatalog() *catalog {
	return &catalog{
		records: map[string]*expiring{}, users: map[string]string{}, used: map[string]bool{}, idle: map[string]bool{}, markers: map[string]marker{},
	}
}

// record notes a record's version; expires 0 means that it stays, or is gone.
func (c *catalog) record(key string, rev, expires int64) {
	e := c.records[key]
	switch {
	case expires == 0 && e == nil:
	case expires == 0:
		heap.Remove(&c.soon, e.pos)
		delete(c.records, key)
	case e == nil:
		e = &expiring{key: key, rev: rev, at: expires}
		c.records[key] = e
		heap.Push(&c.soon, e)
	default:
		e.rev, e.at = rev, expires
		heap.Fix(&c.soon, e.pos)
	}
}

// expired returns up to limit records that have expired.
func (c *catalog) expired(now int64, limit int) []expiring {
	var out []expiring
	var walk func(int)
	walk = func(i int) { // below what is not due, nothing is
		if i < len(c.soon) && c.soon[i].at <= now && len(out) < limit {
			out = append(out, *c.soon[i])
			walk(2*i + 1)
			walk(2*i + 2)
		}
	}
	walk(0)
	return out
}

// points notes which body an entry points at, if any.
func (c *catalog) points(entry, body string) {
	old := c.users[entry]
	if old == body {
		return
	}
	if _, there := c.used[old]; there {
		c.used[old], c.idle[old] = false, true
	}
	delete(c.users, entry)
	if body != "" {
		c.users[entry], c.used[body] = body, true
		delete(c.idle, body)
	}
}

// chunk notes that a body's chunk is there, or gone.
func (c *catalog) chunk(key string, there bool) {
	body := key[:strings.LastIndexByte(key, '/')]
	if !there {
		delete(c.used, body)
		delete(c.idle, body)
	} else if _, known := c.used[body]; !known {
		c.used[body], c.idle[body] = false, true
	}
}

// garbage returns bodies that nobody can ever point at again: their upload is
// over, and no entry does. An entry never points at a body a second time, so this
// stays true.
func (c *catalog) garbage(limit int) []string {
	var out []string
	for body := range c.idle {
		if _, uploading := c.markers[batchOf(body)]; !uploading && len(out) < limit {
			out = append(out, body)
		}
	}
	return out
}

// abandoned returns the uploads that began before t.
func (c *catalog) abandoned(t time.Time, limit int) map[string]marker {
	out := map[string]marker{}
	for batch, m := range c.markers {
		if m.since.Before(t) && len(out) < limit {
			out[batch] = m
		}
	}
	return out
}

// soonest is a heap of records that know their place in it.
type soonest []*expiring

func (h soonest) Len() int           { return len(h) }
func (h soonest) Less(i, j int) bool { return h[i].at < h[j].at }

func (h soonest) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push is heap.Interface's.
func (h *soonest) Push(v any) {
	e := v.(*expiring)
	e.pos = len(*h)
	*h = append(*h, e)
}

// Pop is heap.Interface's.
func (h *soonest) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
