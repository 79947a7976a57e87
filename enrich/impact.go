package enrich

import (
	"cmp"
	"slices"

	"github.com/tocsin/tocsin/page"
)

// Roles that a page has words for.
const (
	roleDeploy     = "deploy"
	roleUser       = "user"
	roleDatacentre = "datacentre"
)

// Bounds of what is told of a label's values.
const (
	maxVersions    = 3
	maxDatacentres = 5
)

// tally is what one value of a label holds.
type tally struct{ bad, all float64 }

func (t tally) share() float64 {
	if t.all <= 0 {
		return 0
	}
	return min(max(t.bad/t.all, 0), 1)
}

// tallies sums a column by value, of the rows with some labels; code 0, no such
// label, stays empty.
func tallies(t *Table, c Column, among page.Labels) []tally {
	out := make([]tally, len(c.Dict))
	for i, code := range c.Codes {
		if w := t.Weight[i]; code != 0 && w > 0 && (len(among) == 0 || t.matches(i, among)) {
			out[code].bad += t.Failing[i]
			out[code].all += w
		}
	}
	return out
}

// hit reports whether a value is among those that fail: as the rule judges the
// alert, so is the value judged.
func (t *Table) hit(v tally) bool {
	if t.Model == Ratio {
		return v.bad >= 1 && v.share() >= t.Share
	}
	return v.bad > 0
}

// judged reports whether a table's Failing and Weight are counts that can be
// told as "so many of so many".
func (t *Table) judged() bool { return t.Model == Ratio || t.Model == State || t.Model == Value }

// impactOf says how much of what a table holds is hit; it asks nobody. inside
// is the leading trait, nil for none.
func impactOf(t *Table, inside page.Labels) *page.Impact {
	if t == nil || !t.judged() || t.Cut {
		return nil
	}
	out := &page.Impact{Unit: page.Members}
	if t.Model == Ratio {
		out.Unit = page.Events
	}
	in := 0.0
	for i, w := range t.Weight {
		if w > 0 {
			out.Bad, out.All = out.Bad+t.Failing[i], out.All+w
			if len(inside) > 0 && t.matches(i, inside) {
				in += w
			}
		}
	}
	if out.All <= 0 {
		return nil
	}
	out.Inside = in / out.All
	if c, ok := t.role(roleDatacentre, false); ok {
		for code, v := range tallies(t, c, nil) {
			if v.all > 0 {
				out.InDC.Total++
			}
			if v.all > 0 && t.hit(v) {
				out.InDC.Matched++
				out.Datacentres = append(out.Datacentres, c.Dict[code])
			}
		}
		slices.Sort(out.Datacentres)
		out.Datacentres = out.Datacentres[:min(len(out.Datacentres), maxDatacentres)]
	}
	if c, ok := t.role(roleUser, true); ok {
		for _, v := range tallies(t, c, nil) {
			if v.all > 0 {
				out.Users.Total++
			}
			if v.all > 0 && t.hit(v) {
				out.Users.Matched++
			}
		}
	}
	return out
}

// role returns the column that plays a role: of several that tell members apart
// the finest (users, not their tenants) or the coarsest (datacentres, not their zones).
func (t *Table) role(name string, finest bool) (Column, bool) {
	best, ok := Column{}, false
	for _, c := range t.Cols {
		if c.Role != name {
			continue
		}
		constant, had := len(c.Dict) <= 2, len(best.Dict) <= 2 // code 0 is no value
		if !ok || had && !constant || constant == had && (len(c.Dict) > len(best.Dict)) == finest {
			best, ok = c, true
		}
	}
	return best, ok
}

func (t *Table) matches(row int, ls page.Labels) bool {
	found := 0
	for _, c := range t.Cols {
		if v, ok := ls[c.Name]; ok {
			if c.Dict[c.Codes[row]] != v {
				return false
			}
			found++
		}
	}
	return found == len(ls)
}

// versionsOf says how bad each version is where the trait is one, or has one by
// another name: its own first, then the largest; nil where it is none or is the
// only one. Of a conjunction the other labels say among whom.
func versionsOf(t *Table, trait page.Trait) []page.Share {
	if t == nil || !t.judged() {
		return nil
	}
	named := trait.Labels.Clone()
	for _, l := range trait.Also {
		if len(trait.Labels) == 1 {
			named[l.Name] = l.Value
		}
	}
	for _, c := range t.Cols {
		own, ok := named[c.Name]
		if !ok || c.Role != roleDeploy {
			continue
		}
		among := page.Labels{}
		if len(trait.Labels) > 1 {
			among = trait.Labels.Clone()
			delete(among, c.Name)
		}
		sums := tallies(t, c, among)
		var at []int
		for code, v := range sums {
			if v.all > 0 {
				at = append(at, code)
			}
		}
		if len(at) < 2 {
			return nil
		}
		slices.SortStableFunc(at, func(a, b int) int {
			first := cmp.Compare(truth(c.Dict[b] == own), truth(c.Dict[a] == own))
			return cmp.Or(first, cmp.Compare(sums[b].all, sums[a].all))
		})
		var out []page.Share
		for _, code := range at[:min(len(at), maxVersions)] {
			out = append(out, page.Share{Value: c.Dict[code], Bad: sums[code].share()})
		}
		return out
	}
	return nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// version returns the label of a trait that is a version, "" for none.
func (e *Enricher) version(ls page.Labels) string {
	for _, n := range ls.Names() {
		if e.Roles.Of(n) == roleDeploy {
			return n
		}
	}
	return ""
}
