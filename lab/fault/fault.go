// Package fault makes an HTTP service misbehave on purpose: refuse, storm,
// hang, lose the answer, or mangle it, a given number of times or with a given
// probability, from a seed.
package fault

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind names a way to misbehave.
type Kind string

// The kinds of fault.
const (
	Status    Kind = "status"     // answer Status with Body
	RateLimit Kind = "rate_limit" // answer 429, with Retry-After when RetryAfter > 0
	Hang      Kind = "hang"       // say nothing until the caller gives up, DelayMS passes, or the faults are cleared
	Drop      Kind = "drop"       // close the connection without an answer
	Slow      Kind = "slow"       // the true answer, one byte every DelayMS
	HTML      Kind = "html"       // a proxy's HTML page with Status (502 if 0)
	Truncated Kind = "truncated"  // the first half of the true answer
)

// Fault is one misbehaviour and how often it happens. Slow and Truncated
// always let the service accept the request first.
type Fault struct {
	Kind        Kind    `json:"kind"`
	Accept      bool    `json:"accept,omitempty"`      // the service does what it is asked, then misbehaves
	Path        string  `json:"path,omitempty"`        // only requests whose path contains it
	Method      string  `json:"method,omitempty"`      // only requests of this method
	Count       int     `json:"count,omitempty"`       // how many requests it hits; 0: no limit
	Probability float64 `json:"probability,omitempty"` // of hitting a request; 0 means 1
	Status      int     `json:"status,omitempty"`
	Body        string  `json:"body,omitempty"`
	RetryAfter  int     `json:"retry_after,omitempty"` // seconds
	DelayMS     int     `json:"delay_ms,omitempty"`
}

func (f Fault) validate() error {
	switch f.Kind {
	case RateLimit, Hang, Drop, Slow, HTML, Truncated:
	case Status:
		if f.Status < 200 || f.Status > 599 {
			return fmt.Errorf("status: %d is not an HTTP status: write 200..599", f.Status)
		}
	default:
		return fmt.Errorf("kind: %q is not known: write status, rate_limit, hang, drop, slow, html or truncated", f.Kind)
	}
	if f.Probability < 0 || f.Probability > 1 {
		return errors.New("probability: write a number from 0 to 1")
	}
	return nil
}

// Injector wraps a service with faults. Its own handler speaks JSON:
// `POST /_fault {"seed": 7, "faults": [{"kind": "drop", "accept": true, "count": 1}]}`
// replaces all faults, DELETE clears them, GET shows them with the counts left.
type Injector struct {
	Throttled string // body of a RateLimit that names none

	mu      sync.Mutex
	rng     *rand.Rand
	faults  []Fault
	left    []int
	hits    int
	cleared chan struct{}
}

// New returns an injector without faults.
func New(seed uint64) *Injector {
	return &Injector{rng: rand.New(rand.NewPCG(seed, 0)), cleared: make(chan struct{})}
}

// Set replaces all faults and sets the seed. The first fault that applies to a
// request hits it. Requests that hang are let go.
func (i *Injector) Set(seed uint64, faults ...Fault) error {
	for n, f := range faults {
		if err := f.validate(); err != nil {
			return fmt.Errorf("faults[%d]: %w", n, err)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.cleared)
	i.cleared = make(chan struct{})
	i.rng = rand.New(rand.NewPCG(seed, 0))
	i.faults = append([]Fault(nil), faults...)
	i.left = make([]int, len(faults))
	for n, f := range faults {
		i.left[n] = f.Count
	}
	return nil
}

// Clear removes all faults.
func (i *Injector) Clear() { _ = i.Set(0) }

// Hits is how many requests were hit since the injector was made.
func (i *Injector) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

func (i *Injector) draw(r *http.Request) (Fault, <-chan struct{}, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, f := range i.faults {
		if !strings.Contains(r.URL.Path, f.Path) || (f.Method != "" && f.Method != r.Method) || (f.Count > 0 && i.left[n] == 0) {
			continue
		}
		if f.Probability > 0 && i.rng.Float64() >= f.Probability {
			continue
		}
		i.left[n]--
		i.hits++
		return f, i.cleared, true
	}
	return Fault{}, nil, false
}

// Wrap returns next with the faults in front of it.
func (i *Injector) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, cleared, hit := i.draw(r)
		if !hit {
			next.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		if f.Accept || f.Kind == Slow || f.Kind == Truncated {
			next.ServeHTTP(answer, r)
		}
		if f.Kind == RateLimit {
			f.Body = cmp.Or(f.Body, i.Throttled)
		}
		f.play(w, r, answer, cleared)
	})
}

func (f Fault) play(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder, cleared <-chan struct{}) {
	switch f.Kind {
	case Status:
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
	case RateLimit:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(f.Body))
	case Hang:
		var over <-chan time.Time
		if f.DelayMS > 0 {
			over = time.After(time.Duration(f.DelayMS) * time.Millisecond)
		}
		select {
		case <-r.Context().Done():
		case <-cleared:
		case <-over:
		}
		panic(http.ErrAbortHandler)
	case Drop:
		panic(http.ErrAbortHandler)
	case Slow:
		f.drip(w, r, answer, cleared)
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(cmp.Or(f.Status, http.StatusBadGateway))
		_, _ = w.Write([]byte("<html><body><h1>Bad gateway</h1></body></html>"))
	case Truncated:
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	}
}

func (f Fault) drip(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder, cleared <-chan struct{}) {
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	w.WriteHeader(answer.Code)
	flush := http.NewResponseController(w)
	for _, b := range answer.Body.Bytes() {
		_, _ = w.Write([]byte{b})
		_ = flush.Flush()
		select {
		case <-r.Context().Done():
			return
		case <-cleared:
		case <-time.After(time.Duration(f.DelayMS) * time.Millisecond):
		}
	}
}

// ServeHTTP is the control handler.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		var in struct {
			Seed   uint64  `json:"seed"`
			Faults []Fault `json:"faults"`
		}
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		dec.DisallowUnknownFields()
		err := dec.Decode(&in)
		if err == nil {
			err = i.Set(in.Seed, in.Faults...)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	case http.MethodDelete:
		i.Clear()
	case http.MethodGet:
	default:
		http.Error(w, "GET, POST or DELETE", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(i.state())
}

type state struct {
	Faults []Fault `json:"faults"`
	Hits   int     `json:"hits"`
}

func (i *Injector) state() state {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := state{Faults: []Fault{}, Hits: i.hits}
	for n, f := range i.faults {
		if f.Count > 0 && i.left[n] == 0 {
			continue
		}
		if f.Count > 0 {
			f.Count = i.left[n]
		}
		s.Faults = append(s.Faults, f)
	}
	return s
}
