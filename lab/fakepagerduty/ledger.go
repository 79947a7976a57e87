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
	Waiting   int            `json:"waiting"`   // accepted, not in effect yet
	Requests  int            `json:"requests"`  // to /v2/enqueue that reached the service
	Refused   int            `json:"refused"`   // of them answered 400 or 429
}

// Incident is one opening of an alert. Title and Details are those of the
// first event, for repeats do not change them; Summary is the last one's.
type Incident struct {
	ID         string          `json:"id"`
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
	Notified   int             `json:"notified"`
	Log        []Entry         `json:"log"`
	Notes      []Note          `json:"notes,omitempty"`
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
	}
	for _, in := range f.incidents {
		out.Incidents = append(out.Incidents, in.clone())
		out.Paged[in.DedupKey] += in.Notified
	}
	return out
}

func (in *Incident) clone() Incident {
	c := *in
	c.Log, c.Notes = slices.Clone(in.Log), slices.Clone(in.Notes)
	return c
}

func (f *Fake) serveLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(f.Ledger())
}
