package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Canary is how often Tocsin tries itself.
type Canary struct {
	Every config.Duration `yaml:"every" doc:"How often a page of its own walks the whole way, from webhook to a target that tells nobody, and is resolved again. 0: never."`
}

const (
	canaryTarget = "sink"
	// canaryFor is what a canary is given for its way; longer is a failure.
	canaryFor = time.Minute
	// canaryFirst is when the first one flies: what was left over goes before it.
	canaryFirst = 5 * time.Second
	// canarySoon is when another flies after one that failed.
	canarySoon = 30 * time.Second
)

// canary tries the whole way of a page now and then: a webhook's body is
// decoded, stored, advanced, enriched and delivered to a target that tells
// nobody. What it proves is read from the ledger, so that it holds as well where
// another replica does the work.
type canary struct {
	store   store.Store
	log     *slog.Logger
	now     func() time.Time
	every   func() time.Duration // 0: never
	submit  func(ctx context.Context, cluster string, body []byte) error
	metrics *metrics
	arrived atomic.Pointer[time.Time] // when the last one did
}

// run flies canaries until ctx ends.
func (c *canary) run(ctx context.Context) {
	wait := canaryFirst
	for ctx.Err() == nil {
		pause(ctx, wait)
		every := c.every()
		if wait = every; every == 0 || ctx.Err() != nil {
			wait = canarySoon
			continue
		}
		began := c.now()
		err := c.fly(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = min(canarySoon, every)
			c.metrics.canaries.WithLabelValues("failed").Inc()
			c.log.Error("canary did not come through", "err", err)
		default:
			c.metrics.canaries.WithLabelValues("arrived").Inc()
			at := c.now()
			c.arrived.Store(&at)
			c.metrics.canaryAt.Set(float64(at.UnixNano()) / 1e9)
			c.metrics.canaryFor.Observe(at.Sub(began).Seconds())
		}
	}
}

// fly sends one page and its end along the whole way.
func (c *canary) fly(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, canaryFor)
	defer cancel()
	began := c.now()
	id := fmt.Sprintf("canary-%d", began.UnixNano())
	problem := page.ProblemID(page.OwnCluster, page.CanaryReceiver, id)
	for _, status := range []page.Status{page.Firing, page.Resolved} {
		body, err := canaryBody(id, status, began, c.now())
		if err != nil {
			return err
		}
		if err := c.submit(ctx, page.OwnCluster, body); err != nil {
			return err
		}
		if err := c.arrives(ctx, problem, status == page.Resolved); err != nil {
			return fmt.Errorf("%s: %w", status, err)
		}
	}
	return nil
}

// arrives waits until the ledger says that the target was told.
func (c *canary) arrives(ctx context.Context, problem string, resolved bool) error {
	key := store.ReceiptKey(problem, 1, canaryTargetName())
	for {
		rec, err := c.store.Get(ctx, key)
		var r page.Receipt
		if err == nil {
			err = store.Unmarshal(rec.Value, &r)
		}
		switch {
		case err == nil && r.State == page.Sent && r.Resolved == resolved:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("not delivered within %s (receipt: %q)", canaryFor, r.State)
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// canaryBody is a webhook as Alertmanager writes it.
func canaryBody(id string, status page.Status, began, now time.Time) ([]byte, error) {
	labels := map[string]string{"alertname": "TocsinCanary", "severity": string(page.Critical), "canary": id}
	alert := map[string]any{
		"status": status, "labels": labels, "startsAt": began, "fingerprint": id,
		"annotations": map[string]string{"summary": "Tocsin tries itself; nothing is broken"},
	}
	if status == page.Resolved {
		alert["endsAt"] = now
	}
	return json.Marshal(map[string]any{
		"version": "4", "status": status, "receiver": page.CanaryReceiver, "groupKey": id,
		"groupLabels": labels, "commonLabels": labels, "alerts": []any{alert},
	})
}

// sink is the canary's target: it tells nobody.
type sink struct{}

// Notify takes everything.
func (sink) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	r := m.Receipt
	r.Ref = r.Delivery
	return r, nil
}

func canarySink() notify.Target {
	return notify.Target{Kind: "canary", Name: canaryTarget, Notifier: sink{}}
}

func canaryTargetName() string { return canarySink().String() }

// watchdogs are the alerts by which clusters say that they are alive.
func (p *plan) watchdogs() map[string]string {
	out := map[string]string{}
	for _, am := range p.Alertmanagers {
		if am.Watchdog.Within > 0 {
			out[am.Name] = am.Watchdog.Alertname
		}
	}
	return out
}
