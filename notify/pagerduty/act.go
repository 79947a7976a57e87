package pagerduty

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

const (
	maxName   = 80   // runes of a person's name
	maxRemark = 1000 // runes of a note
)

// webhook is the event of a v3 webhook, as far as it is read.
type webhook struct {
	ID    string    `json:"id"`
	Type  string    `json:"event_type"`
	At    time.Time `json:"occurred_at"`
	Agent *agent    `json:"agent"`
	Data  struct {
		ID        string  `json:"id"`
		Key       string  `json:"incident_key"`
		Assignees []agent `json:"assignees"`
		Priority  *agent  `json:"priority"`
		Content   string  `json:"content"`
		Incident  agent   `json:"incident"`
	} `json:"data"`
}

// agent is a reference: to who did it, to an incident.
type agent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"`
}

// decode reads a webhook's body. An event without an ID has that of its body:
// X-Webhook-Id, which names the delivery, is not among what is signed.
func decode(body []byte) (webhook, error) {
	var in struct {
		Event webhook `json:"event"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return webhook{}, err
	}
	e := in.Event
	if e.Type == "" {
		return webhook{}, errors.New("body holds no event")
	}
	if sum := sha256.Sum256(body); e.ID == "" || len(e.ID) > 200 || strings.ContainsFunc(e.ID, notWord) {
		e.ID = hex.EncodeToString(sum[:])
	}
	return e, nil
}

func notWord(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// incident is the ID of the incident it is about.
func (e webhook) incident() string {
	if e.Data.Incident.ID != "" {
		return e.Data.Incident.ID
	}
	return e.Data.ID
}

// act returns what a person did; ok is false for what is not of interest or was
// done by an integration, ours among them.
func (e webhook) act() (a page.Act, ok bool) {
	a.By = "PagerDuty" // by a timeout or a rule
	by := "by PagerDuty"
	if e.Agent != nil {
		a.By = cmp.Or(notify.Clean(e.Agent.Summary, maxName), a.By)
		by = "in PagerDuty by " + a.By
		if strings.Contains(e.Agent.Type, "integration") {
			return a, false
		}
	}
	a.Verb = page.Remark
	switch e.Type {
	case "incident.acknowledged":
		a.Verb = page.Acknowledge
	case "incident.unacknowledged":
		a.Verb = page.Unacknowledge
	case "incident.resolved":
		a.Text = "resolved " + by
	case "incident.reopened":
		a.Text = "reopened " + by
	case "incident.reassigned":
		a.Text = "reassigned in PagerDuty to " + e.assignees()
	case "incident.priority_updated":
		a.Text = "no priority any more in PagerDuty"
		if e.Data.Priority != nil {
			a.Text = "priority " + notify.Clean(e.Data.Priority.Summary, maxName) + " in PagerDuty"
		}
	case "incident.annotated":
		if _, ours := signature(e.Data.Content, ""); ours {
			return a, false
		}
		a.Text = notify.Clean(e.Data.Content, maxRemark)
	default:
		return a, false
	}
	return a, a.Verb != page.Remark || a.Text != ""
}

func (e webhook) assignees() string {
	var names []string
	for _, a := range e.Data.Assignees[:min(len(e.Data.Assignees), 5)] {
		names = append(names, cmp.Or(notify.Clean(a.Summary, maxName), "somebody"))
	}
	return cmp.Or(strings.Join(names, ", "), "nobody")
}
