package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the room's own counters. They outlive a reload of the targets.
type Metrics struct {
	deliveries  *prometheus.CounterVec
	shadow      *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	states      *prometheus.CounterVec
	pending     *prometheus.GaugeVec
	age         *prometheus.GaugeVec
	undelivered *prometheus.GaugeVec
	breaker     *prometheus.GaugeVec
	fallbacks   *prometheus.CounterVec
	dead        *prometheus.GaugeVec
}

// NewMetrics registers the room's metrics with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	target := []string{"kind", "name"}
	return &Metrics{
		deliveries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notify_deliveries_total",
			Help: "Requests to targets by verb (open, update, resolve, follow, chart) and outcome (sent, not_sent, unknown, content, config, gone).",
		}, []string{"kind", "name", "verb", "outcome"}),
		shadow: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notify_shadow_total",
			Help: "Messages of receivers in shadow that were rendered and not sent, by the target's kind and name, verb and outcome (sent: it would have been; content: it could not be rendered).",
		}, []string{"kind", "name", "verb", "outcome"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_notify_send_duration_seconds",
			Help:    "Time a target took to answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, target),
		states: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notify_receipts_total",
			Help: "Lines written to the ledger, by state: intent, sent, waiting, ambiguous, failed.",
		}, []string{"kind", "name", "state"}),
		pending: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_notify_queue_items",
			Help: "Items waiting for a target or being worked on.",
		}, target),
		age: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_notify_queue_age_seconds",
			Help: "Age of the oldest item of a target that is due.",
		}, target),
		undelivered: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_notify_undelivered",
			Help: "Deliveries that were tried and did not come through yet, by state: waiting, ambiguous, failed.",
		}, []string{"kind", "name", "state"}),
		breaker: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_notify_breaker_open",
			Help: "1 while a target is left alone because requests failed in a row.",
		}, target),
		fallbacks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notify_fallbacks_total",
			Help: "Critical pages that this target could not be told of in time and somebody else was.",
		}, target),
		dead: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_notify_dead_letters",
			Help: "Deliveries that were given up, by target: see tocsin pages dead.",
		}, target),
	}
}

func (m *Metrics) sent(t Target, verb Verb, outcome string, took time.Duration) {
	if t.InShadow() {
		real := t.Real()
		m.shadow.WithLabelValues(real.Kind, real.Name, string(verb), outcome).Inc()
		return
	}
	m.deliveries.WithLabelValues(t.Kind, t.Name, string(verb), outcome).Inc()
	m.seconds.WithLabelValues(t.Kind, t.Name).Observe(took.Seconds())
}
