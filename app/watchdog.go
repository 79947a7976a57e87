package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

// Watchdog is the heartbeat that is expected of a cluster.
type Watchdog struct {
	Alertname string          `yaml:"alertname" doc:"The alert that always fires and is routed to Tocsin: it pages nobody as long as it comes."`
	Within    config.Duration `yaml:"within" doc:"The cluster is silent, and that is a page, when its heartbeat did not come for so long. Three times the route's repeat_interval is a good choice. 0: no heartbeat is expected, and the alert is one like any other."`
}

// withDefaults sets the name that is usual.
func (w *Watchdog) withDefaults() {
	if w.Alertname == "" {
		w.Alertname = "Watchdog"
	}
}

const watchdogEvery = 15 * time.Second

// dog listens for the heartbeats of all clusters. Silence is a page of Tocsin's
// own, which does not come by the cluster that is silent.
type dog struct {
	store   store.Store
	log     *slog.Logger
	now     func() time.Time
	plan    func() *plan
	metrics *metrics
	began   time.Time
}

// run looks at the heartbeats until ctx ends.
func (d *dog) run(ctx context.Context) {
	d.began = d.now()
	for ctx.Err() == nil {
		pause(ctx, watchdogEvery)
		for _, am := range d.plan().Alertmanagers {
			if am.Watchdog.Within > 0 && ctx.Err() == nil {
				if err := d.look(ctx, am); err != nil && ctx.Err() == nil {
					d.log.Error("look for a heartbeat", "cluster", am.Name, "err", err)
				}
			}
		}
	}
}

// look raises the alarm for a cluster that is silent, and ends it when it is
// heard again. A start is no silence: it is given its time first.
func (d *dog) look(ctx context.Context, am Alertmanager) error {
	last, err := webhook.LastBeat(ctx, d.store, am.Name)
	if err != nil {
		return err
	}
	if !last.IsZero() {
		d.metrics.beatAt.WithLabelValues(am.Name).Set(float64(last.UnixNano()) / 1e9)
	}
	now, since := d.now(), last
	if d.began.After(since) {
		since = d.began
	}
	e := silent(am, last, now)
	p, _, err := pipeline.Load(ctx, d.store, e.Problem)
	if err != nil {
		return err
	}
	door := &webhook.Door{Store: d.store}
	switch {
	case now.Sub(since) >= am.Watchdog.Within.D():
		return door.Put(ctx, e)
	case p.State == page.Open && last.After(p.Opened):
		return door.Put(ctx, webhook.AllClear(e, now))
	}
	return nil
}

func silent(am Alertmanager, last, now time.Time) page.Event {
	heard := "it was never heard"
	if !last.IsZero() {
		heard = fmt.Sprintf("it was last heard %s ago, at %s", now.Sub(last).Round(time.Second), last.UTC().Format(time.RFC3339))
	}
	return webhook.Alarm("TocsinClusterSilent",
		fmt.Sprintf("The alerts of cluster %s do not reach Tocsin: no %s within %s", am.Name, am.Watchdog.Alertname, am.Watchdog.Within.D()),
		"Of "+am.Watchdog.Alertname+" "+heard+". Prometheus, its Alertmanager or the way from there to Tocsin is broken: while it is, nobody is paged for what fails there.",
		page.Labels{"source": am.Name}, now)
}
