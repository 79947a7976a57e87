// Package fakeawx is an AWX that keeps AWX's rules where a client can trip over
// them: prompts that are not asked for are ignored and the job starts all the
// same, an empty limit means every host, a redirect makes a GET of a POST,
// filters that do nothing, jobs that wait instead of being refused. It runs
// playbooks: by ansible-playbook, or by functions of its host.
package fakeawx

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fault"
)

// Options of an AWX. The zero value serves DefaultWorld.
type Options struct {
	World *World           // DefaultWorld if nil
	Now   func() time.Time // time.Now if nil
	// Prefix is where the API lies: /api/v2/ if "", and /api/controller/v2/
	// behind the gateway of AAP.
	Prefix string
	// Playbooks is a folder: what is in it is run by ansible-playbook, if there
	// is one. Else Actions stand in, by the playbook's name. A playbook that is
	// neither changes each of its hosts once.
	Playbooks string
	Actions   map[string]Action
	Seed      uint64 // of probabilities in faults
}

// The usual prefix, and that of AAP.
const (
	AWX = "/api/v2/"
	AAP = "/api/controller/v2/"
)

// Fake is the AWX. Beside the API below its prefix it serves:
//
//	GET    /              the jobs, as people see them
//	GET    /_ledger       Ledger as JSON
//	POST   /_switch       Switches as JSON: what else goes wrong; replaces them all
//	POST   /_clock        {"advance": "115s"}: time goes by
//	PATCH  /_template     a template's settings, by its name: {"name": "restart", "ask": ["variables"]}
//	DELETE /_template     ?name=: it is gone
//	DELETE /_job          ?id=: it is cleaned up
//	*      /_fault        faults, see fault.Injector
//	POST   /_reset        Reset
//
// Jobs move on when the fake is asked for anything, and while Run runs.
type Fake struct {
	Faults *fault.Injector

	opts Options
	mux  *http.ServeMux

	mu        sync.Mutex
	skipped   time.Duration // Advance
	switches  Switches
	users     []*user
	places    []*inventory
	templates []*template
	orgs      []string // their ids are their places in the list, from 1
	labels    []label
	jobs      []*job // by ascending id
	lastJob   int64
	launches  int // POSTs to a launch that were answered by the fake itself
	working   sync.WaitGroup
}

// Switches are what goes wrong inside AWX, beside what Faults do on the way.
type Switches struct {
	Migrating   bool     `json:"migrating,omitempty"`     // every request is sent to another page, 302
	CommitDelay Duration `json:"commit_delay,omitempty"`  // a job is seen, and begins, only so long after its POST
	CommitCount int      `json:"commit_count,omitempty"`  // how many launches that hits; 0: all
	NoCapacity  bool     `json:"no_capacity,omitempty"`   // jobs stay pending
	EventLag    Duration `json:"event_lag,omitempty"`     // how long after a job's end its events are complete
	CancelLag   Duration `json:"cancel_lag,omitempty"`    // how long a running job lives on after it was cancelled
	NewMessages bool     `json:"new_messages,omitempty"`  // the words of a later Django REST framework in 404
	StdoutBytes int      `json:"stdout_bytes,omitempty"`  // jobs that end from now on have output of at least so many bytes
	NoHostFound bool     `json:"no_host_found,omitempty"` // plays match no host: the job is successful
}

// Duration is a time span in JSON as Go writes it: "115s".
type Duration time.Duration

// UnmarshalText reads "115s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalText writes "115s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// New returns an AWX in which nothing was launched yet.
func New(o Options) *Fake {
	if o.World == nil {
		o.World = DefaultWorld()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Prefix = cmp.Or(o.Prefix, AWX)
	f := &Fake{Faults: fault.New(o.Seed), opts: o, mux: http.NewServeMux()}
	f.Reset()
	f.mux.Handle("/api/", f.Faults.Wrap(http.HandlerFunc(f.serveAPI)))
	f.mux.Handle("/_fault", f.Faults)
	f.mux.HandleFunc("GET /_ledger", f.serveLedger)
	f.mux.HandleFunc("POST /_switch", f.serveSwitch)
	f.mux.HandleFunc("POST /_clock", f.serveClock)
	f.mux.HandleFunc("PATCH /_template", f.serveEdit)
	f.mux.HandleFunc("DELETE /_template", f.serveRemove)
	f.mux.HandleFunc("DELETE /_job", f.serveForget)
	f.mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { f.Reset() })
	f.mux.HandleFunc("GET /{$}", f.servePage)
	f.mux.HandleFunc("GET /_style.css", serveStyle)
	return f
}

// ServeHTTP serves what Fake lists.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Reset forgets jobs, labels, faults and switches, and everything is as the
// world was written.
func (f *Fake) Reset() {
	f.Faults.Clear()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		j.stop()
	}
	f.switches, f.jobs, f.labels, f.lastJob, f.launches = Switches{}, nil, nil, 0, 0
	f.furnish(f.opts.World)
}

// Switch replaces the switches.
func (f *Fake) Switch(s Switches) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.switches = s
}

// Advance lets time go by.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped += d
	f.advance()
}

// Run moves jobs on until ctx ends, then ends those that are at work.
func (f *Fake) Run(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			f.Close()
			return
		case <-tick.C:
			f.Advance(0)
		}
	}
}

// Close ends what is at work and waits for it.
func (f *Fake) Close() {
	f.mu.Lock()
	for _, j := range f.jobs {
		j.stop()
	}
	f.mu.Unlock()
	f.working.Wait()
}

func (f *Fake) now() time.Time { return f.opts.Now().Add(f.skipped) }

// object is a thing as the API shows it.
type object = map[string]any

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func detail(w http.ResponseWriter, status int, says string) {
	answer(w, status, object{"detail": says})
}

// invalid is the 400 that says, field by field, what is wrong.
func invalid(w http.ResponseWriter, field string, says ...string) {
	answer(w, http.StatusBadRequest, object{field: says})
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
