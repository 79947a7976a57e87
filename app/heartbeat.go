package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// Heartbeat is how somebody outside knows that Tocsin is well.
type Heartbeat struct {
	URLFile config.SecretFile `yaml:"url_file" doc:"File with the address that is asked (GET) as long as Tocsin is well: a dead man's switch (healthchecks.io, Dead Man's Snitch, PagerDuty's own) that rings when it is not."`
	Every   config.Duration   `yaml:"every" doc:"How often. Set the switch to ring after three times as long."`
}

const (
	heartbeatFor  = 10 * time.Second
	maxHeartbeat  = 64 << 10
	maxEventsWait = time.Minute // an event that waits longer: the pipeline does not get on
)

// heart beats outwards while Tocsin is well: canaries arrive and no event waits.
type heart struct {
	store   store.Store
	log     *slog.Logger
	now     func() time.Time
	plan    func() *plan
	url     func() config.Secret
	canary  func() time.Time // when the last one arrived; the start before the first
	remote  *remote.Client
	metrics *metrics
	failing bool
}

// run beats until ctx ends.
func (h *heart) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, h.plan().Heartbeat.Every.D())
		if url := h.url(); url != "" && ctx.Err() == nil {
			h.beat(ctx, url)
		}
	}
}

// beat asks the address, unless something is wrong.
func (h *heart) beat(ctx context.Context, url config.Secret) {
	outcome, err := "sent", h.well(ctx)
	if err != nil {
		outcome = "withheld"
	} else if err = h.send(ctx, url); err != nil {
		outcome = "failed"
	}
	if ctx.Err() != nil {
		return
	}
	h.metrics.heartbeats.WithLabelValues(outcome).Inc()
	if err != nil && !h.failing {
		h.log.Error("no heartbeat is sent: who listens outside will ring", "outcome", outcome, "err", err)
	}
	if err == nil && h.failing {
		h.log.Info("the heartbeat goes on")
	}
	h.failing = err != nil
}

// well says what is wrong, if anything.
func (h *heart) well(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatFor)
	defer cancel()
	now := h.now()
	if every := h.plan().Canary.Every.D(); every > 0 {
		if late := now.Sub(h.canary()); late > 2*every+canaryFor {
			return fmt.Errorf("no canary arrived for %s", late.Round(time.Second))
		}
	}
	lanes, err := h.store.Lanes(ctx)
	if err != nil {
		return fmt.Errorf("read lanes: %w", err)
	}
	for _, l := range lanes {
		if wait := now.Sub(l.Oldest); l.Lane == store.LaneEvents && l.Items > 0 && wait > maxEventsWait {
			return fmt.Errorf("an event has waited for %s", wait.Round(time.Second))
		}
	}
	return nil
}

func (h *heart) send(ctx context.Context, url config.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url.Reveal(), nil)
	if err != nil {
		return errors.New("send heartbeat: the file of heartbeat.url_file holds no address")
	}
	res, err := h.remote.Do(req, "send heartbeat")
	if err != nil {
		return err
	}
	if res.Status >= http.StatusBadRequest {
		return &remote.Error{Op: "send heartbeat", Class: remote.Config, Status: res.Status}
	}
	return nil
}

// watchers are what looks after Tocsin itself and after those it listens to.
func (h *house) watchers() []func(context.Context) {
	log, now, current := h.options.Log, h.lent.now, func() *plan { return h.rooms.Load().parts.plan }
	began := now()
	c := &canary{
		store: h.store, log: log, now: now, metrics: h.metrics,
		every: func() time.Duration { return current().Canary.Every.D() },
		submit: func(ctx context.Context, cluster string, body []byte) error {
			return h.rooms.Load().door.Submit(ctx, cluster, body)
		},
	}
	c.arrived.Store(&began)
	beat := &heart{
		store: h.store, log: log, now: now, plan: current, metrics: h.metrics,
		url:    func() config.Secret { return h.rooms.Load().parts.heartbeat },
		canary: func() time.Time { return *c.arrived.Load() },
		remote: remote.New(h.lent.transport, maxHeartbeat),
	}
	listens := &dog{store: h.store, log: log, now: now, plan: current, metrics: h.metrics}
	ends := &overdue{store: h.store, log: log, now: now, clusters: func() asker { return h.rooms.Load().parts.asker }}
	return []func(context.Context){c.run, beat.run, listens.run, ends.run}
}
