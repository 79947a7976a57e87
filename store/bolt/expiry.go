package bolt

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tocsin/tocsin/store"
)

const (
	// maxPurge is how many expired records are removed in one batch.
	maxPurge = 256
	// purgeGap lets the records of one second share one batch.
	purgeGap = time.Second
)

// expiries knows which records expire, and when.
type expiries struct {
	mu    sync.Mutex
	byKey map[string]*expiry
	soon  soonest
	moved chan struct{} // holds one: the next expiry is earlier than it was
}

type expiry struct {
	key string
	at  int64 // Unix nanoseconds
	pos int
}

func newExpiries() *expiries {
	return &expiries{byKey: map[string]*expiry{}, moved: make(chan struct{}, 1)}
}

// set notes the expiry of a record as it is now; a record without a value is gone.
func (x *expiries) set(r store.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byKey[r.Key]
	at := store.Nanos(r.Expires)
	switch {
	case r.Value == nil || at == 0:
		if e != nil {
			heap.Remove(&x.soon, e.pos)
			delete(x.byKey, r.Key)
		}
		return
	case e != nil:
		e.at = at
		heap.Fix(&x.soon, e.pos)
	default:
		e = &expiry{key: r.Key, at: at}
		x.byKey[r.Key] = e
		heap.Push(&x.soon, e)
	}
	if e.pos == 0 {
		select {
		case x.moved <- struct{}{}:
		default:
		}
	}
}

// load replaces all that is known by the records of a file.
func (x *expiries) load(records []store.Record) {
	x.mu.Lock()
	x.byKey, x.soon = map[string]*expiry{}, nil
	x.mu.Unlock()
	for _, r := range records {
		x.set(r)
	}
}

// wait is how long after now the next record expires.
func (x *expiries) wait(now int64) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.soon) == 0 {
		return longest
	}
	return min(time.Duration(x.soon[0].at-now), longest)
}

// due returns up to limit keys of records that have expired. They stay known
// until their removal is on disk.
func (x *expiries) due(now int64, limit int) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var keys []string
	var walk func(int)
	walk = func(i int) { // below what is not due, nothing is
		if i < len(x.soon) && x.soon[i].at <= now && len(keys) < limit {
			keys = append(keys, x.soon[i].key)
			walk(2*i + 1)
			walk(2*i + 2)
		}
	}
	walk(0)
	return keys
}

// janitor removes expired records until the store is closed.
func (s *Store) janitor() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-timer.C:
			last = s.now()
			s.purge(last)
		case <-s.expiries.moved:
		case <-s.stop:
			return
		}
		now := s.now()
		timer.Reset(max(s.expiries.wait(now.UnixNano()), last.Add(purgeGap).Sub(now)))
	}
}

// purge removes what has expired, or some of it.
func (s *Store) purge(now time.Time) {
	keys := s.expiries.due(now.UnixNano(), maxPurge)
	if len(keys) == 0 {
		return
	}
	err := s.submit(context.Background(), &request{purge: keys})
	if err != nil && !errors.Is(err, store.ErrClosed) {
		s.log.Warn("expired records stay", "err", err)
	}
}

// soonest is a heap of expiries that know their place in it.
type soonest []*expiry

func (h soonest) Len() int           { return len(h) }
func (h soonest) Less(i, j int) bool { return h[i].at < h[j].at }

func (h soonest) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push is heap.Interface's.
func (h *soonest) Push(v any) {
	e := v.(*expiry)
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
