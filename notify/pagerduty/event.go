package pagerduty

import (
	"bytes"
	"encoding/json"
	"fmt"
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
)

// details is custom_details: what a responder or a machine reads off the
// incident. PagerDuty keeps those of the first event for good.
type details struct {
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
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Cluster  string        `json:"cluster,omitempty"`
	Receiver string        `json:"receiver,omitempty"`
}

type traitDetail struct {
	Labels  page.Labels `json:"labels"`
	Failing string      `json:"failing"`
	Healthy string      `json:"healthy"`
	Query   string      `json:"query,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// body is the event as JSON, within PagerDuty's limits.
func (t *target) body(m notify.Message, action, key string) ([]byte, error) {
	e := pagerduty.V2Event{RoutingKey: key, Action: action, DedupKey: m.Receipt.Delivery}
	if action != "trigger" {
		return encode(e)
	}
	e.Client = "tocsin"
	if u, ok := page.WebURL(m.PageURL); ok {
		e.ClientURL = u
	}
	p := m.Page
	e.Payload = &pagerduty.V2Payload{
		Summary:   summary(m),
		Source:    orWord(notify.Clean(p.Cluster, maxSource), "tocsin"),
		Severity:  severity(p.Severity),
		Timestamp: p.Clock.Started.UTC().Format(time.RFC3339),
		Class:     notify.Clean(alertName(p), maxSource),
		Group:     notify.Clean(p.Receiver, maxSource),
	}
	if p.Clock.Started.IsZero() {
		e.Payload.Timestamp = ""
	}
	if m.Plain {
		return encode(e)
	}
	for _, l := range m.Text.Links {
		e.Links = append(e.Links, link{Href: l.URL, Text: l.Text})
	}
	for alerts := maxAlerts; ; alerts /= 2 {
		e.Payload.Details = detailsOf(m, alerts)
		b, err := encode(e)
		if err != nil || len(b) <= maxEvent || alerts == 0 {
			return b, err
		}
	}
}

// summary is what a phone reads out: the answer, then what fired.
func summary(m notify.Message) string {
	t := m.Text
	return notify.Clean(t.Headline+" · "+t.Title, maxSummary)
}

func severity(s page.Severity) string {
	switch s {
	case page.Critical, page.Error, page.Warning, page.Info:
		return string(s)
	}
	return string(page.Warning)
}

func alertName(p page.Page) string {
	if len(p.Alerts) == 0 {
		return ""
	}
	return p.Alerts[0].Name()
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func detailsOf(m notify.Message, alerts int) details {
	p, t := m.Page, m.Text
	d := details{
		Headline: t.Headline, Title: t.Title, Status: t.Status, Since: t.Since,
		Alone: t.Alone, Events: t.Events, Impact: t.Impact, Owner: t.Owner,
		Summary: t.Summary, Details: t.Details, Notes: t.Notes, Clock: t.Clock,
		Problem: p.Problem, Episode: p.Episode,
		Cluster: notify.Clean(p.Cluster, maxSource), Receiver: notify.Clean(p.Receiver, maxSource),
	}
	for _, trait := range p.Traits[:min(len(p.Traits), 5)] {
		d.Traits = append(d.Traits, traitDetail{
			Labels: cleaned(trait.Labels), Query: notify.Clean(trait.Query, 4*maxValue),
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
