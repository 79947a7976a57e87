package remediate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// guarding asks the guards of a dispatch that has not claimed its target, and
// decides by them and by its mode.
func (w *walk) guarding(ctx context.Context) error {
	view, pol, over, err := w.concerns(ctx)
	if over || err != nil {
		return err
	}
	if due := w.askAgain(); due.After(w.now) {
		return w.stay(ctx, earlier(due, w.now.Add(w.Timing.Look)), nil)
	}
	ledger, rev, seen, err := w.past(ctx)
	if err != nil {
		return err
	}
	w.renew(pol)
	verdicts := w.ask(ctx, pol, view, seen)
	if refused := w.refused(verdicts, pol); refused != nil {
		w.storms(verdicts, refused, ledger, rev)
		return w.move(ctx, *refused)
	}
	return w.decide(ctx, pol, verdicts, ledger, rev)
}

// concerns reads what a dispatch that has not begun is about, and ends it where
// that is over.
func (w *walk) concerns(ctx context.Context) (v page.Page, pol *Policy, over bool, err error) {
	v, firing, why, err := w.fires(ctx)
	if err != nil {
		return v, nil, false, err
	}
	if pol = w.suited(w.policy(&w.v.Dispatch), v, w.v.Target); firing && (pol == nil || w.v.Rung >= len(pol.Steps) || pol.Mode == Off) {
		firing, why = false, "the policy is no longer configured"
		if pol != nil && pol.Mode == Off && len(pol.Layered) > 0 {
			why = "the policy is off for its app"
		}
	}
	if firing {
		return v, pol, false, nil
	}
	m := move{to: Expired, reason: why}
	if w.v.Spoken != "" {
		m.tell = "not done: " + why
	}
	return v, pol, true, w.move(ctx, m)
}

// renew takes over what the policy says by now: nothing was launched by what it said.
func (w *walk) renew(p *Policy) {
	d := &w.v.Dispatch
	d.Step, d.Version, d.Team, d.StableFor = p.Steps[d.Rung], VersionOf(p), p.Team, p.Stable.D()
	d.Mode, d.Layered = w.mode(p, d.Step, d.Receiver), p.Layered
}

// ask asks every guard, and those of the engine itself.
func (w *walk) ask(ctx context.Context, pol *Policy, v page.Page, seen Past) []Verdict {
	d := &w.v.Dispatch
	out := w.Judge.Ask(ctx, Candidate{
		Policy: pol, Step: d.Step, Dispatch: d.ID, Attempt: d.Attempt + 1, Page: v, Target: d.Target, Past: seen, Now: w.now,
	})
	own := func(guard, reason string) {
		if !slices.ContainsFunc(out, func(v Verdict) bool { return v.Guard == guard && v.Outcome != Pass }) {
			out = append(out, Verdict{Guard: guard, Outcome: Deny, Reason: reason, At: w.now})
		}
	}
	if scope, s, frozen := seen.frozen(d.Policy, d.Team); frozen {
		own("kill switch", scope+" is frozen by "+s.By+": "+s.Why)
	}
	if b, open := seen.Breakers[d.Policy]; open {
		own("breaker", b.Why)
	}
	if w.Backends[d.Step.Backend] == nil {
		own("backend", "no backend is called "+d.Step.Backend)
	}
	if d.Step.Claim && w.ClaimURL == "" {
		own("claim", "its playbook claims, and remediation.claim_url does not say where")
	}
	if len(out) == 0 {
		own("guards", "no guard was asked")
	}
	return out
}

// refused returns the move of a dispatch that its guards do not let through; nil
// where all of them do.
func (w *walk) refused(verdicts []Verdict, pol *Policy) *move {
	to, until := Stage(""), time.Time{}
	var guards, words []string
	for _, v := range verdicts {
		switch v.Outcome {
		case Pass:
			continue
		case Wait:
			if to == "" {
				to = Waiting
			}
			if v.Until.After(until) {
				until = v.Until
			}
		case Deny, Blind:
			to = Blocked
		default: // a word that nobody knows is no yes
			to = Blocked
		}
		guards = append(guards, v.Guard)
		words = append(words, v.Guard+": "+v.Reason)
	}
	if to == "" {
		return nil
	}
	m := &move{to: to, reason: strings.Join(words, "; "), due: w.now.Add(w.Timing.Look), change: func(d *Dispatch) {
		d.Verdicts, d.Judged = verdicts, w.now
	}}
	w.Metrics.refused(pol.Name, verdicts)
	key := string(to) + " " + strings.Join(guards, " ")
	if w.v.Spoken == key {
		return m
	}
	m.key = key
	if m.tell = "refused by " + strings.Join(words, "; "); to == Waiting {
		m.tell = "waits: " + strings.Join(words, "; ")
		if !until.IsZero() {
			m.tell += " (until " + page.Moment(until, w.now) + ")"
		}
	}
	return m
}

// storms remembers that a pool was over its blast radius.
func (w *walk) storms(verdicts []Verdict, m *move, l Ledger, rev uint64) {
	for _, v := range verdicts {
		if v.Storm == "" || w.now.Sub(l.Storms[v.Storm]) < time.Minute {
			continue
		}
		l.Storms = maps.Clone(l.Storms)
		if l.Storms == nil {
			l.Storms = map[string]time.Time{}
		}
		l.Storms[v.Storm] = w.now
		m.ledger, m.rev = &l, rev
	}
}

// askAgain is when guards that did not let a dispatch through are asked anew.
func (w *walk) askAgain() time.Time {
	d := &w.v.Dispatch
	if d.Judged.IsZero() || d.Stage == Guarding {
		return time.Time{}
	}
	again := d.Judged.Add(max(w.Timing.Ask, d.Judged.Sub(d.Made)/10)) // what waits for long is asked less often
	var until time.Time
	for _, v := range d.Verdicts {
		if v.Outcome == Wait && v.Until.After(until) {
			until = v.Until
		}
	}
	if d.Stage == Waiting && until.After(d.Judged) {
		return until
	}
	return again
}

// decide goes on with a dispatch that all of its guards let through.
func (w *walk) decide(ctx context.Context, pol *Policy, verdicts []Verdict, l Ledger, rev uint64) error {
	d := &w.v.Dispatch
	judged := func(d *Dispatch) { d.Verdicts, d.Judged = verdicts, w.now }
	passed := guardsPass(len(verdicts))
	_, approved := d.approved(w.now)
	switch {
	case d.Mode == Observe || d.Mode == Off:
		w.Metrics.decided(d.Policy, "observe")
		return w.move(ctx, move{to: WouldRun, reason: "observed: " + passed, change: judged, tell: "would run " + d.what() + ": " + passed + ", but its mode is " + d.ModeText()})
	case d.Mode == Approve && !approved:
		return w.askPeople(ctx, pol, verdicts, judged)
	}
	lock, err := store.Marshal(holder{Dispatch: d.ID, At: w.now})
	if err != nil {
		return err
	}
	l.begin(d, pol.DangerOf(d.Step), w.now)
	w.Metrics.decided(d.Policy, "launch")
	err = w.move(ctx, move{
		to: Claimed, reason: passed, change: judged, due: w.now,
		ledger: &l, rev: rev, ops: []store.Op{store.Create(store.LockKey(d.Target.ID()), lock)},
	})
	if errors.Is(err, store.ErrConflict) {
		return w.taken(ctx, err)
	}
	return err
}

// holder is the record under a store.LockKey.
type holder struct {
	Dispatch string    `json:"dispatch"`
	At       time.Time `json:"at"`
}

// taken waits where another dispatch has the target for itself.
func (w *walk) taken(ctx context.Context, conflict error) error {
	rec, err := w.Store.Get(ctx, store.LockKey(w.v.Target.ID()))
	if err != nil {
		return conflict // it was something else, or is free again
	}
	var h holder
	if err := store.Unmarshal(rec.Value, &h); err != nil {
		return err
	}
	if d, err := Read(ctx, w.Store, h.Dispatch); errors.Is(err, store.ErrNotFound) || err == nil && !d.Stage.holds() {
		// its holder is gone: cannot be, and would hold the target up for ever
		w.Log.Error("a target's lock had no holder", "dispatch", h.Dispatch)
		return errors.Join(conflict, w.Store.Apply(ctx, store.DeleteIf(rec.Key, rec.Rev)))
	}
	m := w.refused([]Verdict{{
		Guard: "target", Outcome: Wait, Reason: "dispatch " + h.Dispatch + " is at work on it", Until: w.now.Add(w.Timing.Ask), At: w.now,
	}}, &Policy{Name: w.v.Policy})
	return w.move(ctx, *m)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
