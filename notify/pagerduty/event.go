package pagerduty

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// Limits of the Events API v2.
const (
	maxSummary = 1024
	maxSource  = 255
	maxEvent   = 500 << 10 // documented: 512 KB for the whole event
	maxAlerts  = 50        // in custom_details
	maxValue   = 1024      // of a label in custom_details
	maxRules   = 20        // of a storm
)

// details is custom_details: what a responder or a machine reads off the
// incident. PagerDuty keeps those of the first event for good.
type details struct {
	Needs    []string      `json:"people are needed,omitempty"` // of a further incident
	Evidence []string      `json:"evidence,omitempty"`
	Why      []string      `json:"got worse,omitempty"` // of a further incident
	Headline string        `json:"what they share"`
	Title    string        `json:"title"`
	Status   string        `json:"status"`
	Since    string        `json:"since"`
	Alone    string        `json:"version,omitempty"`
	Events   string        `json:"exemplars,omitempty"`
	Impact   string        `json:"impact,omitempty"`
	Owner    string        `json:"owner,omitempty"`
	Summary  string        `json:"summary,omitempty"`
	Details  string        `json:"description,omitempty"`
	Traits   []traitDetail `json:"traits,omitempty"`
	Alerts   []page.Labels `json:"alerts,omitempty"`
	More     int           `json:"alerts left out,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Clock    string        `json:"clock,omitempty"`
	Ack      string        `json:"acknowledged by,omitempty"`
	Storm    string        `json:"storm,omitempty"`
	Came     string        `json:"flapping,omitempty"`
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Cluster  string        `json:"cluster,omitempty"`
	Receiver string        `json:"receiver,omitempty"`
}

type traitDetail struct {
	Labels  page.Labels `json:"labels"`
	Failing string      `json:"failing"`
	Healthy string      `json:"healthy"`
	Same    page.Labels `json:"same,omitempty"` // what cannot be told apart from them
	Query   string      `json:"query,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// plain is an event that says nothing but what to do with an incident.
func (t *target) plain(action, dedup string) pagerduty.V2Event {
	return pagerduty.V2Event{RoutingKey: t.events.key.Reveal(), Action: action, DedupKey: dedup}
}

// trigger is the first event of an episode.
func (t *target) trigger(m notify.Message) ([]byte, error) {
	return t.fold(m, m.Receipt.Delivery, summary(m), cause{})
}

// fold is a trigger as JSON, with as many alerts as fit into PagerDuty's limits.
func (t *target) fold(m notify.Message, dedup, summary string, of cause) ([]byte, error) {
	e := t.plain("trigger", dedup)
	e.Client = "tocsin"
	if u, ok := page.WebURL(m.PageURL); ok {
		e.ClientURL = u
	}
	p := m.Page
	e.Payload = &pagerduty.V2Payload{
		Summary:   summary,
		Source:    cmp.Or(notify.Clean(p.Cluster, maxSource), "tocsin"),
		Severity:  t.severityOf(p.Severity),
		Component: component(p),
		Class:     notify.Clean(alertName(p), maxSource),
		Group:     notify.Clean(p.Receiver, maxSource),
	}
	if !p.Clock.Started.IsZero() {
		e.Payload.Timestamp = p.Clock.Started.UTC().Format(time.RFC3339)
	}
	if m.Plain {
		return encode(e)
	}
	e.Links = linksOf(m, of.any())
	for alerts := maxAlerts; ; alerts /= 2 {
		d := detailsOf(m, alerts)
		d.Why, d.Needs, d.Evidence = of.worse, of.needs, of.shows
		e.Payload.Details = d
		b, err := encode(e)
		if err != nil || len(b) <= maxEvent || alerts == 0 {
			return b, err
		}
	}
}

// linksOf puts first what a further incident follows, then the page's own page.
func linksOf(m notify.Message, further bool) []any {
	var out []any
	add := func(raw, text string) {
		if u, ok := page.WebURL(raw); ok {
			out = append(out, link{Href: u, Text: text})
		}
	}
	if further {
		add(m.Receipt.Link, "first incident")
	}
	add(m.PageURL, "page in Tocsin")
	for _, l := range m.Text.Links {
		add(l.URL, l.Text)
	}
	return out
}

// summary is what a phone reads out: the answer, then what fired.
func summary(m notify.Message) string {
	t := m.Text
	return notify.Clean(t.Headline+" · "+t.Title, maxSummary)
}

func (t *target) severityOf(s page.Severity) string {
	if !slices.Contains(severities(), string(s)) {
		s = page.Warning
	}
	return cmp.Or(t.severity[string(s)], string(s))
}

// component is what is broken, if all alerts say the same of it.
func component(p page.Page) string {
	for _, name := range []string{"service", "app", "job", "instance"} {
		v := ""
		for i, a := range p.Alerts {
			if i > 0 && a.Labels[name] != v {
				v = ""
				break
			}
			v = a.Labels[name]
		}
		if v != "" {
			return notify.Clean(v, maxSource)
		}
	}
	return ""
}

func alertName(p page.Page) string {
	if len(p.Alerts) == 0 {
		return ""
	}
	return p.Alerts[0].Name()
}

func detailsOf(m notify.Message, alerts int) details {
	p, t := m.Page, m.Text
	d := details{
		Headline: t.Headline, Title: t.Title, Status: t.Status, Since: t.Since,
		Alone: t.Alone, Events: t.Events, Impact: t.Impact, Owner: t.Owner,
		Summary: t.Summary, Details: t.Details, Notes: t.Notes, Clock: t.Clock,
		Problem: p.Problem, Episode: p.Episode,
		Cluster: notify.Clean(p.Cluster, maxSource), Receiver: notify.Clean(p.Receiver, maxSource),
		Ack: acked(p.Ack), Storm: stormy(p.Storm),
	}
	if p.Flapping > 0 {
		d.Came = fmt.Sprintf("came back %d times", p.Flapping)
	}
	for _, trait := range p.Traits[:min(len(p.Traits), 5)] {
		d.Traits = append(d.Traits, traitDetail{
			Labels: cleaned(trait.Labels), Same: cleaned(aliases(trait)), Query: notify.Clean(trait.Query, 4*maxValue),
			Failing: count(trait.Failing), Healthy: count(trait.Healthy),
		})
	}
	for i, a := range p.Alerts {
		if i == alerts {
			d.More = len(p.Alerts) - i
			break
		}
		d.Alerts = append(d.Alerts, cleaned(a.Labels))
	}
	return d
}

// aliases are labels that hold exactly where a trait's do.
func aliases(t page.Trait) page.Labels {
	ls := page.Labels{}
	for _, l := range t.Also {
		ls[l.Name] = l.Value
	}
	return ls
}

func acked(a *page.Ack) string {
	if a == nil {
		return ""
	}
	s := notify.Clean(a.By, maxSource)
	if a.Via != "" {
		s += " in " + notify.Clean(a.Via, maxSource)
	}
	return s + " at " + a.At.UTC().Format("15:04:05 UTC")
}

// stormy names the rules of a storm, the worst and largest first.
func stormy(s *page.Storm) string {
	if s == nil {
		return ""
	}
	names := slices.SortedFunc(maps.Keys(s.Rules), func(a, b string) int {
		x, y := s.Rules[a], s.Rules[b]
		return cmp.Or(cmp.Compare(x.Severity.Rank(), y.Severity.Rank()), cmp.Compare(y.Total, x.Total), cmp.Compare(a, b))
	})
	parts := []string{fmt.Sprintf("%d problems, %d open", s.Total, s.Open)}
	for i, name := range names {
		if i == maxRules {
			parts = append(parts, fmt.Sprintf("and %d more rules", len(names)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d (%s)", cmp.Or(notify.Clean(name, maxSource), "other rules"), s.Rules[name].Total, s.Rules[name].Severity))
	}
	return strings.Join(parts, " · ")
}

func cleaned(l page.Labels) page.Labels {
	out := make(page.Labels, len(l))
	for name, v := range l {
		out[notify.Clean(name, maxSource)] = notify.Clean(v, maxValue)
	}
	return out
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

func count(c page.Count) string {
	return fmt.Sprintf("%d of %d (%s)", c.Matched, c.Total, page.Percent(c.Share()))
}
