// Package fakepagerduty is a PagerDuty account that keeps PagerDuty's rules
// where a notifier can trip over them: checks of the event, the state machine
// of an alert, the sliding rate limits, ingestion after the answer, webhooks that
// are signed, retried and switched off. It counts the notifications that would
// have paged a human, and shows it all on a page.
package fakepagerduty

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	// NoRateLimits accepts any number of requests. Else 120 events per key and
	// 960 REST calls per token in any 60 s: more are answered 429 and not ingested.
	NoRateLimits bool
	// AckTimeout is how long after an acknowledgement an incident is triggered
	// again, AutoResolve how long after its opening it is resolved; 0: never.
	AckTimeout  time.Duration
	AutoResolve time.Duration
	Seed        uint64 // of probabilities in faults and webhooks
}

// DefaultKey and DefaultAPIToken are accepted when Options name none.
const (
	DefaultKey      = "0123456789abcdef0123456789abcdef"
	DefaultAPIToken = "fake-rest-token"
)

// Fake is the account. It serves:
//
//	POST /v2/enqueue                       Events API v2
//	POST /v2/change/enqueue                change events
//	GET  /incidents, /incidents/{id}       REST: ?incident_key=&statuses[]=&since=&until=
//	GET, POST /incidents/{id}/notes        REST, POST needs From
//	POST /webhook_subscriptions            REST: answers with the secret
//	POST /webhook_subscriptions/{id}/enable
//	GET  /                                 the incidents as people see them
//	POST /_human                           what a person does: Human as JSON
//	GET  /_ledger                          Ledger as JSON
//	*    /_fault                           faults, see fault.Injector
//	POST /_reset                           Reset
//
// Webhooks leave while Run runs, or by Deliver.
type Fake struct {
	Faults *fault.Injector

	opts Options
	mux  *http.ServeMux

	mu        sync.Mutex
	rng       *rand.Rand
	waiting   []event              // accepted, not in effect yet
	incidents []*Incident          // oldest first
	current   map[string]*Incident // open ones by routing key and dedup key
	dropped   []Dropped
	changes   []Change
	requests  int
	refused   int
	emitted   int                    // webhook events so far
	accepted  map[string][]time.Time // in the sliding minute, by routing key or token
	hooks     []*subscription
	sending   sync.Mutex // one Deliver at a time
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
	f := &Fake{Faults: fault.New(o.Seed), opts: o, mux: http.NewServeMux(), rng: rand.New(rand.NewPCG(o.Seed, 1))}
	f.Faults.Throttled = `{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly. Please retry later."}`
	f.Reset()
	f.mux.Handle("POST /v2/enqueue", f.Faults.Wrap(http.HandlerFunc(f.enqueue)))
	f.mux.Handle("POST /v2/change/enqueue", f.Faults.Wrap(http.HandlerFunc(f.enqueueChange)))
	f.mux.Handle("GET /incidents", f.Faults.Wrap(f.rest(f.listIncidents)))
	f.mux.Handle("GET /incidents/{id}", f.Faults.Wrap(f.rest(f.oneIncident)))
	f.mux.Handle("/incidents/{id}/notes", f.Faults.Wrap(f.rest(f.notes)))
	f.mux.Handle("POST /webhook_subscriptions", f.Faults.Wrap(f.rest(f.subscribe)))
	f.mux.Handle("POST /webhook_subscriptions/{id}/enable", f.Faults.Wrap(f.rest(f.enable)))
	f.mux.Handle("/_fault", f.Faults)
	f.mux.HandleFunc("POST /_human", f.serveHuman)
	f.mux.HandleFunc("GET /_ledger", f.serveLedger)
	f.mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { f.Reset() })
	f.mux.HandleFunc("GET /{$}", f.servePage)
	f.mux.HandleFunc("GET /_style.css", serveStyle)
	return f
}

// ServeHTTP serves what Fake lists.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Reset forgets events, incidents, webhook subscriptions, faults and spent rate
// limits.
func (f *Fake) Reset() {
	f.Faults.Clear()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting, f.incidents, f.dropped, f.changes, f.hooks = nil, nil, nil, nil, nil
	f.current = map[string]*Incident{}
	f.accepted = map[string][]time.Time{}
	f.requests, f.refused = 0, 0
}

func (f *Fake) enqueue(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	var e event
	if !f.take(w, readEvent(w, r, &e), e.RoutingKey) {
		return
	}
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("%032x", f.requests)
	}
	e.at, e.by = f.opts.Now(), api()
	f.waiting = append(f.waiting, e)
	f.ingest()
	answer(w, http.StatusAccepted, result{Status: "success", Message: "Event processed", DedupKey: e.DedupKey})
}

// take answers an event that is not taken: for what is wrong with it, for its
// key, or for the rate.
func (f *Fake) take(w http.ResponseWriter, problems []string, key string) bool {
	if _, ok := f.opts.RoutingKeys[key]; !ok && len(problems) == 0 {
		problems = []string{"'routing_key' is not a known integration key"}
	}
	if len(problems) > 0 {
		f.refused++
		answer(w, http.StatusBadRequest, result{Status: "invalid event", Message: "Event object is invalid", Errors: problems})
		return false
	}
	if _, ok := f.admit(key, eventsPerMinute); !ok {
		f.refused++
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusTooManyRequests, result{
			Status: "throttle exceeded", Message: "Requests for this service are arriving too quickly. Please retry later.",
		})
		return false
	}
	return true
}

// admit counts a request against the sliding minute of its key. left is how
// many more are taken now.
func (f *Fake) admit(key string, limit int) (left int, ok bool) {
	now := f.opts.Now()
	recent := slices.DeleteFunc(f.accepted[key], func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	ok = f.opts.NoRateLimits || len(recent) < limit
	if ok {
		recent = append(recent, now)
	}
	f.accepted[key] = recent
	return max(0, limit-len(recent)), ok
}

// ingest brings accepted events whose delay is over into effect, in order, and
// lets the timeouts of incidents pass.
func (f *Fake) ingest() {
	now := f.opts.Now()
	for len(f.waiting) > 0 && !f.waiting[0].at.Add(f.opts.IngestDelay).After(now) {
		f.apply(f.waiting[0])
		f.waiting = f.waiting[1:]
	}
	for _, in := range f.incidents {
		if d := f.opts.AckTimeout; d > 0 && in.Status == "acknowledged" && now.Sub(in.acked) >= d {
			f.change(in, "unacknowledge", actor{Name: "acknowledgement timeout", At: in.acked.Add(d)}, "")
		}
		if d := f.opts.AutoResolve; d > 0 && in.Status != "resolved" && now.Sub(in.Accepted) >= d {
			f.change(in, "resolve", actor{Name: "auto-resolve", At: in.Accepted.Add(d)}, "")
		}
	}
}

// apply is the state machine of an alert.
func (f *Fake) apply(e event) {
	id := e.RoutingKey + " " + e.DedupKey
	in, open := f.current[id]
	e.by.At = e.at
	switch {
	case e.Action == "trigger" && !open:
		in = e.incident(fmt.Sprintf("Q%013d", len(f.incidents)+1), len(f.incidents)+1, f.opts.RoutingKeys[e.RoutingKey])
		f.current[id] = in
		f.incidents = append(f.incidents, in)
		in.log(e.by, "trigger", "paged a human: "+e.Payload.Summary)
		f.emit("incident.triggered", e.by, in, nil)
	case e.Action == "trigger":
		// A repeat is a log entry: nobody is notified, title and details stay.
		in.Summary = e.Payload.Summary
		in.log(e.by, "trigger", e.Payload.Summary)
		in.Log[len(in.Log)-1].Details = e.Payload.Details
	case !open:
		f.dropped = append(f.dropped, Dropped{At: e.at, Action: e.Action, RoutingKey: e.RoutingKey, DedupKey: e.DedupKey})
	default:
		f.change(in, e.Action, e.by, "")
	}
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
