package remediate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// claimed makes sure, seconds before the launch, that everything is as it was
// decided on, writes down what will be sent, and sends it once.
func (w *walk) claimed(ctx context.Context) error {
	d := &w.v.Dispatch
	if _, _, over, err := w.concerns(ctx); over || err != nil {
		return err
	}
	b := w.Backends[d.Step.Backend]
	if b == nil {
		return w.letGo(ctx, Verdict{Guard: "backend", Outcome: Deny, Reason: "no backend is called " + d.Step.Backend})
	}
	pre, cancel := context.WithTimeout(ctx, w.Timing.Post)
	order, v := w.prepare(pre, b)
	cancel()
	if v != nil {
		return w.letGo(ctx, *v)
	}
	w.now = w.Now() // the backend took its time
	view, pol, over, err := w.concerns(ctx)
	if over || err != nil {
		return err
	}
	ledger, rev, seen, err := w.past(ctx)
	if err != nil {
		return err
	}
	// what the dispatch itself has reserved does not stand in its way
	seen.Dispatches = slices.DeleteFunc(slices.Clone(seen.Dispatches), func(t Trace) bool { return t.ID == d.ID })
	verdicts := w.ask(ctx, pol, view, seen)
	if m := w.refused(verdicts, pol); m != nil {
		w.storms(verdicts, m, ledger, rev)
		return w.move(ctx, *m)
	}
	if now := w.mode(pol, d.Step, d.Receiver); now.rank() < d.Mode.rank() {
		return w.letGo(ctx, Verdict{Guard: "mode", Outcome: Deny, Reason: heldBack(now, d.Mode)})
	}
	if _, approved := d.approved(w.now); d.Mode == Approve && !approved {
		return w.askPeople(ctx, pol, verdicts, func(*Dispatch) {})
	}
	if w.Now().Sub(w.now) > w.Timing.Fresh { // the guards took so long that the first of them may be wrong by now
		return w.stay(ctx, w.Now(), nil)
	}
	return w.launch(ctx, b, order, verdicts, ledger, rev)
}

// heldBack says that a policy goes less far than when its target was claimed.
func heldBack(now, then Mode) string {
	return fmt.Sprintf("its mode is %s by now, and was %s", now, then)
}

// prepare asks the backend for all that a launch needs. A verdict says why it
// cannot be.
func (w *walk) prepare(ctx context.Context, b Backend) (Order, *Verdict) {
	d := &w.v.Dispatch
	no := func(guard string, o Outcome, err error) (Order, *Verdict) {
		return Order{}, &Verdict{Guard: guard, Outcome: o, Reason: page.OneLine(err.Error()), At: w.now}
	}
	t, err := b.Ready(ctx, d.Step, d.Target)
	if _, known := errors.AsType[*NotReady](err); known {
		return no("template", Deny, err)
	} else if err != nil {
		return no("template", Blind, err)
	}
	o := Order{Launch: Launch{
		Template: t, Check: d.Mode == Check, Dispatch: d.ID, Timeout: d.Step.Timeout.D(),
	}}
	if w.PageURL != nil {
		o.Launch.Link = w.PageURL(d.Problem)
	}
	pol := w.policy(d)
	if d.Target.Kind == HostTarget {
		h, err := b.Host(ctx, pol.Target.Inventory, d.Target.Name)
		if err != nil {
			return no("inventory", Deny, err)
		}
		o.Launch.Limit = h.Name
	}
	if (o.Launch.Limit == "") == (d.Target.Kind == HostTarget) {
		return no("inventory", Deny, errors.New("a host's launch needs the host as its limit, and no other may have one"))
	}
	mark, busy, err := b.Watermark(ctx, t, o.Launch.Limit)
	if err != nil {
		return no("template", Blind, err)
	}
	if o.Watermark = mark; len(busy) > 0 {
		return Order{}, &Verdict{
			Guard: "busy", Outcome: Wait, Until: w.now.Add(w.Timing.Ask), At: w.now,
			Reason: fmt.Sprintf("job %d is at work on %s already", busy[0].ID, o.Launch.Limit),
		}
	}
	p, err := problem(ctx, w.Store, d.Problem)
	if err != nil {
		return no("variables", Blind, err)
	}
	vars, err := pol.Variables(d.Step, p.View(), d.Target)
	if err != nil {
		return no("variables", Deny, err)
	}
	o.Launch.Variables = vars
	return o, nil
}

// letGo gives the target back before anything was sent.
func (w *walk) letGo(ctx context.Context, v Verdict) error {
	v.At = w.now
	m := w.refused([]Verdict{v}, &Policy{Name: w.v.Policy})
	return w.move(ctx, *m)
}

// launch makes the order durable, sends it, and says what came of it. The order
// is written over the very past that the guards saw: a freeze in between is a
// conflict, and nothing is sent.
func (w *walk) launch(ctx context.Context, b Backend, o Order, verdicts []Verdict, l Ledger, rev uint64) error {
	d := &w.v.Dispatch
	var claim Claim
	if d.Step.Claim {
		var err error
		if claim, err = w.claimOf(ctx, d.ID); err != nil {
			return err
		}
	}
	before := w.before(ctx)
	w.now = w.Now()
	o.Launch.Claim = Claim{URL: claim.URL}
	o.At, o.Fence, o.Settled = w.now, w.lease.Token, w.now.Add(store.Sure+b.Settle())
	began := time.Now()
	err := w.move(ctx, move{
		to: Intent, reason: "launches " + d.what(), ledger: &l, rev: rev, tell: w.said(len(verdicts)),
		change: func(d *Dispatch) {
			d.Intent, d.Attempt, d.Verdicts, d.Judged, d.Readings = &o, d.Attempt+1, verdicts, w.now, before
			d.Seized, d.Job = 0, nil
		},
	})
	if err != nil {
		return err // whether it is written or not: nothing was sent
	}
	w.v.rev = 0 // it must be read again
	o.Launch.Claim = claim
	post, cancel := context.WithTimeout(fenced(ctx, began.Add(store.Sure)), w.Timing.Post)
	job, err := b.Launch(post, o.Launch)
	cancel()
	return w.answered(ctx, job, err)
}

// said tells that it is launched, and on whose word.
func (w *walk) said(guards int) string {
	d := &w.v.Dispatch
	s := "launches " + d.what() + ": " + guardsPass(guards)
	if a, ok := d.approved(w.now); ok {
		s = "approved by " + a.By + ": " + s
	}
	if d.Attempt > 0 {
		s += fmt.Sprintf(" (attempt %d)", d.Attempt+1)
	}
	return s
}

// answered writes down what came of a launch. Meanwhile the playbook may have
// claimed the dispatch: then it is read again, and written all the same.
func (w *walk) answered(ctx context.Context, job Job, answer error) error {
	for {
		v, err := read(ctx, w.Store, w.v.ID)
		if err != nil {
			return err
		}
		if w.v = v; v.Stage != Intent {
			return w.Store.Apply(ctx, store.Retry(w.lease, w.Now()))
		}
		w.now = w.Now()
		if err := w.move(ctx, w.outcome(job, answer)); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// outcome is the transition that a launch's answer makes.
func (w *walk) outcome(job Job, answer error) move {
	d := &w.v.Dispatch
	with := func(d *Dispatch) { d.Job = &job }
	if answer == nil {
		return move{to: Launched, reason: fmt.Sprintf("job %d", job.ID), change: with, due: w.now.Add(w.Timing.Poll), tell: fmt.Sprintf("launched job %d", job.ID)}
	}
	r, no := errors.AsType[*Rejected](answer)
	switch {
	case no && r.Status == 0 && d.Attempt < relaunches:
		return move{to: Claimed, reason: r.Error(), due: w.now.Add(w.Timing.Poll), tell: "nothing was sent: " + r.Reason + "; it is prepared anew"}
	case no:
		return move{to: Refused, reason: r.Error(), due: w.now, tell: r.Error()}
	}
	if u, ok := errors.AsType[*Unsafe](answer); ok {
		w.Metrics.unsafe.Inc()
		return move{
			to: Cancelling, reason: u.Reason, breaker: u.Reason, due: w.now, aloud: true,
			change: func(d *Dispatch) { with(d); d.Wrong, d.Ask = u.Reason, w.now },
			tell:   fmt.Sprintf("UNSAFE: job %d was started, and %s; it is cancelled", job.ID, u.Reason),
		}
	}
	w.Metrics.unknowns.Inc()
	return move{
		to: Unknown, reason: "whether it was launched is not known: " + answer.Error(), due: d.Intent.Settled,
		tell: "whether the job was started is not known; it is looked for from " + page.Moment(d.Intent.Settled, w.now) + " on",
	}
}

// interrupted is met where the one who launched has not said what came of it: it
// crashed, or lost its lease. Whatever it sent, it sent before Intent.Settled.
func (w *walk) interrupted(ctx context.Context) error {
	w.Metrics.unknowns.Inc()
	return w.move(ctx, move{
		to: Unknown, reason: "whoever launched it did not say what came of it", due: w.v.Intent.Settled,
		tell: "whether the job was started is not known; it is looked for from " + page.Moment(w.v.Intent.Settled, w.now) + " on",
	})
}

// relaunches bounds the launches of one dispatch: each is preceded by a proof that
// the one before came to nothing.
const relaunches = 3

// unknown finds out by search whether a job was started.
func (w *walk) unknown(ctx context.Context) error {
	d := &w.v.Dispatch
	if w.now.Before(d.Intent.Settled) {
		return w.stay(ctx, d.Intent.Settled, nil)
	}
	b := w.Backends[d.Step.Backend]
	if b == nil {
		return w.doubt(ctx, errors.New("no backend is called "+d.Step.Backend))
	}
	ask, cancel := context.WithTimeout(ctx, w.Timing.Post)
	defer cancel()
	if d.Seized != 0 { // it has shown itself
		job, err := b.Job(ask, Job{ID: d.Seized, Kind: d.Intent.Launch.Template.Kind})
		if err != nil {
			return w.doubt(ctx, err)
		}
		return w.adopt(ctx, job, fmt.Sprintf("job %d has claimed it", job.ID))
	}
	jobs, err := b.Find(ask, d.Intent.Launch.Template, d.Intent.Watermark, d.ID)
	if err != nil {
		return w.doubt(ctx, err)
	}
	switch {
	case len(jobs) == 0 && d.Attempt >= relaunches:
		return w.move(ctx, move{to: Escalated, reason: "no launch came through", aloud: true, tell: fmt.Sprintf("none of %d launches came through: people are needed", d.Attempt)})
	case len(jobs) == 0:
		return w.move(ctx, move{to: Claimed, reason: "no job was started", due: w.now, tell: "no job was started: it is prepared anew"})
	case len(jobs) > 1:
		return w.reduce(ctx, b, jobs)
	}
	return w.adopt(ctx, jobs[0], fmt.Sprintf("job %d was found", jobs[0].ID))
}

// adopt goes on with a job that was found, unless it is not what was asked for.
func (w *walk) adopt(ctx context.Context, job Job, reason string) error {
	with := func(d *Dispatch) { d.Job = &job; d.Trouble = time.Time{} }
	if limit := w.v.Intent.Launch.Limit; job.Limit != limit && limit != "" {
		w.Metrics.unsafe.Inc()
		wrong := fmt.Sprintf("its limit is %q", job.Limit)
		return w.move(ctx, move{
			to: Cancelling, reason: wrong, breaker: wrong, due: w.now, aloud: true,
			change: func(d *Dispatch) { with(d); d.Wrong, d.Ask = wrong, w.now },
			tell:   fmt.Sprintf("UNSAFE: job %d runs with limit %q; it is cancelled", job.ID, job.Limit),
		})
	}
	return w.move(ctx, move{to: Launched, reason: reason, change: with, due: w.now, tell: reason})
}

// reduce keeps the first of several jobs, and cancels those that do not run yet.
func (w *walk) reduce(ctx context.Context, b Backend, jobs []Job) error {
	w.Metrics.duplicates.Add(float64(len(jobs) - 1))
	var ids []string
	for _, j := range jobs[1:] {
		ids = append(ids, fmt.Sprint(j.ID))
		if j.State != Pending {
			continue
		}
		if err := b.Cancel(ctx, j); err != nil && !errors.Is(err, ErrEnded) {
			return w.doubt(ctx, err)
		}
	}
	with := func(d *Dispatch) { d.Job = &jobs[0]; d.Trouble = time.Time{} }
	reason := fmt.Sprintf("job %d is one of several with this dispatch: %s were cancelled where they did not run yet", jobs[0].ID, strings.Join(ids, ", "))
	return w.move(ctx, move{to: Launched, reason: reason, change: with, due: w.now, tell: reason, aloud: true})
}

// doubt stays unknown, holds the target, and says so once it has lasted.
func (w *walk) doubt(ctx context.Context, err error) error {
	d := &w.v.Dispatch
	w.Log.Warn("launch is still unknown", "dispatch", d.ID, "err", err)
	due := w.now.Add(w.Timing.Ask)
	if w.now.Sub(d.Intent.At) < w.Timing.Doubt {
		return w.stay(ctx, due, nil)
	}
	return w.move(ctx, move{
		to: Unknown, reason: "cannot be found out: " + err.Error(), due: due, aloud: true, key: "unknown for long",
		tell: "whether the job was started cannot be found out: people are needed; the target is held (" + err.Error() + ")",
	})
}
