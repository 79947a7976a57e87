package fakepagerduty

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// changeEvent is the body of /v2/change/enqueue.
type changeEvent struct {
	RoutingKey string `json:"routing_key"`
	Payload    struct {
		Summary   string          `json:"summary"`
		Source    string          `json:"source"`
		Timestamp string          `json:"timestamp"`
		Details   json.RawMessage `json:"custom_details"`
	} `json:"payload"`
	Links    []Link          `json:"links"`
	DedupKey json.RawMessage `json:"dedup_key"`
	Images   json.RawMessage `json:"images"`
}

func (c *changeEvent) problems() []string {
	var out []string
	if len(c.RoutingKey) != keyLength {
		out = append(out, "'routing_key' must be 32 characters")
	}
	if strings.TrimSpace(c.Payload.Summary) == "" {
		out = append(out, "'payload.summary' is missing or blank")
	}
	if utf8.RuneCountInString(c.Payload.Summary) > maxSummary {
		out = append(out, "'payload.summary' is over 1024 characters")
	}
	if t := c.Payload.Timestamp; t != "" {
		if _, err := time.Parse(time.RFC3339, t); err != nil {
			out = append(out, "'payload.timestamp' is not ISO 8601")
		}
	}
	if d := strings.TrimSpace(string(c.Payload.Details)); d != "" && d[0] != '{' && d != "null" {
		out = append(out, "'payload.custom_details' must be an object")
	}
	if c.DedupKey != nil || c.Images != nil {
		out = append(out, "a change event has neither 'dedup_key' nor 'images'")
	}
	return append(out, linkProblems(c.Links)...)
}

func (f *Fake) enqueueChange(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	var c changeEvent
	if !f.take(w, readEvent(w, r, &c), c.RoutingKey) {
		return
	}
	f.changes = append(f.changes, Change{
		At: f.opts.Now(), RoutingKey: c.RoutingKey, Summary: c.Payload.Summary, Source: c.Payload.Source,
		Timestamp: c.Payload.Timestamp, Details: c.Payload.Details, Links: c.Links,
	})
	answer(w, http.StatusAccepted, result{Status: "success", Message: "Change event processed"})
}
