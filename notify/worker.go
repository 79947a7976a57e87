package notify

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Worker takes work from the targets' lanes and brings each target to show the
// latest page. Every target has its own workers, so that one which hangs holds
// up nobody else. All fields but Router, PageURL, Observe,
// Alarm and Timing must be set.
type Worker struct {
	Store   store.Store
	Targets []Target // each name once; see Router.Targets
	Router  *Router  // who stands in for whom; nil: nobody
	Log     *slog.Logger
	Now     func() time.Time
	Metrics *Metrics
	Tracer  trace.Tracer
	Timing  Timing
	Owners  Owners // whose pages are; nil: as their labels say
	// PageURL returns the address of a problem's own page.
	PageURL func(problem string) string
	// Observe takes the time from the rule's firing to a target's first
	// message, stage "delivered".
	Observe func(stage string, d time.Duration)
	// Alarm is told once per item that a page does not come through: the target
	// refuses it, or it is critical and late by Timing.RepeatAfter.
	Alarm func(ctx context.Context, target string, p page.Page, err error)
}

// Timing is how long things take and how often they are tried. A zero field
// means its value in DefaultTiming.
type Timing struct {
	PerTarget   int           // deliveries to one target at once
	Timeout     time.Duration // of one call of a notifier
	Grace       time.Duration // what a call under way is given when the house closes
	BackoffMin  time.Duration // full jitter between retries, doubling from here
	BackoffMax  time.Duration // up to here; also the longest Retry-After that is honoured
	Reconcile   time.Duration // from an unknown outcome to the question what became of it
	RepeatAfter time.Duration // a page of unknown outcome that cannot be asked for is sent again by then
	Mend        time.Duration // between tries while a human has to mend the target
	Expire      time.Duration // when a page that is not critical and open is given up
}

// DefaultTiming returns the values that serve where nothing else is said.
func DefaultTiming() Timing {
	return Timing{
		PerTarget: 4, Timeout: 30 * time.Second, Grace: 5 * time.Second,
		BackoffMin: time.Second, BackoffMax: time.Minute,
		Reconcile: 2 * time.Second, RepeatAfter: time.Minute, Mend: 30 * time.Second, Expire: 24 * time.Hour,
	}
}

func (t Timing) withDefaults() Timing {
	d := DefaultTiming()
	if t.PerTarget == 0 {
		t.PerTarget = d.PerTarget
	}
	for _, f := range []struct {
		have *time.Duration
		want time.Duration
	}{
		{&t.Timeout, d.Timeout},
		{&t.Grace, d.Grace},
		{&t.BackoffMin, d.BackoffMin},
		{&t.BackoffMax, d.BackoffMax},
		{&t.Reconcile, d.Reconcile},
		{&t.RepeatAfter, d.RepeatAfter},
		{&t.Mend, d.Mend},
		{&t.Expire, d.Expire},
	} {
		if *f.have == 0 {
			*f.have = f.want
		}
	}
	return t
}

// backoff is AWS' full jitter: anything up to the doubled wait, so that what
// failed together does not return together.
func (t Timing) backoff(attempt int) time.Duration {
	top := min(t.BackoffMin<<min(attempt, 20), t.BackoffMax)
	return t.BackoffMin/2 + rand.N(top)
}

// Run works until ctx ends, then lets the deliveries under way come to an end.
func (w *Worker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	shared := buckets{}
	for _, t := range w.Targets {
		l := &lane{
			Worker: w, target: t, timing: w.Timing.withDefaults(),
			log:    w.Log.With("notifier", t.String()),
			states: map[string]page.DeliveryState{}, told: map[string]bool{},
			slots: newSlots(w.Timing.withDefaults().PerTarget), buckets: shared.of(t),
		}
		for range l.timing.PerTarget {
			wg.Go(func() { l.run(ctx) })
		}
	}
	wg.Go(func() { w.watchQueues(ctx) })
	if w.Router != nil {
		wg.Go(func() { w.watchOverdue(ctx) })
	}
	wg.Wait()
}

// watchQueues keeps the gauges of the lanes.
func (w *Worker) watchQueues(ctx context.Context) {
	for ctx.Err() == nil {
		stats, err := w.Store.Lanes(ctx)
		if err == nil {
			w.measure(stats)
			err = w.countDead(ctx)
		}
		if err != nil && ctx.Err() == nil {
			w.Log.Error("read lanes and dead letters", "err", err)
		}
		pause(ctx, 5*time.Second)
	}
}

func (w *Worker) measure(stats []store.LaneStat) {
	byLane := map[string]store.LaneStat{}
	for _, s := range stats {
		byLane[s.Lane] = s
	}
	for _, t := range w.Targets {
		s := byLane[store.LaneDeliver+t.String()]
		age := 0.0
		if s.Items > 0 {
			age = max(0, w.Now().Sub(s.Oldest).Seconds())
		}
		w.Metrics.pending.WithLabelValues(t.Kind, t.Name).Set(float64(s.Items))
		w.Metrics.age.WithLabelValues(t.Kind, t.Name).Set(age)
	}
}

// lane is one target and what its workers share.
type lane struct {
	*Worker
	target Target
	timing Timing
	log    *slog.Logger
	slots  slots

	buckets map[Verb]*bucket
	breaker breaker

	mu     sync.Mutex
	states map[string]page.DeliveryState // items that did not come through yet
	told   map[string]bool               // of them: Alarm knows
}

// leaseFor is longer than a call may take; a crash in the middle of one holds
// the page up for as long.
func (l *lane) leaseFor() time.Duration { return l.timing.Timeout + 15*time.Second }

func (l *lane) run(ctx context.Context) {
	name := store.LaneDeliver + l.target.String()
	for ctx.Err() == nil {
		if wait := l.quietFor(); wait > 0 {
			pause(ctx, wait)
			continue
		}
		lease, err := l.Store.Take(ctx, name, l.leaseFor())
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return
			}
			l.log.Error("take from lane", "lane", name, "err", err)
			pause(ctx, time.Second)
			continue
		}
		if wait := l.quietFor(); wait > 0 { // asked for while this worker waited in line
			l.putBack(ctx, lease, l.Now().Add(wait))
			continue
		}
		l.step(ctx, lease)
	}
}

// step works on one item and puts it back when the store was in trouble.
func (l *lane) step(ctx context.Context, lease store.Lease) {
	err := l.deliver(ctx, lease)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
		l.log.Warn("lease lost: somebody else goes on", "item", lease.ID)
	default:
		l.log.Error("delivery is tried again", "item", lease.ID, "attempt", lease.Attempt, "err", err)
		l.putBack(ctx, lease, l.Now().Add(l.timing.backoff(lease.Attempt)))
	}
}

func (l *lane) putBack(ctx context.Context, lease store.Lease, due time.Time) {
	err := l.Store.Apply(context.WithoutCancel(ctx), store.Retry(lease, due))
	// A store that takes nothing comes back at some time: then the item must not
	// wait until its lease ends.
	for tries := 0; err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrClosed); tries++ {
		if tries == 0 {
			l.log.Error("item cannot be put back: it is tried again until its lease ends", "item", lease.ID, "err", err)
		}
		pause(ctx, time.Second)
		err = l.Store.Apply(context.WithoutCancel(ctx), store.Retry(lease, l.Now()))
	}
}

// quietFor is how long the target takes nothing new, and so nothing at all.
func (l *lane) quietFor() time.Duration {
	b := l.buckets[VerbOpen]
	if b.limit != nil { // a new critical page asks all the same; each item finds its own time
		return 0
	}
	return b.quietUntil().Sub(l.Now())
}

// hush leaves what a verb is counted by alone: its limits are the target's, or
// those of all who share it, and not one page's.
func (l *lane) hush(verb Verb, d time.Duration) { l.buckets[verb].hush(l.Now().Add(d)) }

// first reports whether nobody was told about the item yet, and remembers that.
func (l *lane) first(item string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.told[item]
	l.told[item] = true
	return !known
}

// note keeps the gauge of deliveries that did not come through; state "" takes
// the item off it.
func (l *lane) note(item string, state page.DeliveryState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == "" {
		delete(l.states, item)
		delete(l.told, item)
	} else {
		l.states[item] = state
	}
	count := map[page.DeliveryState]int{}
	for _, s := range l.states {
		count[s]++
	}
	for _, s := range []page.DeliveryState{page.Waiting, page.Ambiguous, page.Failed} {
		l.Metrics.undelivered.WithLabelValues(l.target.Kind, l.target.Name, string(s)).Set(float64(count[s]))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
