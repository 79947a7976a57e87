// Package observe counts the requests of an API by the operation they are for,
// and judges a sample of them by what the document promises. Every label value
// comes from the document or from a list in this package: what a request says
// of itself never becomes a series.
package observe

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/exporters/openapi/match"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Metrics are those of all services of a process.
type Metrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	requestSize  *prometheus.HistogramVec
	responseSize *prometheus.HistogramVec
	inFlight     *prometheus.GaugeVec
	deprecated   *prometheus.CounterVec
	unmatched    *prometheus.CounterVec
	operation    *prometheus.GaugeVec

	violations *prometheus.CounterVec
	checks     *prometheus.CounterVec
	sampled    *prometheus.CounterVec
	dropped    *prometheus.CounterVec
	ratio      *prometheus.GaugeVec

	document   *prometheus.GaugeVec
	operations *prometheus.GaugeVec
	problems   *prometheus.GaugeVec
	loaded     *prometheus.GaugeVec
	loadedAt   *prometheus.GaugeVec
}

// Options choose buckets.
type Options struct {
	// Buckets of the classic histogram of durations, in seconds. The native
	// histogram beside it needs none.
	Buckets []float64
}

// DefaultBuckets are few, since they are there for each operation.
func DefaultBuckets() []float64 { return []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10} }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer, o Options) *Metrics {
	if len(o.Buckets) == 0 {
		o.Buckets = DefaultBuckets()
	}
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"service"}, labels...))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"service"}, labels...))
	}
	size := func(name, help string) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(1<<10, 16, 4)}, []string{"service", "operation"})
	}
	return &Metrics{
		requests: counter("openapi_requests_total", "Requests answered. code is as the document declares it: 200, 4XX, default_5xx where default covers it; other_5xx where nothing does.", "operation", "code"),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "openapi_request_duration_seconds", Help: "Time from a request to the end of its answer.",
			Buckets: o.Buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"service", "operation"}),
		requestSize:  size("openapi_request_size_bytes", "Bytes of the bodies of requests."),
		responseSize: size("openapi_response_size_bytes", "Bytes of the bodies of responses."),
		inFlight:     gauge("openapi_requests_in_flight", "Requests being answered.", "operation"),
		deprecated:   counter("openapi_deprecated_requests_total", "Requests for operations that the document calls deprecated.", "operation"),
		unmatched:    counter("openapi_unmatched_requests_total", "Requests that are for no operation: no such path, a path without that method, or OPTIONS for a path that does not declare it.", "reason"),
		operation:    gauge("openapi_operation_info", "An operation of the document.", "operation", "method", "route", "tag", "deprecated"),

		violations: counter("openapi_contract_violations_total", "Sampled requests or responses that break what the document promises.", "operation", "check"),
		checks:     counter("openapi_contract_checks_total", "Checks made of sampled requests and responses.", "check"),
		sampled:    counter("openapi_contract_sampled_total", "Requests that were taken to be checked."),
		dropped:    counter("openapi_contract_dropped_total", "Requests that were due to be checked and were not: more than the rate allows, the queue full, or the answer never came.", "reason"),
		ratio:      gauge("openapi_contract_sampling_ratio", "Share of the requests that are due to be checked."),

		document:   gauge("openapi_document_info", "The document in use. hash is of its bytes.", "version", "openapi", "hash"),
		operations: gauge("openapi_document_operations", "Operations of the document in use."),
		problems:   gauge("openapi_document_problems", "What is wrong in the document in use. check lists them.", "kind"),
		loaded:     gauge("openapi_document_last_load_successful", "Whether the document, of a folder each one, could be loaded the last time; if not, the one before is in use.", "document"),
		loadedAt:   gauge("openapi_document_last_load_success_timestamp_seconds", "When the document in use was loaded."),
	}
}

// Documents says which of a service's documents could be loaded the last time.
func (m *Metrics) Documents(service string, documents []model.Document) {
	m.loaded.DeletePartialMatch(prometheus.Labels{"service": service})
	for _, d := range documents {
		loaded := 1.0
		if d.Err != nil {
			loaded = 0
		}
		m.loaded.WithLabelValues(service, d.Name).Set(loaded)
	}
}

// Problems says what is wrong in a service's document, by kind.
func (m *Metrics) Problems(service string, problems []model.Problem) {
	n := map[string]int{}
	for _, p := range problems {
		n[p.Kind]++
	}
	for _, kind := range model.ProblemKinds() {
		m.problems.WithLabelValues(service, kind).Set(float64(n[kind]))
	}
}

// cell holds the series of one operation, so that a request looks none up.
type cell struct {
	op           *model.Operation
	slots        *[500]uint16 // which of codes a status is, from 100
	codes        []prometheus.Counter
	duration     prometheus.Observer
	requestSize  prometheus.Observer // nil where no body is declared
	responseSize prometheus.Observer
	inFlight     prometheus.Gauge
	deprecated   prometheus.Counter // nil where it is not
	violations   map[string]prometheus.Counter
}

// count is the counter for a status. One that no HTTP has is a server's fault.
func (c *cell) count(status int) prometheus.Counter {
	if status < 100 || status > 599 {
		status = 599
	}
	return c.codes[c.slots[status-100]]
}

// label is the code in a label of a status.
func label(op *model.Operation, status int) string {
	class := strconv.Itoa(status/100) + "xx"
	switch declared := op.Declared(status); declared {
	case "":
		return "other_" + class
	case "default":
		return "default_" + class
	default:
		return declared
	}
}

func (m *Metrics) cell(service string, op *model.Operation) cell {
	c := cell{
		op: op, slots: new([500]uint16), inFlight: m.inFlight.WithLabelValues(service, op.ID),
		duration:     m.duration.WithLabelValues(service, op.ID),
		responseSize: m.responseSize.WithLabelValues(service, op.ID),
		violations:   map[string]prometheus.Counter{},
	}
	if op.Request != nil {
		c.requestSize = m.requestSize.WithLabelValues(service, op.ID)
	}
	known := map[string]uint16{}
	for i := range c.slots {
		code := label(op, i+100)
		slot, ok := known[code]
		if !ok {
			slot = uint16(len(c.codes))
			known[code] = slot
			c.codes = append(c.codes, m.requests.WithLabelValues(service, op.ID, code))
		}
		c.slots[i] = slot
	}
	if op.Deprecated {
		c.deprecated = m.deprecated.WithLabelValues(service, op.ID)
	}
	for _, check := range possible(op) {
		c.violations[check] = m.violations.WithLabelValues(service, op.ID, check)
	}
	m.operation.WithLabelValues(service, op.ID, op.Method, op.Path, op.Tag, strconv.FormatBool(op.Deprecated)).Set(1)
	return c
}

// forget removes the series of operations that are no longer, and of codes that
// an operation no longer declares.
func (m *Metrics) forget(service string, was, is []*model.Operation) {
	stays := map[string]*model.Operation{}
	for _, op := range is {
		stays[op.ID] = op
	}
	for _, op := range was {
		gone := prometheus.Labels{"service": service, "operation": op.ID}
		m.operation.DeletePartialMatch(gone)
		now := stays[op.ID]
		if now == nil {
			for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
				m.requests, m.duration, m.requestSize, m.responseSize, m.inFlight, m.deprecated, m.violations,
			} {
				vec.DeletePartialMatch(gone)
			}
			continue
		}
		codes := labels(now)
		for code := range labels(op) {
			if !codes[code] {
				m.requests.DeleteLabelValues(service, op.ID, code)
			}
		}
		checks := possible(now)
		for _, check := range possible(op) {
			if !slices.Contains(checks, check) {
				m.violations.DeleteLabelValues(service, op.ID, check)
			}
		}
		if now.Request == nil {
			m.requestSize.DeleteLabelValues(service, op.ID)
		}
		if !now.Deprecated {
			m.deprecated.DeleteLabelValues(service, op.ID)
		}
	}
}

// labels are all codes of an operation's series.
func labels(op *model.Operation) map[string]bool {
	codes := map[string]bool{}
	for status := 100; status < 600; status++ {
		codes[label(op, status)] = true
	}
	return codes
}

func (m *Metrics) reasons(service string) (counters [4]prometheus.Counter) {
	for _, r := range []match.Reason{match.NoPath, match.NoMethod, match.Options} {
		counters[r] = m.unmatched.WithLabelValues(service, r.String())
	}
	return counters
}
