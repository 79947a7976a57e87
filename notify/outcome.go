package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// maxError is how much of an error a receipt keeps, in runes.
const maxError = 300

// write replaces the receipt's record together with what becomes of the item.
func (d *delivery) write(ctx context.Context, r page.Receipt, item store.Op, with ...store.Op) error {
	more, err := d.records(&r)
	if err != nil {
		return err
	}
	value, err := store.Marshal(r)
	if err != nil {
		return err
	}
	ops := slices.Concat([]store.Op{store.Swap(d.key(), d.rev, value), item}, more, with)
	if err := d.Store.Apply(ctx, ops...); err != nil {
		return err
	}
	d.receipt, d.lines = r, nil
	d.Metrics.states.WithLabelValues(d.target.Kind, d.target.Name, string(r.State)).Inc()
	return nil
}

// settle is write for an outcome, which is worth a few tries: if it is lost,
// the target has to be asked. A batch that was applied although it failed
// answers the next try with a conflict or a lost lease.
func (d *delivery) settle(ctx context.Context, r page.Receipt, item store.Op, with ...store.Op) error {
	err := d.write(ctx, r, item, with...)
	for try := range 3 {
		if err == nil || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrClosed) {
			break
		}
		pause(ctx, 50*time.Millisecond<<try)
		err = d.write(ctx, r, item, with...)
	}
	if err == nil {
		state := r.State
		if d.done = item.Kind == store.OpDone; d.done {
			state = "" // delivered or given up: nothing is pending
		}
		d.note(d.lease.ID, state)
	}
	if err != nil || item.Kind != store.OpExtend {
		return err
	}
	return d.loadReceipt(ctx) // there is more to do
}

// opened takes over what the service says about the message, and when it was
// first accepted.
func (d *delivery) opened(r page.Receipt, now time.Time) {
	if r.Ref != "" {
		d.receipt.Ref = r.Ref
	}
	if r.Channel != "" {
		d.receipt.Channel = r.Channel
	}
	if r.Link != "" {
		d.receipt.Link = r.Link
	}
	if r.Said != "" {
		d.receipt.Said = r.Said
	}
	d.further(r)
	if d.receipt.Ref == "" || !d.receipt.First.IsZero() {
		return
	}
	d.receipt.First = now
	for _, t := range d.page.Traits {
		d.receipt.Traits = append(d.receipt.Traits, t.Labels)
	}
	if started := d.page.Clock.Started; d.Observe != nil && !started.IsZero() && !d.target.InShadow() && !d.page.IsCanary() {
		d.Observe("delivered", max(0, now.Sub(started)))
	}
}

func (d *delivery) succeed(ctx context.Context, answer page.Receipt) error {
	now := d.Now()
	attempt := d.receipt.Attempt
	d.opened(answer, now)
	r := d.receipt
	r.State, r.Revision, r.At = page.Sent, d.page.Revision, now
	r.Resolved = d.page.State == page.Closed
	r.Attempt, r.Error = 0, ""
	if Verb(r.Verb) == VerbOpen {
		r.Followed = max(r.Followed, lastUpdate(d.page)) // the first message holds what changed before it
	}
	d.line(Verb(r.Verb), false, d.told(r))
	if err := d.settle(ctx, r, d.onward(r, now), store.Delete(d.grave())); err != nil {
		return err
	}
	if d.target.InShadow() {
		d.log.Info("page rendered in shadow: nothing was sent", "page", d.work.Problem, "episode", d.work.Episode,
			"revision", r.Revision, "receiver", d.work.Receiver, "verb", r.Verb)
		return nil
	}
	d.log.Log(ctx, d.page.LogLevel(), "page delivered", "page", d.work.Problem, "episode", d.work.Episode, "revision", r.Revision,
		"receiver", d.work.Receiver, "verb", r.Verb, "attempt", attempt)
	return nil
}

// fail writes down a failed call and when to try again. state overrules the
// one that follows from the error's class.
func (d *delivery) fail(ctx context.Context, err error, state page.DeliveryState) error {
	now := d.Now()
	r := d.receipt
	class := remote.ClassOf(err)
	r.Error, r.At, r.State = Clean(err.Error(), maxError), now, stateAfter(class)
	if class == remote.NotSent && r.Repeat && r.Ref == "" {
		r.State = page.Ambiguous // this one is not there, but the first may be
	}
	after := d.wait(err)
	next := store.Retry(d.lease, now.Add(after))
	if class == remote.Content || class == remote.Gone {
		next = store.Done(d.lease)
	}
	if state != "" {
		r.State, next = state, store.Retry(d.lease, now.Add(after))
	}
	if d.expired(now) {
		r.Repeat = r.Repeat || r.Ref == "" && r.State == page.Ambiguous // driven again, it says so
		r.State, next = page.Failed, store.Done(d.lease)
	}
	until, _ := d.breaker.opened()
	if next.Kind == store.OpRetry && !next.At.After(until) {
		next.At = until.Add(d.timing.BackoffMin) // others go first: it may be this one that breaks it
	}
	if r.Ref == "" && (r.State == page.Failed || !until.IsZero()) {
		if err := d.instead(ctx, r.Error); err != nil {
			d.log.Error("page cannot be handed over yet", "page", d.work.Problem, "err", err)
		}
	}
	d.failure(r, next.Kind == store.OpDone)
	attrs := []any{
		"page", d.work.Problem, "episode", d.work.Episode, "receiver", d.work.Receiver,
		"verb", r.Verb, "attempt", r.Attempt, "class", class, "err", err,
	}
	if r.State == page.Failed {
		d.log.Error("page cannot be delivered", attrs...)
	} else {
		d.log.Warn("delivery did not come through", attrs...)
	}
	d.alarm(ctx, r.State, err)
	if next.Kind != store.OpDone || d.target.InShadow() {
		return d.settle(ctx, r, next)
	}
	dead, err := d.bury(r)
	if err != nil {
		return err
	}
	return d.settle(ctx, r, next, dead)
}

// stateAfter is the state of a receipt whose request ended in an error of a class.
func stateAfter(class remote.Class) page.DeliveryState {
	switch class {
	case remote.NotSent:
		return page.Waiting
	case remote.Unknown:
		return page.Ambiguous
	default:
		return page.Failed
	}
}

// told says in words what the target shows now.
func (d *delivery) told(r page.Receipt) string {
	text := fmt.Sprintf("shows revision %d", r.Revision)
	switch {
	case Verb(r.Verb) == VerbOpen && r.Instead != "":
		text = "was told instead of " + r.Instead
	case r.Ref == "":
		return "was not told: it was over before it could be"
	case Verb(r.Verb) == VerbOpen:
		text = "was told"
	case Verb(r.Verb) == VerbResolve:
		text = "was told that it is over"
	}
	if r.Repeat {
		text += ", marked as a possible repeat"
	}
	if d.plain {
		text += ", in plain form"
	}
	return text
}

// failure adds what went wrong to the timeline, unless it says the same already.
func (d *delivery) failure(r page.Receipt, last bool) {
	switch {
	case last:
		d.line(Verb(r.Verb), true, "given up: "+r.Error)
	case r.Error != d.receipt.Error:
		d.line(Verb(r.Verb), true, "not told, and tried again: "+r.Error)
	}
}

// alarm says once per item that a page does not come through: it was refused,
// or it is critical and late.
func (d *delivery) alarm(ctx context.Context, state page.DeliveryState, err error) {
	late := d.page.Severity == page.Critical && d.Now().Sub(time.UnixMilli(d.work.At)) >= d.timing.RepeatAfter
	if d.Alarm == nil || d.page.Self || d.target.InShadow() || (state != page.Failed && !late) || !d.first(d.lease.ID) {
		return
	}
	d.Alarm(ctx, d.target.String(), d.page, err)
}

// wait is how long to leave the item alone.
func (d *delivery) wait(err error) time.Duration {
	asked := min(remote.RetryAfter(err), d.timing.BackoffMax)
	switch {
	case d.insists(err):
		return min(cmp.Or(asked, insist), insist) + rand.N(insist/2)
	case asked > 0:
		return asked
	}
	switch remote.ClassOf(err) {
	case remote.Config:
		return d.timing.Mend
	case remote.Unknown:
		if d.lease.Attempt == 0 {
			return d.timing.Reconcile
		}
		return max(d.timing.Reconcile, d.timing.backoff(d.lease.Attempt))
	default:
		return d.timing.backoff(d.lease.Attempt)
	}
}

// insist is how soon a new critical page asks again whether it is let in.
const insist = time.Second

// insists reports whether a page matters too much to wait as long as the service
// would like: it is critical, nobody was told, and the service only wants to be
// asked less often, which its bucket sees to.
func (d *delivery) insists(err error) bool {
	v := Verb(d.receipt.Verb)
	return d.rank(v) == rankUrgent && remote.Deferred(err) && d.buckets[v].limit != nil
}

// expired reports whether trying further helps nobody: never for what is
// critical and still open.
func (d *delivery) expired(now time.Time) bool {
	if d.page.Severity == page.Critical && d.page.State == page.Open {
		return false
	}
	return now.Sub(time.UnixMilli(d.work.At)) > d.timing.Expire
}
