package probe

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// describer makes the metrics of rounds. They have the names of
// blackbox_exporter's where that has them; /probe tells them without the labels
// service and target, which Prometheus' relabelling sets.
type describer struct {
	own  []string
	desc map[string]*prometheus.Desc
}

func newDescriber(prefix string, own ...string) *describer {
	d := &describer{own: own, desc: map[string]*prometheus.Desc{}}
	for _, m := range []struct {
		name, help string
		labels     []string
	}{
		{"success", "Whether every operation was answered as the document says, with a status below 400.", nil},
		{"duration_seconds", "How long asking for all operations took.", nil},
		{"operation_success", "Whether the operation was answered as the document says, with a status below 400.", []string{"operation"}},
		{"operation_failed", "Why the probe of the operation failed. It is there while it does.", []string{"operation", "reason"}},
		{"http_status_code", "Status of the answer; 0 where there was none.", []string{"operation"}},
		{"http_duration_seconds", "How long the parts of the request took. A connection that was there takes nothing.", []string{"operation", "phase"}},
		{"http_response_size_bytes", "Size of the answer's body.", []string{"operation"}},
		{"contract_violations", "Whether the answer breaks what the document promises, by check that was made.", []string{"operation", "check"}},
		{"ssl_earliest_cert_expiry", "When the first of the certificates that were shown ends, in seconds since 1970.", nil},
		{"timestamp_seconds", "When the target was asked.", nil},
	} {
		d.desc[m.name] = prometheus.NewDesc(prefix+m.name, m.help, slices.Concat(own, m.labels), nil)
	}
	return d
}

func (d *describer) collect(out chan<- prometheus.Metric, r *Round, own ...string) {
	send := func(name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d.desc[name], prometheus.GaugeValue, v, slices.Concat(own, labels)...)
	}
	send("success", truth(r.Success()))
	send("duration_seconds", r.Took.Seconds())
	send("timestamp_seconds", float64(r.At.UnixMilli())/1e3)
	var expiry float64
	for _, x := range r.Results {
		send("operation_success", truth(x.Reason == ""), x.Operation)
		if x.Reason != "" {
			send("operation_failed", 1, x.Operation, x.Reason)
		}
		send("http_status_code", float64(x.Status), x.Operation)
		send("http_response_size_bytes", float64(x.Size), x.Operation)
		for i, name := range phaseNames() {
			send("http_duration_seconds", x.Phases[i].Seconds(), x.Operation, name)
		}
		for _, f := range x.Findings {
			send("contract_violations", truth(f.Broken), x.Operation, f.Check)
		}
		if end := float64(x.Expiry.Unix()); !x.Expiry.IsZero() && (expiry == 0 || end < expiry) {
			expiry = end
		}
	}
	if expiry != 0 {
		send("ssl_earliest_cert_expiry", expiry)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Probes are those of all services: a collector of what was asked last, and the
// handler of /probe.
type Probes struct {
	refused    map[string]prometheus.Counter
	operations *prometheus.Desc
	skipped    *prometheus.Desc
	scheduled  *describer
	places     chan struct{}

	mu       sync.Mutex
	services []*served
}

// NewProbes registers the metrics of probes.
func NewProbes(reg prometheus.Registerer) *Probes {
	p := &Probes{
		refused:    map[string]prometheus.Counter{},
		operations: prometheus.NewDesc("openapi_probe_operations", "Operations that are asked.", []string{"service"}, nil),
		skipped:    prometheus.NewDesc("openapi_probe_operations_skipped", "Operations that are not asked; check lists them.", []string{"service", "reason"}, nil),
		scheduled:  newDescriber("openapi_probe_", "service", "target"),
		places:     make(chan struct{}, maxProbes),
	}
	vec := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "openapi_probe_refused_total", Help: "Requests for /probe that were refused: too many at a time, an unknown service or operation, or a target that the config does not allow.",
	}, []string{"reason"})
	for _, reason := range refusals() {
		p.refused[reason] = vec.WithLabelValues(reason)
	}
	if reg != nil {
		reg.MustRegister(p)
	}
	return p
}

// Describe says what Collect sends.
func (p *Probes) Describe(out chan<- *prometheus.Desc) {
	out <- p.operations
	out <- p.skipped
	for _, d := range p.scheduled.desc {
		out <- d
	}
}

// Collect sends what came of the last time that each target was asked.
func (p *Probes) Collect(out chan<- prometheus.Metric) {
	p.mu.Lock()
	services := slices.Clone(p.services)
	p.mu.Unlock()
	for _, s := range services {
		plan := s.prober.plan.Load()
		if plan == nil {
			continue
		}
		out <- prometheus.MustNewConstMetric(p.operations, prometheus.GaugeValue, float64(len(plan.calls)), s.name)
		count := map[string]int{}
		for _, each := range plan.skipped {
			count[each.Reason]++
		}
		for _, reason := range SkipReasons() {
			out <- prometheus.MustNewConstMetric(p.skipped, prometheus.GaugeValue, float64(count[reason]), s.name, reason)
		}
		for _, r := range s.prober.last() {
			p.scheduled.collect(out, &r, s.name, r.Target)
		}
	}
}
