// Package fakepagerduty is a PagerDuty account that keeps PagerDuty's rules
// where a notifier can trip over them: checks of the event, the state machine
// of an alert, the sliding rate limit, ingestion after the answer. It counts
// the notifications that would have paged a human, and shows it all on a page.
package fakepagerduty

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fault"
)

// Options of an account. The zero value accepts DefaultKey.
type Options struct {
	RoutingKeys map[string]string // integration key (32 characters) → service name; DefaultKey → "pages" if nil
	APIToken    string            // for the REST API; DefaultAPIToken if ""
	Now         func() time.Time  // time.Now if nil
	// IngestDelay is how long after its 202 an event takes effect.
	IngestDelay time.Duration
	// NoRateLimits accepts any number of events. Else 120 per key in any 60 s:
	// more are answered 429 and not ingested.
	NoRateLimits bool
	Seed         uint64 // of probabilities in faults
}

// DefaultKey and DefaultAPIToken are accepted when Options name none.
const (
	DefaultKey      = "0123456789abcdef0123456789abcdef"
	DefaultAPIToken = "fake-rest-token"
)

// Fake is the account. It serves:
//
//	POST /v2/enqueue                Events API v2
//	GET  /incidents                 REST: ?incident_key=&statuses[]=
//	GET, POST /incidents/{id}/notes REST, POST needs From
//	GET  /                          the incidents as people see them
//	GET  /_ledger                   Ledger as JSON
//	*    /_fault                    faults, see fault.Injector
//	POST /_reset                    Reset
type Fake struct {
	Faults *fault.Injector

	opts Options
	mux  *http.ServeMux

	mu        sync.Mutex
	waiting   []event              // accepted, not in effect yet
	incidents []*Incident          // oldest first
	current   map[string]*Incident // open ones by routing key and dedup key
	dropped   []Dropped
	requests  int
	refused   int
	accepted  map[string][]time.Time // by routing key
}

// New returns an account.
func New(o Options) *Fake {
	if o.RoutingKeys == nil {
		o.RoutingKeys = map[string]string{DefaultKey: "pages"}
	}
	o.APIToken = cmp.Or(o.APIToken, DefaultAPIToken)
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fake{Faults: fault.New(o.Seed), opts: o, mux: http.NewServeMux()}
	f.Faults.Throttled = `{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly. Please retry later."}`
	f.Reset()
	f.mux.Handle("POST /v2/enqueue", f.Faults.Wrap(http.HandlerFunc(f.enqueue)))
	f.mux.Handle("GET /incidents", f.Faults.Wrap(f.rest(f.listIncidents)))
	f.mux.Handle("/incidents/{id}/notes", f.Faults.Wrap(f.rest(f.notes)))
	f.mux.Handle("/_fault", f.Faults)
	f.mux.HandleFunc("GET /_ledger", f.serveLedger)
	f.mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { f.Reset() })
	f.mux.HandleFunc("GET /{$}", f.servePage)
	f.mux.HandleFunc("GET /_style.css", serveStyle)
	return f
}

// ServeHTTP serves what Fake lists.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Reset forgets events, incidents, faults and spent rate limits.
func (f *Fake) Reset() {
	f.Faults.Clear()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting, f.incidents, f.dropped = nil, nil, nil
	f.current = map[string]*Incident{}
	f.accepted = map[string][]time.Time{}
	f.requests, f.refused = 0, 0
}

// Resolve closes the open incident of a dedup key as a person would; it
// reports whether there was one.
func (f *Fake) Resolve(routingKey, dedupKey string) bool {
	return f.byHuman(routingKey, dedupKey, "resolve")
}

// Acknowledge acknowledges it as a person would.
func (f *Fake) Acknowledge(routingKey, dedupKey string) bool {
	return f.byHuman(routingKey, dedupKey, "acknowledge")
}

func (f *Fake) byHuman(routingKey, dedupKey, action string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingest()
	before := len(f.dropped)
	f.apply(event{RoutingKey: routingKey, DedupKey: dedupKey, Action: action, at: f.opts.Now(), by: "a person"})
	return len(f.dropped) == before
}

func (f *Fake) enqueue(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	var e event
	problems := readEvent(w, r, &e)
	if len(problems) == 0 {
		if _, ok := f.opts.RoutingKeys[e.RoutingKey]; !ok {
			problems = []string{"'routing_key' is not a known integration key"}
		}
	}
	if len(problems) > 0 {
		f.refused++
		answer(w, http.StatusBadRequest, result{Status: "invalid event", Message: "Event object is invalid", Errors: problems})
		return
	}
	now := f.opts.Now()
	if !f.opts.NoRateLimits && !f.admit(e.RoutingKey, now) {
		f.refused++
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusTooManyRequests, result{
			Status: "throttle exceeded", Message: "Requests for this service are arriving too quickly. Please retry later.",
		})
		return
	}
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("%032x", f.requests)
	}
	e.at, e.by = now, "API"
	f.waiting = append(f.waiting, e)
	f.ingest()
	answer(w, http.StatusAccepted, result{Status: "success", Message: "Event processed", DedupKey: e.DedupKey})
}

// admit counts an event against the sliding minute of its key.
func (f *Fake) admit(key string, now time.Time) bool {
	recent := slices.DeleteFunc(f.accepted[key], func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	ok := len(recent) < 120
	if ok {
		recent = append(recent, now)
	}
	f.accepted[key] = recent
	return ok
}

// ingest brings accepted events whose delay is over into effect, in order.
func (f *Fake) ingest() {
	now := f.opts.Now()
	for len(f.waiting) > 0 && !f.waiting[0].at.Add(f.opts.IngestDelay).After(now) {
		f.apply(f.waiting[0])
		f.waiting = f.waiting[1:]
	}
}

// apply is the state machine of an alert.
func (f *Fake) apply(e event) {
	id := e.RoutingKey + " " + e.DedupKey
	in, open := f.current[id]
	entry := Entry{At: e.at, By: e.by, Action: e.Action}
	switch {
	case e.Action == "trigger" && !open:
		in = &Incident{
			ID: fmt.Sprintf("Q%013d", len(f.incidents)+1), Service: f.opts.RoutingKeys[e.RoutingKey],
			RoutingKey: e.RoutingKey, DedupKey: e.DedupKey, Status: "triggered",
			Title: e.Payload.Summary, Summary: e.Payload.Summary, Source: e.Payload.Source, Severity: e.Payload.Severity,
			Component: e.Payload.Component, Group: e.Payload.Group, Class: e.Payload.Class,
			Details: e.Payload.Details, Links: e.Links, Images: e.Images, Client: e.Client, ClientURL: e.ClientURL,
			Accepted: e.at, Notified: 1,
		}
		entry.Says = "paged a human: " + e.Payload.Summary
		f.current[id] = in
		f.incidents = append(f.incidents, in)
	case e.Action == "trigger":
		// A repeat is a log entry: nobody is notified, title and details stay.
		in.Summary = e.Payload.Summary
		entry.Says = e.Payload.Summary
		entry.Details = e.Payload.Details
	case !open:
		f.dropped = append(f.dropped, Dropped{At: e.at, Action: e.Action, RoutingKey: e.RoutingKey, DedupKey: e.DedupKey})
		return
	case e.Action == "acknowledge":
		in.Status = "acknowledged"
	case e.Action == "resolve":
		in.Status, in.Ended = "resolved", e.at
		delete(f.current, id)
	}
	in.Log = append(in.Log, entry)
}

type result struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key,omitempty"`
	Errors   []string `json:"errors,omitempty"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
