package enrichtest

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// storageOf lets PromQL's engine read a list of series.
func storageOf(series []Series) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &querier{series: series, mint: mint, maxt: maxt}, nil
	})
}

type querier struct {
	series     []Series
	mint, maxt int64
}

// Select implements storage.Querier.
func (q *querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, s := range q.series {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels.Get(m.Name)) }) {
			continue
		}
		var list []chunks.Sample
		for _, p := range s.Samples {
			if ms := p.At.UnixMilli(); ms >= q.mint && ms <= q.maxt {
				list = append(list, sample{ms, p.Value, p.Histogram})
			}
		}
		if len(list) > 0 {
			out = append(out, storage.NewListSeries(s.Labels, list))
		}
	}
	slices.SortFunc(out, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesSet{series: out, at: -1}
}

// LabelValues implements storage.Querier; instant queries ask for none.
func (q *querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; instant queries ask for none.
func (q *querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (q *querier) Close() error { return nil }

type seriesSet struct {
	series []storage.Series
	at     int
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool { s.at++; return s.at < len(s.series) }

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return s.series[s.at] }

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// sample is a chunks.Sample of a float or of a histogram.
type sample struct {
	ms    int64
	value float64
	wide  *histogram.FloatHistogram
}

// T is the time in milliseconds.
func (s sample) T() int64 { return s.ms }

// ST is the start time, which is not known.
func (s sample) ST() int64 { return 0 }

// F is the value.
func (s sample) F() float64 { return s.value }

// H is nil: histograms have float counts.
func (s sample) H() *histogram.Histogram { return nil }

// FH is a copy of the histogram: the engine works on what it is given.
func (s sample) FH() *histogram.FloatHistogram { return s.wide.Copy() }

// Type says which of both it is.
func (s sample) Type() chunkenc.ValueType {
	if s.wide != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// Copy returns the sample with a histogram of its own.
func (s sample) Copy() chunks.Sample {
	if s.wide != nil {
		s.wide = s.wide.Copy()
	}
	return s
}
