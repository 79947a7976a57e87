package enrich

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// maxTraits is how many traits a page carries.
const maxTraits = 3

// merge makes one context of the answers that are there.
func (e *Enricher) merge(rules []rule, asked []inquiry, rest []string, allowed time.Duration) page.Context {
	m := merger{e: e, redact: redactor{hides: e.hides, any: len(e.Redact) > 0}, known: map[string]bool{}, several: several(rules, rest)}
	for _, i := range asked {
		if !i.flight.done() {
			m.waiting = true
			m.note("no answer from %s within %s: traits follow", i.source.Name, allowed.Round(100*time.Millisecond))
			continue
		}
		m.unsettled = m.unsettled || i.flight.owes() || i.renew
		m.add(i)
	}
	switch {
	case len(asked) > 0 || len(rules) == 0:
	default:
		m.note("no source is configured: what they share is not asked")
	}
	if len(rest) > 0 {
		m.note("of %d rules %d were asked about, not: %s", maxRules+len(rest), maxRules, strings.Join(rest, ", "))
	}
	return m.finish()
}

// merger gathers answers in the order of their rules.
type merger struct {
	e      *Enricher
	out    page.Context
	redact redactor
	best   *answer // whose populations the page counts
	none   *answer
	noneOf Named // the source of none
	some   *answer
	known  map[string]bool // notes

	several   bool // the problem has rules of more than one name
	waiting   bool // somebody has not answered yet
	lacking   bool // somebody answered without all that could set members apart
	unsettled bool // somebody has not looked at the past yet
}

func (m *merger) add(i inquiry) {
	f, a := i.flight, i.flight.answer()
	for _, q := range a.queries {
		q.Cached = i.reused
		q.Text, _ = m.redact.query(i.source, q.Text)
		m.out.Queries = append(m.out.Queries, q)
	}
	if a.err != nil {
		m.note("%s", words(i.source.Name, i.rule.name, a.err))
		return
	}
	if a.partial {
		m.note("%s answered in part: some of its stores did not", i.source.Name)
	}
	if a.cut {
		m.note("%s has more members than its limits let in: the counts are of those that were read", i.source.Name)
	}
	if a.lacking && len(a.finding.Traits) == 0 {
		m.note("%s: labels that could tell members apart were not read from %s", i.rule.name, i.source.Name)
	}
	m.lacking = m.lacking || a.lacking || a.partial
	for _, n := range a.finding.Notes {
		m.note("%s: %s", i.rule.name, n)
	}
	if t := a.finding.Minor; t != nil {
		m.note("%s: %s looks worse than the rest, but does not explain the alert: it holds %s of what is bad",
			i.rule.name, m.redact.labels(t.Labels), page.Percent(t.Share))
	}
	for _, t := range a.finding.Traits {
		m.trait(t, i, f.at, a)
	}
	finding := &a.finding
	if len(finding.Traits) > 0 && (m.best == nil || finding.Traits[0].Score > m.best.finding.Traits[0].Score) {
		m.best = &a
	}
	if finding.None && m.none == nil {
		m.none, m.noneOf = &a, i.source
	}
	if m.some == nil {
		m.some = &a
	}
}

// several reports whether rules have more than one name.
func several(rules []rule, rest []string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.name != rules[0].name }) ||
		slices.ContainsFunc(rest, func(name string) bool { return name != rules[0].name })
}

// trait adds one trait with its query and link; of two that say the same the
// more evident one stays.
func (m *merger) trait(t page.Trait, i inquiry, at time.Time, a answer) {
	t.Source, t.Alert = i.source.Name, i.rule.name
	visible, hidden := m.redact.visible(t.Labels)
	if a.show != nil {
		text, cut := m.redact.query(i.source, a.show(visible))
		t.Query = text
		if l, ok := i.source.Source.(Linker); ok && !hidden && !cut && text != "" {
			t.Link = l.Link(text, at)
		}
	}
	if a.course != nil {
		t.Course = m.course(i.source, a.course(m.version(a, visible), visible))
	}
	if m.e.hides(m.e.version(t.Labels)) {
		t.Versions = nil
	}
	t.Labels, t.Rival = m.redact.labels(t.Labels), m.redact.labels(t.Rival)
	t.Also = slices.Clone(t.Also)
	for j, l := range t.Also {
		t.Also[j].Value = m.redact.value(l.Name, l.Value)
	}
	if m.several {
		t.Rules = []string{t.Alert}
	}
	for j, have := range m.out.Traits {
		if !same(t, have) {
			continue
		}
		rules := slices.Concat(have.Rules, t.Rules)
		if t.Score > have.Score {
			m.out.Traits[j], rules = t, slices.Concat(t.Rules, have.Rules)
		}
		m.out.Traits[j].Rules = distinct(rules)
		return
	}
	m.out.Traits = append(m.out.Traits, t)
}

// same reports whether two traits name the same, be it by another label for the
// same members.
func same(a, b page.Trait) bool {
	alias := func(x, y page.Trait) bool {
		for name, v := range x.Labels {
			return len(x.Labels) == 1 && slices.Contains(y.Also, page.Label{Name: name, Value: v})
		}
		return false
	}
	return maps.Equal(a.Labels, b.Labels) || (len(a.Labels) == len(b.Labels) && (alias(a, b) || alias(b, a)))
}

// distinct keeps the first of equals.
func distinct(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// version is the label whose new values are deploys: the trait's, or else one
// that the members have. Values that are hidden are not asked for.
func (m *merger) version(a answer, visible page.Labels) string {
	if own := m.e.version(visible); own != "" {
		return own
	}
	for _, name := range a.labels {
		if m.e.Roles.Of(name) == roleDeploy && !m.e.hides(name) {
			return name
		}
	}
	return ""
}

// course hides values in the questions; such a question is not asked.
func (m *merger) course(s Named, c page.Course) *page.Course {
	if c.Query == "" {
		return nil
	}
	c.Query, _ = m.redact.query(s, c.Query)
	if c.Seen != "" {
		c.Seen, _ = m.redact.query(s, c.Seen)
	}
	return &c
}

// impact hides names; how many they are may be told.
func (m *merger) impact(i *page.Impact) *page.Impact {
	if i == nil || !slices.Contains(m.e.Redact, roleDatacentre) {
		return i
	}
	hidden := *i
	hidden.Datacentres = nil
	return &hidden
}

func (m *merger) finish() page.Context {
	c := &m.out
	slices.SortStableFunc(c.Traits, func(a, b page.Trait) int { return cmp.Compare(b.Score, a.Score) })
	c.Traits = c.Traits[:min(len(c.Traits), maxTraits)]
	// While somebody is still to answer, or some of an answer is missing, "nothing in common" is too early.
	c.None = len(c.Traits) == 0 && m.none != nil && !m.waiting && !m.lacking
	// Of "nothing in common" a second look will ask anew, and then of the past too.
	c.Pending = m.waiting || (m.unsettled && !c.None)
	counted := m.some
	switch {
	case m.best != nil:
		counted = m.best
	case m.none != nil:
		counted = m.none
	}
	if counted != nil {
		finding := counted.finding
		c.Failing, c.Healthy, c.Scope = finding.Failing, finding.Healthy, m.redact.labels(finding.Scope)
		c.Impact, c.Exemplars = m.impact(counted.impact), m.exemplars(counted.events)
		if c.LastSeen = counted.gone; !c.LastSeen.IsZero() && c.Failing+c.Healthy == 0 {
			c.Failing = counted.rows // one alone has nothing to be compared with, and is gone all the same
		}
	}
	if c.None && m.none.course != nil {
		c.Course, c.Source = m.course(m.noneOf, m.none.course(m.version(*m.none, nil), nil)), m.noneOf.Name
	}
	if !c.Pending {
		c.At = m.e.Now()
	}
	return *c
}

func (m *merger) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !m.known[text] {
		m.known[text] = true
		m.out.Notes = append(m.out.Notes, page.Note{Room: "enrich", Text: text, At: m.e.Now()})
	}
}

// words says in words fit for a page why a source has no answer.
func words(source, alert string, err error) string {
	if _, ok := errors.AsType[*remote.Error](err); ok {
		return wordsOfRemote(source, err)
	}
	switch {
	case errors.Is(err, expr.ErrNoPopulation), errors.Is(err, expr.ErrShape):
		return fmt.Sprintf("%s: %s", alert, err)
	case errors.Is(err, expr.ErrSyntax):
		return fmt.Sprintf("%s: its expression cannot be read", alert)
	case errors.Is(err, ErrNoRule):
		return fmt.Sprintf("%s: not asked what they share: the alert links to no query, and %s has no rule of its name, or several", alert, source)
	case passed(err):
		return source + " did not answer in time"
	case errors.Is(err, errPanic):
		return source + " could not be asked: an error of ours, see the log"
	}
	return fmt.Sprintf("%s has no answer about %s", source, alert)
}

// passed reports whether time ran out.
func passed(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func wordsOfRemote(source string, err error) string {
	e, _ := errors.AsType[*remote.Error](err)
	switch {
	case passed(err):
		return source + " did not answer in time"
	case e.Status != 0:
		return fmt.Sprintf("%s answered with status %d", source, e.Status)
	case e.Class == remote.NotSent:
		return source + " cannot be reached"
	case e.Reason != "":
		return fmt.Sprintf("%s did not answer: %s", source, e.Reason)
	}
	return source + " gave no readable answer"
}
