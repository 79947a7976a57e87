package bolt

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/store"
)

type metrics struct {
	commit  prometheus.Histogram
	batches prometheus.Histogram
	damaged prometheus.Counter
	failed  prometheus.Counter
	failing prometheus.Gauge
	compact prometheus.Histogram
	reg     prometheus.Registerer
	asked   []prometheus.Collector // when they are scraped
}

func newMetrics(reg prometheus.Registerer, s *Store) (*metrics, error) {
	auto := promauto.With(reg)
	m := &metrics{
		commit: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_store_commit_seconds",
			Help:    "Duration of commits, their syncs to disk included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		batches: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_store_commit_batches",
			Help:    "Batches that shared one commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		damaged: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_damaged_total",
			Help: "Reads that met a record, an item or a page whose checksum or structure is wrong.",
		}),
		failed: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_commit_failures_total",
			Help: "Commits that did not come through: the disk is full, read-only or broken.",
		}),
		failing: auto.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_store_failing",
			Help: "1 while the last commit did not come through: webhooks are answered 503.",
		}),
		compact: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_store_compact_seconds",
			Help:    "Pause of writing while the file was compacted.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
		reg: reg,
		asked: []prometheus.Collector{
			&laneCollector{
				index:  s.index,
				items:  prometheus.NewDesc("tocsin_store_lane_items", "Items in a lane, leased ones too.", []string{"lane"}, nil),
				leased: prometheus.NewDesc("tocsin_store_lane_leased_items", "Items of a lane that are leased.", []string{"lane"}, nil),
				oldest: prometheus.NewDesc("tocsin_store_lane_oldest_timestamp_seconds", "When the lane's oldest item was enqueued, or became due if that is later.", []string{"lane"}, nil),
			}, sizeGauge("tocsin_store_file_bytes", "Size of the file.", func() int64 { return s.Size().File }),
			sizeGauge("tocsin_store_used_bytes", "Of the file: what is in use.", func() int64 { return s.Size().Used }),
		},
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.asked {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func sizeGauge(name, help string, size func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(size()) })
}

// note counts an error that tells of damage.
func (m *metrics) note(err error) {
	if errors.Is(err, store.ErrDamaged) {
		m.damaged.Inc()
	}
}

// close ends what is asked of the store: it is no longer true.
func (m *metrics) close() {
	if m.reg == nil {
		return
	}
	for _, c := range m.asked {
		m.reg.Unregister(c)
	}
}

// laneCollector asks the index when it is scraped.
type laneCollector struct {
	index                 *index
	items, leased, oldest *prometheus.Desc
}

// Describe is prometheus.Collector's.
func (c *laneCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.items
	ch <- c.leased
	ch <- c.oldest
}

// Collect is prometheus.Collector's.
func (c *laneCollector) Collect(ch chan<- prometheus.Metric) {
	for _, l := range c.index.stats() {
		ch <- prometheus.MustNewConstMetric(c.items, prometheus.GaugeValue, float64(l.Items), l.Lane)
		ch <- prometheus.MustNewConstMetric(c.leased, prometheus.GaugeValue, float64(l.Leased), l.Lane)
		ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, float64(l.Oldest.UnixNano())/1e9, l.Lane)
	}
}
