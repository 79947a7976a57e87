package etcd

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/tocsin/tocsin/store"
)

// maxLag is how many changes a watcher may be behind before they are dropped.
const maxLag = 1024

// watchers are those who are told of changes.
type watchers struct {
	mu  sync.Mutex
	all map[*watcher]bool
}

func newWatchers() *watchers { return &watchers{all: map[*watcher]bool{}} }

// add makes a watcher that is told of what comes after a revision: the index may
// not know yet what its own replica did before.
func (ws *watchers) add(prefix string, after int64) *watcher {
	w := &watcher{prefix: prefix, after: after, more: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.all[w] = true
	return w
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// tell never waits for a watcher.
func (ws *watchers) tell(changed []told) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.tell(changed)
	}
}

// lag says to all that changes were left out.
func (ws *watchers) lag() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.lag()
	}
}

// watcher has a queue of its own, so that it can be slow.
type watcher struct {
	prefix string
	after  int64
	more   chan struct{} // holds one: there is something to say
	mu     sync.Mutex
	queue  []told
	lagged bool
}

func (w *watcher) tell(changed []told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range changed {
		if !strings.HasPrefix(t.key, w.prefix) || t.rev <= w.after {
			continue
		}
		if len(w.queue) == maxLag {
			w.queue, w.lagged = nil, true
		}
		w.queue = append(w.queue, t)
	}
	if len(w.queue) > 0 {
		signal(w.more)
	}
}

func (w *watcher) lag() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue, w.lagged = nil, true
	signal(w.more)
}

// next takes all that is to be said.
func (w *watcher) next() (queue []told, lagged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue, lagged = w.queue, w.lagged
	w.queue, w.lagged = nil, false
	return queue, lagged
}

// run calls fn until ctx ends or the store is closed.
func (w *watcher) run(ctx context.Context, s *Store, fn func(store.Record, error)) {
	for {
		select {
		case <-w.more:
		case <-ctx.Done():
			return
		case <-s.ctx.Done():
			return
		}
		queue, lagged := w.next()
		if lagged {
			fn(store.Record{}, store.ErrLagged)
		}
		for _, t := range queue {
			if ctx.Err() != nil {
				return
			}
			fn(s.reveal(ctx, t))
		}
	}
}

// reveal is what a watcher is told: a change whose chunks are gone again by now
// was left out.
func (s *Store) reveal(ctx context.Context, t told) (store.Record, error) {
	r := store.Record{Key: t.key, Rev: uint64(t.rev)}
	if t.gone || t.err != nil {
		return r, t.err
	}
	value, err := s.open(ctx, t.body, t.rev)
	if errors.Is(err, errChunks) {
		return store.Record{}, store.ErrLagged
	}
	r.Value, r.Expires = value, store.Instant(t.expires)
	return r, err
}
