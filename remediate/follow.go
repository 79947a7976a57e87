package remediate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// stated is how long a job that has ended is waited for to say what it did.
const stated = time.Minute

// launched follows a job to its end.
func (w *walk) launched(ctx context.Context) error {
	d := &w.v.Dispatch
	b := w.Backends[d.Step.Backend]
	if b == nil {
		return w.trouble(ctx, errors.New("no backend is called "+d.Step.Backend))
	}
	ask, cancel := context.WithTimeout(ctx, w.Timing.Post)
	defer cancel()
	job, err := b.Job(ask, *d.Job)
	if errors.Is(err, ErrNoJob) {
		return w.move(ctx, move{to: Broken, reason: "the server has forgotten the job", due: w.now, tell: fmt.Sprintf("job %d is no longer known to the server", d.Job.ID)})
	}
	if err != nil {
		return w.trouble(ctx, err)
	}
	_, firing, why, err := w.fires(ctx)
	if err != nil {
		return err
	}
	if job.State.Ended() {
		return w.ended(ctx, b, job, firing)
	}
	if job.State == Pending {
		if why = w.pointless(ctx, job, firing, why); why != "" {
			return w.move(ctx, move{
				to: Cancelling, reason: why, due: w.now, tell: fmt.Sprintf("job %d has not begun and is cancelled: %s", job.ID, why),
				change: func(d *Dispatch) { d.Job, d.Ask = &job, w.now },
			})
		}
	}
	if w.now.Sub(d.Intent.At) > w.Timing.Life {
		return w.move(ctx, move{
			to: Broken, reason: "the job does not end", due: w.now,
			tell: fmt.Sprintf("job %d still runs after %s and is no longer followed", job.ID, page.Span(w.Timing.Life)),
		})
	}
	due := w.now.Add(w.Timing.Poll)
	began := job.State != d.Job.State && job.State == Running
	early := !firing && !d.Early
	with := func(d *Dispatch) {
		d.Job, d.Trouble, d.Early = &job, time.Time{}, d.Early || !firing
	}
	switch {
	case early:
		return w.move(ctx, move{to: Launched, reason: "the alert ended while the job runs", change: with, due: due, tell: fmt.Sprintf("the alert has ended before job %d: it is let go on", job.ID)})
	case began:
		return w.move(ctx, move{to: Launched, reason: "the job runs", change: with, due: due, tell: fmt.Sprintf("job %d runs", job.ID)})
	}
	return w.stay(ctx, due, with)
}

// pointless says why a job that has not begun should not; "" where it should.
func (w *walk) pointless(ctx context.Context, job Job, firing bool, why string) string {
	d := &w.v.Dispatch
	if !firing {
		return why
	}
	if limit := d.Step.QueueTimeout.D(); limit > 0 && w.now.Sub(d.Intent.At) > limit {
		return with("it has waited for "+page.Span(limit), page.OneLine(job.Why))
	}
	_, _, seen, err := w.past(ctx)
	if err != nil {
		return "" // it is asked again soon
	}
	if scope, s, frozen := seen.frozen(d.Policy, d.Team); frozen {
		return scope + " is frozen by " + s.By
	}
	return ""
}

// trouble keeps on asking a backend that does not answer, and says so once it lasts.
func (w *walk) trouble(ctx context.Context, err error) error {
	d := &w.v.Dispatch
	w.Log.Warn("job cannot be followed", "dispatch", d.ID, "err", err)
	due := w.now.Add(w.Timing.Poll)
	since := d.Trouble
	switch {
	case since.IsZero():
		return w.stay(ctx, due, func(d *Dispatch) { d.Trouble = w.now })
	case w.now.Sub(since) > w.Timing.Life:
		return w.move(ctx, move{to: Broken, reason: "the job could not be followed", due: w.now, tell: fmt.Sprintf("job %d could not be followed: %v", d.Job.ID, err)})
	case w.now.Sub(since) > w.Timing.Trouble:
		return w.move(ctx, move{to: d.Stage, reason: "the job cannot be followed", due: due, aloud: true, key: "trouble", tell: fmt.Sprintf("job %d cannot be followed: %v", d.Job.ID, err)})
	}
	return w.stay(ctx, due, nil)
}

// ended decides what a job that has ended means.
func (w *walk) ended(ctx context.Context, b Backend, job Job, firing bool) error {
	d := &w.v.Dispatch
	ask, cancel := context.WithTimeout(ctx, w.Timing.Post)
	ev, err := b.Evidence(ask, job, d.Intent.Launch.Limit)
	cancel()
	if job.Finished.IsZero() {
		job.Finished = w.now
	}
	since := d.Ended
	if since.IsZero() {
		since = w.now
	}
	if (err != nil || !ev.Stated) && w.now.Sub(since) < stated {
		return w.stay(ctx, w.now.Add(w.Timing.Poll), func(d *Dispatch) { d.Ended = since })
	}
	keep := func(d *Dispatch) {
		d.Job, d.Evidence, d.Ended, d.Trouble, d.Early = &job, &ev, since, time.Time{}, d.Early || !firing
	}
	m := w.means(ctx, job, ev, err)
	m.change, m.due = keep, w.now
	return w.move(ctx, m)
}

// means is the transition that the end of a job makes.
func (w *walk) means(ctx context.Context, job Job, ev Evidence, unread error) move {
	d := &w.v.Dispatch
	said := fmt.Sprintf("job %d: %s", job.ID, job.State)
	pol := w.policy(d)
	switch {
	case d.Wrong != "":
		return move{to: Dangerous, reason: d.Wrong, tell: with("UNSAFE "+said, d.Wrong, ev.words())}
	case job.State == Canceled && !d.Ask.IsZero() && !touched(ev, ""):
		return move{to: Superseded, reason: "cancelled before it did anything", tell: said + " before it did anything"}
	case job.State != Successful:
		return move{to: Broken, reason: with(said, page.OneLine(job.Why)), tell: with(said, page.OneLine(job.Why), ev.words())}
	case unread != nil || !ev.Stated:
		return move{to: NoEffect, reason: said + ", and what it did cannot be read", tell: said + ", and what it did cannot be read"}
	case !touched(ev, d.Intent.Launch.Limit):
		return move{to: NoEffect, reason: said + ", and touched no host", tell: with(said+", and touched no host", ev.words())}
	case d.Mode == Check:
		return move{to: Gathered, reason: said + " in check mode", tell: with(said+" in check mode: nothing was changed", ev.words())}
	case pol != nil && pol.DangerOf(d.Step) == ReadOnly:
		m := move{to: Gathered, reason: said, tell: with(said, ev.words())}
		m.ops, m.next = w.further(ctx)
		return m
	case d.Step.Claim && d.Seized != job.ID:
		return move{
			to: Broken, reason: said + " without its claim", breaker: "its playbook does not claim",
			tell: said + ", and never claimed its dispatch: the policy stops until its playbook begins with the claim",
		}
	}
	return move{to: Verifying, reason: said, tell: with(said+": now the alert has to end", ev.words())}
}

// touched reports whether a job did something on a host: on this one, "" for any.
func touched(ev Evidence, host string) bool {
	return slices.ContainsFunc(ev.Hosts, func(h HostResult) bool {
		return (host == "" || h.Host == host) && h.OK+h.Changed+h.Failed > 0
	})
}

// cancelling asks a job to end until it has.
func (w *walk) cancelling(ctx context.Context) error {
	d := &w.v.Dispatch
	b := w.Backends[d.Step.Backend]
	if b == nil {
		return w.trouble(ctx, errors.New("no backend is called "+d.Step.Backend))
	}
	ask, cancel := context.WithTimeout(ctx, w.Timing.Post)
	defer cancel()
	job, err := b.Job(ask, *d.Job)
	switch {
	case errors.Is(err, ErrNoJob):
		job = *d.Job
		job.State = Canceled
	case err != nil:
		return w.trouble(ctx, err)
	}
	if job.State.Ended() {
		_, firing, _, err := w.fires(ctx)
		if err != nil {
			return err
		}
		return w.ended(ctx, b, job, firing)
	}
	if w.now.Sub(d.Ask) > w.Timing.Cancel {
		m := move{
			to: Broken, reason: "the job does not end although it was asked to", due: w.now,
			tell: fmt.Sprintf("job %d was cancelled and does not end", job.ID),
		}
		if d.Wrong != "" {
			m.to = Dangerous
		}
		return w.move(ctx, m)
	}
	if err := b.Cancel(ask, job); err != nil && !errors.Is(err, ErrEnded) {
		return w.trouble(ctx, err)
	}
	return w.stay(ctx, w.now.Add(w.Timing.Poll), func(d *Dispatch) { d.Job, d.Trouble = &job, time.Time{} })
}
