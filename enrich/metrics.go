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
			Help: "Questions by where their answer came from: the source, a flight that was under way, or the cache.",
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
	}
}
