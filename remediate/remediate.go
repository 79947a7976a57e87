// Package remediate starts playbooks on what a page is about, under guard: a
// policy says what may be done to which target and when, guards say whether now,
// a state machine launches once and ends when the alert does, not when the job
// does. Model and launch protocol are those of docs/remediation.md.
package remediate

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin/tocsin/config"
)

// Backend starts and follows jobs on a system that changes hosts. Its calls end
// by their context. Only Launch changes anything besides Cancel, and no call
// but a read is ever repeated by the backend itself.
type Backend interface {
	// Ready reads the template anew and says whether the step can be launched as
	// its policy means it. A *NotReady holds every reason why not; any other
	// error means that it is not known.
	Ready(ctx context.Context, s Step, t Target) (Template, error)
	// Host finds the one enabled inventory host of exactly this name, which is
	// what a limit may be. ErrNoHost where there is none, or more than one.
	Host(ctx context.Context, inventory, name string) (Host, error)
	// Watermark is the greatest job id of the template by now, by the server's
	// own count (0: none yet), and the jobs on the same limit that have not ended.
	Watermark(ctx context.Context, t Template, limit string) (int64, []Job, error)
	// Launch asks once. What came of it is told by the error: nil with a job that
	// is as it was asked for; *Rejected: certainly not started; *Unsafe: started,
	// but not as it was asked for, the job says which; any other: not known.
	Launch(ctx context.Context, l Launch) (Job, error)
	// Find returns the jobs of the template beyond the watermark which carry the
	// dispatch's id, by ascending id. A nil error means that all were looked at.
	Find(ctx context.Context, t Template, after int64, dispatch string) ([]Job, error)
	// Job returns a job as it is. ErrNoJob if the server has forgotten it.
	Job(ctx context.Context, j Job) (Job, error)
	// Cancel asks for a job's end, which is seen by Job later. ErrEnded if it has ended.
	Cancel(ctx context.Context, j Job) error
	// Evidence is what a job left behind: what it did to the target's host and
	// the end of its output.
	Evidence(ctx context.Context, j Job, host string) (Evidence, error)
	// Settle is how long after a request was sent its absence proves nothing:
	// the longest that the server may work on it.
	Settle() time.Duration
}

// Errors a caller branches on.
var (
	// ErrNoHost: no inventory host has this name, it is disabled, or there are several.
	ErrNoHost = errors.New("no such host in the inventory")
	// ErrNoJob: the server does not know the job (any more).
	ErrNoJob = errors.New("no such job")
	// ErrEnded: the job has ended already.
	ErrEnded = errors.New("job has ended")
)

// NotReady says why a step cannot be launched as its policy means it.
type NotReady struct{ Reasons []string }

// Rejected says that a launch was refused: nothing was started.
type Rejected struct {
	Status int // of HTTP; 0 if the request never left
	Reason string
}

// Unsafe says that a job was started which is not the one that was asked for.
type Unsafe struct{ Reason string }

// Template is what a step launches, as the server has it.
type Template struct {
	ID        int64  `json:"id"`
	Kind      string `json:"kind"` // "job" or "workflow"
	Name      string `json:"name"`
	Inventory int64  `json:"inventory,omitempty"` // its own; 0: none
	// AskLimit and AskVariables say what may be given at a launch; Survey are the
	// variables of its survey, by name, with their defaults.
	AskLimit     bool           `json:"ask_limit,omitempty"`
	AskVariables bool           `json:"ask_variables,omitempty"`
	Survey       map[string]any `json:"survey,omitempty"`
}

// Host is a host of an inventory.
type Host struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Inventory int64  `json:"inventory"`
}

// Launch is one request, made durable before it is sent.
type Launch struct {
	Template Template `json:"template"`
	// Limit is the one inventory host it may touch; empty only for a template
	// with a fixed inventory whose policy targets a service or datacentre.
	Limit     string         `json:"limit,omitempty"`
	Check     bool           `json:"check,omitempty"` // job_type check: change nothing
	Variables map[string]any `json:"variables,omitempty"`
	Dispatch  string         `json:"dispatch"` // id of the dispatch; goes into the variable dictionary `tocsin` as dispatch_id
	Link      string         `json:"link"`     // the page
	Timeout   time.Duration  `json:"timeout,omitempty"`
	// Claim is where the playbook asks, as its first task, whether this job may go
	// on; into the dictionary as claim_url and claim_token. The zero Claim: nowhere.
	Claim Claim `json:"claim,omitzero"`
}

// Claim is the address of a dispatch's claim, and what opens it.
type Claim struct {
	URL   string        `json:"url"`
	Token config.Secret `json:"token"` // is not stored: it is made anew
}

// State says how far a job has come.
type State string

// The states of a job. One the server calls otherwise is Running until it ends.
const (
	Pending    State = "pending" // accepted, waits for capacity or another job
	Running    State = "running"
	Successful State = "successful"
	Failed     State = "failed"
	Canceled   State = "canceled"
)

// Ended reports whether nothing more will come of a job.
func (s State) Ended() bool { return s == Successful || s == Failed || s == Canceled }

// Job is one run of a template.
type Job struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind"` // of its template
	State    State     `json:"state"`
	Limit    string    `json:"limit,omitempty"`
	Why      string    `json:"why,omitempty"` // the server's explanation; untrusted
	Link     string    `json:"link,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Evidence is what a job left behind. All of its text is untrusted.
type Evidence struct {
	Hosts  []HostResult `json:"hosts,omitempty"` // none: no host was touched
	Tail   string       `json:"tail,omitempty"`  // end of its output, at most 4 KiB
	Stated bool         `json:"stated"`          // the summaries are complete
}

// HostResult counts what a job did on one host.
type HostResult struct {
	Host                               string `json:"host"`
	OK, Changed, Failed, Dark, Skipped int
}
