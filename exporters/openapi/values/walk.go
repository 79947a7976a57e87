package values

import (
	"errors"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// walker reads one answer at a time. It keeps its memory between answers.
type walker struct {
	options Options
	dec     jx.Decoder
	plan    *plan
	samples []sample
	spans   []span // labels of the samples
	slots   []span // labels as they were seen last
	text    []byte // of all labels
	counts  []int  // series of each metric
	drops   [dropReasons]int
}

// sample is a value on its way to a series.
type sample struct {
	metric *metric
	value  float64
	state  int
	labels int // where in spans
}

// span is a part of walker.text.
type span struct {
	from, to int
	wrong    bool // it is no label
}

// keptMemory is what a walker keeps between answers, in bytes of text and in
// samples.
const keptMemory = 1 << 20

// walk reads an answer into samples.
func (w *walker) walk(p *plan, body []byte) error {
	w.plan = p
	if cap(w.text) > keptMemory || cap(w.samples) > keptMemory/32 {
		w.text, w.samples, w.spans = nil, nil, nil
	}
	w.samples, w.spans, w.text = w.samples[:0], w.spans[:0], w.text[:0]
	w.slots = zero(w.slots, len(p.levels))
	w.counts = zero(w.counts, len(p.metrics))
	w.drops = [dropReasons]int{}
	w.dec.ResetBytes(body)
	if err := w.value(p.root); err != nil {
		return err
	}
	if err := w.dec.Skip(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("something follows the value")
	}
	w.close(0, 0)
	return nil
}

func zero[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

func (w *walker) value(n *node) error {
	switch w.dec.Next() {
	case jx.Object:
		w.whole(n)
		if n.fields == nil && n.each == nil {
			return w.dec.Skip()
		}
		return w.object(n)
	case jx.Array:
		w.whole(n)
		if n.each == nil {
			return w.dec.Skip()
		}
		return w.array(n.each)
	default:
		if len(n.metrics) == 0 && len(n.slots) == 0 {
			return w.dec.Skip()
		}
		return w.scalar(n)
	}
}

// whole takes an object or array for what it can be: an info.
func (w *walker) whole(n *node) {
	for _, slot := range n.slots {
		w.slots[slot] = span{wrong: true}
	}
	for _, m := range n.metrics {
		if m.kind == "info" {
			w.add(m, 1, 0)
		} else {
			w.drops[dropValue]++
		}
	}
}

func (w *walker) object(n *node) error {
	fields, err := w.dec.ObjIter()
	if err != nil {
		return err
	}
	elements := 0
	for fields.Next() {
		key := fields.Key()
		next := n.fields[string(key)]
		switch {
		case next != nil:
			err = w.value(next)
		case n.each == nil:
			err = w.dec.Skip()
		default:
			elements++
			err = w.element(n.each, elements, key)
		}
		if err != nil {
			return err
		}
	}
	return fields.Err()
}

func (w *walker) array(each *node) error {
	items, err := w.dec.ArrIter()
	if err != nil {
		return err
	}
	var space [20]byte
	for n := 0; items.Next(); n++ {
		var key []byte
		if len(each.keys) > 0 {
			key = strconv.AppendInt(space[:0], int64(n), 10)
		}
		if err := w.element(each, n+1, key); err != nil {
			return err
		}
	}
	return items.Err()
}

// element is the nth of its array or map.
func (w *walker) element(n *node, nth int, key []byte) error {
	if nth > w.options.MaxElements {
		w.drops[dropElements]++
		return w.dec.Skip()
	}
	begin := len(w.samples)
	for _, slot := range n.keys {
		w.slots[slot] = w.label(key)
	}
	if err := w.value(n); err != nil {
		return err
	}
	w.close(n.level, begin)
	return nil
}

// close gives the samples of an element the labels that were seen in it, before
// or after them.
func (w *walker) close(level, begin int) {
	for i := begin; i < len(w.samples); i++ {
		s := &w.samples[i]
		for k, slot := range s.metric.slots {
			if w.plan.levels[slot] == level {
				w.spans[s.labels+k] = w.slots[slot]
			}
		}
	}
	for slot, at := range w.plan.levels {
		if at == level {
			w.slots[slot] = span{}
		}
	}
}

// scalar reads a value that is a label, a metric, or both.
func (w *walker) scalar(n *node) error {
	kind := w.dec.Next()
	raw, err := w.dec.Raw()
	if err != nil {
		return err
	}
	if kind == jx.Null { // it is as if it were not there
		return nil
	}
	from := len(w.text)
	text := []byte(raw)
	if kind == jx.String {
		d := jx.DecodeBytes(raw)
		if w.text, err = d.StrAppend(w.text); err != nil {
			return err
		}
		text = w.text[from:]
	}
	for _, m := range n.metrics {
		w.measure(m, kind, text)
	}
	for _, slot := range n.slots { // one at most
		if kind != jx.String {
			w.slots[slot] = w.label(text)
			return nil
		}
		if w.slots[slot] = (span{from: from, to: len(w.text)}); w.isLabel(text) {
			return nil
		}
		w.slots[slot] = span{wrong: true}
	}
	w.text = w.text[:from]
	return nil
}

func (w *walker) isLabel(text []byte) bool {
	return len(text) <= w.options.MaxLabel && utf8.Valid(text)
}

// label keeps text as a label.
func (w *walker) label(text []byte) span {
	if !w.isLabel(text) {
		return span{wrong: true}
	}
	from := len(w.text)
	w.text = append(w.text, text...)
	return span{from: from, to: len(w.text)}
}

// measure makes a sample of a scalar.
func (w *walker) measure(m *metric, kind jx.Type, text []byte) {
	switch m.kind {
	case "info":
		w.add(m, 1, 0)
		return
	case "stateset":
		for i, state := range m.states {
			if kind == jx.String && state == string(text) {
				w.add(m, 1, i)
				return
			}
		}
		w.drops[dropState]++
		return
	}
	v, ok := number(m, kind, text)
	if v *= m.scale; !ok || math.IsInf(v, 0) || math.IsNaN(v) || v < 0 && m.kind == "counter" {
		w.drops[dropValue]++
		return
	}
	w.add(m, v, 0)
}

// number is the number that a scalar is or says.
func number(m *metric, kind jx.Type, text []byte) (float64, bool) {
	switch {
	case kind == jx.Bool:
		if text[0] == 't' {
			return 1, true
		}
		return 0, true
	case kind == jx.String && m.format != "":
		layout := time.RFC3339Nano
		if m.format == "date" {
			layout = time.DateOnly
		}
		t, err := time.Parse(layout, string(text))
		return float64(t.Unix()) + float64(t.Nanosecond())/1e9, err == nil
	case kind == jx.String && !decimal(text):
		return 0, false
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return v, err == nil
}

// decimal says whether a string is a number as people write it: no NaN, no Inf,
// no 0x1p-2.
func decimal(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= 64
}

// add keeps a sample within the limit of its metric.
func (w *walker) add(m *metric, value float64, state int) {
	n := max(1, len(m.states))
	if w.counts[m.index] += n; w.counts[m.index] > w.options.MaxSeries {
		w.drops[dropSeries] += n
		return
	}
	w.samples = append(w.samples, sample{metric: m, value: value, state: state, labels: len(w.spans)})
	for range m.slots {
		w.spans = append(w.spans, span{})
	}
}
