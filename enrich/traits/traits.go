// Package traits explains a table: which label value sets the failing members
// apart from the healthy ones, if any does.
//
// It is a likelihood-ratio scan (Kulldorff 1997) over label values: how much
// better do two rates, one inside and one outside, describe the events than one
// rate for all. A rise that is everywhere is inside and outside alike and so
// explains nothing. A value's score is that log-likelihood ratio less what it
// costs to name it, ln(values of its label) + ln(labels), in nats.
package traits

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// The bars that a trait has to clear, and why they stand where they stand.
const (
	minScore     = 6.0  // nats: about one false trait in 400 tables
	minPure      = 0.0  // nats, when it holds most failing members and no healthy one: true whatever the odds
	minWhole     = 3.0  // nats, when it holds every failing member, be some of its others healthy
	minHint      = 2.0  // nats: less evident than a trait, too evident to say that nothing is
	minShare     = 0.25 // of the badness that is left to explain
	minPart      = 0.05 // of all badness: less does not matter to the problem
	minOdds      = 2.5  // odds ratio inside : outside; less is a difference, not an explanation
	minRise      = 0.01 // rate inside less rate outside, or half the rule's own share if that is less
	minRows      = 2    // members inside, or
	minEvents    = 20   // events of a single member
	minBad       = 30   // bad events without which "nothing in common" is only "nothing known"
	minFailing   = 3    // failing members, likewise
	maxTraits    = 3    // of a page
	maxLabels    = 3    // of a trait
	pageMargin   = 0.3  // by this much more evident than its parts has a conjunction to be
	valueMargin  = 0.75 // likewise of a Value, whose rows are series: one member has several, and few of them break the rule
	tie          = 1.5  // nats: within it the more telling of two names for nearly the same rows wins
	dispersion   = 0.5  // relative spread of honest members' rates, beyond chance
	sameRows     = 0.8  // two values share this much of their weight: they are names for nearly the same rows
	windowFilled = 0.5  // of the rule's range at the least, when its share is compared with a rate
)

// Explainer is enrich's Explainer. The zero value prefers no role.
type Explainer struct {
	roles enrich.Roles
}

var _ enrich.Explainer = (*Explainer)(nil)

// New returns an Explainer that prefers labels with a role where several labels
// say the same, in the order in which the role lists them.
func New(roles enrich.Roles) *Explainer { return &Explainer{roles: roles} }

// Explain finds up to three traits, each of up to three labels.
func (e *Explainer) Explain(t *enrich.Table) enrich.Finding {
	if t.Model == enrich.Counter || t.Model == enrich.Histogram || t.Model == enrich.Additive {
		return e.change(t)
	}
	s := newScan(t, e.roles)
	out := enrich.Finding{Scope: s.scope()}
	if note := s.unfit(); note != "" {
		out.Notes = append(out.Notes, note)
		return out
	}
	found := s.find()
	if len(found) == 0 {
		if f, ok := s.lonely(); ok {
			found = append(found, f)
		}
	}
	v := judge(t, s, found)
	out.Failing, out.Healthy = v.failing, v.healthy
	for _, f := range found {
		out.Traits = append(out.Traits, s.trait(f, v))
	}
	if note := s.outside(found); note != "" {
		out.Notes = append(out.Notes, note)
	}
	if len(found) == 0 {
		s.hint()
		out.None, out.Notes = v.none(t, s)
		if note := v.even(s); out.None && v.healthy > 0 && note != "" {
			out.Notes = append(out.Notes, note)
		}
		if s.minor != nil && v.failing > 0 {
			minor := s.trait(*s.minor, v)
			out.Minor = &minor
		}
	}
	return out
}

// literal is one label and one of its values.
type literal struct {
	col  int
	code uint32
}

// finding is a conjunction that explains a part of the badness.
type finding struct {
	all   []literal // of different columns
	score float64
	share float64
	also  []literal
	rival []literal  // nil for none
	agree page.Count // earlier windows
}

func (s *scan) trait(f finding, v verdicts) page.Trait {
	out := page.Trait{Labels: page.Labels{}, Share: f.share, Score: f.score, Source: s.t.Source, Alert: s.t.Alert}
	slices.SortFunc(f.all, func(a, b literal) int { return s.rank[a.col].compare(s.rank[b.col]) })
	for _, l := range f.all {
		c := s.t.Cols[l.col]
		out.Labels[c.Name] = c.Dict[l.code]
		out.Role = cmp.Or(out.Role, c.Role)
	}
	out.Failing, out.Healthy = v.counts(s, f.all)
	out.Agree, out.Strength = f.agree, strength(f.score, f.share, len(f.rival) > 0, f.agree)
	for _, l := range f.rival {
		if out.Rival == nil {
			out.Rival = page.Labels{}
		}
		out.Rival[s.t.Cols[l.col].Name] = s.t.Cols[l.col].Dict[l.code]
	}
	for _, a := range f.also {
		c := s.t.Cols[a.col]
		out.Also = append(out.Also, page.Label{Name: c.Name, Value: c.Dict[a.code]})
	}
	return out
}

// unfit says why a table can answer nothing, "" if it can.
func (s *scan) unfit() string {
	switch {
	case s.t.Rows() == 0:
		return "no member of the alert's expression has data"
	case s.rows == 0:
		return "no member of the alert's expression has events"
	case s.total.bad == 0:
		return "no member breaks the rule at this time"
	case s.rows == 1:
		return "the alert's expression has one member only: nothing to compare it with"
	}
	return ""
}

// none decides whether "nothing in common" may be said: the failing were seen,
// in numbers that a trait would have needed, and nothing set them apart.
func (v verdicts) none(t *enrich.Table, s *scan) (bool, []string) {
	switch {
	case v.failing == 0 || (t.Model == enrich.Ratio && rate(s.whole) < t.Share*windowFilled):
		return false, []string{"what the rule fired on is not to be seen at this time"}
	case s.minor != nil:
		return false, nil
	case v.healthy == 0 && (t.Model != enrich.Ratio || s.total.bad >= minBad):
		return true, nil
	case t.Model == enrich.Ratio && s.total.bad < minBad:
		return false, []string{fmt.Sprintf("too few bad events to tell members apart: %.0f", math.Ceil(s.total.bad))}
	case t.Model != enrich.Ratio && v.failing < minFailing:
		return false, []string{fmt.Sprintf("too few failing members to tell them apart: %d of %d", v.failing, v.failing+v.healthy)}
	}
	return true, nil
}
