package page

import (
	"slices"
	"time"
)

// Run is one step of a remediation as the page shows it: what is to be done to
// what, and how far it has come.
type Run struct {
	Dispatch string    `json:"dispatch"` // its id
	Policy   string    `json:"policy"`
	Step     string    `json:"step"`
	Target   string    `json:"target"`         // "host web-3"; untrusted
	State    string    `json:"state"`          // remediate.Stage
	At       time.Time `json:"at"`             // of the state
	Asks     time.Time `json:"asks,omitzero"`  // a person is to approve or deny it, until then
	Text     string    `json:"text"`           // one line; untrusted
	Link     string    `json:"link,omitempty"` // of its job
	Over     bool      `json:"over,omitempty"`
	Aloud    bool      `json:"aloud,omitempty"`    // worth a ring
	Evidence []string  `json:"evidence,omitempty"` // lines of what was seen; untrusted
	N        int       `json:"n"`                  // grows with what is new of a dispatch
}

// maxRuns is how many runs a problem keeps in one episode: those that are over
// make room.
const maxRuns = 40

// WithRun returns the runs with a newer state of one of them; false where it is not newer.
func WithRun(runs []Run, r Run) ([]Run, bool) {
	at := slices.IndexFunc(runs, func(o Run) bool { return o.Dispatch == r.Dispatch })
	if at >= 0 && runs[at].N >= r.N {
		return runs, false
	}
	r.Evidence = nil // its update has it
	runs = slices.Clone(runs)
	if at >= 0 {
		runs[at] = r
		return runs, true
	}
	if len(runs) >= maxRuns {
		gone := max(0, slices.IndexFunc(runs, func(o Run) bool { return o.Over }))
		runs = slices.Delete(runs, gone, gone+1)
	}
	return append(runs, r), true
}
