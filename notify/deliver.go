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

	"go.opentelemetry.io/otel/propagation"

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
	rev     uint64          // of the receipt's record, 0 when there is none
	stored  page.Receipt    // as it was read
	suffix  string          // of the receipt's name: a chart has its own
	lines   []page.Entry    // of the timeline, to be written with the receipt
	held    []chan struct{} // slots it has, to be given back; nil: it did not ask yet
	why     string          // in whose place the target is told, and why
	also    []string        // who was told in the target's place
	through bool            // the breaker let it pass
	trying  bool            // and it is what finds out whether the target works again
	plain   bool            // the layout was refused
	done    bool            // the item is settled for good
	fresh   bool            // the follow under way was not tried before
	again   bool            // the follow under way may have been said: it says so
	sure    time.Time       // until when the lease is ours, whatever becomes of this process
}

// deliver brings the target to show the latest page of an item's episode. It
// returns errors of the store; those of the target become the receipt's.
func (l *lane) deliver(ctx context.Context, lease store.Lease) error {
	d := &delivery{lane: l, closing: ctx, lease: lease}
	defer d.end()
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
	if d.work.Chart {
		return d.chart(ctx)
	}
	if err := d.pass(ctx); err != nil {
		return err
	}
	if !d.shown() {
		if clear, err := d.ready(ctx); err != nil || !clear {
			return err
		}
		if err := d.send(ctx); err != nil || d.done || !d.shown() {
			return err
		}
	}
	return d.follow(ctx)
}

// end gives back what the delivery held.
func (d *delivery) end() {
	d.rise()
	if d.trying {
		d.breaker.leave()
	}
}

// ready reports whether the message may be sent now: nobody has to be asked
// first what became of it, and the target has leave for it.
func (d *delivery) ready(ctx context.Context) (bool, error) {
	if in, err := d.admitted(ctx); err != nil || !in {
		return false, err
	}
	if d.doubtful() {
		if clear, err := d.reconcile(ctx); err != nil || !clear {
			return false, err
		}
	}
	return d.leave(d.verb()), nil
}

func (d *delivery) load(ctx context.Context) error {
	if err := d.loadPage(ctx); err != nil {
		return err
	}
	return d.loadReceipt(ctx)
}

func (d *delivery) loadPage(ctx context.Context) error {
	p, err := d.Worker.page(ctx, d.work)
	if err != nil {
		return err
	}
	if d.work.Note != "" {
		p.Notes = append(slices.Clone(p.Notes), page.Note{Room: "notify", Text: d.work.Note})
	}
	d.page = p
	return nil
}

// page reads the page of an item.
func (w *Worker) page(ctx context.Context, k work) (p page.Page, err error) {
	rec, err := w.Store.Get(ctx, store.PageKey(k.Problem, k.Episode))
	if err != nil {
		return p, fmt.Errorf("read page: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &p); err != nil {
		return p, fmt.Errorf("read page: %w", err)
	}
	return p, nil
}

func (d *delivery) loadReceipt(ctx context.Context) error {
	rec, err := d.Store.Get(ctx, d.key())
	if errors.Is(err, store.ErrNotFound) {
		name := d.target.String() + d.suffix
		d.receipt, d.stored, d.rev = page.Receipt{
			Delivery: DeliveryID(d.work.Problem, d.work.Episode, name),
			Problem:  d.work.Problem, Episode: d.work.Episode, Receiver: d.work.Receiver, Target: name, Instead: d.work.Instead,
		}, page.Receipt{}, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	var r page.Receipt
	if err := store.Unmarshal(rec.Value, &r); err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	d.receipt, d.stored, d.rev = r, r, rec.Rev
	return nil
}

func (d *delivery) key() string {
	return store.ReceiptKey(d.work.Problem, d.work.Episode, d.target.String()+d.suffix)
}

// DeliveryID is the hex SHA-256 that names one episode of a problem at one
// target: the marker a service is asked for, and PagerDuty's dedup_key.
func DeliveryID(problem string, episode int, target string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "delivery\x00%s\x00%d\x00%s", problem, episode, target))
	return hex.EncodeToString(sum[:])
}

// shown reports whether the target shows this revision or a newer one.
func (d *delivery) shown() bool { return d.receipt.Revision >= d.page.Revision }

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
	found, there, err := d.ask(ctx, f, d.message(VerbOpen, false))
	now := d.Now()
	switch {
	case err == nil && there:
		d.log.Info("message found: its first answer was lost", "page", d.work.Problem, "ref", found.Ref)
		d.opened(found, now)
		d.receipt.State, d.receipt.Revision = page.Sent, 0 // nobody knows which revision it shows
		d.line(VerbOpen, false, "found: its first answer was lost")
		err = d.settle(ctx, d.receipt, store.Extend(d.lease, now.Add(d.leaseFor())))
		return err == nil, err
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
		doubt, open := d.doubtful(), d.page.State == page.Open
		if err := d.intend(ctx); err != nil {
			return err
		}
		if doubt && open && d.page.State == page.Closed {
			// it ended meanwhile: what may stand there is asked for once more, for
			// what has ended is not opened, and what stands must be ended
			if clear, err := d.reconcile(ctx); err != nil || !clear {
				return err
			}
			continue
		}
		verb := d.verb()
		r, err := d.notify(ctx, d.message(verb, false))
		if remote.ClassOf(err) == remote.Gone && verb != VerbOpen && err != nil {
			d.forget(err)
			continue
		}
		if err != nil && remote.ClassOf(err) == remote.Content {
			d.log.Warn("layout was refused: it is said in plain form", "page", d.work.Problem, "err", err)
			d.plain = true
			r, err = d.notify(ctx, d.message(verb, d.plain))
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
	now := d.Now()
	r := d.receipt
	r.Verb, r.State, r.At = string(d.verb()), page.Intent, now
	r.Attempt++
	if r.Since.IsZero() {
		r.Since = now
	}
	if r.Ref == "" {
		r.Followed = lastUpdate(d.page) // the first message holds what changed before it
	}
	if err := d.intent(ctx, r); err != nil {
		return err
	}
	return d.load(ctx)
}

// intent writes down what is about to be asked of the target, and keeps the
// lease for it. From then on it is surely ours for a while.
func (d *delivery) intent(ctx context.Context, r page.Receipt) error {
	began := time.Now()
	if err := d.write(ctx, r, store.Extend(d.lease, d.Now().Add(d.leaseFor()))); err != nil {
		return fmt.Errorf("write intent: %w", err)
	}
	d.sure = began.Add(store.Sure)
	return nil
}
