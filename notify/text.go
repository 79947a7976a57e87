package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Text is what a message says, in the order in which it says it. All of it is
// clean: no control, bidi or zero-width characters, valid UTF-8, cut to the
// budgets below. It is still untrusted: a kind escapes it for its own markup.
type Text struct {
	Headline string      // the first line: marks, then what they share, or how long it took
	Title    string      // which alert, where, how many
	Status   string      // "firing · critical · 12 alerts · got worse once · acknowledged by Jane Doe"
	Since    string      // "since 2026-03-01 12:03:10 UTC (35 s ago)"
	Same     string      // how else the first trait can be said: "the same as pod=cart-1", "" where it cannot
	Alone    string      // "only the new version: v42 41 %, v41 0.2 %", "" where that is not so
	Events   string      // "exemplars: 9 of 10 failing carry user=u5 (1 of 12 healthy)", "" where nothing sets them apart
	Impact   string      // how much is hit: "12 % of events fail · 1 of 3 datacentres (dc1)"
	Owner    string      // whose it is, as a label or the config says; never a mention
	Summary  string      //
	Details  string      // may hold line breaks
	Traits   []string    // further traits, best first
	Members  []string    // one line per alert: the labels that tell it from the others; of a storm one per rule
	More     int         // alerts that have no line
	Ceased   string      // members that resolved while others fire, "" if none
	Links    []page.Link // http and https only
	Notes    []string    // what is missing
	Clock    string      // "rule fired → page in 12 s (…)"
}

// Budgets in runes; together they stay below what Slack takes in one message.
const (
	maxHeadline = 300
	maxTitle    = 200
	maxSummary  = 500
	maxDetails  = 1500
	maxLine     = 200
	maxValue    = 80
	maxMembers  = 10
	maxTraits   = 3
	maxSame     = 3
	maxNotes    = 6
	maxLinks    = 8
	maxLinkURL  = 2000 // bytes; a longer address is left out, for half an address leads elsewhere
)

// same names the labels that the failing share exactly where they share the first
// trait: a host's pod, say, which the sentence does not name.
func same(traits []page.Trait) string {
	if len(traits) == 0 || len(traits[0].Also) == 0 {
		return ""
	}
	var words []string
	for _, l := range traits[0].Also {
		words = append(words, fmt.Sprintf("%s=%s", Clean(l.Name, maxValue), Clean(l.Value, maxValue)))
	}
	// shortest first: a pod is called by its name, not by its cgroup's path
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return Cut("the same as "+strings.Join(words[:min(len(words), maxSame)], ", "), maxLine)
}

// Compose says m.Page in words, as of now. It depends on nothing else.
func Compose(m Message, now time.Time) Text {
	p := m.Page
	began, ended := span(p, now)
	t := Text{
		Headline: headline(m, ended.Sub(began)),
		Title:    Clean(p.Title, maxTitle),
		Status:   Cut(strings.Join(append([]string{status(p)}, standing(m, now)...), " · "), maxStatus),
		Since:    since(p, began, ended, now),
		Same:     same(p.Traits),
		Alone:    Clean(page.Context{Traits: p.Traits, Onset: p.Onset}.Alone(), maxLine),
		Events:   Clean(p.Exemplars.Words(), maxLine),
		Impact:   Clean(p.Impact.Words(), maxLine),
		Owner:    Clean(m.Owner.Name, maxValue),
		Summary:  Clean(p.Summary, maxSummary),
		Details:  CleanLines(p.Details, maxDetails),
		Links:    links(p.Links),
		Clock:    clock(m, now),
	}
	for i, trait := range p.Traits {
		if i > 0 && i < maxTraits {
			t.Traits = append(t.Traits, Clean(page.Headline(page.Context{Traits: []page.Trait{trait}}), maxLine))
		}
	}
	t.Members, t.More = members(p.Alerts)
	if p.Storm != nil {
		t.Members, t.More = gusts(*p.Storm)
	}
	if n := len(p.Resolved); n > 0 {
		t.Ceased = fmt.Sprintf("%d resolved meanwhile", n)
	}
	if m.Instead != "" {
		t.Notes = append(t.Notes, Clean(m.Instead, maxLine))
	}
	for i, n := range p.Notes {
		if i == maxNotes {
			t.Notes = append(t.Notes, fmt.Sprintf("and %d more notes", len(p.Notes)-i))
			break
		}
		t.Notes = append(t.Notes, Clean(n.Text, maxLine))
	}
	return t
}

// headline puts the answer first, behind marks that must not be missed.
func headline(m Message, lasted time.Duration) string {
	p := m.Page
	var parts []string
	if p.Test {
		parts = append(parts, "TEST PAGE")
	}
	if m.Repeat {
		parts = append(parts, "possible repeat")
	}
	if m.Receipt.Instead != "" {
		parts = append(parts, "instead of "+m.Receipt.Instead)
	}
	if p.State == page.Closed {
		parts = append(parts, "resolved after "+Span(lasted))
	}
	switch {
	case p.Self:
		parts = append(parts, "Tocsin about itself", cmp.Or(p.Summary, p.Title))
	case p.State != page.Closed || len(p.Traits) > 0:
		parts = append(parts, p.Headline)
	}
	return Clean(strings.Join(parts, " · "), maxHeadline)
}

func status(p page.Page) string {
	n := len(p.Alerts)
	alerts := fmt.Sprintf("%d alerts", n)
	if n == 1 {
		alerts = "1 alert"
	}
	word := "firing"
	if p.State == page.Closed {
		word = "resolved"
	}
	return fmt.Sprintf("%s · %s · %s", word, p.Severity, alerts)
}

// span is when the problem began and until when it is shown to have lasted:
// its end, or now while it is open.
func span(p page.Page, now time.Time) (began, ended time.Time) {
	began = p.Clock.Started
	for _, a := range p.Alerts {
		if !a.StartsAt.IsZero() && (began.IsZero() || a.StartsAt.Before(began)) {
			began = a.StartsAt
		}
		if a.EndsAt.After(ended) {
			ended = a.EndsAt
		}
	}
	if p.State != page.Closed || ended.IsZero() || ended.After(now) {
		ended = now
	}
	if began.IsZero() || began.After(ended) {
		began = ended
	}
	return began, ended
}

const stamp = "2006-01-02 15:04:05 UTC"

func since(p page.Page, began, ended, now time.Time) string {
	if p.State == page.Closed {
		return fmt.Sprintf("from %s to %s", began.UTC().Format(stamp), ended.UTC().Format(stamp))
	}
	return fmt.Sprintf("since %s (%s ago)", began.UTC().Format(stamp), Span(now.Sub(began)))
}

// clock tells the reader how long the page took, and where.
func clock(m Message, now time.Time) string {
	c := m.Page.Clock
	if c.Started.IsZero() {
		return ""
	}
	sent := now
	if !m.Receipt.First.IsZero() {
		sent = m.Receipt.First
	}
	s := "rule fired → page in " + Span(sent.Sub(c.Started))
	var stages []string
	for _, st := range []struct {
		name string
		at   time.Time
	}{{"webhook", c.Received}, {"on disk", c.Durable}, {"context", c.Enriched}} {
		if !st.at.IsZero() {
			stages = append(stages, st.name+" +"+Span(st.at.Sub(c.Started)))
		}
	}
	if len(stages) > 0 {
		s += " (" + strings.Join(stages, ", ") + ")"
	}
	return s
}

// members lists alerts by the labels that differ between them: what they have
// in common stands in the title already. One alert alone shows all its labels.
func members(alerts []page.Alert) (lines []string, more int) {
	differ := distinguishing(alerts)
	for i, a := range alerts {
		if i == maxMembers {
			return lines, len(alerts) - i
		}
		var parts []string
		for _, name := range differ {
			if v, ok := a.Labels[name]; ok {
				parts = append(parts, Clean(name, maxValue)+"="+Clean(v, maxValue))
			}
		}
		if len(parts) > 0 {
			lines = append(lines, Cut(strings.Join(parts, ", "), maxLine))
		}
	}
	return lines, 0
}

// distinguishing returns the label names whose values are not the same in all
// alerts, alertname and severity first.
func distinguishing(alerts []page.Alert) []string {
	counts := map[string]int{}
	values := map[string]string{}
	differ := map[string]bool{}
	for _, a := range alerts {
		for name, v := range a.Labels {
			if counts[name] > 0 && values[name] != v {
				differ[name] = true
			}
			counts[name]++
			values[name] = v
		}
	}
	var out []string
	for name, n := range counts {
		alone := len(alerts) == 1 && name != "alertname" && name != "severity"
		if alone || differ[name] || n < len(alerts) {
			out = append(out, name)
		}
	}
	first := func(name string) int { return slices.Index([]string{"severity", "alertname"}, name) }
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(first(b), first(a)), cmp.Compare(a, b))
	})
	return out
}

func links(in []page.Link) []page.Link {
	var out []page.Link
	for _, l := range in {
		u, ok := page.WebURL(l.URL)
		if !ok || len(u) > maxLinkURL || len(out) == maxLinks {
			continue
		}
		out = append(out, page.Link{Text: cmp.Or(Clean(l.Text, maxValue), "link"), URL: u})
	}
	return out
}
