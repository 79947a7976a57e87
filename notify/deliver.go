package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// delivery is one item of a lane being worked on.
type delivery struct {
	*lane
	closing context.Context // the house closes
	lease   store.Lease
	work    work
	page    page.Page
	receipt page.Receipt
	rev     uint64    // of the receipt's record, 0 when there is none
	sure    time.Time // until when the lease is ours, whatever becomes of this process
}

// deliver brings the target to show the latest page of an item's episode. It
// returns errors of the store; those of the target become the receipt's.
func (l *lane) deliver(ctx context.Context, lease store.Lease) error {
	d := &delivery{lane: l, closing: ctx, lease: lease}
	ctx = context.WithoutCancel(ctx) // what is begun is written down
	if err := json.Unmarshal(lease.Value, &d.work); err != nil {
		l.log.Error("item cannot be read and is dropped", "item", lease.ID, "err", err)
		return l.Store.Apply(ctx, store.Done(lease))
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": d.work.Trace})
	if err := d.load(ctx); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			l.log.Error("page is not in the store and its item is dropped", "item", lease.ID, "err", err)
			return l.Store.Apply(ctx, store.Done(lease))
		}
		return err
	}
	if d.shown() {
		l.note(lease.ID, "")
		return l.Store.Apply(ctx, store.Done(lease))
	}
	switch {
	case d.doubtful():
		if clear, err := d.reconcile(ctx); err != nil || !clear {
			return err
		}
	case d.verb() != VerbOpen:
		if !l.edit(d.closing, lease) {
			return nil
		}
		defer func() { <-l.edits }()
	}
	return d.send(ctx)
}

func (d *delivery) load(ctx context.Context) error {
	if err := d.loadPage(ctx); err != nil {
		return err
	}
	return d.loadReceipt(ctx)
}

func (d *delivery) loadPage(ctx context.Context) error {
	rec, err := d.Store.Get(ctx, store.PageKey(d.work.Problem, d.work.Episode))
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	var p page.Page
	if err := store.Unmarshal(rec.Value, &p); err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	if d.work.Note != "" {
		p.Notes = append(slices.Clone(p.Notes), page.Note{Room: "notify", Text: d.work.Note})
	}
	d.page = p
	return nil
}

func (d *delivery) loadReceipt(ctx context.Context) error {
	rec, err := d.Store.Get(ctx, d.key())
	if errors.Is(err, store.ErrNotFound) {
		d.rev = 0
		d.receipt = page.Receipt{
			Delivery: DeliveryID(d.work.Problem, d.work.Episode, d.target.String()),
			Problem:  d.work.Problem, Episode: d.work.Episode, Receiver: d.work.Receiver, Target: d.target.String(),
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	var r page.Receipt
	if err := store.Unmarshal(rec.Value, &r); err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	d.receipt, d.rev = r, rec.Rev
	return nil
}

func (d *delivery) key() string {
	return store.ReceiptKey(d.work.Problem, d.work.Episode, d.target.String())
}

// DeliveryID is the hex SHA-256 that names one episode of a problem at one
// target: the marker a service is asked for, and PagerDuty's dedup_key.
func DeliveryID(problem string, episode int, target string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "delivery\x00%s\x00%d\x00%s", problem, episode, target))
	return hex.EncodeToString(sum[:])
}

// shown reports whether the target shows this revision or a newer one.
func (d *delivery) shown() bool {
	return d.receipt.State == page.Sent && d.receipt.Revision >= d.page.Revision
}

// doubtful reports whether the first message may stand there unknown to us: a
// crash left its intent, or no answer came. Updates and resolves name what they
// change, so that doing them again changes nothing.
func (d *delivery) doubtful() bool {
	return d.receipt.Ref == "" && d.receipt.Verb == string(VerbOpen) &&
		(d.receipt.State == page.Intent || d.receipt.State == page.Ambiguous)
}

func (d *delivery) verb() Verb {
	switch {
	case d.receipt.Ref == "":
		return VerbOpen
	case d.page.State == page.Closed:
		return VerbResolve
	default:
		return VerbUpdate
	}
}

// reconcile asks what became of a message of unknown outcome. clear means that
// the delivery may go on: as an update if it was found, else as the open, with
// its mark where nobody could be asked.
func (d *delivery) reconcile(ctx context.Context) (clear bool, err error) {
	f, ok := d.target.Notifier.(Finder)
	if !ok {
		d.receipt.Repeat = true
		return true, nil
	}
	call, cancel := d.bounded(ctx)
	defer cancel()
	var found page.Receipt
	var there bool
	err = guard(func() (err error) {
		found, there, err = f.Find(call, d.message(VerbOpen, false))
		return err
	})
	now := d.Now()
	switch {
	case err == nil && there:
		d.log.Info("message found: its first answer was lost", "page", d.work.Problem, "ref", found.Ref)
		d.opened(found, now)
		d.receipt.State, d.receipt.Revision = page.Sent, 0 // nobody knows which revision it shows
		return true, nil
	case err == nil:
		return true, nil
	case remote.ClassOf(err) == remote.Config || now.Sub(d.receipt.Since) >= d.timing.RepeatAfter:
		d.log.Warn("target cannot be asked: the page is sent again, marked", "page", d.work.Problem, "err", err)
		d.receipt.Repeat = true
		return true, nil
	default:
		return false, d.fail(ctx, err, page.Ambiguous)
	}
}

// send writes down what it is about to do, does it, and writes down what came of it.
func (d *delivery) send(ctx context.Context) error {
	for {
		if err := d.intend(ctx); err != nil {
			return err
		}
		verb := d.verb()
		r, err := d.notify(ctx, d.message(verb, false))
		if remote.ClassOf(err) == remote.Gone && verb != VerbOpen && err != nil {
			d.log.Warn("message is gone: it is posted anew", "page", d.work.Problem, "err", err)
			d.receipt.Ref, d.receipt.Channel, d.receipt.Link, d.receipt.Since = "", "", "", time.Time{}
			continue
		}
		if err != nil && remote.ClassOf(err) == remote.Content {
			d.log.Warn("layout was refused: it is said in plain form", "page", d.work.Problem, "err", err)
			r, err = d.notify(ctx, d.message(verb, true))
		}
		if errors.Is(err, store.ErrFenced) {
			return err
		}
		if err != nil {
			return d.fail(ctx, err, "")
		}
		return d.succeed(ctx, r)
	}
}

// intend makes the intent durable and keeps the lease for the call that
// follows. Then it reads the page again: while the intent was written, context
// may have come.
func (d *delivery) intend(ctx context.Context) error {
	now, began := d.Now(), time.Now()
	r := d.receipt
	r.Verb, r.State, r.At = string(d.verb()), page.Intent, now
	r.Attempt++
	if r.Since.IsZero() {
		r.Since = now
	}
	if err := d.write(ctx, r, store.Extend(d.lease, now.Add(d.leaseFor()))); err != nil {
		return fmt.Errorf("write intent: %w", err)
	}
	d.sure = began.Add(store.Sure)
	return d.load(ctx)
}

func (d *delivery) message(verb Verb, plain bool) Message {
	m := Message{Verb: verb, Page: d.page, Receipt: d.receipt, Plain: plain, Repeat: d.receipt.Repeat}
	if d.PageURL != nil {
		m.PageURL = d.PageURL(d.work.Problem)
	}
	m.Owner = d.Owners.Of(d.page)
	m.Text = Compose(m, d.Now())
	return m
}

// bounded returns a context for one call: it ends with the call's time, or soon
// after the house begins to close.
func (d *delivery) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d.timing.Timeout)
	stop := context.AfterFunc(d.closing, func() {
		pause(ctx, d.timing.Grace)
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

func (d *delivery) notify(ctx context.Context, m Message) (r page.Receipt, err error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	ctx, span := d.Tracer.Start(ctx, "notify.send", trace.WithAttributes(
		attribute.String("problem", d.work.Problem), attribute.String("target", d.target.String()),
		attribute.String("verb", string(m.Verb)), attribute.Int("attempt", d.receipt.Attempt)))
	defer span.End()
	start, outcome := d.Now(), string(page.Sent)
	held := &fence{until: d.sure, prove: func(ctx context.Context) error {
		return d.Store.Apply(ctx, store.Extend(d.lease, d.Now().Add(d.leaseFor())))
	}}
	err = guard(func() (err error) {
		if err := held.hold(ctx); err != nil {
			return err
		}
		r, err = d.target.Notifier.Notify(context.WithValue(ctx, fenceKey{}, held), m)
		return err
	})
	d.receipt.Parts = r.Parts // a target that is several: also where it failed
	if err != nil {
		outcome = string(remote.ClassOf(err))
		span.RecordError(err)
	}
	d.Metrics.sent(d.target, m.Verb, outcome, d.Now().Sub(start))
	return r, err
}

// guard makes a panic in a kind an error like another: the page is then tried
// in its plain form, and the other targets are not harmed.
func guard(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &remote.Error{Op: "notify", Class: remote.Content, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return call()
}
