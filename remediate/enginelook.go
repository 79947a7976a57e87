package remediate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// mostTargets is how many targets of one page a policy acts on at the most. Where
// there are more, the measurement is doubted, and none is touched.
const mostTargets = 10

// Inbox makes the work that the pipeline leaves for the engine, in one batch with
// the problem it is about.
type Inbox struct {
	Receivers map[string]bool // those with policies
}

// Ops returns the work for a problem's new revision, or for what a person said;
// none where no policy is concerned.
func (b *Inbox) Ops(p page.Problem, ev page.Event) ([]store.Op, error) {
	if !b.Receivers[p.Receiver] || p.Self || p.Test || p.IsCanary() || ev.Kind == page.Ran {
		return nil, nil
	}
	t := task{Do: doLook, Problem: p.ID, Episode: p.Episode}
	id, key := fmt.Sprintf("look/%s/%d/%d", p.ID, p.Episode, p.Revision), "look/"+p.ID
	if a := ev.Act; a != nil && (a.Verb == page.ApproveIt || a.Verb == page.DenyIt) {
		t.Do, t.Dispatch, t.Act, t.At = doAct, a.Dispatch, a, ev.At
		id, key = "act/"+ev.ID, "act/"+a.Dispatch
	} else if p.State != page.Open || p.Storm != nil || p.Folded != "" {
		return nil, nil // dispatches look for themselves whether it fires
	}
	op, err := t.item(id, key, time.Time{})
	if err != nil {
		return nil, err
	}
	return []store.Op{op}, nil
}

// look makes a dispatch of every policy for every target it may act on, unless
// there is one: an episode has one of each.
func (e *Engine) look(ctx context.Context, l store.Lease, t task) error {
	p, err := problem(ctx, e.Store, t.Problem)
	if err != nil {
		return err
	}
	if p.Episode == t.Episode && p.State == page.Open && p.Storm == nil && p.Folded == "" {
		v := p.View()
		for _, pol := range e.Policies[p.Receiver] {
			if err := e.propose(ctx, p, v, pol); err != nil {
				return err
			}
		}
	}
	return e.Store.Apply(ctx, store.Done(l))
}

// propose makes the dispatches of one policy.
func (e *Engine) propose(ctx context.Context, p page.Problem, v page.Page, pol *Policy) error {
	if pol.Mode == Off || len(pol.Steps) == 0 || e.offFor(pol, v) {
		return nil
	}
	targets, refused := pol.Targets(v)
	why := ""
	if len(refused) > 0 {
		why = fmt.Sprintf("nothing is touched: %s names no target: %s", Quoted(refused[0].Value), refused[0].Reason)
	}
	hits, _ := pol.find(v) // all of them, however many
	switch {
	case len(hits) > mostTargets:
		why = fmt.Sprintf("nothing is touched: %d targets at once are more than %d, so the measurement is doubted first", len(hits), mostTargets)
		fallthrough
	case len(targets) == 0 && why != "":
		d := e.fresh(p, pol, Target{Kind: pol.Target.Kind}, 0)
		ops, err := e.born(d, Expired, why)
		if err != nil {
			return err
		}
		return e.create(ctx, ops)
	}
	for _, t := range targets {
		own := e.suited(pol, v, t)
		if own.Mode == Off {
			continue
		}
		if err := e.begin(ctx, p, e.fresh(p, own, t, 0)); err != nil {
			return err
		}
	}
	return nil
}

// suited is a policy as it is for the apps whose alerts are about a target. Where
// none is just now, its guards refuse, and it is that of the whole page, which
// does not end what waits.
func (e *Engine) suited(p *Policy, v page.Page, t Target) *Policy {
	if e.Apps == nil || p == nil {
		return p
	}
	if about := p.AlertsOf(v, t); len(about) > 0 {
		return e.Apps.Of(p, about)
	}
	all := *e.Apps.Of(p, v.Alerts)
	if all.Mode == Off && p.Mode != Off {
		all.Mode = Observe
	}
	return &all
}

// offFor reports whether layers turn a policy off for all that fires on a page.
func (e *Engine) offFor(p *Policy, v page.Page) bool {
	return e.Apps != nil && len(v.Alerts) > 0 && !slices.ContainsFunc(v.Alerts, func(a page.Alert) bool {
		return e.Apps.Of(p, []page.Alert{a}).Mode != Off
	})
}

// begin makes the first dispatch of an episode for a target, unless it is there,
// and remembers the episode.
func (e *Engine) begin(ctx context.Context, p page.Problem, d *Dispatch) error {
	if _, err := read(ctx, e.Store, d.ID); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	ops, err := e.born(d, Guarding, "proposed")
	if err != nil {
		return err
	}
	l, rev, err := ReadLedger(ctx, e.Store)
	if err != nil {
		return err
	}
	if l.meets(d.Target, p.Opened) {
		op, err := l.swap(rev, d.Made)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := e.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("write dispatch: %w", err)
	}
	return nil
}

// create writes a dispatch that may be there already.
func (e *Engine) create(ctx context.Context, ops []store.Op) error {
	if err := e.Store.Apply(ctx, ops...); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("write dispatch: %w", err)
	}
	return nil
}

// fresh is a dispatch that nothing was decided on yet.
func (e *Engine) fresh(p page.Problem, pol *Policy, t Target, rung int) *Dispatch {
	now := e.Now()
	return &Dispatch{
		ID: DispatchID(pol.Name, p, t, rung), Policy: pol.Name, Version: VersionOf(pol), Team: pol.Team, Receiver: p.Receiver,
		Problem: p.ID, Episode: p.Episode, Rung: rung, Step: pol.Steps[rung], Mode: e.mode(pol, pol.Steps[rung], p.Receiver),
		Target: t, Layered: pol.Layered, Made: now, Moved: now, StableFor: pol.Stable.D(),
	}
}

// born are the operations that create a dispatch at its first stage, with its
// first line; one that is not over is put into the lane.
func (e *Engine) born(d *Dispatch, s Stage, reason string) ([]store.Op, error) {
	d.Stage, d.Reason = s, reason
	m := move{to: s, reason: reason, actor: "tocsin"}
	if s.Over() {
		m.tell = reason
	}
	told, err := tell(d, d.Made, m)
	if err != nil {
		return nil, err
	}
	noted, err := note(d, d.Made, "", m)
	if err != nil {
		return nil, err
	}
	value, err := store.Marshal(d)
	if err != nil {
		return nil, err
	}
	ops := append([]store.Op{store.Create(store.DispatchKey(d.ID), value)}, append(told, noted...)...)
	if s.Over() {
		ops[0] = ops[0].Until(d.Made.Add(keepFor))
		return ops, nil
	}
	work, err := task{Do: doStep, Problem: d.Problem, Episode: d.Episode, Dispatch: d.ID}.item("step/"+d.ID, "step/"+d.ID, d.Made)
	return append(ops, work), err
}

// mode is how far a step may go, which is no further than to say so in a receiver
// that is in shadow.
func (e *Engine) mode(p *Policy, s Step, receiver string) Mode {
	m := p.ModeOf(s)
	if e.Watched[receiver] && m != Off {
		return Observe
	}
	return m
}

// VersionOf is a sum over all that a policy says.
func VersionOf(p *Policy) string {
	b, err := store.Marshal(p)
	if err != nil { // strings, numbers, durations: cannot be
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
