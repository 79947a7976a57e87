package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Chain returns who is told of a critical page in the place of a target, in order.
func (r *Router) Chain(t Target) []Target {
	if r == nil || t.InShadow() {
		return nil
	}
	chain := append(slices.Clone(r.Fallbacks[t.String()]), r.LastResort...)
	return slices.DeleteFunc(chain, func(o Target) bool { return o.String() == t.String() })
}

// overdue is the item that looks after a page once its targets had their time.
func (r *Router) overdue(from time.Time, w work, id string) store.Op {
	return store.Enqueue(store.Item{
		Lane: store.LaneOverdue, ID: id, Key: id, Due: from.Add(r.patience()), Value: w.encode(),
	})
}

// patience is how long a critical page has for reaching its targets.
func (r *Router) patience() time.Duration { return cmp.Or(r.Patience, DefaultPatience) }

// named finds a target by its name.
func (r *Router) named(name string) (Target, bool) {
	all := r.Targets()
	i := slices.IndexFunc(all, func(t Target) bool { return t.String() == name })
	if i < 0 {
		return Target{}, false
	}
	return all[i], true
}

// stand is the record of who was told in the place of a target, in order.
type stand struct {
	Told []string `json:"told"`
	Why  string   `json:"why"` // the target could not be

	rev uint64
}

func (w *Worker) stand(ctx context.Context, problem string, episode int, target string) (s stand, err error) {
	rec, err := w.Store.Get(ctx, store.InsteadKey(problem, episode, target))
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read who stands in: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &s); err != nil {
		return s, fmt.Errorf("read who stands in: %w", err)
	}
	s.rev = rec.Rev
	return s, nil
}

// needless reports whether the last resort need not be told of a page in the
// place of a target: another target of the receiver, or who stands in for one,
// was told, or may still be before the page is overdue.
func (w *Worker) needless(ctx context.Context, p page.Page, own []Target, of Target, overdue bool) (bool, error) {
	for _, t := range own {
		if t.InShadow() || t.String() == of.String() {
			continue
		}
		if !overdue {
			return true, nil
		}
		s, err := w.stand(ctx, p.Problem, p.Episode, t.String())
		if err != nil {
			return false, err
		}
		for _, name := range append(s.Told, t.String()) {
			r, _, err := w.receipt(ctx, p.Problem, p.Episode, name)
			if err != nil {
				return false, err
			}
			if teller, ok := w.Router.named(name); ok && told(r) && !silent(teller, r, p) {
				return true, nil
			}
		}
	}
	return false, nil
}

// handOver has the next in a target's chain told of a critical page, if nobody
// else took it over. failed is the target itself, or who stood in for it last.
// A target of the episode tells of it by itself: there the chain ends. Nobody
// named the last resort for this target: it is told only where no other was.
func (w *Worker) handOver(ctx context.Context, p page.Page, k work, of, failed Target, why string, overdue bool) error {
	if p.Severity != page.Critical || p.State != page.Open || p.Folded != "" {
		return nil
	}
	s, err := w.stand(ctx, p.Problem, p.Episode, of.String())
	if err != nil {
		return err
	}
	if n := len(s.Told); n > 0 && s.Told[n-1] != failed.String() || n == 0 && failed.String() != of.String() {
		return nil // somebody else was told already
	}
	own, _ := w.Router.Route(p.Receiver, p.Self)
	chain := w.Router.Chain(of)
	i := slices.IndexFunc(chain, func(t Target) bool { return !slices.Contains(s.Told, t.String()) })
	if i < 0 || slices.ContainsFunc(own, func(t Target) bool { return t.String() == chain[i].String() }) {
		return nil
	}
	next := chain[i]
	if !slices.ContainsFunc(w.Router.Fallbacks[of.String()], func(t Target) bool { return t.String() == next.String() }) {
		if skip, err := w.needless(ctx, p, own, of, overdue); skip || err != nil {
			return err
		}
	}
	now := w.Now()
	s.Told, s.Why = append(s.Told, next.String()), cmp.Or(s.Why, Clean(why, maxLine))
	record, err := store.Marshal(s)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("%s/%d/instead/%s", p.Problem, p.Episode, of)
	e := page.Event{
		Problem: p.Problem, Kind: page.Told, ID: fmt.Sprintf("told/%s/%s", id, next), Actor: "tocsin", At: now, Episode: p.Episode,
		Text: fmt.Sprintf("%s could not be told (%s): %s is told instead", failed, Clean(why, maxLine), next),
	}
	event, err := store.Marshal(e)
	if err != nil {
		return err
	}
	k = work{Problem: p.Problem, Episode: p.Episode, Receiver: p.Receiver, At: now.UnixMilli(), Trace: k.Trace, Instead: of.String()}
	item := store.Item{Lane: store.LaneDeliver + next.String(), ID: id, Key: p.Problem, Priority: priority(p.Severity, true), Value: k.encode()}
	k.Target = next.String()
	err = w.Store.Apply(ctx,
		store.Swap(store.InsteadKey(p.Problem, p.Episode, of.String()), s.rev, record).Until(now.Add(deliveryFor)),
		store.Enqueue(item),
		store.Enqueue(store.Item{Lane: store.LaneEvents, ID: e.ID, Key: e.Problem, Value: event}),
		w.Router.overdue(now, k, id+"/"+next.String()),
	)
	if errors.Is(err, store.ErrConflict) {
		return nil // somebody else was faster
	}
	if err != nil {
		return fmt.Errorf("hand page over: %w", err)
	}
	w.Metrics.fallbacks.WithLabelValues(failed.Kind, failed.Name).Inc()
	w.Log.Warn("target could not be told: somebody else is", "page", p.Problem, "episode", p.Episode, "receiver", p.Receiver,
		"notifier", failed.String(), "instead", next.String(), "why", why)
	return nil
}

// instead hands over a page that the target could not be told of. Should the
// process end before, the overdue item does it.
func (d *delivery) instead(ctx context.Context, why string) error {
	if d.Router == nil || d.target.InShadow() {
		return nil
	}
	of := d.target
	if d.receipt.Instead != "" {
		var ok bool
		if of, ok = d.Router.named(d.receipt.Instead); !ok {
			return nil
		}
	}
	return d.handOver(ctx, d.page, d.work, of, d.target, why, false)
}

// pass lets those who stand in for the target hear what it hears, and notes who
// of them was told. A target that stands in itself learns what failed.
func (d *delivery) pass(ctx context.Context) error {
	if len(d.Router.Chain(d.target)) > 0 {
		s, err := d.stand(ctx, d.work.Problem, d.work.Episode, d.target.String())
		if err != nil {
			return err
		}
		for _, name := range s.Told {
			if err := d.passTo(ctx, name); err != nil {
				return err
			}
		}
	}
	if d.receipt.Instead == "" {
		return nil
	}
	s, err := d.stand(ctx, d.work.Problem, d.work.Episode, d.receipt.Instead)
	if err != nil {
		return err
	}
	d.why = fmt.Sprintf("%s could not be told: %s", d.receipt.Instead, s.Why)
	return nil
}

func (d *delivery) passTo(ctx context.Context, name string) error {
	r, known, err := d.Worker.receipt(ctx, d.work.Problem, d.work.Episode, name)
	if err != nil {
		return err
	}
	if !r.First.IsZero() && r.Instead == d.target.String() {
		d.also = append(d.also, name)
	}
	if !known || r.Revision >= d.page.Revision {
		return nil
	}
	k := d.work
	k.Instead = d.target.String()
	return d.Store.Apply(ctx, store.Enqueue(store.Item{
		Lane: store.LaneDeliver + name, ID: fmt.Sprintf("%s/%d/%d/instead/%s", k.Problem, k.Episode, d.page.Revision, d.target),
		Key: k.Problem, Priority: priority(d.page.Severity, false), Value: k.encode(),
	}))
}

// receipt reads a line of the ledger; known false where there is none.
func (w *Worker) receipt(ctx context.Context, problem string, episode int, target string) (r page.Receipt, known bool, err error) {
	rec, err := w.Store.Get(ctx, store.ReceiptKey(problem, episode, target))
	if errors.Is(err, store.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read receipt: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &r); err != nil {
		return r, false, fmt.Errorf("read receipt: %w", err)
	}
	return r, true, nil
}

// watchOverdue looks after critical pages whose targets had their time. What was
// due while nobody ran, by the clock at least, gets it once more: its targets had none.
func (w *Worker) watchOverdue(ctx context.Context) {
	began, patience := time.Now(), w.Router.patience()
	for ctx.Err() == nil {
		lease, err := w.Store.Take(ctx, store.LaneOverdue, time.Minute)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return
			}
			w.Log.Error("take from lane", "lane", store.LaneOverdue, "err", err)
			pause(ctx, time.Second)
			continue
		}
		during := context.WithoutCancel(ctx)
		if left := patience - time.Since(began); left > 0 && lease.Attempt == 0 {
			if err := w.Store.Apply(during, store.Retry(lease, w.Now().Add(left))); err != nil {
				w.Log.Warn("overdue page is not put back: its lease ends by itself", "item", lease.ID, "err", err)
			}
			continue
		}
		err = w.overdue(during, lease)
		if err == nil {
			err = w.Store.Apply(during, store.Done(lease))
		}
		if err != nil && !errors.Is(err, store.ErrFenced) {
			w.Log.Error("look after overdue page: tried again", "item", lease.ID, "err", err)
			err = w.Store.Apply(during, store.Retry(lease, w.Now().Add(time.Second)))
			if err != nil {
				pause(ctx, time.Second) // its lease ends by itself
			}
		}
	}
}

func (w *Worker) overdue(ctx context.Context, lease store.Lease) error {
	var k work
	if err := json.Unmarshal(lease.Value, &k); err != nil {
		w.Log.Error("item cannot be read and is dropped", "item", lease.ID, "err", err)
		return nil
	}
	p, err := w.page(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	targets, _ := w.Router.Route(p.Receiver, p.Self)
	if k.Target != "" {
		targets = nil
		if t, ok := w.Router.named(k.Target); ok {
			targets = []Target{t}
		}
	}
	for _, t := range targets {
		r, _, err := w.receipt(ctx, k.Problem, k.Episode, t.String())
		if err != nil {
			return err
		}
		of, known := w.Router.named(cmp.Or(k.Instead, t.String()))
		if !known || t.InShadow() || r.Resolved || told(r) && !silent(t, r, p) {
			continue
		}
		if err := w.handOver(ctx, p, k, of, t, cmp.Or(r.Error, "no answer in time"), true); err != nil {
			return err
		}
	}
	return nil
}

// told reports whether a target has heard of a page.
func told(r page.Receipt) bool { return r.Ref != "" || !r.First.IsZero() }

// silent reports whether a target that was told of a page did not say what is
// worth a ring since: that it got worse.
func silent(t Target, r page.Receipt, p page.Page) bool {
	_, ok := t.Notifier.(Follower)
	return ok && slices.ContainsFunc(p.Updates, func(u page.Update) bool { return u.Aloud && u.N > r.Followed })
}
