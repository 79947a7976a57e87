package remediate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// walk is one step of one dispatch by the holder of its lease.
type walk struct {
	*Engine
	lease store.Lease
	v     version
	now   time.Time
}

// move is one transition, and all that is written with it.
type move struct {
	to     Stage
	reason string
	actor  string          // "": the engine
	change func(*Dispatch) // what else is new in the record
	due    time.Time       // of the next look, where it goes on
	tell   string          // what the page is told; "": nothing
	shows  []string        // lines of evidence that go with it
	aloud  bool            // it is worth a ring
	key    string          // what tell is about: said again only once it is another; "": tell itself
	ledger *Ledger         // what is written of the past, over revision rev
	rev    uint64
	ops    []store.Op

	breaker string // why the policy's breaker opens; "": it does not
	next    string // the dispatch of the next step
}

// move writes a transition: record, journal, timeline, the page's event, and
// what becomes of the lease, all of it or nothing. ErrConflict says that somebody
// wrote what this was decided on: nothing was done.
func (w *walk) move(ctx context.Context, m move) error {
	d := w.v.Dispatch
	if !may(d.Stage, m.to) {
		return fmt.Errorf("dispatch %s: no way leads from %s to %s", d.ID, d.Stage, m.to)
	}
	from := d.Stage
	d.Stage, d.Reason = m.to, m.reason
	if from != m.to {
		d.Moved = w.now
	}
	if m.change != nil {
		m.change(&d)
	}
	if m.next != "" {
		d.Next = m.next
	}
	ops, err := w.writes(ctx, &d, from, m)
	if err != nil {
		return err
	}
	switch {
	case m.to.Over():
		ops = append(ops, store.Done(w.lease))
	case m.to == Intent:
		ops = append(ops, store.Extend(w.lease, w.now.Add(leaseFor)))
	default:
		ops = append(ops, store.Retry(w.lease, m.due))
	}
	if err := w.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("write dispatch: %w", err)
	}
	w.Metrics.moved(&d, from)
	w.Log.Info("dispatch goes on", "dispatch", d.ID, "policy", d.Policy, "page", d.Problem, "episode", d.Episode,
		"from", from, "to", d.Stage, "reason", page.OneLine(m.reason))
	w.v.Dispatch = d
	return nil
}

// writes are the operations of a transition but for the lease.
func (w *walk) writes(ctx context.Context, d *Dispatch, from Stage, m move) ([]store.Op, error) {
	ops := slices.Clone(m.ops)
	frees := from.holds() && !m.to.holds()
	if (frees || m.breaker != "") && m.ledger == nil {
		l, rev, err := ReadLedger(ctx, w.Store)
		if err != nil {
			return nil, err
		}
		m.ledger, m.rev = &l, rev
	}
	if frees {
		ops = append(ops, store.Delete(store.LockKey(d.Target.ID())))
		w.release(m.ledger, d, from)
	}
	if m.breaker != "" {
		m.ledger.open(d.Policy, m.breaker, w.now)
	}
	if m.ledger != nil {
		op, err := m.ledger.swap(m.rev, w.now)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	told, err := tell(d, w.now, m)
	if err != nil {
		return nil, err
	}
	ops = append(ops, told...)
	noted, err := note(d, w.now, from, m)
	if err != nil {
		return nil, err
	}
	value, err := store.Marshal(d)
	if err != nil {
		return nil, err
	}
	record := store.Swap(store.DispatchKey(d.ID), w.v.rev, value)
	if d.Stage.Over() {
		record = record.Until(w.now.Add(keepFor))
	}
	return append(append(ops, noted...), record), nil
}

// release notes in the past what came of a dispatch that held its target.
func (w *walk) release(l *Ledger, d *Dispatch, from Stage) {
	if from == Claimed || d.Intent == nil {
		l.forget(d.ID)
		return
	}
	failed := d.Stage == Escalated || d.Stage == Stepped
	l.end(d.ID, w.now, d.Stage == Cleared, failed)
	p := w.policy(d)
	if !failed || p == nil {
		return
	}
	limit, window := p.Guards.Breaker.Failures, p.Guards.Breaker.Window.D()
	if limit == 0 {
		limit = 3
	}
	if window == 0 {
		window = time.Hour
	}
	if n := l.failures(d.Policy, w.now.Add(-window)); n >= limit {
		l.open(d.Policy, fmt.Sprintf("%d of its dispatches failed within %s; the last: %s", n, window, d.Reason), w.now)
	}
}

// note are a transition's lines of the dispatch's journal and of the episode's timeline.
func note(d *Dispatch, now time.Time, from Stage, m move) ([]store.Op, error) {
	if from == m.to && m.tell == "" && m.actor == "" {
		return nil, nil // it was looked at again
	}
	body, err := store.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	actor := m.actor
	if actor == "" {
		actor = "tocsin"
	}
	line := Line{Dispatch: d.ID, N: d.Lines, At: now, From: from, To: m.to, Actor: actor, Reason: page.OneLine(m.reason), Record: hex.EncodeToString(sum[:])}
	op, head, err := line.append(d.Head)
	if err != nil {
		return nil, err
	}
	entry, err := store.Marshal(page.Entry{
		At: now, Room: "remediate", Episode: d.Episode, Kind: string(m.to), Actor: actor,
		Text: d.Title() + ": " + page.OneLine(m.reason), Target: d.Target.ID(), Evidence: m.shows, Failed: m.to == Escalated || m.to == Dangerous,
	})
	if err != nil {
		return nil, err
	}
	out := []store.Op{op, store.Put(store.TimelineKey(d.Problem, d.Episode, "remediate/"+d.ID, d.Lines), entry)}
	d.Lines, d.Head = d.Lines+1, head
	return out, nil
}

// tell is the event by which the page learns of a transition; none where there
// is nothing new to say.
func tell(d *Dispatch, now time.Time, m move) ([]store.Op, error) {
	key := cmp.Or(m.key, m.tell)
	if m.tell == "" || key == d.Spoken {
		return nil, nil
	}
	d.Spoken = key
	r := d.run(now)
	r.Text, r.Aloud, r.Evidence = d.Title()+": "+page.OneLine(m.tell), m.aloud, m.shows
	ev := page.Event{
		Problem: d.Problem, Episode: d.Episode, Kind: page.Ran, Actor: "tocsin", At: now, Run: &r,
		ID: fmt.Sprintf("run/%s/%d", d.ID, d.Lines),
	}
	value, err := store.Marshal(ev)
	if err != nil {
		return nil, err
	}
	return []store.Op{store.Enqueue(store.Item{Lane: store.LaneEvents, ID: ev.ID, Key: d.Problem, Value: value})}, nil
}

// stay looks again later; nothing is written but what change does.
func (w *walk) stay(ctx context.Context, due time.Time, change func(*Dispatch)) error {
	if change == nil {
		return w.Store.Apply(ctx, store.Retry(w.lease, due))
	}
	d := w.v.Dispatch
	change(&d)
	value, err := store.Marshal(d)
	if err != nil {
		return err
	}
	return w.Store.Apply(ctx, store.Swap(store.DispatchKey(d.ID), w.v.rev, value), store.Retry(w.lease, due))
}

// policy returns the policy of a dispatch as it is configured now, nil where it is not.
func (e *Engine) policy(d *Dispatch) *Policy {
	for _, p := range e.Policies[d.Receiver] {
		if p.Name == d.Policy {
			return p
		}
	}
	return nil
}

// past is what is known of dispatches by now, with the switch outside of the store.
func (e *Engine) past(ctx context.Context) (Ledger, uint64, Past, error) {
	l, rev, err := ReadLedger(ctx, e.Store)
	if err != nil {
		return l, rev, Past{}, err
	}
	seen := l.Past
	if e.Frozen != nil {
		if s, ok := e.Frozen(); ok {
			seen.Switches = maps.Clone(seen.Switches)
			if seen.Switches == nil {
				seen.Switches = map[string]Switch{}
			}
			seen.Switches[ScopeGlobal] = s
		}
	}
	return l, rev, seen, nil
}

// problem reads a problem; the zero Problem where there is none.
func problem(ctx context.Context, s store.Store, id string) (page.Problem, error) {
	var p page.Problem
	rec, err := s.Get(ctx, store.ProblemKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read problem: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &p); err != nil {
		return p, fmt.Errorf("read problem %s: %w", id, err)
	}
	return p, nil
}

// silenced reports whether alerts of the target left since the launch without
// resolving: silenced, inhibited or expired. That is no repair.
func (w *walk) silenced(ctx context.Context) (bool, error) {
	d := &w.v.Dispatch
	p, err := problem(ctx, w.Store, d.Problem)
	if err != nil || d.Intent == nil {
		return false, err
	}
	for _, m := range p.Members {
		if !m.Open && m.LeftOnly && !m.Closed.Before(d.Intent.At) && p.Episode == d.Episode && d.about(w.policy(d), m.Alert) {
			return true, nil
		}
	}
	return false, nil
}

// about reports whether an alert may be about the target.
func (d *Dispatch) about(p *Policy, a page.Alert) bool {
	if p == nil || p.Target.Trait || d.Target.Kind != HostTarget {
		return true
	}
	return strings.Contains(strings.ToLower(a.Labels[p.Target.Label]), d.Target.Name)
}

// fires reports whether what a dispatch is about still fires, in words why not,
// and the page. A host is over when no alert of it fires; what a trait named is
// over with its problem: traits change with every look.
func (w *walk) fires(ctx context.Context) (v page.Page, firing bool, why string, err error) {
	p, err := problem(ctx, w.Store, w.v.Problem)
	if err != nil {
		return v, false, "", err
	}
	v = p.View()
	switch {
	case p.ID == "" || p.Episode != w.v.Episode:
		return v, false, "the episode is over", nil
	case p.State != page.Open:
		return v, false, "the problem is resolved", nil
	case !p.Settling.IsZero():
		return v, false, "nothing fires", nil
	case p.Folded != "" || p.Storm != nil:
		return v, true, "", nil // its guards refuse; that it is told elsewhere is no end
	}
	pol := w.policy(&w.v.Dispatch)
	if pol == nil || pol.Target.Trait || w.v.Target.Kind != HostTarget {
		return v, true, "", nil
	}
	targets, _ := pol.Targets(v)
	if !slices.ContainsFunc(targets, func(t Target) bool { return t.ID() == w.v.Target.ID() }) {
		return v, false, "no alert of " + w.v.Target.Name + " fires", nil
	}
	return v, true, "", nil
}
