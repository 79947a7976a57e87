// Package webhook is the front door: what comes in is checked, and on disk
// before it is answered.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// putFor is how long one event may take to be stored. Alertmanager's next flush
// of the group waits on our answer, and its peers send too after some seconds.
const putFor = 3 * time.Second

// Door is the one way in: it makes events durable, for the pipeline to take.
type Door struct{ Store store.Store }

// Put returns once the event is on disk. An event whose ID waits already is no error.
func (d *Door) Put(ctx context.Context, e page.Event) error {
	op, err := enqueue(e)
	if err != nil {
		return err
	}
	if err := d.apply(ctx, op); err != nil {
		return fmt.Errorf("store event: %w", err)
	}
	return nil
}

// onceFor is how long the ID of a person's act is known: PagerDuty sends again
// for two days.
const onceFor = 72 * time.Hour

// Once is Put for an event that whoever sent it may send again long after it was
// applied: what was put in the last days under its ID is not put again.
func (d *Door) Once(ctx context.Context, e page.Event) error {
	op, err := enqueue(e)
	if err != nil {
		return err
	}
	mark, err := store.Marshal(e.At)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	err = d.apply(ctx, op, store.Create(store.OnceKey(e.ID), mark).Until(e.At.Add(onceFor)))
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("store event: %w", err)
	}
	return nil
}

// apply does a batch that may be done twice. An error that leaves open whether it
// was done is met by doing it again, once.
func (d *Door) apply(ctx context.Context, ops ...store.Op) error {
	ctx, cancel := context.WithTimeout(ctx, putFor)
	defer cancel()
	first, done := context.WithTimeout(ctx, putFor/2)
	defer done()
	err := d.Store.Apply(first, ops...)
	if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrClosed) {
		return err
	}
	return d.Store.Apply(ctx, ops...)
}

// enqueue makes the event an item of the pipeline's lane: events of one problem
// in their order, the worst problems first.
func enqueue(e page.Event) (store.Op, error) {
	value, err := store.Marshal(e)
	if err != nil {
		return store.Op{}, fmt.Errorf("event: %w", err)
	}
	return store.Enqueue(store.Item{
		Lane: store.LaneEvents, ID: e.ID, Key: e.Problem, Priority: -worst(e).Rank(), Value: value,
	}), nil
}

// worst is the highest severity that an event speaks of: of firing alerts, or
// of all if none fires.
func worst(e page.Event) page.Severity {
	if e.Notification == nil {
		return page.Warning
	}
	firing, any := page.Severity(""), page.Info
	for _, a := range e.Notification.Alerts {
		s := a.Severity()
		if a.Status == page.Firing && (firing == "" || s.Rank() < firing.Rank()) {
			firing = s
		}
		if s.Rank() < any.Rank() {
			any = s
		}
	}
	if firing != "" {
		return firing
	}
	return any
}
