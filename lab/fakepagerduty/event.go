package fakepagerduty

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the Events API v2 (PagerDuty developer docs, docs/events-API-v2).
const (
	maxBody    = 512 << 10
	maxSummary = 1024
	maxDedup   = 255
	keyLength  = 32

	eventsPerMinute = 120 // per integration key
)

// event is the body of /v2/enqueue.
type event struct {
	RoutingKey string  `json:"routing_key"`
	Action     string  `json:"event_action"`
	DedupKey   string  `json:"dedup_key"`
	Payload    payload `json:"payload"`
	Links      []Link  `json:"links"`
	Images     []Image `json:"images"`
	Client     string  `json:"client"`
	ClientURL  string  `json:"client_url"`

	at time.Time
	by actor
}

// incident is what the event opens.
func (e *event) incident(id string, number int, service string) *Incident {
	p := e.Payload
	return &Incident{
		ID: id, Number: number, Service: service, RoutingKey: e.RoutingKey, DedupKey: e.DedupKey, Status: "triggered",
		Title: p.Summary, Summary: p.Summary, Source: p.Source, Severity: p.Severity,
		Component: p.Component, Group: p.Group, Class: p.Class,
		Details: p.Details, Links: e.Links, Images: e.Images, Client: e.Client, ClientURL: e.ClientURL,
		Accepted: e.at, Notified: 1,
	}
}

type payload struct {
	Summary   string          `json:"summary"`
	Source    string          `json:"source"`
	Severity  string          `json:"severity"`
	Timestamp string          `json:"timestamp"`
	Component string          `json:"component"`
	Group     string          `json:"group"`
	Class     string          `json:"class"`
	Details   json.RawMessage `json:"custom_details"`
}

// Link of an event.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// Image of an event.
type Image struct {
	Src  string `json:"src"`
	Href string `json:"href"`
	Alt  string `json:"alt"`
}

// readEvent decodes and checks an event; it returns what is wrong with it.
func readEvent(w http.ResponseWriter, r *http.Request, e interface{ problems() []string }) []string {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return []string{fmt.Sprintf("event is over %d bytes", maxBody)}
	}
	if err != nil {
		return []string{"body cannot be read"}
	}
	if !utf8.Valid(body) {
		return []string{"body is not UTF-8"}
	}
	if err := json.Unmarshal(body, e); err != nil {
		return []string{"body is not an event: " + err.Error()}
	}
	return e.problems()
}

func (e *event) problems() []string {
	var out []string
	bad := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if len(e.RoutingKey) != keyLength {
		bad("'routing_key' must be %d characters", keyLength)
	}
	if !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, e.Action) {
		bad("'event_action' must be one of trigger, acknowledge, resolve")
	}
	if utf8.RuneCountInString(e.DedupKey) > maxDedup {
		bad("'dedup_key' is over %d characters", maxDedup)
	}
	if e.Action != "trigger" {
		if e.DedupKey == "" {
			bad("'dedup_key' is missing or blank")
		}
		return out
	}
	if strings.TrimSpace(e.Payload.Summary) == "" {
		bad("'payload.summary' is missing or blank")
	}
	if utf8.RuneCountInString(e.Payload.Summary) > maxSummary {
		bad("'payload.summary' is over %d characters", maxSummary)
	}
	if e.Payload.Source == "" {
		bad("'payload.source' is missing or blank")
	}
	if !slices.Contains([]string{"critical", "error", "warning", "info"}, e.Payload.Severity) {
		bad("'payload.severity' must be one of critical, error, warning, info")
	}
	if t := e.Payload.Timestamp; t != "" {
		if _, err := time.Parse(time.RFC3339, t); err != nil {
			bad("'payload.timestamp' is not ISO 8601")
		}
	}
	if d := strings.TrimSpace(string(e.Payload.Details)); d != "" && d[0] != '{' && d != "null" {
		bad("'payload.custom_details' must be an object")
	}
	for _, i := range e.Images {
		if !strings.HasPrefix(i.Src, "https://") {
			bad("'images.src' must be https")
		}
	}
	return append(out, linkProblems(e.Links)...)
}

func linkProblems(links []Link) []string {
	var out []string
	for _, l := range links {
		if l.Href == "" {
			out = append(out, "'links.href' is missing or blank")
		}
	}
	return out
}
