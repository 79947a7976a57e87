package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

// overdue ends what Alertmanager has forgotten. It tells nobody of an alert that
// resolves while it is silenced, and one that is killed loses what resolved
// meanwhile: the page would stand open for ever.
type overdue struct {
	store    store.Store
	log      *slog.Logger
	now      func() time.Time
	clusters func() asker
}

const (
	overdueEvery = 2 * time.Minute
	// unheard is how long nothing was heard of an open problem before
	// Alertmanager is asked about it.
	unheard = 3 * time.Minute
	// settledUp is how long an Alertmanager must be up for its silence to mean
	// something: twice the longest interval of rules that is common.
	settledUp = 10 * time.Minute
)

// run looks until ctx ends.
func (o *overdue) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, overdueEvery)
		if ctx.Err() != nil {
			return
		}
		for name := range o.clusters() {
			if err := o.look(ctx, name); err != nil && ctx.Err() == nil {
				o.log.Warn("look for what Alertmanager has forgotten", "cluster", name, "err", err)
			}
		}
	}
}

// look asks one cluster about the problems that are unheard of.
func (o *overdue) look(ctx context.Context, cluster string) error {
	c := o.clusters()[cluster]
	if c == nil || c.Base == "" {
		return nil
	}
	silent, err := o.silent(ctx, cluster)
	if err != nil || len(silent) == 0 {
		return err
	}
	at := o.now()
	up, err := c.Up(ctx)
	if err != nil || at.Sub(up) < settledUp {
		return err
	}
	held, err := c.Held(ctx)
	if err != nil {
		return err
	}
	for _, p := range silent {
		if err := o.end(ctx, p, held, at); err != nil {
			return err
		}
	}
	return nil
}

// silent are the cluster's open problems that nothing was heard of for long.
func (o *overdue) silent(ctx context.Context, cluster string) ([]page.Problem, error) {
	var out []page.Problem
	for after := ""; ; {
		recs, err := o.store.Scan(ctx, store.ProblemPrefix, after, scanned)
		if err != nil {
			return nil, fmt.Errorf("read problems: %w", err)
		}
		for _, rec := range recs {
			after = rec.Key
			var p page.Problem
			if err := store.Unmarshal(rec.Value, &p); err != nil {
				return nil, fmt.Errorf("read problem %s: %w", rec.Key, err)
			}
			if p.State == page.Open && p.Cluster == cluster && p.Storm == nil && o.now().Sub(lastHeard(p)) >= unheard {
				out = append(out, p)
			}
		}
		if len(recs) < scanned {
			return out, nil
		}
	}
}

// lastHeard is when a webhook last spoke of any alert of the problem.
func lastHeard(p page.Problem) (at time.Time) {
	for _, m := range p.Members {
		if m.Seen.After(at) {
			at = m.Seen
		}
	}
	return at
}

// end says of the alerts that are not held any more that they have resolved. The
// event confirms those alone, so that what fires anew meanwhile is not touched.
func (o *overdue) end(ctx context.Context, p page.Problem, held map[string]bool, at time.Time) error {
	n := p.Group
	n.Alerts = nil
	for _, a := range p.Firing() {
		if !held[a.ID] {
			a.Status, a.EndsAt = page.Resolved, at
			n.Alerts = append(n.Alerts, a)
		}
	}
	if len(n.Alerts) == 0 {
		return nil
	}
	o.log.Info("alerts are over that Alertmanager told no end of", "page", p.ID, "alerts", len(n.Alerts))
	return (&webhook.Door{Store: o.store}).Put(ctx, page.Event{
		Problem: p.ID, Kind: page.Recheck, Actor: "overdue/" + p.Cluster, At: at, Notification: &n, Episode: p.Episode,
		ID: fmt.Sprintf("overdue/%s/%d", p.ID, at.UnixNano()),
	})
}
