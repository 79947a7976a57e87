package thanos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
)

// remember puts the way to what no page waits for on a table: the same questions,
// asked for earlier times, and labels that there was no time for. Members that are
// gone have no past to compare with, and neither have rows of two questions.
func (c *inquiry) remember(t *enrich.Table, rows []member) {
	ago := c.source.cfg.Baselines
	if c.alert.Shape == expr.Absence || c.patched {
		ago = nil
	}
	if len(rows) == 0 || (len(ago) == 0 && !c.short) {
		return
	}
	at := make(map[string]int, len(rows))
	for i, m := range rows {
		at[key(m.labels)] = i
	}
	t.Before = func(ctx context.Context) *enrich.Table {
		ctx, stop := context.WithTimeout(ctx, c.source.cfg.Timeout.D())
		defer stop()
		then := make([]*inquiry, len(ago))
		past := make([]*enrich.Past, len(ago))
		out := *t
		var all sync.WaitGroup
		for i, d := range ago {
			then[i] = &inquiry{source: c.source, alert: c.alert, who: c.who, at: c.at.Add(-d.D()), between: c.between}
			all.Go(func() { past[i] = then[i].past(ctx, at, spoken(d.D())) })
		}
		if c.short {
			whole := c.completed(ctx)
			whole.Queries, whole.Alert = slices.Concat(t.Queries, whole.Queries), t.Alert
			out = *whole
		}
		all.Wait()
		out.Before = nil
		out.Queries, out.Notes = slices.Clone(out.Queries), slices.Clone(out.Notes)
		for i, p := range past {
			out.Queries = append(out.Queries, then[i].queries...)
			if p == nil || then[i].cut {
				out.Notes = append(out.Notes, fmt.Sprintf("not known: what was %s before", spoken(ago[i].D())))
				continue
			}
			out.Partial = out.Partial || then[i].partial
			out.Past = append(out.Past, *p)
		}
		return &out
	}
}

// past asks for one earlier window and sorts its rows as the table's are; nil
// where there is no answer.
func (c *inquiry) past(ctx context.Context, at map[string]int, name string) *enrich.Past {
	rows, err := c.members(ctx)
	if err != nil {
		return nil
	}
	rows = c.kept(rows)
	t := &enrich.Table{
		Failing: make([]float64, len(rows)), Weight: make([]float64, len(rows)),
		Value: make([]float64, len(rows)), Bad: make([]bool, len(rows)),
	}
	c.measure(t, rows)
	out := &enrich.Past{Name: name, Failing: make([]float64, len(at)), Weight: make([]float64, len(at))}
	for i, m := range rows {
		if row, ok := at[key(m.labels)]; ok {
			out.Failing[row], out.Weight[row] = t.Failing[i], t.Weight[i]
		}
	}
	return out
}

// kept are the rows that belong to the population.
func (c *inquiry) kept(rows []member) []member {
	return slices.DeleteFunc(rows, func(m member) bool {
		return !c.alert.Keeps(c.who, func(name string) string { return value(m.labels, name) })
	})
}

// spoken writes how long ago something was: 90m, 1h, 1d, 2w.
func spoken(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{7 * 24 * time.Hour, "w"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.d && d%unit.d == 0 {
			return fmt.Sprintf("%d%s", d/unit.d, unit.name)
		}
	}
	return d.String()
}
