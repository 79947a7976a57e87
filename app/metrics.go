package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// metrics of every room. They outlive a reload.
type metrics struct {
	webhook  *webhook.Metrics
	pipeline *pipeline.Metrics
	enrich   *enrich.Metrics
	notify   *notify.Metrics
	web      *web.Metrics

	remediate *remediate.Metrics
	requests  *remediate.Requests

	stages   *prometheus.HistogramVec
	reloadOK prometheus.Gauge
	reloadAt prometheus.Gauge
	failing  prometheus.Gauge
	reread   *prometheus.CounterVec
	salvaged prometheus.Counter

	canaries   *prometheus.CounterVec
	canaryAt   prometheus.Gauge
	canaryFor  prometheus.Histogram
	beatAt     *prometheus.GaugeVec
	heartbeats *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		webhook: webhook.NewMetrics(reg), pipeline: pipeline.NewMetrics(reg),
		enrich: enrich.NewMetrics(reg), notify: notify.NewMetrics(reg), web: web.NewMetrics(reg),
		remediate: remediate.NewMetrics(reg), requests: remediate.NewRequests(reg),
		stages: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_fault_to_page_seconds",
			Help:    "Time from the rule's firing (startsAt) until a page had passed a stage: received, durable, enriched, decided, delivered.",
			Buckets: []float64{.1, .25, .5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600},
		}, []string{"stage"}),
		reloadOK: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_config_last_reload_successful",
			Help: "1 if the config that was read last is the one that serves.",
		}),
		reloadAt: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_config_last_reload_success_timestamp_seconds",
			Help: "When the config that serves was read.",
		}),
		failing: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_failopen_active",
			Help: "1 while the store is unusable and critical alerts are told past it.",
		}),
		reread: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_reread_total",
			Help: "How often the open alerts of a cluster were to be read from its Alertmanager, by outcome: read, failed.",
		}, []string{"cluster", "outcome"}),
		salvaged: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_salvaged_total",
			Help: "Damaged stores that were moved aside at the start.",
		}),
	}
	m.reloadOK.Set(1)
	m.reloadAt.SetToCurrentTime()
	m.watch(f)
	return m
}

// watch adds what Tocsin knows of its own health, and of its sources'.
func (m *metrics) watch(f promauto.Factory) {
	m.canaries = f.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_canaries_total",
		Help: "Pages by which Tocsin tried itself, by outcome: arrived, failed.",
	}, []string{"outcome"})
	m.canaryAt = f.NewGauge(prometheus.GaugeOpts{
		Name: "tocsin_canary_last_success_timestamp_seconds",
		Help: "When a page by which Tocsin tried itself last arrived and was resolved.",
	})
	m.canaryFor = f.NewHistogram(prometheus.HistogramOpts{
		Name:    "tocsin_canary_seconds",
		Help:    "Time a page by which Tocsin tried itself took there and back.",
		Buckets: prometheus.ExponentialBuckets(0.01, 3, 9),
	})
	m.beatAt = f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tocsin_watchdog_last_seen_timestamp_seconds",
		Help: "When a cluster's heartbeat last came.",
	}, []string{"cluster"})
	m.heartbeats = f.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_heartbeats_total",
		Help: "Heartbeats to the outside by outcome: sent, failed, or withheld because something is wrong here.",
	}, []string{"outcome"})
}

func (m *metrics) observe(stage string, d time.Duration) {
	m.stages.WithLabelValues(stage).Observe(d.Seconds())
}

func processCollectors(version string) []prometheus.Collector {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tocsin_build_info", Help: "1, with the version that runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	return []prometheus.Collector{
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
}
