package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of the front door. They outlive a reload.
type Metrics struct {
	requests *prometheus.CounterVec
	bad      *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    prometheus.Histogram
	changes  *prometheus.CounterVec
	ahead    *prometheus.CounterVec
}

// NewMetrics makes and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	return &Metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_webhook_requests_total",
			Help: "Webhooks by the cluster that sent them and what became of them: accepted, duplicate, quarantined and passed (told past an unusable store) were answered 202; overloaded, torn and failed 503; refused and denied 4xx.",
		}, []string{"cluster", "outcome"}),
		bad: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_webhook_quarantined_total",
			Help: "Webhooks that could not be read, by cluster and reason.",
		}, []string{"cluster", "reason"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_webhook_answer_seconds",
			Help:    "Time from a webhook's headers to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"outcome"}),
		bytes: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_webhook_body_bytes",
			Help:    "Size of the bodies of webhooks.",
			Buckets: prometheus.ExponentialBuckets(512, 4, 9),
		}),
		changes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_webhook_changes_total",
			Help: "Changes by what became of them: accepted, duplicate and ignored were answered 202; unreadable, refused and denied 4xx; overloaded, torn and failed 503.",
		}, []string{"outcome"}),
		ahead: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_webhook_prewarm_total",
			Help: "Bodies of POST /api/v2/alerts and /webhook/events by what became of them: accepted, ignored, overloaded and torn were answered 200; unreadable, refused and denied 4xx.",
		}, []string{"outcome"}),
	}
}

func (m *Metrics) answered(cluster, outcome string, took time.Duration) {
	m.requests.WithLabelValues(cluster, outcome).Inc()
	m.seconds.WithLabelValues(outcome).Observe(took.Seconds())
}

func (m *Metrics) quarantined(cluster, reason string) {
	m.bad.WithLabelValues(cluster, reason).Inc()
}

func (m *Metrics) read(bytes int) { m.bytes.Observe(float64(bytes)) }

func (m *Metrics) changed(outcome string) { m.changes.WithLabelValues(outcome).Inc() }

func (m *Metrics) prewarmed(outcome string) { m.ahead.WithLabelValues(outcome).Inc() }
