package remediate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	// resolvedWithin is how long an alert may go on after the job where the step
	// does not say.
	resolvedWithin = 10 * time.Minute
	// stableFor is how long it must stay resolved where the policy does not say.
	stableFor = 5 * time.Minute
)

// verifying waits for the alert's end: that it has resolved, stayed so, and that
// the policy's question holds. The job's success is none.
func (w *walk) verifying(ctx context.Context) error {
	d := &w.v.Dispatch
	_, firing, _, err := w.fires(ctx)
	if err != nil {
		return err
	}
	left := false
	if !firing {
		if left, err = w.silenced(ctx); err != nil {
			return err
		}
	}
	within, stable := d.Step.Verify.ResolvedWithin.D(), d.StableFor
	if within == 0 {
		within = resolvedWithin
	}
	if stable == 0 {
		stable = stableFor
	}
	last := d.Moved.Add(within) // of the alert's end
	due := w.now.Add(w.Timing.Look)
	switch {
	case left && !w.now.Before(last):
		return w.stays(ctx, "its alerts left without resolving (silenced, inhibited or expired), so nobody knows")
	case left:
		return w.stay(ctx, due, nil)
	case firing && !w.now.Before(last):
		return w.stays(ctx, "the alert still fires "+page.Span(within)+" after the job")
	case firing && !d.Calm.IsZero():
		return w.move(ctx, move{to: Verifying, reason: "it fires again", due: due, change: func(d *Dispatch) { d.Calm = time.Time{} }, tell: "the alert fires again"})
	case firing:
		return w.stay(ctx, due, nil)
	case d.Calm.IsZero():
		return w.move(ctx, move{
			to: Verifying, reason: "the alert has ended", due: due, change: func(d *Dispatch) { d.Calm = w.now },
			tell: "the alert has ended: it has to stay so for " + page.Span(stable),
		})
	case w.now.Sub(d.Calm) < stable:
		return w.stay(ctx, earlier(due, d.Calm.Add(stable)), nil)
	}
	return w.holds(ctx, d.Calm.Add(stable+within))
}

// holds asks the policy's question of an alert that stays resolved.
func (w *walk) holds(ctx context.Context, last time.Time) error {
	d := &w.v.Dispatch
	if q := d.Step.Verify.PromQL; q != "" {
		ask, cancel := context.WithTimeout(ctx, w.Timing.Post)
		ok, saw, err := w.Judge.Holds(ask, q, d.Target)
		cancel()
		if err != nil {
			saw = "not known: " + page.OneLine(err.Error())
		}
		switch {
		case ok && err == nil:
		case w.now.Before(last):
			return w.stay(ctx, w.now.Add(w.Timing.Look), nil)
		default:
			return w.stays(ctx, "the alert has ended, but the verification does not hold: "+saw)
		}
	}
	clear := d.Calm.Sub(d.Intent.At)
	w.Metrics.cleared(clear)
	read := w.after(ctx)
	return w.move(ctx, move{
		to: Cleared, reason: "verified: the alert has ended and stayed so", change: func(d *Dispatch) { d.Readings = read },
		tell: fmt.Sprintf("verified: repaired %s after the launch", page.Span(clear)), shows: readings(read),
	})
}

// stays says that the alert did not end, or not for long.
func (w *walk) stays(ctx context.Context, why string) error {
	return w.move(ctx, move{to: NotCleared, reason: why, due: w.now, tell: "not repaired: " + why})
}

// ladder goes on with the next step of the policy, or tells people that they are needed.
func (w *walk) ladder(ctx context.Context) error {
	d := &w.v.Dispatch
	_, firing, why, err := w.fires(ctx)
	if err != nil {
		return err
	}
	stopped, err := w.stopped(ctx)
	if err != nil {
		return err
	}
	read := w.after(ctx)
	keep := func(d *Dispatch) { d.Readings = read }
	if firing && d.Stage != Refused && d.Stage != Dangerous && !stopped {
		if ops, next := w.further(ctx); next != "" {
			return w.move(ctx, move{
				to: Stepped, reason: "the next step of the ladder", change: keep, ops: ops, next: next,
				tell: "next step: " + w.policy(d).Steps[d.Rung+1].Name, shows: readings(read),
			})
		}
	}
	said := "nothing more is tried: people are needed; "
	if !firing {
		said = "the alert has ended all the same (" + why + "); "
	}
	rings := firing
	if d.Stage == Dangerous { // people were rung when it was found out, and are again if it cannot be stopped
		rings = d.Job != nil && !d.Job.State.Ended()
	}
	return w.move(ctx, move{
		to: Escalated, reason: d.Reason, aloud: rings, change: keep,
		tell: said + d.Reason, shows: d.evidence(read),
	})
}

// stopped reports whether the policy's breaker is open, or opens by this
// dispatch's end: no further step would pass its guards.
func (w *walk) stopped(ctx context.Context) (bool, error) {
	l, _, err := ReadLedger(ctx, w.Store)
	if err != nil {
		return false, err
	}
	after := w.v.Dispatch
	after.Stage = Escalated
	w.release(&l, &after, w.v.Stage)
	_, open := l.Breakers[after.Policy]
	return open, nil
}

// further makes the dispatch of the next step; none where the ladder ends here.
func (w *walk) further(ctx context.Context) (ops []store.Op, id string) {
	d := &w.v.Dispatch
	pol := w.policy(d)
	if pol == nil || pol.Mode == Off || d.Rung+1 >= len(pol.Steps) {
		return nil, ""
	}
	p, err := problem(ctx, w.Store, d.Problem)
	if err != nil || p.Episode != d.Episode || p.State != page.Open {
		return nil, ""
	}
	if pol = w.suited(pol, p.View(), d.Target); pol.Mode == Off {
		return nil, ""
	}
	next := w.fresh(p, pol, d.Target, d.Rung+1)
	if _, err := read(ctx, w.Store, next.ID); !errors.Is(err, store.ErrNotFound) {
		return nil, ""
	}
	if ops, err = w.born(next, Guarding, "the next step of "+d.ID); err != nil {
		return nil, ""
	}
	return ops, next.ID
}
