package notify

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

func (d *delivery) message(verb Verb, plain bool) Message {
	m := Message{Verb: verb, Page: d.page, Receipt: d.receipt, Plain: plain, Repeat: d.receipt.Repeat, Instead: d.why, Also: d.also}
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

func (d *delivery) notify(ctx context.Context, m Message) (page.Receipt, error) {
	r, err := d.call(ctx, m, d.target.Notifier.Notify)
	d.receipt.Parts = r.Parts // a target that is several: also where it failed
	return r, err
}

// call is one call of a notifier: bounded, traced, counted, caged.
func (d *delivery) call(ctx context.Context, m Message, do func(context.Context, Message) (page.Receipt, error)) (r page.Receipt, err error) {
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
	r = m.Receipt
	err = guard(func() (err error) {
		if err := held.hold(ctx); err != nil {
			return err
		}
		r, err = do(context.WithValue(ctx, fenceKey{}, held), m)
		return err
	})
	if err != nil {
		outcome = string(remote.ClassOf(err))
		span.RecordError(err)
	}
	d.observe(err)
	if asked := min(remote.RetryAfter(err), d.timing.BackoffMax); asked > 0 {
		d.hush(m.Verb, asked)
	}
	d.Metrics.sent(d.target, m.Verb, outcome, d.Now().Sub(start))
	return r, err
}

// ask asks what became of a message of unknown outcome.
func (d *delivery) ask(ctx context.Context, f Finder, m Message) (r page.Receipt, there bool, err error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	err = guard(func() (err error) {
		r, there, err = f.Find(ctx, m)
		return err
	})
	if err != nil && remote.ClassOf(err) != remote.Config { // who may not ask may yet tell
		d.observe(err)
	}
	return r, there, err
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
