package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Exemplar is one event that a series counted.
type Exemplar struct {
	At     time.Time
	Value  float64
	Labels []page.Label // its own, beside those of its series
}

// Exemplars asks for the exemplars of all series that text selects and calls
// each with every one of them, labels sorted by name, those of its series in a
// slice that is reused. Of text the server reads the selectors only. A server
// that keeps none answers with none.
func (c *Client) Exemplars(ctx context.Context, text string, from, to time.Time, limits Limits, each func(series []page.Label, e Exemplar)) (Answer, error) {
	form := url.Values{
		"query": {text}, "start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)},
	}
	return c.evaluate(ctx, "query_exemplars", form, func(body io.Reader) *decoder {
		d := newDecoder(body, limits, nil)
		d.exemplar = each
		return d
	})
}

// exemplars reads [{"seriesLabels": {…}, "exemplars": [{…}, …]}, …] or null.
func (d *decoder) exemplars() error {
	if d.seen {
		return errors.New("answer has two results")
	}
	d.seen = true
	t, err := d.json.Token()
	switch {
	case err != nil:
		return shaped(err)
	case t == nil:
		return nil
	case t != json.Delim('['):
		return errors.New("answer is not the JSON that Prometheus sends")
	}
	for d.json.More() {
		metric := map[string]string{}
		one := struct {
			Series    *map[string]string `json:"seriesLabels"`
			Exemplars []sampled          `json:"exemplars"`
		}{Series: &metric}
		if err := d.json.Decode(&one); err != nil {
			return shaped(err)
		}
		if d.out.Series >= d.limits.Series {
			return errCut
		}
		d.out.Series++
		for _, s := range one.Exemplars {
			e, ok := s.read()
			if !ok {
				return errors.New("exemplar has no value or no time")
			}
			e.Labels = append(e.Labels, d.sorted(s.Labels)...)
			d.exemplar(d.sorted(metric), e)
		}
	}
	return d.delimiter(']')
}

// sampled is an exemplar on the wire: its value is a string, as a sample's is.
type sampled struct {
	Labels map[string]string `json:"labels"`
	Value  string            `json:"value"`
	At     float64           `json:"timestamp"` // unix seconds
}

func (s sampled) read() (Exemplar, bool) {
	v, err := strconv.ParseFloat(s.Value, 64)
	if (err != nil && !math.IsInf(v, 0)) || math.Abs(s.At) > 1e11 {
		return Exemplar{}, false
	}
	return Exemplar{At: time.UnixMilli(int64(math.Round(s.At * 1000))), Value: v}, true
}
