package traits

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin/tocsin/enrich"
)

// Limits of a file: what is beyond them is refused, not cut.
const (
	maxBytes   = 1 << 30 // after decompression
	maxRows    = 5_000_000
	maxColumns = 512
	maxMeasure = 1e15 // counts above it are no counts, and sums of them no sums
)

// ErrCSV is wrapped by every complaint about a table's text.
var ErrCSV = errors.New("not a table of labels and measures")

// ReadCSV reads a table: a header, then one line per member, gzip or plain. The
// measures tell the kind (additive, ratio, counter, hist or state) unless one is
// given; every other column is a label:
//
//	real,predict                                a sum's parts and what was foreseen (additive)
//	base_err,base_total,now_err,now_total       bad and all events, before and now (ratio)
//	base,now                                    events, before and now (counter)
//	base_le_0.1,…,base_le_inf,now_le_0.1,…      events by size, not cumulative (hist)
//	firing                                      0 or 1 (state)
func ReadCSV(r io.Reader, kind string) (*enrich.Table, error) {
	plain, err := unzip(r)
	if err != nil {
		return nil, err
	}
	c := csv.NewReader(&limited{plain, maxBytes})
	c.ReuseRecord = true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line 1: %w: it is empty", ErrCSV)
	} else if err != nil {
		return nil, wrong(err)
	}
	t, err := newCSVTable(slices.Clone(head), kind)
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return t.finish(), nil
		} else if err != nil {
			return nil, wrong(err)
		}
		if err := t.add(record); err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// wrong makes one sentence of what encoding/csv and compress/gzip say.
func wrong(err error) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("line %d: %w: %w", p.Line, ErrCSV, p.Err)
	}
	return fmt.Errorf("%w: %w", ErrCSV, err)
}

// limited refuses what is beyond its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("more than %d bytes", maxBytes)
	}
	return n, err
}

func unzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, _ := b.Peek(2) // what is too short to be gzip is read as it is
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSV, err)
	}
	return z, nil
}

// csvTable is a table while it is read.
type csvTable struct {
	head     []string
	kind     string
	labels   []int       // columns of the file
	measures []int       // columns of the file, in the order of the kind
	values   [][]float64 // by measure
	codes    []map[string]uint32
	cols     []enrich.Column
}

func newCSVTable(head []string, kind string) (*csvTable, error) {
	if len(head) > maxColumns {
		return nil, fmt.Errorf("%w: %d columns, at most %d can be read", ErrCSV, len(head), maxColumns)
	}
	at := map[string]int{}
	for i, name := range head {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
			head[0] = name
		}
		if !utf8.ValidString(name) || name == "" {
			return nil, fmt.Errorf("%w: column %d has no name", ErrCSV, i+1)
		}
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("%w: two columns are named %q", ErrCSV, name)
		}
		at[name] = i
	}
	t := &csvTable{head: head}
	var err error
	if t.kind, t.measures, err = measuresOf(head, at, kind); err != nil {
		return nil, err
	}
	t.values = make([][]float64, len(t.measures))
	for i, name := range head {
		if !slices.Contains(t.measures, i) {
			t.labels = append(t.labels, i)
			t.cols = append(t.cols, enrich.Column{Name: name, Dict: []string{""}})
			t.codes = append(t.codes, map[string]uint32{"": 0})
		}
	}
	return t, nil
}

// csvKind is a kind of table and the columns that tell it.
type csvKind struct {
	name  string
	model enrich.Model
	wants []string
}

func csvKinds() []csvKind {
	return []csvKind{
		{"additive", enrich.Additive, []string{"real", "predict"}},
		{"ratio", enrich.Ratio, []string{"base_err", "base_total", "now_err", "now_total"}},
		{"counter", enrich.Counter, []string{"base", "now"}},
		{"hist", enrich.Histogram, nil},
		{"state", enrich.State, []string{"firing"}},
	}
}

// Kinds are the kinds of tables ReadCSV knows.
func Kinds() []string {
	var out []string
	for _, k := range csvKinds() {
		out = append(out, k.name)
	}
	return out
}

func measuresOf(head []string, at map[string]int, want string) (kind string, columns []int, err error) {
	var told []string
	for _, k := range csvKinds() {
		if want != "" && want != k.name {
			continue
		}
		told = append(told, k.name)
		columns, err = bucketsOf(head, at)
		if k.wants != nil {
			columns, err = nil, nil
			for _, name := range k.wants {
				i, ok := at[name]
				if !ok {
					columns, err = nil, fmt.Errorf("%w: kind %s wants a column %q", ErrCSV, k.name, name)
					break
				}
				columns = append(columns, i)
			}
		}
		if err == nil {
			return k.name, columns, nil
		}
	}
	switch {
	case len(told) == 0:
		return "", nil, fmt.Errorf("%w: no kind is named %q; there are: %s", ErrCSV, want, strings.Join(Kinds(), ", "))
	case want != "":
		return "", nil, err
	}
	return "", nil, fmt.Errorf("%w: its columns are those of no kind: %s", ErrCSV, strings.Join(told, ", "))
}

// bucketsOf finds the buckets before and now, by rising upper bound.
func bucketsOf(head []string, at map[string]int) ([]int, error) {
	type bucket struct {
		edge      float64
		base, now int
	}
	var all []bucket
	for i, name := range head {
		text, ok := strings.CutPrefix(name, "base_le_")
		if !ok {
			continue
		}
		edge, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(edge) {
			return nil, fmt.Errorf("%w: column %q names no upper bound", ErrCSV, name)
		}
		now, ok := at["now_le_"+text]
		if !ok {
			return nil, fmt.Errorf("%w: column %q has no now_le_%s beside it", ErrCSV, name, text)
		}
		all = append(all, bucket{edge, i, now})
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%w: kind hist wants columns base_le_… and now_le_…, two of each at least", ErrCSV)
	}
	slices.SortStableFunc(all, func(a, b bucket) int { return cmp.Compare(a.edge, b.edge) })
	columns := make([]int, 2*len(all))
	for i, b := range all {
		columns[i], columns[len(all)+i] = b.base, b.now
	}
	return columns, nil
}

func (t *csvTable) add(record []string) error {
	if len(t.values[0]) >= maxRows {
		return fmt.Errorf("%w: more than %d lines", ErrCSV, maxRows)
	}
	for m, i := range t.measures {
		text := strings.TrimSpace(record[i])
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case text == "":
			v = math.NaN() // stale: nothing is known
		case err != nil && !math.IsInf(v, 0):
			return fmt.Errorf("%w: column %q: %q is no number", ErrCSV, t.head[i], record[i])
		case math.Abs(v) > maxMeasure:
			v = math.NaN()
		}
		if t.kind != "additive" && v < 0 {
			return fmt.Errorf("%w: column %q: %q is less than nothing", ErrCSV, t.head[i], record[i])
		}
		if t.kind == "state" && v != 0 && v != 1 && !math.IsNaN(v) {
			return fmt.Errorf("%w: column %q: %q is neither 0 nor 1", ErrCSV, t.head[i], record[i])
		}
		t.values[m] = append(t.values[m], v)
	}
	for c, i := range t.labels {
		code, ok := t.codes[c][record[i]]
		if !ok {
			value := strings.Clone(record[i]) // the record is used again
			code = uint32(len(t.cols[c].Dict))
			t.codes[c][value] = code
			t.cols[c].Dict = append(t.cols[c].Dict, value)
		}
		t.cols[c].Codes = append(t.cols[c].Codes, code)
	}
	return nil
}

func (t *csvTable) finish() *enrich.Table {
	rows := len(t.values[0])
	out := &enrich.Table{Cols: t.cols, Bad: make([]bool, rows)}
	for _, k := range csvKinds() {
		if k.name == t.kind {
			out.Model = k.model
		}
	}
	t.codes = nil
	switch v := t.values; t.kind {
	case "additive":
		out.Failing = make([]float64, rows)
		out.Weight, out.Past = v[0], []enrich.Past{{Name: "predict", Weight: v[1]}}
	case "counter":
		out.Failing = make([]float64, rows)
		out.Weight, out.Past = v[1], []enrich.Past{{Name: "base", Weight: v[0]}}
	case "ratio":
		out.Failing, out.Weight = v[2], v[3]
		out.Past = []enrich.Past{{Name: "base", Failing: v[0], Weight: v[1]}}
	case "hist":
		out.Failing, out.Weight = make([]float64, rows), make([]float64, rows)
		out.Buckets, out.Past = v[len(v)/2:], []enrich.Past{{Name: "base", Buckets: v[:len(v)/2]}}
		for i := range rows {
			for b := range out.Buckets {
				out.Weight[i] += out.Buckets[b][i]
			}
		}
	case "state":
		out.Failing, out.Weight = v[0], make([]float64, rows)
		for i, f := range v[0] {
			out.Bad[i], out.Weight[i] = f == 1, 1
			if math.IsNaN(f) {
				out.Weight[i] = 0
			}
		}
	}
	return out
}
