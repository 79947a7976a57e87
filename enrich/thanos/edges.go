package thanos

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
)

// between are the two bucket edges around a threshold that is none, as the
// server writes them. histogram_quantile reads straight lines between edges, and
// so do we: the events up to the threshold are those up to the lower edge and a
// part of those in the bucket.
type between struct {
	lower, upper string  // lower is "" where the bucket begins at 0
	part         float64 // of the bucket that lies below the threshold
}

// edge is one bucket edge.
type edge struct {
	text  string
	value float64
}

// around looks the edges up between which the threshold lies, for the rule's own
// is none, and asks there.
func (c *inquiry) around(ctx context.Context) (vector, error) {
	a, err := c.query(ctx, c.ask.Edges)
	if err != nil || len(a.rows) == 0 { // a native histogram has none
		return vector{}, err
	}
	var edges []edge
	for _, row := range a.rows {
		le := value(row.labels, "le")
		if v, err := strconv.ParseFloat(le, 64); err == nil && v > 0 && !math.IsInf(v, 0) {
			edges = append(edges, edge{le, v})
		}
	}
	if len(edges) == 0 {
		return vector{}, errors.New("histogram has no bucket that could tell slow from fast")
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.text, b.text)) })
	t := c.alert.Edge
	at, _ := slices.BinarySearchFunc(edges, t, func(e edge, t float64) int { return cmp.Compare(e.value, t) })
	if at == len(edges) || t <= 0 { // beyond the last edge nothing is known: there a quantile is that edge
		c.who.Edge = edges[max(0, at-1)].text
		c.ask = c.alert.Ask(c.who)
		return c.query(ctx, c.ask.Bad)
	}
	lower := edge{}
	if at > 0 {
		lower = edges[at-1]
	}
	c.between = &between{lower.text, edges[at].text, (t - lower.value) / (edges[at].value - lower.value)}
	c.who.Edge = edges[at].text // of one question the next edge has to do
	if c.between.part < .5 && lower.text != "" {
		c.who.Edge = lower.text
	}
	c.ask = c.alert.Ask(c.who)
	return c.fast(ctx)
}

// fast counts the events up to the threshold, from both edges around it.
func (c *inquiry) fast(ctx context.Context) (vector, error) {
	var low, high vector
	var errLow, errHigh error
	var both sync.WaitGroup
	at := func(le string) (vector, error) {
		who := c.who
		who.Edge = le
		return c.query(ctx, c.alert.Ask(who).Bad)
	}
	if c.between.lower != "" {
		both.Go(func() { low, errLow = at(c.between.lower) })
	}
	high, errHigh = at(c.between.upper)
	both.Wait()
	below := make(map[string]float64, len(low.rows))
	for _, m := range low.rows {
		below[key(m.labels)] = m.all
	}
	for i, m := range high.rows {
		from := below[key(m.labels)]
		high.rows[i].all = from + c.between.part*max(0, m.all-from)
	}
	high.cut, high.partial = high.cut || low.cut, high.partial || low.partial
	return high, errors.Join(errHigh, errLow)
}

// slow asks for the slow events, or the fast ones, and all of them.
func (c *inquiry) slow(ctx context.Context) (bad, all vector, err error) {
	if c.between == nil {
		bad, all, err = c.pair(ctx)
		if err == nil && len(bad.rows) == 0 && len(all.rows) > 0 {
			bad, err = c.around(ctx)
		}
		return bad, all, err
	}
	var errBad error
	var both sync.WaitGroup
	both.Go(func() { bad, errBad = c.fast(ctx) })
	all, err = c.query(ctx, c.ask.All)
	both.Wait()
	return bad, all, cmp.Or(err, errBad)
}
