package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

const (
	// chartSuffix names a chart's own receipt, beside the target's.
	chartSuffix = "/chart"
	// chartTries bounds the requests for one picture.
	chartTries = 5
	// chartFor bounds the wait for the message it belongs to.
	chartFor = 30 * time.Minute
	// chartWait is how long the message is given before it is looked for again.
	chartWait = 5 * time.Second
)

// Chart returns one Enqueue for each target that was told of the episode and can
// show a chart. They go behind everything else, and are ordered among themselves
// alone: a picture holds up no page.
func (r *Router) Chart(p page.Problem) []store.Op {
	var ops []store.Op
	for _, t := range r.Targets() {
		if _, ok := t.Notifier.(Charter); !ok || !slices.Contains(p.Told, t.String()) {
			continue
		}
		ops = append(ops, store.Enqueue(store.Item{
			Lane: store.LaneDeliver + t.String(), ID: fmt.Sprintf("%s/%d/chart", p.ID, p.Episode), Key: p.ID + chartSuffix, Priority: -1,
			Value: work{Problem: p.ID, Episode: p.Episode, Receiver: p.Receiver, At: p.Updated.UnixMilli(), Trace: p.Trace, Chart: true}.encode(),
		}))
	}
	return ops
}

// chart shows the chart beside the message, once. Where nobody can tell whether
// it is there, it is not sent again: a doubled picture is noise.
func (d *delivery) chart(ctx context.Context) error {
	root := d.receipt
	d.suffix = chartSuffix
	if err := d.loadReceipt(ctx); err != nil {
		return err
	}
	charter, ok := d.target.Notifier.(Charter)
	if !ok || d.receipt.State == page.Sent || d.receipt.State == page.Failed {
		return d.Store.Apply(ctx, store.Done(d.lease))
	}
	if root.Ref == "" {
		return d.chartLater(ctx)
	}
	if in, err := d.admitted(ctx); err != nil || !in {
		return err
	}
	c, err := d.loadChart(ctx)
	if errors.Is(err, store.ErrNotFound) {
		d.log.Warn("chart is not in the store and its item is dropped", "page", d.work.Problem)
		return d.Store.Apply(ctx, store.Done(d.lease))
	}
	if err != nil {
		return err
	}
	m := d.message(VerbChart, false)
	m.Receipt = root
	m.Receipt.Marker = root.Delivery + chartSuffix
	if s := d.receipt.State; s == page.Intent || s == page.Ambiguous {
		if again, err := d.findChart(ctx, m); err != nil || !again {
			return err
		}
	}
	if !d.leave(VerbChart) {
		return nil
	}
	return d.sendChart(ctx, m, c, charter)
}

// chartLater waits for the message that the chart belongs to.
func (d *delivery) chartLater(ctx context.Context) error {
	now := d.Now()
	if now.Sub(time.UnixMilli(d.work.At)) > chartFor {
		return d.chartEnd(ctx, page.Failed, "the message did not come to stand: no chart")
	}
	return d.Store.Apply(ctx, store.Retry(d.lease, now.Add(min(chartWait<<min(d.lease.Attempt, 10), d.timing.BackoffMax))))
}

func (d *delivery) loadChart(ctx context.Context) (c page.Chart, err error) {
	rec, err := d.Store.Get(ctx, store.ChartKey(d.work.Problem, d.work.Episode))
	if err != nil {
		return c, fmt.Errorf("read chart: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &c); err != nil {
		return c, fmt.Errorf("read chart: %w", err)
	}
	return c, nil
}

func (d *delivery) sendChart(ctx context.Context, m Message, c page.Chart, charter Charter) error {
	now := d.Now()
	r := d.receipt
	r.Verb, r.State, r.At, r.Marker = string(VerbChart), page.Intent, now, m.Receipt.Marker
	r.Attempt++
	if r.Since.IsZero() {
		r.Since = now
	}
	if err := d.intent(ctx, r); err != nil {
		return err
	}
	if err := d.loadReceipt(ctx); err != nil {
		return err
	}
	_, err := d.call(ctx, m, func(ctx context.Context, m Message) (page.Receipt, error) {
		return m.Receipt, charter.Chart(ctx, m, c)
	})
	switch class := remote.ClassOf(err); {
	case err == nil:
		return d.chartEnd(ctx, page.Sent, "chart shown")
	case class != remote.NotSent && class != remote.Unknown, d.receipt.Attempt >= chartTries:
		return d.chartEnd(ctx, page.Failed, "chart given up: "+err.Error())
	case class == remote.Unknown:
		return d.chartAgain(ctx, page.Ambiguous, err)
	default:
		return d.chartAgain(ctx, page.Waiting, err)
	}
}

// findChart reports whether the chart is to be sent (again).
func (d *delivery) findChart(ctx context.Context, m Message) (again bool, err error) {
	f, ok := d.target.Notifier.(Finder)
	if !ok {
		return false, d.chartEnd(ctx, page.Failed, "chart given up: nobody knows whether it is there")
	}
	_, there, err := d.ask(ctx, f, m)
	switch {
	case err == nil && there:
		return false, d.chartEnd(ctx, page.Sent, "chart found: its first answer was lost")
	case err == nil:
		return true, nil
	case remote.ClassOf(err) == remote.Config || d.lease.Attempt >= chartTries:
		return false, d.chartEnd(ctx, page.Failed, "chart given up: nobody knows whether it is there: "+err.Error())
	default:
		return false, d.chartAgain(ctx, page.Ambiguous, err)
	}
}

func (d *delivery) chartAgain(ctx context.Context, state page.DeliveryState, err error) error {
	now := d.Now()
	d.log.Warn("chart did not come through", "page", d.work.Problem, "attempt", d.receipt.Attempt, "err", err)
	r := d.receipt
	r.State, r.At, r.Error = state, now, Clean(err.Error(), maxError)
	return d.settle(ctx, r, store.Retry(d.lease, now.Add(d.wait(err))))
}

func (d *delivery) chartEnd(ctx context.Context, state page.DeliveryState, text string) error {
	r := d.receipt
	r.Verb, r.State, r.At, r.Error = string(VerbChart), state, d.Now(), ""
	if state == page.Failed {
		r.Error = Clean(text, maxError)
		d.log.Warn("page stays without its chart", "page", d.work.Problem, "episode", d.work.Episode, "why", r.Error)
	}
	d.line(VerbChart, state == page.Failed, text)
	return d.settle(ctx, r, store.Done(d.lease))
}
