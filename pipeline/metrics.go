package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/page"
)

// Metrics are the pipeline's own counters.
type Metrics struct {
	events  *prometheus.CounterVec
	retries prometheus.Counter

	dropped       *prometheus.CounterVec
	sweepFailures prometheus.Counter
	overfull      prometheus.Gauge
	orphans       prometheus.Gauge
}

// NewMetrics registers the pipeline's metrics with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_pipeline_events_total",
			Help: "Events applied, by kind and by what they did to their problem.",
		}, []string{"kind", "outcome"}),
		retries: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_pipeline_retries_total",
			Help: "Events put back because the store or a room was in trouble.",
		}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_pipeline_dropped_problems_total",
			Help: "Closed problems that were dropped, by why: retention, size for those that went before their time, canary for those by which Tocsin tried itself.",
		}, []string{"reason"}),
		sweepFailures: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_pipeline_sweep_failures_total",
			Help: "Sweeps that did not drop all that may go: the store or the history was in trouble.",
		}),
		overfull: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_pipeline_store_overfull",
			Help: "1 while the store is larger than store.bolt.max_bytes and nothing more in it may go.",
		}),
		orphans: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_pipeline_orphaned_items",
			Help: "Work that waits for targets that are not in the config.",
		}),
	}
}

// Stage is one stage of a page's way and how long after the rule's firing it
// was passed.
type Stage struct {
	Name  string
	After time.Duration
}

// Stages lists the stages the clock has passed, in order: received (the webhook
// was read), durable (it is on disk and was taken up), enriched (what they
// share is known), decided (handed to notify).
func Stages(c page.Clock) []Stage {
	var out []Stage
	for _, s := range []struct {
		name string
		at   time.Time
	}{{"received", c.Received}, {"durable", c.Durable}, {"enriched", c.Enriched}, {"decided", c.Decided}} {
		if !s.at.IsZero() && !c.Started.IsZero() {
			out = append(out, Stage{s.name, max(0, s.at.Sub(c.Started))})
		}
	}
	return out
}
