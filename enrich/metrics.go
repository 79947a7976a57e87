package enrich

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of the room. They outlive an Enricher, for a reload makes a new one.
type Metrics struct {
	seconds  *prometheus.HistogramVec
	answers  *prometheus.CounterVec
	series   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	contexts *prometheus.CounterVec
	panics   prometheus.Counter

	prewarm *prometheus.CounterVec
	looks   *prometheus.CounterVec
	lead    prometheus.Histogram
}

// NewMetrics registers the metrics of the room; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_enrich_source_seconds",
			Help:    "Time a source took to answer a question: ok, partial, error or timeout.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 20},
		}, []string{"source", "outcome"}),
		answers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_enrich_answers_total",
			Help: "Questions by where their answer came from: the source, a flight that was under way, the cache, or ahead of the page.",
		}, []string{"source", "from"}),
		series: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_enrich_series_total",
			Help: "Series read of a source's answers.",
		}, []string{"source"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_enrich_bytes_total",
			Help: "Bytes read of a source's answers.",
		}, []string{"source"}),
		contexts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_enrich_contexts_total",
			Help: "Contexts by what they say: trait, none, unknown, or pending.",
		}, []string{"answer"}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_enrich_panics_total",
			Help: "Panics of sources and explainers that were contained.",
		}),
		prewarm: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_prewarm_total",
			Help: "Questions that could be asked ahead of pages, by how their alerts were learned of (poll, alerts, events) and outcome: asked, known (an answer is young enough), dropped (pages go first, or too many).",
		}, []string{"way", "outcome"}),
		looks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_prewarm_first_messages_total",
			Help: "First contexts of problems by where they came from: warm (all of it was asked ahead), asked (in time), late (the page left without).",
		}, []string{"context"}),
		lead: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_prewarm_lead_seconds",
			Help:    "How long before it was wanted an answer that was asked ahead stood.",
			Buckets: []float64{.1, .5, 1, 2, 5, 10, 15, 30, 60},
		}),
	}
}
