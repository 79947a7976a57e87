package remediate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	// approveFor is how long people are waited for where the policy does not say.
	approveFor = 15 * time.Minute
	// approvalGood is how long a yes counts: what it was said to is over by then.
	approvalGood = 15 * time.Minute
	// mostDecisions bounds what people said about one dispatch.
	mostDecisions = 20
)

// saw is what guards saw, for who is to decide: those that looked at something.
func saw(verdicts []Verdict) []string {
	var out []string
	for _, v := range verdicts {
		if v.Value != "" {
			out = append(out, v.line())
		}
	}
	return out
}

// askPeople asks for an approval. Nothing but a person gives it.
func (w *walk) askPeople(ctx context.Context, p *Policy, verdicts []Verdict, judged func(*Dispatch)) error {
	wait := approveFor
	if p.Approval.Expires > 0 {
		wait = p.Approval.Expires.D()
	}
	roles := p.Approval.Roles
	until := w.now.Add(wait)
	w.Metrics.decided(w.v.Policy, "ask")
	return w.move(ctx, move{
		to: Awaiting, reason: "a person is asked until " + page.Moment(until, w.now), due: w.now.Add(w.Timing.Look),
		change: func(d *Dispatch) { judged(d); d.Asked, d.Expires, d.Roles = w.now, until, roles },
		tell:   "waits for approval until " + page.Moment(until, w.now) + " to launch " + w.v.what() + "; " + guardsPass(len(verdicts)),
		shows:  saw(verdicts),
	})
}

// awaiting looks whether a person has decided, or will no longer.
func (w *walk) awaiting(ctx context.Context) error {
	_, _, over, err := w.concerns(ctx)
	if over || err != nil {
		return err
	}
	d := &w.v.Dispatch
	said, ok := d.approved(w.now)
	switch {
	case ok:
		// its guards are asked again: much may have changed since
		return w.move(ctx, move{to: Guarding, reason: "approved by " + said.By, actor: said.By, due: w.now, tell: "approved by " + said.By + ": its guards are asked again"})
	case d.denied():
		who := d.Approval[len(d.Approval)-1].By
		return w.move(ctx, move{to: Denied, reason: "denied by " + who, actor: who, tell: "denied by " + who})
	case !w.now.Before(d.Expires):
		w.Metrics.decided(d.Policy, "expired")
		return w.move(ctx, move{
			to: Escalated, reason: "nobody approved it in time", aloud: true,
			tell: "nobody approved it in time, so nothing was done: people are needed", shows: d.evidence(w.after(ctx)),
		})
	}
	return w.stay(ctx, earlier(d.Expires, w.now.Add(w.Timing.Look)), nil)
}

// denied reports whether the last word since people were asked is a no.
func (d *Dispatch) denied() bool {
	return len(d.Approval) > 0 && !d.Approval[len(d.Approval)-1].Approve && !d.Approval[len(d.Approval)-1].At.Before(d.Asked)
}

// act takes in what a person said, who was known to have the right to. It counts
// only for a dispatch that asks.
func (e *Engine) act(ctx context.Context, l store.Lease, t task) error {
	v, err := read(ctx, e.Store, t.Dispatch)
	if errors.Is(err, store.ErrNotFound) || err == nil && (v.Problem != t.Problem || v.Episode != t.Episode) {
		return e.Store.Apply(ctx, store.Done(l))
	}
	if err != nil {
		return err
	}
	now := e.Now()
	if t.Act == nil || v.Stage != Awaiting || t.At.Before(v.Asked) || !t.At.Before(v.Expires) || len(v.Approval) >= mostDecisions {
		e.Log.Warn("nobody had asked for this decision: it counts for nothing", "dispatch", t.Dispatch, "stage", v.Stage)
		return e.Store.Apply(ctx, store.Done(l))
	}
	d := v.Dispatch
	said := Decision{By: page.OneLine(t.Act.By), Via: t.Act.Via, At: t.At, Approve: t.Act.Verb == page.ApproveIt}
	d.Approval = append(slices.Clone(d.Approval), said)
	reason := "says no"
	if said.Approve {
		reason = "approves"
	}
	noted, err := note(&d, now, d.Stage, move{to: d.Stage, reason: reason, actor: said.By})
	if err != nil {
		return err
	}
	value, err := store.Marshal(d)
	if err != nil {
		return err
	}
	return e.Store.Apply(ctx, append(noted, store.Swap(store.DispatchKey(d.ID), v.rev, value), store.Done(l))...)
}
