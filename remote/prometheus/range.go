package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Point is one value of a series at one time.
type Point struct {
	At    time.Time
	Value float64
}

// Range evaluates a query at every step from from to to and calls each with
// every series of float samples, labels sorted by name. Both slices are reused.
// An error after the first series comes with what was read so far.
func (c *Client) Range(ctx context.Context, text string, from, to time.Time, step time.Duration, limits Limits, each func([]page.Label, []Point)) (Answer, error) {
	if step <= 0 {
		return Answer{}, errors.New("query_range: the step must be longer than 0s")
	}
	form := url.Values{
		"query": {text}, "start": {seconds(from)}, "end": {seconds(to)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	}
	return c.evaluate(ctx, "query_range", form, func(body io.Reader) *decoder {
		d := newDecoder(body, limits, nil)
		d.course = each
		return d
	})
}

// seconds is a time as the API takes it, to the millisecond.
func seconds(t time.Time) string {
	if t.UnixMilli()%1000 == 0 {
		return strconv.FormatInt(t.Unix(), 10)
	}
	return fmt.Sprintf("%d.%03d", t.Unix(), t.UnixMilli()%1000)
}

func (d *decoder) matrix() error {
	if err := d.delimiter('['); err != nil {
		return err
	}
	metric := map[string]string{}
	var points []Point
	for d.json.More() {
		clear(metric)
		points = points[:0]
		series := struct {
			Metric *map[string]string `json:"metric"`
			Values []moment           `json:"values"`
		}{Metric: &metric}
		if err := d.json.Decode(&series); err != nil {
			return shaped(err)
		}
		for _, v := range series.Values {
			points = append(points, Point{v.at, v.value})
		}
		if len(points) == 0 {
			continue // native histograms: no numbers
		}
		if d.out.Series >= d.limits.Series {
			return errCut
		}
		d.out.Series++
		d.course(d.sorted(metric), points)
	}
	return d.delimiter(']')
}

// moment is [unix seconds, "value"], the time kept.
type moment struct {
	at    time.Time
	value float64
}

// UnmarshalJSON reads both.
func (m *moment) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil || math.Abs(seconds) > 1e11 {
		return errors.New("sample has no time")
	}
	var p point
	if err := p.UnmarshalJSON(b); err != nil {
		return err
	}
	m.at, m.value = time.UnixMilli(int64(math.Round(seconds*1000))), p.value
	return nil
}
