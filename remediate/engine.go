package remediate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Judge is what the engine asks about policies; Rules is the house's.
type Judge interface {
	// Ask asks every guard.
	Ask(ctx context.Context, c Candidate) []Verdict
	// Holds asks a question whose samples must all be other than zero, and says
	// what was seen. An error means that it is not known.
	Holds(ctx context.Context, query string, t Target) (ok bool, saw string, err error)
	// Saw asks a question of the source of this name, "" the first, whatever is
	// required of its answer. An error means that it is not known.
	Saw(ctx context.Context, source, query string, t Target) (string, error)
}

// Engine takes problems and dispatches from its lane and brings each dispatch to
// its end. Any number of engines may work on one store. Tracer aside, all fields
// must be set but Apps, Frozen, PageURL and ClaimURL.
type Engine struct {
	Store    store.Store
	Policies map[string][]*Policy // by receiver
	Apps     *Apps                // policies as layers have them for single apps; nil: for all alike
	Watched  map[string]bool      // receivers in shadow: their policies only observe
	Backends map[string]Backend   // by kind/name
	Judge    Judge
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  *Metrics
	Timing   Timing
	// Frozen reports a kill switch outside of the store, such as a file.
	Frozen func() (Switch, bool)
	// PageURL returns the address of a problem's own page.
	PageURL func(problem string) string
	// ClaimURL is the address playbooks reach the gateway at; "": none can claim.
	ClaimURL string
	// Workers is how many dispatches are worked on at once.
	Workers int
}

// Timing is how often and how long. A zero field means its value in DefaultTiming.
type Timing struct {
	Look    time.Duration // between two looks at whether the alert still fires
	Ask     time.Duration // between two rounds of guards that refused
	Fresh   time.Duration // how old verdicts may be at the launch
	Poll    time.Duration // between two looks at a job
	Post    time.Duration // how long a launch may take
	Trouble time.Duration // how long a backend may be out of reach before people are told
	Cancel  time.Duration // how long a job may take to end once it was asked to
	Life    time.Duration // the longest a job is followed
	Doubt   time.Duration // how long a launch may stay unknown before people are told
}

// DefaultTiming returns the values that serve where nothing else is said.
func DefaultTiming() Timing {
	return Timing{
		Look: 5 * time.Second, Ask: 30 * time.Second, Fresh: 20 * time.Second, Poll: 5 * time.Second, Post: 30 * time.Second,
		Trouble: 15 * time.Minute, Cancel: 10 * time.Minute, Life: 24 * time.Hour, Doubt: 15 * time.Minute,
	}
}

// WithDefaults fills in what is zero.
func (t Timing) WithDefaults() Timing {
	d := DefaultTiming()
	for _, f := range []struct{ have, want *time.Duration }{
		{&t.Look, &d.Look},
		{&t.Ask, &d.Ask},
		{&t.Fresh, &d.Fresh},
		{&t.Poll, &d.Poll},
		{&t.Post, &d.Post},
		{&t.Trouble, &d.Trouble},
		{&t.Cancel, &d.Cancel},
		{&t.Life, &d.Life},
		{&t.Doubt, &d.Doubt},
	} {
		if *f.have == 0 {
			*f.have = *f.want
		}
	}
	return t
}

// leaseFor is longer than any one step takes; a crash ends leases by itself.
const leaseFor = 2 * time.Minute

// task is an item of store.LaneRemediate.
type task struct {
	Do       string    `json:"do"`
	Problem  string    `json:"problem"`
	Episode  int       `json:"episode"`
	Dispatch string    `json:"dispatch,omitempty"`
	Act      *page.Act `json:"act,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

// What a task does.
const (
	doLook = "look" // see what may be done about a problem
	doStep = "step" // bring a dispatch further
	doAct  = "act"  // take in what a person said
)

func (t task) item(id, key string, due time.Time) (store.Op, error) {
	value, err := json.Marshal(t)
	if err != nil {
		return store.Op{}, fmt.Errorf("encode task: %w", err)
	}
	return store.Enqueue(store.Item{Lane: store.LaneRemediate, ID: id, Key: key, Due: due, Value: value}), nil
}

// Run works until ctx ends, then lets the steps under way finish.
func (e *Engine) Run(ctx context.Context) {
	e.Timing = e.Timing.WithDefaults()
	var wg sync.WaitGroup
	for range max(1, e.Workers) {
		wg.Go(func() { e.loop(ctx) })
	}
	wg.Go(func() { e.watch(ctx) })
	wg.Wait()
}

func (e *Engine) loop(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := e.Store.Take(ctx, store.LaneRemediate, leaseFor)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return
			}
			e.Log.Error("take from lane", "lane", store.LaneRemediate, "err", err)
			pause(ctx, time.Second)
			continue
		}
		// a step once begun is finished
		if err := e.work(context.WithoutCancel(ctx), l); err != nil {
			e.giveBack(ctx, l, err)
		}
	}
}

// giveBack puts an item back that could not be worked on.
func (e *Engine) giveBack(ctx context.Context, l store.Lease, err error) {
	if errors.Is(err, store.ErrFenced) {
		e.Log.Warn("lease lost: somebody else goes on", "lane", l.Lane, "item", l.ID)
		return
	}
	e.Metrics.retries.Inc()
	e.Log.Error("remediation is tried again", "item", l.ID, "attempt", l.Attempt, "err", err)
	wait := min(time.Second<<min(l.Attempt, 5), 30*time.Second)
	if err := e.Store.Apply(context.WithoutCancel(ctx), store.Retry(l, e.Now().Add(wait))); err != nil && ctx.Err() == nil {
		e.Log.Warn("item waits until its lease ends", "item", l.ID, "err", err)
	}
}

// conflicts bounds how often one step is begun anew because others wrote what it read.
const conflicts = 8

func (e *Engine) work(ctx context.Context, l store.Lease) error {
	var t task
	if err := json.Unmarshal(l.Value, &t); err != nil {
		e.Log.Error("task cannot be read and is dropped", "item", l.ID, "err", err)
		return e.Store.Apply(ctx, store.Done(l))
	}
	var err error
	for range conflicts {
		switch t.Do {
		case doLook:
			err = e.look(ctx, l, t)
		case doStep:
			err = e.step(ctx, l, t.Dispatch)
		case doAct:
			err = e.act(ctx, l, t)
		default:
			e.Log.Error("task of unknown kind is dropped", "item", l.ID, "do", t.Do)
			return e.Store.Apply(ctx, store.Done(l))
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

// version is a dispatch as it was read, or the fresh copy that is being changed.
type version struct {
	Dispatch
	rev uint64
}

// Read returns a dispatch, store.ErrNotFound where there is none.
func Read(ctx context.Context, s store.Store, id string) (Dispatch, error) {
	v, err := read(ctx, s, id)
	return v.Dispatch, err
}

func read(ctx context.Context, s store.Store, id string) (version, error) {
	rec, err := s.Get(ctx, store.DispatchKey(id))
	if err != nil {
		return version{}, fmt.Errorf("read dispatch: %w", err)
	}
	v := version{rev: rec.Rev}
	if err := store.Unmarshal(rec.Value, &v.Dispatch); err != nil {
		return version{}, fmt.Errorf("read dispatch %s: %w", id, err)
	}
	return v, nil
}

// step brings a dispatch one step further.
func (e *Engine) step(ctx context.Context, l store.Lease, id string) error {
	v, err := read(ctx, e.Store, id)
	if errors.Is(err, store.ErrNotFound) {
		return e.Store.Apply(ctx, store.Done(l))
	}
	if err != nil {
		return err
	}
	w := &walk{Engine: e, lease: l, v: v, now: e.Now()}
	switch v.Stage {
	case Guarding, Waiting, Blocked:
		return w.guarding(ctx)
	case Awaiting:
		return w.awaiting(ctx)
	case Claimed:
		return w.claimed(ctx)
	case Intent:
		return w.interrupted(ctx)
	case Unknown:
		return w.unknown(ctx)
	case Launched:
		return w.launched(ctx)
	case Cancelling:
		return w.cancelling(ctx)
	case Verifying:
		return w.verifying(ctx)
	case NotCleared, NoEffect, Broken, Refused, Dangerous:
		return w.ladder(ctx)
	case WouldRun, Cleared, Gathered, Expired, Superseded, Denied, Stepped, Escalated:
	}
	return e.Store.Apply(ctx, store.Done(l))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
