package prometheus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/page"
)

// errCut ends the reading of a body that is over a limit.
var errCut = errors.New("answer is over its limit")

// decoder reads the answer of an instant query, sample by sample.
type decoder struct {
	json      *json.Decoder
	body      *counted
	limits    Limits
	each      func([]page.Label, float64)
	course    func([]page.Label, []Point)  // of a range query, in place of each
	exemplar  func([]page.Label, Exemplar) // of a question for exemplars, in place of each
	out       Answer
	errorType string
	labels    []page.Label
	seen      bool // the result
}

// counted reads up to a limit and then says so.
type counted struct {
	r           io.Reader
	read, limit int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.read >= c.limit {
		return 0, errCut
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.limit-c.read)])
	c.read += int64(n)
	return n, err
}

func newDecoder(r io.Reader, limits Limits, each func([]page.Label, float64)) *decoder {
	body := &counted{r: r, limit: limits.Bytes}
	return &decoder{json: json.NewDecoder(body), body: body, limits: limits, each: each}
}

// answer reads the whole body. A limit is no error: it sets Cut.
func (d *decoder) answer() error {
	status := ""
	err := d.object(func(key string) error {
		switch key {
		case "status":
			return d.json.Decode(&status)
		case "errorType":
			err := d.json.Decode(&d.errorType)
			d.errorType = word(d.errorType)
			return err
		case "warnings":
			return d.json.Decode(&d.out.Warnings)
		case "data":
			if d.exemplar != nil {
				return d.exemplars()
			}
			return d.data()
		}
		return d.skip()
	})
	d.out.Bytes = d.body.read
	for _, w := range d.out.Warnings {
		if strings.HasPrefix(w, warned) {
			d.out.Doubts = append(d.out.Doubts, w)
		}
	}
	d.out.Warnings = slices.DeleteFunc(d.out.Warnings, Remark)
	switch {
	case errors.Is(err, errCut):
		d.out.Cut = true
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("answer ends early")
	case err != nil:
		return err
	case status != "success":
		return fmt.Errorf("answer says %q", word(status))
	case !d.seen && d.exemplar == nil: // some servers leave an empty list out
		return errors.New("answer has no result")
	}
	return nil
}

func (d *decoder) data() error {
	kind := ""
	return d.object(func(key string) error {
		switch key {
		case "resultType":
			return d.json.Decode(&kind)
		case "result":
			if d.seen {
				return errors.New("answer has two results")
			}
			d.seen = true
			want, read := "vector", d.vector
			if d.course != nil {
				want, read = "matrix", d.matrix
			}
			if kind != want && kind != "" { // some servers name the type last
				return fmt.Errorf("answer is a %s, not a %s", word(kind), want)
			}
			return read()
		}
		return d.skip()
	})
}

func (d *decoder) vector() error {
	if err := d.delimiter('['); err != nil {
		return err
	}
	metric := map[string]string{}
	for d.json.More() {
		clear(metric)
		sample := struct {
			Metric *map[string]string `json:"metric"`
			Value  point              `json:"value"`
		}{Metric: &metric}
		if err := d.json.Decode(&sample); err != nil {
			return shaped(err)
		}
		if !sample.Value.set {
			continue // a native histogram: no number to judge
		}
		if d.out.Series >= d.limits.Series {
			return errCut
		}
		d.out.Series++
		d.each(d.sorted(metric), sample.Value.value)
	}
	return d.delimiter(']')
}

// sorted returns the labels of one series in a slice that is used again.
func (d *decoder) sorted(metric map[string]string) []page.Label {
	d.labels = d.labels[:0]
	for name, value := range metric {
		d.labels = append(d.labels, page.Label{Name: name, Value: value})
	}
	slices.SortFunc(d.labels, func(a, b page.Label) int { return strings.Compare(a.Name, b.Name) })
	return d.labels
}

// point is [unix seconds, "value"].
type point struct {
	value float64
	set   bool
}

// UnmarshalJSON reads the value and skips the time, which is the question's own.
func (p *point) UnmarshalJSON(b []byte) error {
	open, shut := bytes.IndexByte(b, '"'), bytes.LastIndexByte(b, '"')
	if open < 0 || shut <= open {
		return errors.New("sample has no value")
	}
	v, err := strconv.ParseFloat(string(b[open+1:shut]), 64)
	if err != nil && !math.IsInf(v, 0) {
		return errors.New("sample is not a number")
	}
	p.value, p.set = v, true
	return nil
}

// object reads { "key": … } and calls of for each key; of reads the value.
func (d *decoder) object(of func(key string) error) error {
	if err := d.delimiter('{'); err != nil {
		return err
	}
	for d.json.More() {
		t, err := d.json.Token()
		if err != nil {
			return shaped(err)
		}
		key, ok := t.(string)
		if !ok {
			return errors.New("answer is not the JSON that Prometheus sends")
		}
		if err := of(key); err != nil {
			return shaped(err)
		}
	}
	return d.delimiter('}')
}

func (d *decoder) delimiter(want json.Delim) error {
	t, err := d.json.Token()
	if err != nil {
		return shaped(err)
	}
	if t != want {
		return errors.New("answer is not the JSON that Prometheus sends")
	}
	return nil
}

func (d *decoder) skip() error {
	var ignored json.RawMessage
	return d.json.Decode(&ignored)
}

// shaped keeps a JSON error from quoting the body.
func shaped(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return errors.New("answer is not the JSON that Prometheus sends")
	}
	return err
}
