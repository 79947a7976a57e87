// Package page holds what travels through the house: the event that comes in,
// the problem it is about, what enrichment found, and the page people read.
package page

import (
	"fmt"
	"time"
)

// Page is a problem as people and machines read it, at one revision. Its JSON
// form is a public contract: fields are added, never renamed.
type Page struct {
	Problem  string    `json:"problem"`
	Episode  int       `json:"episode"`
	Revision uint64    `json:"revision"`
	State    State     `json:"state"`
	Severity Severity  `json:"severity"`
	Cluster  string    `json:"cluster"`
	Receiver string    `json:"receiver"`
	Title    string    `json:"title"`    // which alert, where
	Headline string    `json:"headline"` // the answer to "what do they share?"
	Summary  string    `json:"summary,omitempty"`
	Details  string    `json:"description,omitempty"`
	Links    []Link    `json:"links,omitempty"`
	Alerts   []Alert   `json:"alerts"`             // firing, worst first; once resolved: those that fired
	Resolved []Alert   `json:"resolved,omitempty"` // members that resolved while others still fire
	Traits   []Trait   `json:"traits"`
	Scope    Labels    `json:"scope,omitempty"`
	Queries  []Query   `json:"queries,omitempty"`
	Notes    []Note    `json:"notes"`
	Clock    Clock     `json:"clock"`
	Test     bool      `json:"test,omitempty"`
	Self     bool      `json:"self,omitempty"`
	Pending  bool      `json:"pending,omitempty"` // context is still being asked for
	Receipts []Receipt `json:"receipts,omitempty"`
	Onset    *Onset    `json:"onset,omitempty"`
	Changes  []Change  `json:"changes,omitempty"`
	Impact   *Impact   `json:"impact,omitempty"`

	Exemplars *Exemplars `json:"exemplars,omitempty"`

	Updates  []Update  `json:"updates,omitempty"` // what changed since it left, oldest first
	Worse    int       `json:"worse,omitempty"`   // how often it got worse
	Rung     int       `json:"rung,omitempty"`    // how often a machine said that people are needed
	Ack      *Ack      `json:"ack,omitempty"`
	Silences []Silence `json:"silences,omitempty"`
	Flapping int       `json:"flapping,omitempty"` // how often it came back within this episode
	Storm    *Storm    `json:"storm,omitempty"`
	Folded   string    `json:"folded,omitempty"` // problem ID of the storm that tells of it
	Charted  time.Time `json:"charted,omitzero"`
	Runs     []Run     `json:"runs,omitempty"` // what is done about it

	GroupLabels Labels `json:"group_labels,omitempty"` // what Alertmanager grouped by: a silence of this page matches exactly these
}

// Link is a http or https address with a word for it.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// Further is how many incidents were to be opened beside the first.
func (p Page) Further() int { return p.Worse + p.Rung }

// View returns the page that p is now.
func (p Problem) View() Page {
	firing, ceased := p.Firing(), p.Ceased()
	v := Page{
		Problem: p.ID, Episode: p.Episode, Revision: p.Revision, State: p.State,
		Severity: p.Severity(), Cluster: p.Cluster, Receiver: p.Receiver,
		Headline: Headline(p.Context),
		Alerts:   firing, Resolved: ceased,
		Traits: nonNil(p.Context.Traits), Scope: p.Context.Scope, Queries: p.Context.Queries,
		Notes: append([]Note{}, p.Context.Notes...), Clock: p.Clock, Test: p.Test, Self: p.Self, Pending: p.Context.Pending,
		Onset: p.Context.Onset, Changes: p.Context.Changes, Impact: p.Context.Impact,
		Exemplars: p.Context.Exemplars,
		Updates:   p.Updates, Worse: p.Peak.Times, Rung: p.Peak.Rung, Ack: p.Ack, Silences: p.Silences,
		Flapping: p.Flapping, Storm: p.Storm, Folded: p.Folded, Charted: p.Charted, Runs: p.Runs,
		GroupLabels: p.Group.GroupLabels,
	}
	if len(firing) == 0 {
		v.Alerts, v.Resolved = ceased, nil
	}
	v.Title = title(p, v.Alerts)
	v.Summary = shared(p, v.Alerts, "summary", "message")
	v.Details = shared(p, v.Alerts, "description")
	v.Links = links(p, v.Alerts)
	if p.Storm != nil {
		v.Title, v.Headline, v.Summary = p.Storm.title(p.Receiver), p.Storm.headline(p.Group.CommonLabels), p.Storm.summary()
	}
	if !p.Settling.IsZero() && p.Storm == nil {
		v.Notes = append(v.Notes, Note{Room: "pipeline", Text: p.settling()})
	}
	if p.Group.Truncated > 0 {
		v.Notes = append(v.Notes, Note{Room: "webhook", Text: fmt.Sprintf(
			"Alertmanager left %d alerts out of its webhook (max_alerts): the counts below are of what it sent", p.Group.Truncated)})
	}
	return v
}

// settling says that a problem comes and goes, and when it will be over.
func (p Problem) settling() string {
	var since time.Time
	for _, m := range p.Members {
		if m.Closed.After(since) {
			since = m.Closed
		}
	}
	return fmt.Sprintf("comes and goes: quiet since %s, closes at %s unless it fires again", Moment(since, p.Settling), Moment(p.Settling, p.Settling))
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
