package traits

import (
	"cmp"
	"math"
	"slices"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// preference orders columns that name the same rows: a label with a role, then
// the order of the role's own list (each role's first label is what people call
// it by), then the coarser label, then the name.
type preference struct {
	role, listed, values int
	name                 string
}

func (p preference) compare(o preference) int {
	return cmp.Or(cmp.Compare(p.role, o.role), cmp.Compare(p.listed, o.listed),
		cmp.Compare(p.values, o.values), cmp.Compare(p.name, o.name))
}

// preferences orders columns, whose numbers of values among members are given.
func preferences(t *enrich.Table, values []int, roles enrich.Roles) []preference {
	out := make([]preference, len(t.Cols))
	for c, col := range t.Cols {
		out[c] = preference{role: 1, values: values[c], listed: len(roles[col.Role]), name: col.Name}
		if col.Role != "" {
			out[c].role = 0
		}
		if i := slices.Index(roles[col.Role], col.Name); i >= 0 {
			out[c].listed = i
		}
	}
	return out
}

// prefer chooses the most telling name among conjunctions that hold nearly the
// same rows as the best one and score nearly as well: the host rather than its
// only busy pod, one label rather than two.
func (s *scan) prefer(top finding, all []finding) finding {
	best := top
	for _, f := range all {
		if f.score >= top.score-tie && s.telling(f, best) < 0 && s.overlap(f.all, top.all) >= sameRows {
			best = f
		}
	}
	return best
}

// telling orders conjunctions: fewer labels, then the preference of their labels.
func (s *scan) telling(a, b finding) int {
	if c := cmp.Compare(len(a.all), len(b.all)); c != 0 {
		return c
	}
	for i := range a.all {
		if c := s.rank[a.all[i].col].compare(s.rank[b.all[i].col]); c != 0 {
			return c
		}
	}
	return 0
}

// holds reports whether a row has all the values.
func (s *scan) holds(all []literal, row int) bool {
	for _, l := range all {
		if s.t.Cols[l.col].Codes[row] != l.code {
			return false
		}
	}
	return true
}

// overlap is the weight in both conjunctions over the weight in either, 0..1.
func (s *scan) overlap(a, b []literal) float64 {
	both, either := 0.0, 0.0
	for i := range s.row {
		if s.row[i].rows == 0 {
			continue
		}
		ina, inb := s.holds(a, i), s.holds(b, i)
		if ina && inb {
			both += s.row[i].n
		}
		if ina || inb {
			either += s.row[i].n
		}
	}
	if either == 0 {
		return 0
	}
	return both / either
}

// aliases returns the values of other labels that hold the very same members.
func (s *scan) aliases(all []literal) []literal {
	members := s.members(all)
	var out []literal
	for _, c := range s.used {
		if slices.ContainsFunc(all, func(l literal) bool { return l.col == c }) {
			continue
		}
		codes := s.t.Cols[c].Codes
		code := codes[members[0]]
		same := code != 0 && !slices.ContainsFunc(members, func(i int) bool { return codes[i] != code })
		if same && len(s.members([]literal{{c, code}})) == len(members) {
			out = append(out, literal{c, code})
		}
	}
	slices.SortFunc(out, func(a, b literal) int { return s.rank[a.col].compare(s.rank[b.col]) })
	return out
}

// members lists the rows of a conjunction that are not explained yet.
func (s *scan) members(all []literal) []int {
	var out []int
	for i := range s.row {
		if s.row[i].rows > 0 && s.holds(all, i) {
			out = append(out, i)
		}
	}
	return out
}

// lonely names the one member that fails. One member proves nothing, but it has
// a name: the most telling of the values that no other member has.
func (s *scan) lonely() (finding, bool) {
	if s.t.Model == enrich.Ratio || s.total.bad != 1 || s.total.rows < 2 {
		return finding{}, false
	}
	row := slices.IndexFunc(s.row, func(t tally) bool { return t.rows > 0 && t.bad == 1 })
	best, found := finding{}, false
	for _, c := range s.used {
		code := s.t.Cols[c].Codes[row]
		in := s.per[c][code]
		if code == 0 || in.rows != 1 || (found && s.rank[c].compare(s.rank[best.all[0].col]) >= 0) {
			continue
		}
		gain := -entropy(1, s.total.n) - math.Log(float64(s.values(c))) - math.Log(float64(len(s.used)))
		best, found = finding{all: []literal{{c, code}}, score: gain, share: 1}, true
	}
	if found {
		best.also = s.aliases(best.all)
	}
	return best, found
}

// scope returns the labels that are the same on every member.
func (s *scan) scope() page.Labels {
	var out page.Labels
	for c, col := range s.t.Cols {
		for code, t := range s.per[c] {
			if code != 0 && t.rows > 0 && t.rows == s.rows {
				if out == nil {
					out = page.Labels{}
				}
				out[col.Name] = col.Dict[code]
			}
		}
	}
	return out
}
