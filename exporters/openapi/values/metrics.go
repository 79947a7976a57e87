package values

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// drop is why a value, or an answer, made no series.
type drop int

const (
	dropBody      drop = iota // the answer is no JSON
	dropValue                 // no number, time or boolean, out of range, or a counter below 0
	dropState                 // a state that is not declared
	dropLabel                 // a label that is too long or no text
	dropElements              // an array or map that is too long
	dropSeries                // more series of a metric than may be
	dropDuplicate             // the answer has the same labels twice
	dropReasons
)

func reasons() [dropReasons]string {
	return [dropReasons]string{"body", "value", "state", "label", "elements", "series", "duplicate"}
}

type counts struct {
	answers *prometheus.CounterVec
	dropped *prometheus.CounterVec
	series  *prometheus.GaugeVec
}

func newCounts(reg prometheus.Registerer) *counts {
	f := promauto.With(reg)
	return &counts{
		answers: f.NewCounterVec(prometheus.CounterOpts{Name: "openapi_values_answers_total", Help: "Answers that were read for values."}, []string{"service"}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{
			Name: "openapi_values_dropped_total", Help: "What of answers made no series: the whole body, a value, a state or a label that cannot be one, or what is above a limit.",
		}, []string{"service", "reason"}),
		series: f.NewGaugeVec(prometheus.GaugeOpts{Name: "openapi_values_series", Help: "Series of values at the scrape before."}, []string{"service"}),
	}
}

// drops are the counters of one service, by reason.
type drops [dropReasons]prometheus.Counter

func (c *counts) drops(service string) (d drops) {
	for i, reason := range reasons() {
		d[i] = c.dropped.WithLabelValues(service, reason)
	}
	c.series.WithLabelValues(service).Set(0)
	return d
}

func (d drops) add(reason drop, n int) {
	if n > 0 {
		d[reason].Add(float64(n))
	}
}
