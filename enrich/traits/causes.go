package traits

import (
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// Report is what the engine says of one table on its own: every cause that
// clears the bars, not only those a page has room for.
type Report struct {
	Causes      []Cause     `json:"causes"`         // the most evident first
	None        bool        `json:"none"`           // nothing sets members apart
	Scope       page.Labels `json:"scope"`          // the same on every member
	Unexplained float64     `json:"unexplained"`    // share of the change that no cause holds, 0..1
	Took        float64     `json:"ms"`             // milliseconds
	Note        string      `json:"note,omitempty"` // why nothing can be said: there are neither causes nor is it None
}

// Cause is a conjunction of labels whose members changed for the worse.
type Cause struct {
	Labels   page.Labels  `json:"labels"`
	Score    float64      `json:"score"`    // log-likelihood ratio less its description length, nats
	Share    float64      `json:"share"`    // of all that is above what the rest lead to expect, 0..1
	Strength string       `json:"strength"` // strong, likely or weak
	Also     []page.Label `json:"also,omitempty"`
}

// Causes explains a table, and asks no more of a cause than evidence.
func Causes(t *enrich.Table) Report {
	start := time.Now()
	q, found := explain(t)
	out := Report{Causes: q.causes(t, found), Scope: q.scope(t), Note: q.unfit(t)}
	out.None = len(found) == 0 && out.Note == ""
	if len(found) > 0 {
		out.Unexplained = shareOutside(out.Causes)
	}
	out.Took = float64(time.Since(start).Microseconds()) / 1000
	return out
}

// unfit says why a table can answer nothing, "" if it can.
func (s *search) unfit(t *enrich.Table) string {
	switch {
	case t.Rows() == 0:
		return "no member"
	case len(s.all) == 0:
		return "no member has numbers to compare"
	case len(s.all) == 1:
		return "one member only: nothing to compare it with"
	case len(s.attrs) == 0:
		return "no label tells members apart"
	}
	return ""
}

// shareOutside is the share of the change that no cause holds, 0..1.
func shareOutside(causes []Cause) float64 {
	out := 1.0
	for _, c := range causes {
		out -= c.Share
	}
	return max(out, 0)
}

// scope returns the labels that are the same on every member that is known.
func (s *search) scope(t *enrich.Table) page.Labels {
	out := page.Labels{}
	if len(s.row) == 0 {
		return out
	}
	any := 0
	for i := range s.row {
		if s.row[i].rows > 0 {
			any = i
			break
		}
	}
	for _, c := range s.fixed {
		if v := t.Cols[c].Dict[t.Cols[c].Codes[any]]; v != "" {
			out[t.Cols[c].Name] = v
		}
	}
	return out
}

// causes puts slices into words. Shares are of the change of all members, each
// counted for the first cause that has it.
func (s *search) causes(t *enrich.Table, found []slice) []Cause {
	ref := 1.0
	if rest := s.rest(found); rest.e > 0 {
		ref = rest.x / rest.e
	}
	whole, part := 0.0, make([]float64, len(found))
	for i := range s.row {
		e := s.excess(&s.row[i], ref)
		whole += e
		for k, f := range found {
			if s.row[i].rows > 0 && s.covers(f, int32(i)) {
				part[k] += e
				break
			}
		}
	}
	out := make([]Cause, 0, len(found))
	for k, f := range found {
		c := Cause{Labels: s.labels(t, f), Score: f.score()}
		for _, a := range f.attrs {
			for _, same := range s.attrs[a].same {
				if col := t.Cols[same]; len(f.attrs) == 1 {
					c.Also = append(c.Also, page.Label{Name: col.Name, Value: col.Dict[col.Codes[f.row]]})
				}
			}
		}
		if whole > 0 {
			c.Share = min(max(part[k]/whole, 0), 1)
		}
		c.Strength = strength(c.Score, c.Share, false, page.Count{})
		out = append(out, c)
	}
	return out
}

// labels puts a slice into words.
func (s *search) labels(t *enrich.Table, f slice) page.Labels {
	out := page.Labels{}
	for _, a := range f.attrs {
		col := t.Cols[s.attrs[a].col]
		out[col.Name] = col.Dict[col.Codes[f.row]]
	}
	return out
}

// excess is what a member has above what the rest lead to expect.
func (s *search) excess(r *sums, ref float64) float64 {
	if s.gauss || r.n <= 0 {
		return r.bad
	}
	return r.bad - ref*r.e*r.all/r.n
}

func (s *search) covered(found []slice, i int32) bool {
	for _, f := range found {
		if s.covers(f, i) {
			return true
		}
	}
	return false
}
