package values

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// plans are what is read of the answers of one document.
type plans struct {
	operations  map[string]map[string]*plan // by operation and declared code
	definitions map[string]*definition      // by family
}

// plan is what is read of one answer: a trie of the ways to values and labels.
type plan struct {
	root    *node
	metrics []*metric
	levels  []int // of each slot: how many elements stand around its label
}

// node is a place of the answer.
type node struct {
	fields  map[string]*node
	each    *node
	level   int       // elements around it, itself included
	metrics []*metric // whose value is here
	slots   []int     // that take the value
	keys    []int     // that take the key of this element
}

// metric is a value that is looked for.
type metric struct {
	*definition
	index  int // in its plan
	scale  float64
	format string
	states []string
	slots  []int // of definition.labels
}

// value is what Prometheus takes the metric for.
func (d *definition) value() prometheus.ValueType {
	if d.kind == "counter" {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// desc has the labels in the order in which a series has them.
func (d *definition) desc(own []string) *prometheus.Desc {
	labels := slices.Concat(own, d.labels)
	if d.kind == "stateset" {
		labels = append(labels, stateLabel)
	}
	return prometheus.NewDesc(d.name, d.help, labels, nil)
}

// compile makes plans of what the document and the config say. What is wrong is
// left out and told with its place.
func compile(service string, api *model.API, configured []Metric) (*plans, []model.Problem) {
	p := &plans{operations: map[string]map[string]*plan{}, definitions: map[string]*definition{}}
	var problems []model.Problem
	wrong := func(where string, err error) {
		for _, e := range split(err) {
			problems = append(problems, model.Problem{Kind: "metric", Where: where, Text: e.Error()})
		}
	}
	told := map[string]bool{} // a schema is in many answers, and wrong once
	outside := map[string]error{}
	used := map[string]bool{}
	for _, op := range api.Operations {
		for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
			for _, a := range op.Responses[code].Annotations {
				m, err := annotated(a)
				m.Operation, m.Code = op.ID, code
				if err == nil {
					err = p.add(m, a.Path, slices.Contains(a.Types, "object"), a.At)
				}
				switch {
				case err == nil:
					used[a.At] = true
				case errors.Is(err, errOutside):
					outside[a.At] = err
				case !told[a.At+err.Error()]:
					told[a.At+err.Error()] = true
					wrong(a.At, err)
				}
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(outside)) { // a label of the object around is not in every answer that has the schema
		if !used[at] {
			wrong(at, outside[at])
		}
	}
	for i, m := range configured {
		where := fmt.Sprintf("services[%s].values.metrics[%d]", service, i)
		if err := p.configured(api, m, where); err != nil {
			wrong(where, err)
		}
	}
	return p, problems
}

// split is what was joined.
func split(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, split(e)...)
	}
	return all
}

// Check says what is wrong in a configured metric, as far as can be said without
// the document.
func (m Metric) Check() error {
	if m.Operation == "" {
		return errors.New("operation: missing")
	}
	m.defaults(nil, "", nil)
	path, err := steps(m.Path)
	if err != nil {
		return err
	}
	p := &plans{operations: map[string]map[string]*plan{}, definitions: map[string]*definition{}}
	return p.add(m, path, m.Type == "info", "")
}

func (p *plans) configured(api *model.API, m Metric, where string) error {
	m.defaults(nil, "", nil)
	if m.Code == "" {
		m.Code = "200"
	}
	path, err := steps(m.Path)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(api.Operations, func(op *model.Operation) bool { return op.ID == m.Operation })
	if i < 0 {
		return fmt.Errorf("operation %q: the document has none", m.Operation)
	}
	if api.Operations[i].Responses[m.Code] == nil {
		return fmt.Errorf("code %q: operation %s declares %v", m.Code, m.Operation, slices.Sorted(maps.Keys(api.Operations[i].Responses)))
	}
	return p.add(m, path, m.Type == "info", where)
}

// add takes a metric into the plan of its answer. inside says that the labels
// are in the value, not beside it.
func (p *plans) add(m Metric, path []model.Step, inside bool, at string) error {
	d, err := m.definition()
	if err != nil {
		return err
	}
	d.at = at
	if have := p.definitions[d.family()]; have == nil {
		p.definitions[d.family()] = d
	} else if !have.same(d) {
		return fmt.Errorf("metric %v; at %s it is %v", d, have.at, have)
	} else {
		d = have
	}
	base := path
	if !inside && len(path) > 0 {
		base = path[:len(path)-1]
	}
	places := make([]place, 0, len(d.labels))
	for _, label := range d.labels {
		where, e := resolve(m.Labels[label], path, base)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("label %s: %w", label, e))
		}
		places = append(places, where)
	}
	if err != nil {
		return err
	}
	if p.operations[m.Operation] == nil {
		p.operations[m.Operation] = map[string]*plan{}
	}
	plan := p.operations[m.Operation][m.Code]
	if plan == nil {
		plan = newPlan()
		p.operations[m.Operation][m.Code] = plan
	}
	plan.add(&metric{definition: d, scale: m.scale(), format: m.Format, states: m.States}, path, places)
	return nil
}

func newPlan() *plan { return &plan{root: &node{}} }

func (p *plan) add(m *metric, path []model.Step, places []place) {
	m.index = len(p.metrics)
	p.metrics = append(p.metrics, m)
	for _, at := range places {
		n := p.root.at(at.path)
		to := &n.slots
		if at.key {
			to = &n.keys
		}
		if len(*to) == 0 { // labels of several metrics share a slot
			*to = append(*to, len(p.levels))
			p.levels = append(p.levels, n.level)
		}
		m.slots = append(m.slots, (*to)[0])
	}
	n := p.root.at(path)
	n.metrics = append(n.metrics, m)
}

// at is the node of a path, made where it is missing.
func (n *node) at(path []model.Step) *node {
	for _, step := range path {
		if step.Each {
			if n.each == nil {
				n.each = &node{level: n.level + 1}
			}
			n = n.each
			continue
		}
		if n.fields == nil {
			n.fields = map[string]*node{}
		}
		if n.fields[step.Name] == nil {
			n.fields[step.Name] = &node{level: n.level}
		}
		n = n.fields[step.Name]
	}
	return n
}

// place is where a label's value is.
type place struct {
	path []model.Step
	key  bool // not the value there, but the key of that element
}

// errOutside says that a label is not in the answer.
var errOutside = errors.New("leads out of the answer")

// resolve finds the place that a label names: name or a/b from base, ../ for the
// object around that, @key for the key of the element around the value, ../@key
// for that of the one around it.
func resolve(ref string, path, base []model.Step) (place, error) {
	up := 0
	for strings.HasPrefix(ref, "../") {
		ref, up = ref[3:], up+1
	}
	if ref == "@key" {
		for i, step := range slices.Backward(path) {
			if step.Each {
				if up--; up < 0 {
					return place{path: path[:i+1], key: true}, nil
				}
			}
		}
		return place{}, fmt.Errorf("@key: there is no array or map around the value: %w", errOutside)
	}
	for range up {
		for len(base) > 0 && base[len(base)-1].Each {
			base = base[:len(base)-1]
		}
		if len(base) == 0 {
			return place{}, fmt.Errorf("../ %w", errOutside)
		}
		base = base[:len(base)-1]
	}
	at := slices.Clip(base)
	for name := range strings.SplitSeq(ref, "/") {
		if name == "" || name == "*" || name == ".." || strings.HasPrefix(name, "@") {
			return place{}, fmt.Errorf("%q: name, a/b, ../name or @key", ref)
		}
		at = append(at, model.Step{Name: unescape(name)})
	}
	return place{path: at}, nil
}

// steps are those of a JSON pointer in which * is each element.
func steps(pointer string) ([]model.Step, error) {
	if pointer == "" || pointer[0] != '/' {
		return nil, fmt.Errorf("path %q: a JSON pointer as /queues/*/depth, in which * is each element", pointer)
	}
	var path []model.Step
	for name := range strings.SplitSeq(pointer[1:], "/") {
		path = append(path, model.Step{Each: name == "*", Name: unescape(name)})
	}
	if len(path) > 32 {
		return nil, fmt.Errorf("path %q: more than 32 steps", pointer)
	}
	return path, nil
}

func unescape(name string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(name) }

func (m *Metric) scale() float64 {
	if u, ok := units()[m.Unit]; ok {
		return m.Scale * u.factor
	}
	return m.Scale
}

// clashes takes out what another service's metrics of the same name are not.
func (p *plans) clashes(service string, other *plans) (problems []model.Problem) {
	for _, family := range slices.Sorted(maps.Keys(p.definitions)) {
		have, d := other.definitions[family], p.definitions[family]
		if have == nil || have.same(d) {
			continue
		}
		problems = append(problems, model.Problem{Kind: "metric", Where: d.at, Text: fmt.Sprintf("metric %v; in service %s at %s it is %v", d, service, have.at, have)})
		delete(p.definitions, family)
		for _, codes := range p.operations {
			for _, plan := range codes {
				plan.root.remove(d.name)
			}
		}
	}
	return problems
}

func (n *node) remove(name string) {
	n.metrics = slices.DeleteFunc(n.metrics, func(m *metric) bool { return m.name == name })
	for _, field := range n.fields {
		field.remove(name)
	}
	if n.each != nil {
		n.each.remove(name)
	}
}

// same says whether the metrics are those of other plans.
func (p *plans) same(other *plans) bool {
	return maps.EqualFunc(p.definitions, other.definitions, (*definition).same)
}
