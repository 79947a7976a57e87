package thanos

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// join makes rows of the two sides of a ratio. A member without a series on the
// counting side has counted nothing yet; of an answer that was cut short nobody
// can say so, and the member is left out.
func (c *inquiry) join(part, all vector) []member {
	replicas := c.source.cfg.ReplicaLabels
	rows, counted := folded(all.rows, replicas), folded(part.rows, replicas)
	if !c.ask.SameMetric && len(counted) > 0 {
		apart := odd(rows, counted)
		rows, counted = summed(rows, apart), summed(counted, apart)
	}
	at := make(map[string]int, len(counted))
	for i, m := range counted {
		at[key(m.labels)] = i
	}
	out := rows[:0]
	for _, m := range rows {
		n := 0.0
		i, ok := at[key(m.labels)]
		if ok {
			n = counted[i].all
		} else if part.cut {
			continue
		}
		if n != n { // of no events there is no share
			n = 0
		}
		if c.ask.Complement {
			n = m.all - n
		}
		m.value = n / m.all
		m.bad, m.all = n*c.ask.Scale, m.all*c.ask.Scale
		out = append(out, m)
	}
	return out
}

// folded drops labels that tell replicas apart and keeps the fuller replica.
func folded(rows []member, replicas []string) []member {
	return collapsed(rows, replicas, func(a, b float64) float64 { return max(a, b) })
}

// summed drops labels and sums what they told apart.
func summed(rows []member, names []string) []member {
	return collapsed(rows, names, func(a, b float64) float64 { return a + b })
}

func collapsed(rows []member, names []string, merge func(a, b float64) float64) []member {
	at := make(map[string]int, len(rows))
	out := rows[:0]
	for _, m := range rows {
		m.labels = without(m.labels, names)
		k := key(m.labels)
		if i, ok := at[k]; ok {
			out[i].all = merge(out[i].all, m.all)
			continue
		}
		at[k] = len(out)
		out = append(out, m)
	}
	return out
}

// odd returns the labels that only one of two metrics has: members are told
// apart by those that both have.
func odd(a, b []member) []string {
	count := map[string]int{}
	for bit, rows := range [][]member{a, b} {
		for _, m := range rows {
			for _, l := range m.labels {
				count[l.Name] |= 1 << bit
			}
		}
	}
	var out []string
	for name, sides := range count {
		if sides != 3 {
			out = append(out, name)
		}
	}
	return out
}

func without(ls []page.Label, names []string) []page.Label {
	return slices.DeleteFunc(ls, func(l page.Label) bool { return slices.Contains(names, l.Name) })
}

func value(ls []page.Label, name string) string {
	for _, l := range ls {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// key writes labels so that no two sets are written alike.
func key(ls []page.Label) string {
	var b strings.Builder
	for _, l := range ls {
		for _, s := range []string{l.Name, l.Value} {
			b.WriteString(strconv.Itoa(len(s)))
			b.WriteByte(':')
			b.WriteString(s)
		}
	}
	return b.String()
}

// table encodes rows as columns.
func (c *inquiry) table(rows []member) *enrich.Table {
	rows = c.kept(rows)
	c.rows = rows
	who := c.who
	who.Joined = c.joined()
	t := &enrich.Table{
		Partial: c.partial, Cut: c.cut, Lacking: c.short, Notes: c.notes, Queries: c.queries, Source: c.source.name,
		Failing: make([]float64, len(rows)), Weight: make([]float64, len(rows)),
		Value: make([]float64, len(rows)), Bad: make([]bool, len(rows)),
		Query:    func(ls page.Labels) string { return c.alert.Show(who, ls) },
		LastSeen: c.lastSeen,
		Course:   c.course, Exemplars: c.exemplars(),
	}
	c.measure(t, rows)
	c.columns(t, rows)
	c.remember(t, rows)
	return t
}

// columns encodes the labels, in order of their names.
func (c *inquiry) columns(t *enrich.Table, rows []member) {
	hidden := slices.Concat(c.source.cfg.ReplicaLabels, c.source.cfg.DenyLabels, []string{"le"})
	at := map[string]int{}
	var codes []map[string]uint32
	for i, m := range rows {
		for _, l := range m.labels {
			if l.Name == "__name__" || l.Value == "" || slices.Contains(hidden, l.Name) {
				continue
			}
			col, ok := at[l.Name]
			if !ok {
				col = len(t.Cols)
				at[l.Name] = col
				t.Cols = append(t.Cols, enrich.Column{
					Name: l.Name, Role: c.source.roles.Of(l.Name), Dict: []string{""}, Codes: make([]uint32, len(rows)),
				})
				codes = append(codes, map[string]uint32{})
			}
			code, ok := codes[col][l.Value]
			if !ok {
				code = uint32(len(t.Cols[col].Dict))
				codes[col][l.Value] = code
				t.Cols[col].Dict = append(t.Cols[col].Dict, l.Value)
			}
			t.Cols[col].Codes[i] = code
		}
	}
	c.columnsGained(t)
	slices.SortFunc(t.Cols, func(a, b enrich.Column) int { return strings.Compare(a.Name, b.Name) })
}

// measure fills in how bad each member is.
func (c *inquiry) measure(t *enrich.Table, rows []member) {
	events := c.alert.Shape == expr.Ratio || c.alert.Shape == expr.Histogram || (c.ask.Counted && !c.alert.Additive)
	switch {
	case events:
		t.Model, t.Share = enrich.Ratio, c.alert.Share
	case c.alert.Shape == expr.State || c.alert.Shape == expr.Absence:
		t.Model = enrich.State
	default:
		t.Model = enrich.Value
	}
	for i, m := range rows {
		t.Value[i] = m.value
		if events {
			t.Failing[i], t.Weight[i] = min(max(m.bad, 0), m.all), m.all
			t.Bad[i] = m.value > c.alert.Share
			continue
		}
		if m.value == m.value { // NaN is no value
			t.Weight[i] = 1
		}
		t.Bad[i] = c.holds(m.value)
	}
	if events {
		return
	}
	if c.alert.Additive {
		c.parts(t, rows)
	}
	for i, bad := range t.Bad {
		if bad && t.Weight[i] > 0 {
			t.Failing[i] = 1
		}
	}
}

// holds judges a member by its own value.
func (c *inquiry) holds(v float64) bool {
	if c.alert.Shape == expr.Absence {
		return v == 0
	}
	return c.alert.Op.Holds(v, c.alert.Threshold)
}

// breaks reports whether the rule is to be seen broken: by a member or, where
// events are counted, by a group of the rule as a whole.
func (c *inquiry) breaks(t *enrich.Table) bool {
	if t.Model != enrich.Ratio {
		return slices.Contains(t.Bad, true)
	}
	type sum struct{ bad, all float64 }
	sums := map[string]sum{}
	for i := range t.Rows() {
		k := c.groupOf(t, i)
		s := sums[k]
		sums[k] = sum{s.bad + t.Failing[i], s.all + t.Weight[i]}
	}
	for _, s := range sums {
		if s.bad > t.Share*s.all {
			return true
		}
	}
	return false
}

func (c *inquiry) groupOf(t *enrich.Table, row int) string {
	var m member
	for _, col := range t.Cols {
		m.labels = append(m.labels, page.Label{Name: col.Name, Value: col.Dict[col.Codes[row]]})
	}
	return c.group(m)
}
