package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Keyed is a Notifier whose service knows a repeat by Receipt.Delivery: telling
// it the same episode again pages nobody twice.
type Keyed interface {
	Notifier
	Keyed()
}

// Direct tells targets of a page without the ledger, for the time in which
// there is none. All fields but PageURL must be set.
type Direct struct {
	Router  *Router
	Owners  Owners
	Log     *slog.Logger
	Now     func() time.Time
	Metrics *Metrics
	PageURL func(problem string) string
}

// Tell opens the page at those of its receiver's targets that know a repeat by
// its key; where there are none at the last resort; where that is not set
// either at all targets of the receiver. The receipts are of those that took
// it; the error says that none did.
func (d *Direct) Tell(ctx context.Context, p page.Page) ([]page.Receipt, error) {
	targets, note := d.choose(p)
	if note != "" {
		p.Notes = append(slices.Clone(p.Notes), page.Note{Room: "notify", Text: note})
	}
	var (
		calls sync.WaitGroup
		mu    sync.Mutex
		took  []page.Receipt
		errs  []error
	)
	for _, t := range targets {
		calls.Go(func() {
			r, err := d.tell(ctx, t, p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				d.Log.Error("page is not told past the store", "page", p.Problem, "notifier", t.String(), "err", err)
				errs = append(errs, fmt.Errorf("%s: %w", t, err))
				return
			}
			took = append(took, r)
		})
	}
	calls.Wait()
	switch {
	case len(took) > 0:
		return took, nil
	case len(errs) == 0:
		return nil, fmt.Errorf("receiver %q has no target", p.Receiver)
	}
	return nil, errors.Join(errs...)
}

func (d *Direct) choose(p page.Page) ([]Target, string) {
	all, note := d.Router.Route(p.Receiver, p.Self)
	keyed := slices.DeleteFunc(slices.Clone(all), func(t Target) bool {
		_, ok := t.Notifier.(Keyed)
		return !ok
	})
	switch {
	case len(keyed) > 0:
		return keyed, note
	case len(d.Router.LastResort) > 0:
		return d.Router.LastResort, note
	}
	return all, note
}

// tell makes one call, and a second in plain form where the layout is refused.
func (d *Direct) tell(ctx context.Context, t Target, p page.Page) (page.Receipt, error) {
	now := d.Now()
	m := Message{Verb: VerbOpen, Page: p, Owner: d.Owners.Of(p), Receipt: page.Receipt{
		Delivery: DeliveryID(p.Problem, p.Episode, t.String()), Problem: p.Problem, Episode: p.Episode,
		Receiver: p.Receiver, Target: t.String(), Verb: string(VerbOpen), Since: now, At: now,
	}}
	if d.PageURL != nil {
		m.PageURL = d.PageURL(p.Problem)
	}
	m.Text = Compose(m, now)
	r, err := d.call(ctx, t, m)
	if err != nil && remote.ClassOf(err) == remote.Content {
		m.Plain = true
		r, err = d.call(ctx, t, m)
	}
	r.State, r.First, r.At = page.Sent, d.Now(), d.Now()
	return r, err
}

func (d *Direct) call(ctx context.Context, t Target, m Message) (r page.Receipt, err error) {
	began, outcome := d.Now(), string(page.Sent)
	err = guard(func() (err error) {
		r, err = t.Notifier.Notify(ctx, m)
		return err
	})
	if err != nil {
		outcome = string(remote.ClassOf(err))
	}
	d.Metrics.sent(t, m.Verb, outcome, d.Now().Sub(began))
	return r, err
}
