package fakepagerduty

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Ledger is what became of every event.
type Ledger struct {
	Incidents []Incident     `json:"incidents"` // oldest first
	Paged     map[string]int `json:"paged"`     // dedup key → notifications that would have paged a human
	Dropped   []Dropped      `json:"dropped"`   // acknowledges and resolves that met no open alert
	Changes   []Change       `json:"changes"`   // oldest first
	Webhooks  []Webhook      `json:"webhooks"`  // one per subscription
	Waiting   int            `json:"waiting"`   // accepted, not in effect yet
	Requests  int            `json:"requests"`  // to the Events API that reached the service
	Refused   int            `json:"refused"`   // of them answered 400 or 429
}

// Incident is one opening of an alert. Title and Details are those of the
// first event, for repeats do not change them; Summary is the last one's.
type Incident struct {
	ID         string          `json:"id"`
	Number     int             `json:"number"`
	Service    string          `json:"service"`
	RoutingKey string          `json:"routing_key"`
	DedupKey   string          `json:"dedup_key"`
	Status     string          `json:"status"` // triggered, acknowledged, resolved
	Title      string          `json:"title"`
	Summary    string          `json:"summary"`
	Source     string          `json:"source"`
	Severity   string          `json:"severity"`
	Component  string          `json:"component,omitempty"`
	Group      string          `json:"group,omitempty"`
	Class      string          `json:"class,omitempty"`
	Details    json.RawMessage `json:"details,omitempty"`
	Links      []Link          `json:"links,omitempty"`
	Images     []Image         `json:"images,omitempty"`
	Client     string          `json:"client,omitempty"`
	ClientURL  string          `json:"client_url,omitempty"`
	Accepted   time.Time       `json:"accepted"` // when the 202 was given
	Ended      time.Time       `json:"ended,omitzero"`
	Notified   int             `json:"notified"` // how often a human would have been paged
	AckedBy    []string        `json:"acked_by,omitempty"`
	Priority   string          `json:"priority,omitempty"`
	Assigned   string          `json:"assigned,omitempty"`
	Log        []Entry         `json:"log"`
	Notes      []Note          `json:"notes,omitempty"`

	acked time.Time
}

// Entry is one line of an incident's log.
type Entry struct {
	At      time.Time       `json:"at"`
	By      string          `json:"by"`
	Action  string          `json:"action"`
	Says    string          `json:"says,omitempty"`
	Details json.RawMessage `json:"details,omitempty"` // of a repeated trigger: shown in the log only
}

// Note is one note on an incident, by the REST API.
type Note struct {
	ID      string    `json:"id"`
	Content string    `json:"content"`
	From    string    `json:"from"`
	At      time.Time `json:"created_at"`
}

// Change is one change event as it was accepted.
type Change struct {
	At         time.Time       `json:"at"`
	RoutingKey string          `json:"routing_key"`
	Summary    string          `json:"summary"`
	Source     string          `json:"source,omitempty"`
	Timestamp  string          `json:"timestamp,omitempty"`
	Details    json.RawMessage `json:"details,omitempty"`
	Links      []Link          `json:"links,omitempty"`
}

// Webhook is what became of one subscription's webhooks.
type Webhook struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"`
	Waiting   int       `json:"waiting"`
	Attempts  int       `json:"attempts"`
	Delivered int       `json:"delivered"`         // answered 2xx, repeats counted
	Dropped   int       `json:"dropped"`           // refused with 4xx, given up after 48 h, or while disabled
	Disables  int       `json:"disables"`          // how often three in a row were dropped
	Until     time.Time `json:"disabled,omitzero"` // nothing is sent until then
	Last      string    `json:"last,omitempty"`    // outcome of the last attempt
}

// Dropped is an event without effect.
type Dropped struct {
	At         time.Time `json:"at"`
	Action     string    `json:"action"`
	RoutingKey string    `json:"routing_key"`
	DedupKey   string    `json:"dedup_key"`
}

// Ledger returns the ledger.
func (f *Fake) Ledger() Ledger {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingest()
	out := Ledger{
		Incidents: []Incident{}, Paged: map[string]int{}, Dropped: append([]Dropped{}, f.dropped...),
		Waiting: len(f.waiting), Requests: f.requests, Refused: f.refused,
		Changes: append([]Change{}, f.changes...), Webhooks: []Webhook{},
	}
	for _, s := range f.hooks {
		out.Webhooks = append(out.Webhooks, s.state())
	}
	for _, in := range f.incidents {
		out.Incidents = append(out.Incidents, in.clone())
		out.Paged[in.DedupKey] += in.Notified
	}
	return out
}

func (in *Incident) log(by actor, action, says string) {
	in.Log = append(in.Log, Entry{At: by.At, By: by.Name, Action: action, Says: says})
}

func (in *Incident) clone() Incident {
	c := *in
	c.Log, c.Notes, c.AckedBy = slices.Clone(in.Log), slices.Clone(in.Notes), slices.Clone(in.AckedBy)
	return c
}

func (f *Fake) serveLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(f.Ledger())
}
