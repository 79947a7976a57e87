package values

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// table holds the series of one service.
type table struct {
	bare bool // without the labels service and target

	mu    sync.Mutex
	sets  map[asked]*set
	descs map[string]*prometheus.Desc
	key   []byte
}

// asked is what an answer stands for: the next one to it takes its place.
type asked struct{ operation, target string }

type set struct {
	answers uint64
	series  map[string]*series // by name and labels
	count   map[string]int     // of each metric
}

type series struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels []string
	name   string
	value  float64
	answer uint64 // that had it
	seen   time.Time
}

func newTable() *table {
	return &table{sets: map[asked]*set{}, descs: map[string]*prometheus.Desc{}}
}

func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.sets)
	clear(t.descs)
}

// put makes the samples of a walker the series of an answer, and returns how
// many there was no place for.
func (t *table) put(s *Service, a Answer, from *plans, w *walker) (over int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.plans.Load() != from {
		return 0 // the document has changed meanwhile
	}
	at := asked{a.Operation, a.Target}
	into := t.sets[at]
	if into == nil {
		into = &set{series: map[string]*series{}, count: map[string]int{}}
		t.sets[at] = into
	}
	into.answers++
	now := time.Now()
	kept := 0
	for i := range w.samples {
		x := &w.samples[i]
		if slices.ContainsFunc(w.spans[x.labels:x.labels+len(x.metric.slots)], func(s span) bool { return s.wrong }) {
			w.drops[dropLabel]++
			continue
		}
		for state := range max(1, len(x.metric.states)) {
			value := x.value
			if x.metric.kind == "stateset" && state != x.state {
				value = 0
			}
			one := t.one(s, into, a, w, x, state)
			switch {
			case one == nil:
				over++
				continue
			case one.answer == into.answers:
				w.drops[dropDuplicate]++
				continue
			}
			one.value, one.answer, one.seen = value, into.answers, now
			kept++
		}
	}
	if !a.Part && kept < len(into.series) {
		into.forget(func(s *series) bool { return s.answer != into.answers })
	}
	return over
}

func (s *set) forget(gone func(*series) bool) {
	for key, one := range s.series {
		if gone(one) {
			s.count[one.name]--
			delete(s.series, key)
		}
	}
}

// one finds the series of a sample, or makes it where there is place.
func (t *table) one(s *Service, into *set, a Answer, w *walker, x *sample, state int) *series {
	m := x.metric
	t.key = append(t.key[:0], m.name...)
	for _, at := range w.spans[x.labels : x.labels+len(m.slots)] {
		t.key = append(t.key, 0xff) // in no label, which is UTF-8
		t.key = append(t.key, w.text[at.from:at.to]...)
	}
	if m.kind == "stateset" {
		t.key = append(t.key, 0xff)
		t.key = append(t.key, m.states[state]...)
	}
	if one := into.series[string(t.key)]; one != nil {
		return one
	}
	if a.Part && into.count[m.name] >= s.options.MaxSeries { // of a whole answer the walker has seen to it
		return nil
	}
	own := ownLabels()
	labels := []string{s.name, a.Operation, a.Target}
	if t.bare {
		own, labels = own[1:2], labels[1:2]
	}
	one := &series{desc: t.desc(m.definition, own), kind: m.value(), labels: labels, name: m.name}
	for _, at := range w.spans[x.labels : x.labels+len(m.slots)] {
		one.labels = append(one.labels, string(w.text[at.from:at.to]))
	}
	if m.kind == "stateset" {
		one.labels = append(one.labels, m.states[state])
	}
	into.series[string(t.key)] = one
	into.count[m.name]++
	return one
}

func (t *table) desc(d *definition, own []string) *prometheus.Desc {
	if t.descs[d.name] == nil {
		t.descs[d.name] = d.desc(own)
	}
	return t.descs[d.name]
}

// collect sends what is not older than since, and forgets what is.
func (t *table) collect(out chan<- prometheus.Metric, since time.Time) (n int) {
	t.mu.Lock()
	var ready []prometheus.Metric
	for at, s := range t.sets {
		s.forget(func(one *series) bool { return one.seen.Before(since) })
		if len(s.series) == 0 {
			delete(t.sets, at)
		}
		for _, one := range s.series {
			ready = append(ready, prometheus.MustNewConstMetric(one.desc, one.kind, one.value, one.labels...))
		}
	}
	t.mu.Unlock()
	for _, m := range ready {
		out <- m
	}
	return len(ready)
}
