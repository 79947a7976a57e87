// Package values makes metrics of what an API answers: numbers, booleans, times
// and states in JSON that its document, or the config, says are metrics. A
// document's annotations are compiled once; an answer is read in one pass that
// builds nothing but the values themselves. Names and labels are closed; how
// many series there are is bounded by the config, and what is over is counted.
package values

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Options of one service.
type Options struct {
	MaxSeries   int           // of one metric in one answer
	MaxElements int           // of one array or map that are read
	MaxLabel    int           // bytes of a label value
	Stale       time.Duration // series of an answer that old vanish
	Metrics     []Metric      // beside those that the document annotates
}

// Values are those of all services: a collector whose metrics come and go with
// the documents.
type Values struct {
	counts *counts

	mu       sync.Mutex
	services []*Service
}

// New registers the metrics about values, and the values.
func New(reg prometheus.Registerer) *Values {
	v := &Values{counts: newCounts(reg)}
	if reg != nil {
		reg.MustRegister(v)
	}
	return v
}

// Describe says nothing: what there is depends on the documents.
func (v *Values) Describe(chan<- *prometheus.Desc) {}

// Collect sends the values of all services.
func (v *Values) Collect(out chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.services {
		v.counts.series.WithLabelValues(s.name).Set(float64(s.table.collect(out, time.Now().Add(-s.options.Stale))))
	}
}

// Service makes metrics of the answers of one service, once a document is
// loaded.
type Service struct {
	name    string
	options Options
	all     *Values
	drops   drops
	answers prometheus.Counter
	log     *slog.Logger

	table   *table
	plans   atomic.Pointer[plans]
	walkers sync.Pool
}

// Service makes a Service.
func (v *Values) Service(name string, o Options, log *slog.Logger) *Service {
	s := &Service{name: name, options: o, all: v, log: log, table: newTable(), drops: v.counts.drops(name), answers: v.counts.answers.WithLabelValues(name)}
	s.walkers.New = func() any { return &walker{options: o} }
	s.plans.Store(&plans{})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.services = append(v.services, s)
	return s
}

// Load takes the annotations of a document into use, and returns what is wrong
// with them: that annotation is left out. Where the metrics stay what they
// were, so do their series.
func (s *Service) Load(api *model.API) []model.Problem {
	next, problems := compile(s.name, api, s.options.Metrics)
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	for _, other := range s.all.services {
		if other != s {
			problems = append(problems, next.clashes(other.name, other.plans.Load())...)
		}
	}
	if was := s.plans.Swap(next); !next.same(was) {
		s.table.clear()
	}
	return problems
}

// Wants says whether there is anything in the answers of an operation.
func (s *Service) Wants(operation string) bool { return len(s.plans.Load().operations[operation]) > 0 }

// Answer is a whole JSON body.
type Answer struct {
	Operation string // its ID
	Code      string // as declared
	Target    string // that was asked; "" where requests were observed
	Body      []byte
	Part      bool // there is more than this: other series of the operation stay
}

// Take makes the series of an answer. They stand for those of the answer before.
func (s *Service) Take(a Answer) { s.take(s.table, a) }

func (s *Service) take(t *table, a Answer) {
	all := s.plans.Load()
	plan := all.operations[a.Operation][a.Code]
	if plan == nil {
		return
	}
	w, _ := s.walkers.Get().(*walker)
	defer s.walkers.Put(w)
	s.answers.Inc()
	if err := w.walk(plan, a.Body); err != nil {
		s.drops.add(dropBody, 1)
		s.log.Debug("an answer is no JSON", "operation", a.Operation, "target", a.Target, "err", err)
		return
	}
	w.drops[dropSeries] += t.put(s, a, all, w)
	for reason, n := range w.drops {
		s.drops.add(drop(reason), n)
	}
}

// Once is a collector of answers that are told once, as /probe does: without
// the labels service and target.
type Once struct {
	service *Service
	table   *table
}

// Once makes a Once.
func (s *Service) Once() *Once {
	t := newTable()
	t.bare = true
	return &Once{service: s, table: t}
}

// Take makes the series of an answer.
func (o *Once) Take(a Answer) { o.service.take(o.table, a) }

// Describe says nothing: what there is depends on the document.
func (o *Once) Describe(chan<- *prometheus.Desc) {}

// Collect sends the values.
func (o *Once) Collect(out chan<- prometheus.Metric) { o.table.collect(out, time.Time{}) }
