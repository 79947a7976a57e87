package thanos

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
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
	ctx, stop := context.WithTimeout(ctx, s.cfg.Timeout.D())
	defer stop()
	text := s.rules.resolve(ctx, q.Expr)
	t, err := s.about(ctx, text, q)
	if text != q.Expr && (t == nil || (err == nil && t.Rows() == 0)) { // then the recorded series themselves
		asked := t
		if t, err = s.about(ctx, q.Expr, q); t != nil && asked != nil {
			t.Queries = append(asked.Queries, t.Queries...)
		}
	}
	return t, err
}

// about asks about one expression. Of an `or` each arm is asked, and the first
// that breaks its rule is the answer. There is no table only where the
// expression cannot be asked about.
func (s *Source) about(ctx context.Context, text string, q enrich.Question) (*enrich.Table, error) {
	alert, err := expr.Parse(text)
	if err != nil {
		return nil, err
	}
	arms := []*inquiry{s.inquire(alert, q)}
	for _, other := range alert.Or {
		arms = append(arms, s.inquire(other, q))
	}
	var all sync.WaitGroup
	for _, c := range arms {
		all.Go(func() { c.answer, c.err = c.run(ctx, q.Deadline) })
	}
	all.Wait()
	best := slices.MaxFunc(arms, func(a, b *inquiry) int { return cmp.Compare(a.worth(), b.worth()) }) // the first of equals
	t := best.answer
	for _, c := range arms {
		if c != best {
			t.Queries = append(t.Queries, c.queries...)
		}
	}
	t.Alert = q.Alert
	return t, best.err
}

// inquire starts the questions about one condition.
func (s *Source) inquire(alert *expr.Alert, q enrich.Question) *inquiry {
	return &inquiry{
		source: s, rule: q.Expr, alert: alert, at: q.At.Truncate(time.Second), who: s.population(alert, q),
	}
}

// population narrows by the alert's labels but for those that play a role: they
// are what is to be explained.
func (s *Source) population(alert *expr.Alert, q enrich.Question) expr.Population {
	who := expr.Population{Alert: q.Labels, Group: q.Group, Drop: s.cfg.DenyLabels}
	for _, name := range alert.Grouping() {
		if s.roles.Of(name) != "" {
			who.Free = append(who.Free, name)
		}
	}
	return who
}

// inquiry is the questions about one condition under way.
type inquiry struct {
	source *Source
	rule   string // the expression as the rule has it
	alert  *expr.Alert
	who    expr.Population
	ask    expr.Ask
	at     time.Time

	answer *enrich.Table
	err    error

	mu       sync.Mutex
	queries  []page.Query
	partial  bool
	cut      bool
	seen     []string // labels of what was read
	gains    []gained
	rows     []member  // of the table
	between  *between  // the edges around a threshold that is none; nil where it is one
	lastSeen time.Time // of those who are gone
	patched  bool      // rows of more than one question stand side by side
	short    bool      // labels of info metrics were not read
	notes    []string
}

// member is one row to be. Of an additive rule bad is its part of the sum, all
// how many members it stands for, and value the part of each.
type member struct {
	labels   []page.Label
	bad, all float64
	value    float64
}

// run asks until there is a population, each time with less to narrow it by.
func (c *inquiry) run(ctx context.Context, deadline time.Time) (*enrich.Table, error) {
	rows, err := c.fine(ctx)
	if err == nil && len(rows) == 0 && c.ask.Narrowed {
		// A label that narrowed the selectors is not what it was taken for.
		c.who.Hard = true
		rows, err = c.fine(ctx)
	}
	if errors.Is(err, errWide) || (err == nil && c.cut && c.alert.Shape != expr.Absence) {
		read := rows
		if rows, err = c.coarse(ctx); err != nil && len(read) > 0 && ctx.Err() == nil { // a part is better than nothing
			c.cut, c.who.By = true, nil
			c.ask, c.patched = c.alert.Ask(c.who), true
			rows, err = read, nil
		}
		return c.table(rows), err
	}
	if err == nil && len(rows) == 0 && c.ask.Groups != "" {
		rows, err = c.values(ctx, c.ask.Groups)
		c.patched = true
	}
	if err == nil && len(rows) == 1 && c.widen() {
		if more, e := c.fine(ctx); e == nil && len(more) > 1 {
			rows = more
		}
	}
	rows = c.kept(rows)
	if err == nil {
		c.gain(ctx, rows, deadline)
	}
	return c.table(rows), err
}

// widen frees the labels that left one member alone: its peers are those of the
// other groups of the rule.
func (c *inquiry) widen() bool {
	before := len(c.who.Free)
	c.who.Free = slices.Clone(c.who.Free)
	for _, name := range c.alert.Grouping() {
		if _, where := c.who.Group[name]; !where && !slices.Contains(c.who.Free, name) {
			c.who.Free = append(c.who.Free, name)
		}
	}
	group := maps.Clone(c.who.Group)
	maps.DeleteFunc(group, func(name, _ string) bool { return c.source.roles.Of(name) != "" })
	wider := len(c.who.Free) > before || len(group) < len(c.who.Group)
	c.who.Group = group
	return wider
}

// worth orders the arms of an `or`: one that breaks its rule, best if not by
// all of its members, before one that has members before one that has none.
func (c *inquiry) worth() int {
	switch {
	case c.err != nil:
		return 0
	case c.answer.Rows() == 0:
		return 1
	case !c.breaks(c.answer):
		return 2
	case !slices.Contains(c.answer.Bad, false):
		return 3 // nobody to compare with
	}
	return 4
}

// members asks for the rows, by the shape of the rule.
func (c *inquiry) members(ctx context.Context) ([]member, error) {
	c.ask = c.alert.Ask(c.who)
	switch c.alert.Shape {
	case expr.Ratio:
		bad, all, err := c.pair(ctx)
		return c.join(bad, all), err
	case expr.Histogram:
		bad, all, err := c.slow(ctx)
		return c.join(bad, all), err
	case expr.Absence:
		if c.ask.Bad == "" {
			return c.vanished(ctx)
		}
		return c.lacking(ctx)
	case expr.State, expr.Value:
		if c.ask.Counted {
			bad, all, err := c.pair(ctx)
			return c.join(bad, all), err
		}
	}
	return c.values(ctx, c.ask.Member)
}

// values asks for what each member's own value is.
func (c *inquiry) values(ctx context.Context, text string) ([]member, error) {
	a, err := c.query(ctx, text)
	rows := collapsed(a.rows, c.source.cfg.ReplicaLabels, func(first, _ float64) float64 { return first })
	for i := range rows {
		rows[i].value, rows[i].bad, rows[i].all = rows[i].all, rows[i].all, 1
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

// vector is one answer, its labels still all there.
type vector struct {
	rows    []member
	cut     bool
	partial bool
}

// query evaluates one instant query and notes what it cost.
func (c *inquiry) query(ctx context.Context, text string) (vector, error) {
	return c.queryAt(ctx, text, c.at)
}

func (c *inquiry) queryAt(ctx context.Context, text string, at time.Time) (vector, error) {
	out, asked, err := c.evaluate(ctx, text, at)
	c.note(asked, out)
	return out, err
}

// evaluate asks one query and says what it cost.
func (c *inquiry) evaluate(ctx context.Context, text string, at time.Time) (vector, page.Query, error) {
	var out vector
	began := c.source.now()
	a, err := c.source.ask.Query(ctx, text, at, c.source.limits(), func(ls []page.Label, v float64) {
		out.rows = append(out.rows, member{labels: append([]page.Label(nil), ls...), all: v})
	})
	out.cut, out.partial = a.Cut, len(a.Warnings) > 0
	asked := page.Query{
		Source: c.source.name, Text: text, At: at, Took: c.source.now().Sub(began),
		Series: a.Series, Bytes: a.Bytes, Partial: out.partial || a.Cut,
	}
	switch {
	case errors.Is(context.Cause(ctx), errWide):
		asked.Error = errWide.Error()
	case err != nil:
		asked.Error = err.Error()
	}
	return out, asked, err
}

// note keeps what was asked and what is missing of its answer.
func (c *inquiry) note(asked page.Query, a vector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries = append(c.queries, asked)
	c.partial = c.partial || a.partial
	c.cut = c.cut || a.cut
	if asked.Error != "" || a.cut {
		c.seen = union(c.seen, names(a.rows))
	}
}

// Key names the queries that a question comes down to: alerts of one rule whose
// labels narrow nothing have one answer.
func (s *Source) Key(q enrich.Question) string {
	alert, err := expr.Parse(q.Expr)
	if err != nil {
		return q.Expr
	}
	own := []string{q.Expr}
	if s.rules.about(q.Expr) { // what is behind them may be narrowed by any label
		own = append(own, q.Labels.ID(), q.Group.ID())
	}
	for _, arm := range append([]*expr.Alert{alert}, alert.Or...) {
		who := s.population(arm, q)
		ask := arm.Ask(who)
		own = append(own, ask.Member, ask.Bad, ask.All)
		for _, name := range arm.Grouping() { // narrowed by us where a selector cannot be
			if !slices.Contains(who.Free, name) {
				own = append(own, q.Labels[name])
			}
		}
	}
	return strings.Join(own, "\n")
}
