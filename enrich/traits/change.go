package traits

import (
	"slices"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// surelyChanged is how much better, in nats, a member's own events are told by a
// rate of its own for it to count as changed.
const surelyChanged = 3.0

// change explains a table whose members are judged by their own past only:
// counters, histograms, sums.
func (e *Explainer) change(t *enrich.Table) enrich.Finding {
	q, found := explain(t)
	out := enrich.Finding{Scope: q.scope(t)}
	rank := preferences(t, q.values(t), e.roles)
	if len(q.live) == 0 && len(found) == 0 {
		out.Notes = append(out.Notes, "no member of the alert's expression has a past to compare with")
		return out
	}
	report := q.causes(t, found)
	changed := q.changed(found)
	for _, c := range changed {
		if c {
			out.Failing++
		}
	}
	for i := range q.row {
		if q.row[i].rows > 0 && !changed[i] {
			out.Healthy++
		}
	}
	left := q.all
	for k, f := range found[:min(len(found), maxTraits)] {
		c := report[k]
		rival, agree := q.rival(t, left, f), q.agreement(t, func(i int32) bool { return q.covers(f, i) })
		tr := page.Trait{
			Labels: c.Labels, Also: c.Also, Share: c.Share, Score: c.Score, Source: t.Source, Alert: t.Alert,
			Failing: page.Count{Total: out.Failing}, Healthy: page.Count{Total: out.Healthy},
			Rival: rival, Agree: agree, Strength: strength(c.Score, c.Share, len(rival) > 0, agree),
		}
		for _, a := range f.attrs {
			if tr.Role == "" {
				tr.Role = t.Cols[q.attrs[a].col].Role
			}
		}
		for i := range q.row {
			switch {
			case q.row[i].rows == 0 || !q.covers(f, int32(i)):
			case changed[i]:
				tr.Failing.Matched++
			default:
				tr.Healthy.Matched++
			}
		}
		out.Traits = append(out.Traits, tr)
		left = slices.DeleteFunc(slices.Clone(left), func(i int32) bool { return q.covers(f, i) })
	}
	out.None = len(found) == 0 && out.Failing > 0
	switch {
	case out.None && out.Healthy > 0:
		if note := evenly(t, rank, func(i int) bool { return changed[i] }); note != "" {
			out.Notes = append(out.Notes, note)
		}
	case len(found) > 0:
		if note := unexplained(shareOutside(report)); note != "" {
			out.Notes = append(out.Notes, note)
		}
	}
	return out
}

// changed says of each member whether its own events show the change.
func (s *search) changed(found []slice) []bool {
	out := make([]bool, len(s.row))
	rest := s.rest(found)
	for i := range s.row {
		r := &s.row[i]
		switch {
		case r.rows == 0:
		case s.gauss:
			out[i] = r.x > 0 && r.x*r.x/2 >= surelyChanged
		case rest.e > 0:
			e := r.e * rest.x / rest.e
			out[i] = r.x > e && deviance(r.x, e, r.n) >= surelyChanged
		default:
			out[i] = true
		}
	}
	return out
}

// values counts the values of each column among the members that are known.
func (s *search) values(t *enrich.Table) []int {
	out := make([]int, len(t.Cols))
	for _, c := range s.fixed {
		out[c] = 1
	}
	for _, a := range s.attrs {
		for _, c := range append([]int{a.col}, a.same...) {
			out[c] = a.vals
		}
	}
	return out
}
