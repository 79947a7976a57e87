package web

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what the pages for people tell about themselves.
type Metrics struct {
	live   prometheus.Gauge
	logins *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg; nil registers nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		live: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_web_live_pages",
			Help: "Browsers that are told at once of what changes.",
		}),
		logins: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_web_logins_total",
			Help: "Attempts to sign in, by outcome: ok, wrong, blocked.",
		}, []string{"outcome"}),
	}
}
