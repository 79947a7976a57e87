// Package pipeline walks every event through the rooms, in order, with one
// writer per problem: what happened, what the failing share, who is to be told.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Enricher answers "what do they share?" as far as it can until ctx ends. It
// returns no error: what is missing stands in the context's notes.
type Enricher interface {
	Context(ctx context.Context, p page.Problem) page.Context
}

// Outbox turns a problem's new revision into work for its targets; the items
// become durable in one batch with the problem itself.
type Outbox interface {
	Ops(p page.Problem) []store.Op
}

// Inbox makes the work that a problem's new revision, or what a person said of it,
// leaves for those who act on it; the items become durable with the problem.
type Inbox interface {
	Ops(p page.Problem, e page.Event) ([]store.Op, error)
}

// Asker asks the Alertmanager cluster a webhook came from which of the alerts
// are active there now.
type Asker interface {
	Active(ctx context.Context, cluster string, alerts []page.Alert) ([]page.Alert, error)
}

// Worker takes events from the store and applies them. All fields but Observe,
// Dater, Charter, Remedies, Silencer and Tracer must be set.
type Worker struct {
	Store    store.Store
	Enricher Enricher
	Outbox   Outbox
	Asker    Asker
	Deadline Deadline
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  *Metrics
	Tracer   trace.Tracer
	Rules    Rules
	// Observe takes the time from the rule's firing to a stage of the open.
	Observe func(stage string, d time.Duration)
	// Dater dates what a page says once it has left; nil: nobody does.
	Dater Dater
	// Charter draws what the page is about once it has left; nil: nobody does.
	Charter Charter
	// Remedies is told of what machines may act on; nil: nothing acts.
	Remedies Inbox
	// Silencer tells Alertmanager to be quiet; nil: nobody can.
	Silencer Silencer
	// Writers is how many problems are worked on at once. A writer waits for
	// context up to the deadline, so it is the burst of new problems that none
	// of them waits behind.
	Writers int

	gauge     gauge
	enriching atomic.Int64 // first pages that wait for their context
}

// Deadline is how long after its acceptance a page leaves at the latest.
type Deadline struct {
	Critical time.Duration
	Other    time.Duration
	// Own is the deadline of a problem's apps; nil: all are alike.
	Own func(page.Problem) Deadline
}

// Of returns the deadline of a problem by its severity.
func (d Deadline) Of(p page.Problem) time.Duration {
	if d.Own != nil {
		d = d.Own(p)
	}
	if p.Severity() == page.Critical {
		return d.Critical
	}
	return d.Other
}

// leaseFor is longer than any one step takes, deadline included; a crash ends
// leases by itself.
const leaseFor = time.Minute

// Run works until ctx ends, then lets the steps under way finish.
func (w *Worker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range w.Writers {
		wg.Go(func() { w.loop(ctx, store.LaneEvents, w.event) })
	}
	for range max(4, w.Writers/8) {
		wg.Go(func() { w.loop(ctx, store.LaneLater, w.later) })
	}
	wg.Wait()
}

func (w *Worker) loop(ctx context.Context, lane string, step func(context.Context, store.Lease) error) {
	for ctx.Err() == nil {
		lease, err := w.Store.Take(ctx, lane, leaseFor)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return
			}
			w.Log.Error("take from lane", "lane", lane, "err", err)
			pause(ctx, time.Second)
			continue
		}
		// a step once begun is finished: its page must not wait for a restart
		if err := step(context.WithoutCancel(ctx), lease); err != nil {
			w.giveBack(ctx, lease, err)
		}
	}
}

// giveBack puts an item back that could not be worked on.
func (w *Worker) giveBack(ctx context.Context, l store.Lease, err error) {
	if errors.Is(err, store.ErrFenced) {
		w.Log.Warn("lease lost: somebody else goes on", "lane", l.Lane, "item", l.ID)
		return
	}
	w.Metrics.retries.Inc()
	w.Log.Error("event is tried again", "lane", l.Lane, "item", l.ID, "attempt", l.Attempt, "err", err)
	wait := min(time.Second<<min(l.Attempt, 6), time.Minute)
	err = w.Store.Apply(context.WithoutCancel(ctx), store.Retry(l, w.Now().Add(wait)))
	// A store that takes nothing comes back at some time: then the item must not
	// wait until its lease ends.
	for tries := 0; err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrClosed); tries++ {
		if tries == 0 {
			w.Log.Error("item cannot be put back: it is tried again until its lease ends", "lane", l.Lane, "item", l.ID, "err", err)
		}
		pause(ctx, time.Second)
		err = w.Store.Apply(context.WithoutCancel(ctx), store.Retry(l, w.Now()))
	}
}

// event applies one event to its problem.
func (w *Worker) event(ctx context.Context, l store.Lease) error {
	var e page.Event
	if err := store.Unmarshal(l.Value, &e); err != nil {
		// it passed its checksum, so it will not read better later
		w.Log.Error("event cannot be read and is dropped", "item", l.ID, "err", err)
		w.Metrics.events.WithLabelValues("unreadable", "dropped").Inc()
		return w.Store.Apply(ctx, store.Done(l))
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.Trace})
	ctx, span := w.Tracer.Start(ctx, "pipeline.event", trace.WithAttributes(
		attribute.String("problem", e.Problem), attribute.String("kind", string(e.Kind))))
	defer span.End()
	var known *page.Context // context that was asked for already, should the write meet another
	for {
		err := w.apply(ctx, l, e, &known)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// apply loads the problem, advances it and writes what follows in one batch.
func (w *Worker) apply(ctx context.Context, l store.Lease, e page.Event, known **page.Context) error {
	p, rev, err := Load(ctx, w.Store, e.Problem)
	if err != nil {
		return err
	}
	s := w.Rules.Advance(p, e)
	switch {
	case !s.Opened || s.Problem.Storm != nil:
	case w.folds(s.Problem):
		s.fold(w.Now())
	default:
		w.enrich(ctx, &s, e, known)
	}
	ops, err := w.batch(ctx, &s, e, rev)
	if err != nil {
		return err
	}
	if err := w.Store.Apply(ctx, append(ops, store.Done(l))...); err != nil {
		return fmt.Errorf("write problem: %w", err)
	}
	w.tell(s, e)
	return nil
}

// enrich asks for context until the page's deadline and sets its clock.
func (w *Worker) enrich(ctx context.Context, s *Step, e page.Event, known **page.Context) {
	p := &s.Problem
	c := &p.Clock
	c.Durable = w.Now()
	most := w.Deadline.Of(*p)
	c.Deadline = e.At.Add(most)
	if !p.Self && !p.IsCanary() && *known == nil {
		under := w.enriching.Add(1)
		defer w.enriching.Add(-1)
		left := min(c.Deadline.Sub(c.Durable), most) // a clock that was set back must not stretch it
		if p.Severity() != page.Critical && under > int64(w.Writers)/2 {
			left = 0 // half of the writers wait already: the others are for what is critical
		}
		ctx, cancel := context.WithTimeout(ctx, max(left, minAsk))
		found := w.Enricher.Context(ctx, *p)
		cancel()
		*known = &found
	}
	if *known != nil {
		s.know(**known, w.Now())
	}
	c.Decided = w.Now()
}

// minAsk is what a page that is late already still gives its context: enough
// for an answer that is in the cache.
const minAsk = 50 * time.Millisecond

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// tell logs and counts a step that is durable.
func (w *Worker) tell(s Step, e page.Event) {
	p := s.Problem
	outcome := "unchanged"
	switch {
	case s.Opened:
		outcome = "opened"
		if p.Folded != "" {
			outcome = "folded"
		}
		if p.Folded != "" || p.Storm != nil { // not handed to anybody by now
			break
		}
		for _, stage := range Stages(p.Clock) {
			w.observe(p, stage.Name, stage.After)
		}
	case s.Closed:
		outcome = "closed"
	case s.Changed:
		outcome = "changed"
	}
	w.Metrics.events.WithLabelValues(string(e.Kind), outcome).Inc()
	w.Log.Log(context.Background(), p.LogLevel(), "event applied", "page", e.Problem, "episode", p.Episode, "revision", p.Revision,
		"receiver", p.Receiver, "kind", e.Kind, "actor", e.Actor, "decision", s.Why)
}

func (w *Worker) observe(p page.Problem, stage string, d time.Duration) {
	if w.Observe != nil && !p.IsCanary() {
		w.Observe(stage, d)
	}
}

// Load reads a problem and its revision; the zero Problem and 0 when there is none.
func Load(ctx context.Context, s store.Store, id string) (page.Problem, uint64, error) {
	var p page.Problem
	rec, err := s.Get(ctx, store.ProblemKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return p, 0, nil
	}
	if err != nil {
		return p, 0, fmt.Errorf("read problem: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &p); err != nil {
		return p, 0, fmt.Errorf("read problem %s: %w", id, err)
	}
	return p, rec.Rev, nil
}

func traceparent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"]
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
