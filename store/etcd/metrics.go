package etcd

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/store"
)

// metrics are bolt's where they mean the same, and the cluster's own.
type metrics struct {
	commit     prometheus.Histogram
	damaged    prometheus.Counter
	sessions   prometheus.Counter
	interrupts prometheus.Counter
	reloads    prometheus.Counter
	reg        prometheus.Registerer
	lanes      *laneCollector
}

func newMetrics(reg prometheus.Registerer, x *index) (*metrics, error) {
	auto := promauto.With(reg)
	m := &metrics{
		commit: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_store_commit_seconds",
			Help:    "Duration of commits, their syncs to disk included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		damaged: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_damaged_total",
			Help: "Reads that met a record, an item or a page whose checksum or structure is wrong.",
		}),
		sessions: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_etcd_sessions_lost_total",
			Help: "Sessions with etcd that ended against our will: what was leased here went to other replicas.",
		}),
		interrupts: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_etcd_watch_interruptions_total",
			Help: "Interruptions of the watch that keeps the index at the present.",
		}),
		reloads: auto.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_store_etcd_reloads_total",
			Help: "Times the whole state was read again because etcd had compacted what was missed.",
		}),
		reg: reg,
		lanes: &laneCollector{
			index:  x,
			items:  prometheus.NewDesc("tocsin_store_lane_items", "Items in a lane, leased ones too.", []string{"lane"}, nil),
			leased: prometheus.NewDesc("tocsin_store_lane_leased_items", "Items of a lane that are leased.", []string{"lane"}, nil),
			oldest: prometheus.NewDesc("tocsin_store_lane_oldest_timestamp_seconds", "When the lane's oldest item was enqueued, or became due if that is later.", []string{"lane"}, nil),
		},
	}
	if reg == nil {
		return m, nil
	}
	return m, reg.Register(m.lanes)
}

// note counts an error that tells of damage, and returns it.
func (m *metrics) note(err error) error {
	if errors.Is(err, store.ErrDamaged) {
		m.damaged.Inc()
	}
	return err
}

// close ends the lanes' metrics: their index is no longer true.
func (m *metrics) close() {
	if m.reg != nil {
		m.reg.Unregister(m.lanes)
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
