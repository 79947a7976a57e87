package traits

import (
	"math"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// Report is what the engine says of one table on its own: every cause that
// clears the bars, not only those a page has room for.
type Report struct {
	Causes      []Cause     `json:"causes"` // the most evident first
	None        bool        `json:"none"`   // nothing sets members apart
	Scope       page.Labels `json:"scope"`  // the same on every member
	Unexplained float64     `json:"unexplained"`
	Took        float64     `json:"ms"`
}

// Cause is a conjunction of labels whose members changed for the worse.
type Cause struct {
	Labels page.Labels  `json:"labels"`
	Score  float64      `json:"score"` // log-likelihood ratio less its description length, nats
	Share  float64      `json:"share"` // of all that is above what the rest would lead to expect, 0..1
	Also   []page.Label `json:"also,omitempty"`

	Strength string `json:"strength"` // strong, likely or weak
}

// Causes explains a table, and asks no more of a cause than evidence.
func Causes(t *enrich.Table) Report {
	start := time.Now()
	q, found := explain(t)
	out := Report{Causes: []Cause{}, None: len(found) == 0, Scope: page.Labels{}}
	for _, c := range q.fixed {
		if v := t.Cols[c].Dict[t.Cols[c].Codes[q.anyRow()]]; v != "" {
			out.Scope[t.Cols[c].Name] = v
		}
	}
	var excess, explained float64
	ref := 1.0
	if rest := q.rest(found); rest.e > 0 {
		ref = rest.x / rest.e
	}
	for i := range q.row {
		excess += q.excess(&q.row[i], ref)
	}
	for k, f := range found {
		c := Cause{Labels: page.Labels{}, Score: f.score()}
		for _, a := range f.attrs {
			col := t.Cols[q.attrs[a].col]
			c.Labels[col.Name] = col.Dict[col.Codes[f.row]]
			if len(f.attrs) == 1 {
				for _, same := range q.attrs[a].same {
					col := t.Cols[same]
					c.Also = append(c.Also, page.Label{Name: col.Name, Value: col.Dict[col.Codes[f.row]]})
				}
			}
		}
		for i := range q.row {
			if q.row[i].rows > 0 && q.covers(f, int32(i)) && !q.covered(found[:k], int32(i)) {
				c.Share += q.excess(&q.row[i], ref)
			}
		}
		explained += c.Share
		if excess > 0 {
			c.Share = min(max(c.Share/excess, 0), 1)
		}
		c.Strength = strength(c.Score, c.Share, false, page.Count{})
		out.Causes = append(out.Causes, c)
	}
	if excess > 0 {
		out.Unexplained = min(max(1-explained/excess, 0), 1)
	}
	out.Took = math.Round(float64(time.Since(start).Microseconds())) / 1000
	return out
}

func (s *search) anyRow() int {
	for i := range s.row {
		if s.row[i].rows > 0 {
			return i
		}
	}
	return 0
}

func (s *search) covered(found []slice, i int32) bool {
	for _, f := range found {
		if s.covers(f, i) {
			return true
		}
	}
	return false
}

// excess is what a member has above what the rest lead to expect.
func (s *search) excess(r *sums, ref float64) float64 {
	if r.rows == 0 {
		return 0
	}
	if s.gauss {
		return r.bad
	}
	if r.n <= 0 {
		return 0
	}
	return r.bad - ref*r.e*r.all/r.n
}
