package bolt

import (
	"context"
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

func (ws *watchers) add(prefix string) *watcher {
	w := &watcher{prefix: prefix, more: make(chan struct{}, 1)}
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
func (ws *watchers) tell(changed []store.Record) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.tell(changed)
	}
}

// lag tells all of them that they must read again.
func (ws *watchers) lag() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.mu.Lock()
		w.lagged = true
		w.mu.Unlock()
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// watcher has a queue of its own, so that it can be slow.
type watcher struct {
	prefix string
	more   chan struct{} // holds one: there is something to say
	mu     sync.Mutex
	queue  []store.Record
	lagged bool
}

func (w *watcher) tell(changed []store.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range changed {
		if !strings.HasPrefix(r.Key, w.prefix) {
			continue
		}
		if len(w.queue) == maxLag {
			w.queue, w.lagged = nil, true
		}
		w.queue = append(w.queue, r)
	}
	if len(w.queue) == 0 {
		return
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// next takes all that is to be said.
func (w *watcher) next() (queue []store.Record, lagged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue, lagged = w.queue, w.lagged
	w.queue, w.lagged = nil, false
	return queue, lagged
}

// run calls fn until ctx ends or stop is closed.
func (w *watcher) run(ctx context.Context, stop <-chan struct{}, fn func(store.Record, error)) {
	for {
		select {
		case <-w.more:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
		queue, lagged := w.next()
		if lagged {
			fn(store.Record{}, store.ErrLagged)
		}
		for _, r := range queue {
			if ctx.Err() != nil {
				return
			}
			r.Value = clone(r.Value)
			fn(r, nil)
		}
	}
}

// clone copies a value for one watcher; nil stays nil.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
