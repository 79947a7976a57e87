package thanos

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Bounds of what is asked of a server's exemplars: they are read whole, for the
// API has no limit of its own.
const (
	exemplarsWithin = 5 * time.Second
	exemplarsSeries = 5000
	exemplarsBytes  = 8 << 20
	exemplarsBack   = 5 * time.Minute // how far back at least
	exemplarsMost   = 15 * time.Minute
	exemplarsNever  = 10 * time.Minute // a server that has no such API is not asked for so long
)

// silence is until when something is not asked.
type silence struct{ until atomic.Int64 }

func (s *silence) over(now time.Time) bool { return now.UnixNano() >= s.until.Load() }

func (s *silence) keep(until time.Time) { s.until.Store(until.UnixNano()) }

// exemplars is the way to single events; nil where there is none.
func (c *inquiry) exemplars() func(context.Context, page.Labels) (enrich.Exemplars, error) {
	if c.source.web == nil {
		return nil
	}
	if _, ok := c.alert.Exemplars(c.who, nil); !ok {
		return nil
	}
	return func(ctx context.Context, ls page.Labels) (enrich.Exemplars, error) {
		own := c.own(ls)
		carriers := c.carriers(ls)
		if len(own) < len(ls) && carriers == nil { // what is on no series can narrow none
			return enrich.Exemplars{}, nil
		}
		ask, ok := c.alert.Exemplars(c.who, own, carriers...)
		if !ok || !c.source.mute.over(c.source.now()) {
			return enrich.Exemplars{}, nil
		}
		ctx, stop := context.WithTimeout(ctx, min(exemplarsWithin, c.source.cfg.Timeout.D()))
		defer stop()
		inside := func(series []page.Label) bool { return carries(series, own, carriers) }
		back := min(max(ask.Window, exemplarsBack), exemplarsMost)
		var in, all sampled
		var both sync.WaitGroup
		apart := ask.Healthy != "" && ask.Healthy != ask.Failing
		if apart {
			both.Go(func() { all = c.source.sample(ctx, ask.Healthy, c.at.Add(-back), c.at, inside) })
		}
		in = c.source.sample(ctx, ask.Failing, c.at.Add(-back), c.at, inside)
		both.Wait()
		if !apart && ask.Healthy != "" { // the values tell them apart
			all.events, all.cut, all.err = in.events, in.cut, in.err
		}
		return told(in, all, ask.Over)
	}
}

// told sorts events by whether they fail.
func told(in, all sampled, over float64) (enrich.Exemplars, error) {
	out := enrich.Exemplars{Queries: []page.Query{in.asked}, Cut: in.cut || all.cut, Failing: in.events, Healthy: all.events}
	if all.asked.Text != "" {
		out.Queries = append(out.Queries, all.asked)
	}
	if all.err != nil { // nothing to compare with; the traces of the failing are worth having
		out.Healthy = nil
	}
	if over > 0 {
		fast := func(v enrich.Exemplar) bool { return !(v.Value > over) }
		out.Failing = slices.DeleteFunc(slices.Clone(in.events), fast)
		out.Healthy = slices.DeleteFunc(slices.Clone(out.Healthy), func(v enrich.Exemplar) bool { return !fast(v) })
	}
	return out, in.err
}

// sampled is one answer of the exemplars API.
type sampled struct {
	events []enrich.Exemplar
	asked  page.Query
	cut    bool
	err    error
}

// sample asks for the exemplars of some series.
func (s *Source) sample(ctx context.Context, text string, from, to time.Time, inside func([]page.Label) bool) sampled {
	out := sampled{asked: page.Query{Source: s.name, Text: text, At: to}}
	limits := prometheus.Limits{Series: min(exemplarsSeries, s.cfg.MaxSeries), Bytes: min(exemplarsBytes, s.cfg.MaxBytes)}
	began := s.now()
	a, err := s.web.Exemplars(ctx, text, from, to, limits, func(series []page.Label, e prometheus.Exemplar) {
		out.events = append(out.events, enrich.Exemplar{At: e.At, Value: e.Value, Labels: e.Labels, Inside: inside(series)})
	})
	out.asked.Took, out.asked.Series, out.asked.Bytes = s.now().Sub(began), a.Series, a.Bytes
	out.asked.Partial = a.Cut || len(a.Warnings) > 0
	out.cut, out.err = a.Cut, err
	if err != nil {
		out.asked.Error = err.Error()
	}
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Class == remote.Config {
		s.mute.keep(s.now().Add(exemplarsNever))
	}
	return out
}

func carries(series []page.Label, ls page.Labels, carriers []expr.Only) bool {
	for name, v := range ls {
		if value(series, name) != v {
			return false
		}
	}
	return !slices.ContainsFunc(carriers, func(o expr.Only) bool { return !slices.Contains(o.Values, value(series, o.Label)) })
}
