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
	Target   string    `json:"target"`          // "host web-3"; untrusted
	State    string    `json:"state"`           // remediate.Stage
	At       time.Time `json:"at"`              // of the state
	Roles    []string  `json:"roles,omitempty"` // of the people who may approve it; none: RoleOperator
	Asks     time.Time `json:"asks,omitzero"`   // a person is to approve or deny it, until then
	Text     string    `json:"text"`            // one line; untrusted
	Link     string    `json:"link,omitempty"`  // of its job
	Over     bool      `json:"over,omitempty"`
	Aloud    bool      `json:"aloud,omitempty"`    // worth a ring
	Evidence []string  `json:"evidence,omitempty"` // lines of what was seen; untrusted
	N        int       `json:"n"`                  // grows with what is new of a dispatch
}

// Roles that every house knows. An operator is a responder, too.
const (
	RoleResponder = "responder"
	RoleOperator  = "operator"
)

// Decided reports whether who has these roles may decide on a run that asks: the
// roles it names approve, and operators may always deny.
func (r Run) Decided(verb Verb, roles ...string) bool {
	named := r.Roles
	if len(named) == 0 {
		named = []string{RoleOperator}
	}
	return slices.ContainsFunc(roles, func(role string) bool {
		return slices.Contains(named, role) || role == RoleOperator && (verb == DenyIt || slices.Contains(named, RoleResponder))
	})
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
