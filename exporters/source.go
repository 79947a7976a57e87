package exporters

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// ErrBusy says that a collector has not come back from an earlier scrape.
var ErrBusy = errors.New("still busy with an earlier scrape")

// source runs one Exposer, never twice at once: who asks while it runs gets what
// that run brings.
type source struct {
	exposer Exposer

	mu      sync.Mutex
	current *part
	free    *Text // the buffers of an earlier run that nobody reads any more
	cpu     time.Duration
}

// part is one run of a source.
type part struct {
	source   *source
	name     string
	text     *Text
	began    time.Time
	deadline time.Time
	refs     int // guarded by source.mu

	done chan struct{} // closed when what follows is set
	err  error
	took time.Duration
	cpu  time.Duration // of all runs so far
}

// join returns the run under way, or begins one that is told to end at deadline.
// The caller releases it. It returns nil where a run is past its own deadline:
// what it has is too old for this scrape.
func (s *source) join(deadline time.Time) *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if p := s.current; p != nil {
		if now.After(p.deadline) {
			return nil
		}
		p.refs++
		return p
	}
	text := s.free
	s.free = nil
	if text == nil {
		text = newText()
	}
	p := &part{source: s, name: s.exposer.Name(), text: text, began: now, deadline: deadline, refs: 2, done: make(chan struct{})}
	s.current = p
	go p.run()
	return p
}

// release gives the buffers back when the last reader is gone.
func (p *part) release() {
	s := p.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.refs--; p.refs == 0 {
		p.text.reset()
		s.free = p.text
	}
}

// run exposes on a thread of its own, so that the thread's CPU time is what the
// collector cost: its reading, parsing and writing, in user and kernel mode.
// What a collector does on further goroutines is not in it.
func (p *part) run() {
	defer p.release()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithDeadline(context.Background(), p.deadline)
	defer cancel()
	before := threadCPU()
	p.err = p.expose(ctx)
	if p.err == nil && ctx.Err() != nil && time.Now().After(p.deadline) {
		p.err = context.DeadlineExceeded
	}
	p.took = time.Since(p.began)
	s := p.source
	s.mu.Lock()
	s.cpu += threadCPU() - before
	p.cpu = s.cpu
	s.current = nil
	s.mu.Unlock()
	close(p.done)
}

// expose turns a panic into an error: one collector's mistake must not take the
// others' data away.
func (p *part) expose(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			buf := make([]byte, 4<<10)
			err = fmt.Errorf("panic: %v\n%s", r, buf[:runtime.Stack(buf, false)])
		}
	}()
	return p.source.exposer.Expose(ctx, p.text)
}
