package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Row is a page in a list. Its JSON form is the answer of /api/v1/history.
type Row struct {
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Revision uint64        `json:"revision"`
	State    page.State    `json:"state"`
	Severity page.Severity `json:"severity"`
	Title    string        `json:"title"`
	Headline string        `json:"headline"`
	Cluster  string        `json:"cluster"`
	Receiver string        `json:"receiver"`
	Since    time.Time     `json:"since"`          // the webhook that opened the episode came in
	Ended    time.Time     `json:"ended,omitzero"` // the last of its alerts ended
	Alerts   int           `json:"alerts"`         // those that fire; once resolved: that fired
	Ack      *page.Ack     `json:"ack,omitempty"`
	Silenced time.Time     `json:"silenced,omitzero"` // until when a silence stands
	Worse    int           `json:"worse,omitempty"`
	Flapping int           `json:"flapping,omitempty"`
	Folded   string        `json:"folded,omitempty"` // the storm that tells of it
	Storm    int           `json:"storm,omitempty"`  // problems that were folded into it
	Test     bool          `json:"test,omitempty"`
	Self     bool          `json:"self,omitempty"`

	text string // what a search looks in, in lower case
}

// rowOf sums up a page as it may be shown.
func rowOf(v page.Page) Row {
	r := Row{
		Problem: v.Problem, Episode: v.Episode, Revision: v.Revision, State: v.State, Severity: v.Severity,
		Title: v.Title, Headline: headline(v), Cluster: v.Cluster, Receiver: v.Receiver, Since: opened(v.Clock),
		Alerts: len(v.Alerts), Ack: v.Ack, Worse: v.Worse, Flapping: v.Flapping, Folded: v.Folded, Test: v.Test, Self: v.Self,
	}
	if v.Storm != nil {
		r.Storm = v.Storm.Total
	}
	for _, a := range v.Alerts {
		if v.State == page.Closed && a.EndsAt.After(r.Ended) {
			r.Ended = a.EndsAt
		}
	}
	for _, s := range v.Silences {
		if s.Ended.IsZero() && s.Error == "" && s.Until.After(r.Silenced) {
			r.Silenced = s.Until
		}
	}
	r.text = searched(v)
	return r
}

// headline is the first line of a page that says something: Tocsin's own alarms
// share nothing.
func headline(v page.Page) string {
	if v.Self {
		return cmp.Or(v.Summary, v.Title)
	}
	return v.Headline
}

func opened(c page.Clock) time.Time {
	if c.Received.IsZero() {
		return c.Started
	}
	return c.Received
}

// maxSearched is how many bytes of a page a search looks in.
const maxSearched = 16 << 10

// searched is what a search looks in: title, headline, summary, who it is for,
// and the labels of its alerts.
func searched(v page.Page) string {
	var b strings.Builder
	seen := map[string]bool{}
	add := func(s string) {
		if s = strings.ToLower(s); !seen[s] && b.Len() < maxSearched {
			seen[s] = true
			b.WriteString(s)
			b.WriteByte('\n')
		}
	}
	for _, s := range []string{v.Title, v.Headline, v.Summary, v.Receiver, v.Cluster, string(v.Severity), v.Problem} {
		add(s)
	}
	for _, alerts := range [][]page.Alert{v.Alerts, v.Resolved} {
		for _, a := range alerts {
			for _, name := range a.Labels.Names() {
				add(name + "=" + a.Labels[name])
			}
		}
	}
	return b.String()
}

// words splits what somebody looks for; all of them must be there.
func words(q string) []string { return strings.Fields(strings.ToLower(q)) }

func (r Row) holds(words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(r.text, w) })
}

// worstFirst is the order in which somebody who has a minute should look: by
// severity, what nobody has taken first, then the newest.
func worstFirst(a, b Row) int {
	taken := func(r Row) int {
		if r.Ack != nil || !r.Silenced.IsZero() {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(a.Severity.Rank(), b.Severity.Rank()),
		cmp.Compare(taken(a), taken(b)),
		b.Since.Compare(a.Since),
		cmp.Compare(a.Problem, b.Problem),
	)
}
