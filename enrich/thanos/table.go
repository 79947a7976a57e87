package thanos

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// Table asks for the members of the alert's expression and joins the answers.
// With an error comes a table that holds what was asked and what it cost.
func (s *Source) Table(ctx context.Context, q enrich.Question) (*enrich.Table, error) {
	alert, err := expr.Parse(q.Expr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, s.cfg.Timeout.D())
	defer stop()
	c := &inquiry{
		source: s, alert: alert, at: q.At.Truncate(time.Second),
		who: expr.Population{Alert: q.Labels, Group: q.Group, Drop: s.cfg.DenyLabels},
	}
	rows, err := c.members(ctx)
	if err == nil && len(rows) == 0 && c.ask.Narrowed {
		// A label that narrowed the selectors is not what it was taken for.
		c.who.Hard = true
		rows, err = c.members(ctx)
	}
	t := c.table(rows)
	t.Alert = q.Alert
	return t, err
}

// inquiry is one question under way.
type inquiry struct {
	source *Source
	alert  *expr.Alert
	who    expr.Population
	ask    expr.Ask
	at     time.Time

	mu      sync.Mutex
	queries []page.Query
	partial bool
	cut     bool
}

// member is one row to be.
type member struct {
	labels   []page.Label
	bad, all float64
	value    float64
}

// members asks for the rows, by the shape of the rule.
func (c *inquiry) members(ctx context.Context) ([]member, error) {
	c.ask = c.alert.Ask(c.who)
	switch c.alert.Shape {
	case expr.Ratio:
		bad, all, err := c.pair(ctx)
		return c.join(bad, all), err
	case expr.Histogram:
		bad, all, err := c.pair(ctx)
		if err == nil && len(bad.rows) == 0 && len(all.rows) > 0 {
			bad, err = c.nearest(ctx)
		}
		return c.join(bad, all), err
	case expr.State, expr.Value:
	}
	a, err := c.query(ctx, c.ask.Member)
	rows := collapsed(a.rows, c.source.cfg.ReplicaLabels, func(first, _ float64) float64 { return first })
	for i := range rows {
		rows[i].value = rows[i].all
	}
	return rows, err
}

// pair asks for both sides of a ratio at once.
func (c *inquiry) pair(ctx context.Context) (bad, all vector, err error) {
	var errBad, errAll error
	var both sync.WaitGroup
	both.Go(func() { bad, errBad = c.query(ctx, c.ask.Bad) })
	all, errAll = c.query(ctx, c.ask.All)
	both.Wait()
	// One word is enough where both failed alike.
	if errAll != nil {
		return bad, all, errAll
	}
	return bad, all, errBad
}

// nearest divides fast from slow at the bucket edge next to the threshold, for
// the rule's own is none. On a logarithmic scale, as buckets are.
func (c *inquiry) nearest(ctx context.Context) (vector, error) {
	edges, err := c.query(ctx, c.ask.Edges)
	if err != nil {
		return vector{}, err
	}
	best, far := "", math.Inf(1)
	for _, row := range edges.rows {
		le := value(row.labels, "le")
		edge, err := strconv.ParseFloat(le, 64)
		d := math.Abs(math.Log(edge / c.alert.Edge)) // of +Inf and of edges below zero this is no distance
		if err == nil && (d < far || (d == far && le < best)) {
			best, far = le, d
		}
	}
	if best == "" {
		return vector{}, errors.New("histogram has no bucket that could tell slow from fast")
	}
	c.who.Edge = best
	c.ask = c.alert.Ask(c.who)
	return c.query(ctx, c.ask.Bad)
}

// vector is one answer, its labels still all there.
type vector struct {
	rows []member
	cut  bool
}

// query evaluates one instant query and notes what it cost.
func (c *inquiry) query(ctx context.Context, text string) (vector, error) {
	var out vector
	began := c.source.now()
	a, err := c.source.ask.Query(ctx, text, c.at, c.source.limits(), func(ls []page.Label, v float64) {
		out.rows = append(out.rows, member{labels: append([]page.Label(nil), ls...), all: v})
	})
	asked := page.Query{
		Source: c.source.name, Text: text, At: c.at, Took: c.source.now().Sub(began),
		Series: a.Series, Bytes: a.Bytes, Partial: len(a.Warnings) > 0 || a.Cut,
	}
	if err != nil {
		asked.Error = err.Error()
	}
	out.cut = a.Cut
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries = append(c.queries, asked)
	c.partial = c.partial || len(a.Warnings) > 0
	c.cut = c.cut || a.Cut
	return out, err
}

// Key names the queries that a question comes down to: alerts of one rule whose
// labels narrow nothing have one answer.
func (s *Source) Key(q enrich.Question) string {
	alert, err := expr.Parse(q.Expr)
	if err != nil {
		return q.Expr
	}
	ask := alert.Ask(expr.Population{Alert: q.Labels, Group: q.Group, Drop: s.cfg.DenyLabels})
	own := []string{q.Expr, ask.Member, ask.Bad, ask.All}
	for _, name := range alert.Grouping() { // narrowed by us where a selector cannot be
		own = append(own, q.Labels[name])
	}
	return strings.Join(own, "\n")
}
