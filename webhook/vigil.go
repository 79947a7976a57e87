package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Vigil watches over the store, and over the pages that must not wait for it:
// once nothing could be written for a while, the door fails open. Critical
// alerts are then told past the store, and what was told is remembered here
// until the store takes it: only then the door closes again.
type Vigil struct {
	Store store.Store
	Log   *slog.Logger
	Now   func() time.Time
	After time.Duration // without one write before the door fails open; 0: 10 s
	Every time.Duration // between two looks at a store that works; 0: 10 s. One in trouble is looked at every second
	// Opened is called when the door begins to fail open.
	Opened func()
	// Over is called when the store takes writes again: everything told past it
	// is in it by then. Its error is a write that did not come through after
	// all: the trouble goes on, and Over is called once more at its end.
	Over func(ctx context.Context, t Trouble) error

	// passing is held for reading while a webhook is told past the store, and
	// for writing while what was told is stored: no later webhook of a problem
	// may overtake it.
	passing sync.RWMutex

	mu      sync.Mutex
	trouble Trouble            // Since is zero while the store works
	told    map[string]*passed // by problem
	order   []string           // of told, but for those that are being told
	suspect chan struct{}
}

// passed is a problem that is told, or being told, past the store.
type passed struct {
	done  chan struct{} // closed when somebody was told, or nobody
	event page.Event    // the last one
	err   error
}

// Trouble is a time in which the store took no writes.
type Trouble struct {
	Since  time.Time
	Err    error // the first that was met
	Opened bool  // the door failed open
	Told   int   // problems told past the store
}

const (
	failAfter  = 10 * time.Second
	probeEvery = 10 * time.Second
	probeSoon  = time.Second
	probeFor   = 2 * time.Second
	// maxTold bounds what is remembered. Beyond it Alertmanager keeps what it
	// was not relieved of.
	maxTold = 10_000
)

// Run looks at the store until ctx ends.
func (v *Vigil) Run(ctx context.Context) {
	every := cmp.Or(v.Every, probeEvery)
	for ctx.Err() == nil {
		wait := every
		if v.look(ctx); v.troubled() {
			wait = probeSoon
		}
		select {
		case <-ctx.Done():
		case <-v.doubts():
		case <-time.After(wait):
		}
	}
}

// Open reports whether the door fails open, and since when the store refuses.
func (v *Vigil) Open() (since time.Time, open bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.trouble.Since, v.trouble.Opened
}

// Suspect has the store looked at now: a write of somebody else's has failed.
func (v *Vigil) Suspect() {
	select {
	case v.doubts() <- struct{}{}:
	default:
	}
}

func (v *Vigil) doubts() chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.suspect == nil {
		v.suspect = make(chan struct{}, 1)
	}
	return v.suspect
}

func (v *Vigil) troubled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.trouble.Since.IsZero()
}

// look tries one write.
func (v *Vigil) look(ctx context.Context) {
	began := v.Now()
	bound, cancel := context.WithTimeout(ctx, probeFor)
	err := v.Store.Apply(bound, store.Put(store.ProbeKey, began.AppendFormat(nil, time.RFC3339)))
	cancel()
	switch {
	case ctx.Err() != nil || errors.Is(err, store.ErrClosed):
	case err != nil:
		v.refused(began, err)
	default:
		v.works(ctx)
	}
}

// refused notes a write that began then and did not come through.
func (v *Vigil) refused(began time.Time, err error) {
	v.mu.Lock()
	opened := false
	t := &v.trouble
	if t.Since.IsZero() {
		t.Since, t.Err = began, err
		v.Log.Error("store takes no writes: webhooks are answered 503", "err", err)
	}
	if !t.Opened && v.Now().Sub(t.Since) >= cmp.Or(v.After, failAfter) {
		t.Opened, opened = true, true
		v.Log.Error("store is unusable: critical alerts are told past it", "since", t.Since, "err", err)
	}
	v.mu.Unlock()
	if opened && v.Opened != nil {
		v.Opened()
	}
}

// works ends the trouble, if there was any: first what was told past the store
// is stored, then the page that says so, then webhooks are. A disk that takes
// the few bytes of a look need not take those.
func (v *Vigil) works(ctx context.Context) {
	if !v.troubled() {
		return
	}
	v.passing.Lock()
	defer v.passing.Unlock()
	for len(v.order) > 0 {
		problem := v.order[0]
		if err := (&Door{Store: v.Store}).Put(ctx, v.told[problem].event); err != nil {
			v.Log.Error("store what was told past it: tried again", "page", problem, "left", len(v.order), "err", err)
			v.refused(v.Now(), err)
			return
		}
		v.mu.Lock()
		delete(v.told, problem)
		v.order = v.order[1:]
		v.trouble.Told++
		v.mu.Unlock()
	}
	v.mu.Lock()
	t := v.trouble
	v.mu.Unlock()
	if v.Over != nil {
		if err := v.Over(ctx, t); err != nil {
			v.Log.Error("say that the store works: tried again", "err", err)
			v.refused(v.Now(), err)
			return
		}
	}
	v.mu.Lock()
	v.trouble = Trouble{}
	v.mu.Unlock()
	v.Log.Info("store takes writes again", "failed_since", t.Since, "told_past_it", t.Told)
}

// Teller tells people of a problem without the store: which targets took it is
// in the receipts. The error says that nobody did.
type Teller interface {
	Tell(ctx context.Context, e page.Event) ([]page.Receipt, error)
}

// errDeferred is why a webhook is not told past the store.
var errDeferred = errors.New("the store is unusable and nothing critical fires: send it again")

// pass tells a webhook's event past the store. The first event of a problem is
// told; later ones are remembered in its place, for nobody is paged twice.
func (v *Vigil) pass(ctx context.Context, e page.Event, t Teller) error {
	if e.Notification.Status != page.Firing || worst(e) != page.Critical {
		return errDeferred
	}
	v.passing.RLock()
	defer v.passing.RUnlock()
	if _, open := v.Open(); !open {
		return errors.New("the store is back: send it again")
	}
	p, first, err := v.begin(e)
	if err != nil {
		return err
	}
	if first {
		e.Receipts, err = t.Tell(ctx, e)
		v.end(p, e, err)
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return v.replace(p, e)
}

// begin finds the problem among those told; first says that it is the caller's to tell.
func (v *Vigil) begin(e page.Event) (p *passed, first bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p, known := v.told[e.Problem]; known {
		return p, false, nil
	}
	if len(v.told) >= maxTold {
		return nil, false, fmt.Errorf("%d problems were told past the store and no more are remembered: send it again", maxTold)
	}
	if v.told == nil {
		v.told = map[string]*passed{}
	}
	p = &passed{done: make(chan struct{})}
	v.told[e.Problem] = p
	return p, true, nil
}

func (v *Vigil) end(p *passed, e page.Event, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.event, p.err = e, err; err != nil {
		delete(v.told, e.Problem) // the next one tries again
	} else {
		v.order = append(v.order, e.Problem)
	}
	close(p.done)
}

// replace remembers a later event of a problem that was told.
func (v *Vigil) replace(p *passed, e page.Event) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	e.Receipts = p.event.Receipts
	p.event = e
	return nil
}
