package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// roll knows the open problems and their episodes by heart, for the time when
// the store cannot be asked.
type roll struct {
	store store.Store
	log   *slog.Logger

	noting sync.Mutex // one at a time: what is scanned must not undo what was watched
	mu     sync.Mutex
	open   map[string]int // episode by problem
}

const (
	rollPage  = 100
	rollAgain = 5 * time.Second
	askStore  = 300 * time.Millisecond
)

// run follows the store until ctx ends.
func (r *roll) run(ctx context.Context) {
	r.mu.Lock()
	r.open = map[string]int{}
	r.mu.Unlock()
	lagged := make(chan struct{}, 1)
	r.store.Watch(ctx, store.ProblemPrefix, func(rec store.Record, err error) {
		switch {
		case errors.Is(err, store.ErrLagged):
			select {
			case lagged <- struct{}{}:
			default:
			}
		case err == nil:
			r.noting.Lock()
			r.note(rec)
			r.noting.Unlock()
		}
	})
	for ctx.Err() == nil {
		if err := r.read(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("read open problems: tried again", "err", err)
			pause(ctx, rollAgain)
			continue
		}
		select {
		case <-ctx.Done():
		case <-lagged:
		}
	}
}

func (r *roll) read(ctx context.Context) error {
	for after := ""; ; {
		n, err := r.page(ctx, &after)
		if err != nil || n < rollPage {
			return err
		}
	}
}

func (r *roll) page(ctx context.Context, after *string) (int, error) {
	r.noting.Lock()
	defer r.noting.Unlock()
	recs, err := r.store.Scan(ctx, store.ProblemPrefix, *after, rollPage)
	for _, rec := range recs {
		r.note(rec)
		*after = rec.Key
	}
	return len(recs), err
}

// note takes in one problem's record; a nil value is one that is gone.
func (r *roll) note(rec store.Record) {
	var p struct { // of page.Problem
		State   page.State `json:"state"`
		Episode int        `json:"episode"`
	}
	if rec.Value != nil && store.Unmarshal(rec.Value, &p) != nil {
		return // told of by whoever works on it
	}
	id := rec.Key[len(store.ProblemPrefix):]
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.State == page.Open {
		r.open[id] = p.Episode
	} else {
		delete(r.open, id)
	}
}

// Open returns the problem's open episode, or the one that would be opened next.
// Where nobody can tell which one that is, it is the first.
func (r *roll) Open(ctx context.Context, problem string) (episode int, open bool) {
	ctx, cancel := context.WithTimeout(ctx, askStore)
	defer cancel()
	if p, _, err := pipeline.Load(ctx, r.store, problem); err == nil {
		if p.State == page.Open {
			return p.Episode, true
		}
		return p.Episode + 1, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.open[problem]; ok {
		return n, true
	}
	return 1, false
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
