package remediate

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Mode says how far a policy may go.
type Mode string

// The modes. A policy without one observes; a destructive one is never auto.
const (
	Off     Mode = "off"
	Observe Mode = "observe" // say what would be done, hold the episode, start nothing
	Check   Mode = "check"   // start the playbook in check mode: it changes nothing
	Approve Mode = "approve" // wait for a person
	Auto    Mode = "auto"
)

// Danger classifies what a step can do.
type Danger string

// The classes of danger.
const (
	ReadOnly    Danger = "read-only"   // diagnostics: may run before people have looked
	Reversible  Danger = "reversible"  //
	Disruptive  Danger = "disruptive"  // needs proof from a second source; in auto, the in-playbook claim
	Destructive Danger = "destructive" // never auto
)

// TargetKind says what a policy acts on.
type TargetKind string

// The kinds of target. Other than a host's, they have no limit, a fixed
// inventory, their identity in one validated variable, and always need a person.
const (
	HostTarget       TargetKind = "host"
	ServiceTarget    TargetKind = "service"
	DatacentreTarget TargetKind = "datacentre"
)

// Target is what one dispatch acts on, resolved from a page and valid.
type Target struct {
	Kind  TargetKind `json:"kind"`
	Name  string     `json:"name"`            // lower case, matches the policy's pattern; never empty, never a pattern
	Value string     `json:"value,omitempty"` // service, datacentre: what its variable holds, such as the deploy to roll back
	Pool  string     `json:"pool,omitempty"`  // what it is one of: the blast radius is counted there
}

// ID names a target in locks, ledgers and metrics' logs.
func (t Target) ID() string { return string(t.Kind) + "/" + t.Name }

// Policy says what may be done about which alerts, to what, and under which guards.
type Policy struct {
	Name     string          `yaml:"name"`
	Team     string          `yaml:"team"`
	Mode     Mode            `yaml:"mode"`
	Danger   Danger          `yaml:"danger"`
	Match    []string        `yaml:"match"` // matchers as Alertmanager writes them; all must hold
	Trigger  Trigger         `yaml:"trigger"`
	Target   TargetRule      `yaml:"target"`
	Guards   GuardRules      `yaml:"guards"`
	Steps    []Step          `yaml:"steps"`
	Approval Approval        `yaml:"approval"`
	Stable   config.Duration `yaml:"stable"` // how long the alert must stay resolved to count as repaired
}

// Trigger says which firings count.
type Trigger struct {
	FiringFor config.Duration `yaml:"firing_for"` // debounce
	MaxAge    config.Duration `yaml:"max_age"`    // never act on what began longer ago
}

// TargetRule says how a target is found on a page.
type TargetRule struct {
	Kind      TargetKind `yaml:"kind"`
	Label     string     `yaml:"label"`     // the label that names it: of the alerts, or of the page's first trait
	Trait     bool       `yaml:"trait"`     // the label must stand in a strong trait of the page, such as the bad deploy
	Validate  string     `yaml:"validate"`  // RE2, matched whole
	Inventory string     `yaml:"inventory"` // host: where exactly one enabled host must have that name
	Variable  string     `yaml:"variable"`  // service, datacentre: the variable that holds the identity
	Pool      Pool       `yaml:"pool"`
}

// Pool is what a target is one of.
type Pool struct {
	Label string `yaml:"label"` // of the alerts; the pool is named by its value
	Size  string `yaml:"size"`  // PromQL of one sample: how many targets the pool has; $pool and $target stand for quoted values
}

// Step is one rung of a policy's ladder.
type Step struct {
	Name         string                  `yaml:"name"`
	Backend      string                  `yaml:"backend"` // kind/name, as configured
	Template     string                  `yaml:"template"`
	Organization string                  `yaml:"organization"`
	Kind         string                  `yaml:"kind"`   // job, workflow
	Mode         Mode                    `yaml:"mode"`   // at most the policy's; "": the policy's
	Danger       Danger                  `yaml:"danger"` // "": the policy's
	Variables    map[string]StepVariable `yaml:"variables"`
	Timeout      config.Duration         `yaml:"timeout"`       // of the job
	QueueTimeout config.Duration         `yaml:"queue_timeout"` // pending for longer: cancelled
	Verify       Verify                  `yaml:"verify"`
}

// StepVariable is one variable of a launch: a constant, or a label's value that
// must match. Label names never become variable names.
type StepVariable struct {
	Value string `yaml:"value"`
	Label string `yaml:"label"`
	Allow string `yaml:"allow"` // RE2, matched whole; required with label
}

// Verify says what must hold for a step to count as a repair.
type Verify struct {
	ResolvedWithin config.Duration `yaml:"resolved_within"` // after the job's end
	PromQL         string          `yaml:"promql"`          // must give samples, all non-zero; "" asks nothing
}

// Approval says who may approve, and how long it is waited for.
type Approval struct {
	Roles   []string        `yaml:"roles"`   // of people; default operator
	Expires config.Duration `yaml:"expires"` // then people are paged: never approved by time
}

// GuardRules configure the guards; a zero value takes the safe default.
type GuardRules struct {
	Silences     bool          `yaml:"silences"` // default true: a silence that matches the target's alerts denies
	Calendar     []Window      `yaml:"calendar"`
	Zabbix       string        `yaml:"zabbix"` // name of a configured Zabbix: a host in maintenance is left alone
	ServiceTypes ServiceTypes  `yaml:"service_types"`
	PreChecks    []PreCheck    `yaml:"pre_checks"`
	Proof        *PreCheck     `yaml:"proof"` // disruptive: from a source other than the one that fired
	BlastRadius  BlastRadius   `yaml:"blast_radius"`
	Rate         Rates         `yaml:"rate"`
	Concurrency  Concurrency   `yaml:"concurrency"`
	Cooldown     Cooldown      `yaml:"cooldown"`
	Attempts     Attempts      `yaml:"attempts"`
	Breaker      BreakerPolicy `yaml:"breaker"`
}

// Outcome is what a guard says.
type Outcome string

// The outcomes. Only Pass lets through; a guard that cannot be evaluated denies.
const (
	Pass  Outcome = "pass"
	Wait  Outcome = "wait"  // not now: asked again at Until
	Deny  Outcome = "deny"  //
	Blind Outcome = "blind" // it could not be evaluated: counts as Deny
)

// Verdict is one guard's word on one dispatch, stored and shown as it is.
type Verdict struct {
	Guard   string    `json:"guard"`
	Outcome Outcome   `json:"outcome"`
	Value   string    `json:"value,omitempty"` // what was seen: "7 sessions", untrusted
	Reason  string    `json:"reason"`          // in words, with the limit
	Until   time.Time `json:"until,omitzero"`
	At      time.Time `json:"at"`
}

// Candidate is what guards are asked about.
type Candidate struct {
	Policy  *Policy
	Step    Step
	Attempt int // of this step in this episode, from 1
	Page    page.Page
	Target  Target
	Past    Past
	Now     time.Time
}

// Past is what is known of dispatches, switches and breakers by now. The engine
// reads it in one piece from the store, so that two replicas judge the same.
type Past struct {
	Dispatches []Trace              `json:"dispatches"` // of the last day at least, by ascending time
	Switches   map[string]Switch    `json:"switches"`   // by scope: global, team/NAME, policy/NAME; there is one only while frozen
	Breakers   map[string]Breaker   `json:"breakers"`   // by policy; there is one only while open
	Storms     map[string]time.Time `json:"storms"`     // by pool: the last time it was over its blast radius
}

// Trace is one dispatch as its guards remember it.
type Trace struct {
	ID      string    `json:"id"`
	Policy  string    `json:"policy"`
	Team    string    `json:"team"`
	Target  string    `json:"target"` // Target.ID
	Pool    string    `json:"pool,omitempty"`
	Problem string    `json:"problem"`
	Episode int       `json:"episode"`
	Step    int       `json:"step"`
	At      time.Time `json:"at"`             // claimed
	Ended   time.Time `json:"ended,omitzero"` // of what was launched: cool-downs count from here
	Cleared bool      `json:"cleared,omitempty"`
	Failed  bool      `json:"failed,omitempty"` // failed, without effect, or the alert stayed
}

// Switch is a freeze.
type Switch struct {
	By  string    `json:"by"`
	At  time.Time `json:"at"`
	Why string    `json:"why,omitempty"`
}

// Breaker is one that is open, until a person resets it.
type Breaker struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// Guard is one question. Check never returns anything but a verdict: what it
// cannot find out is Blind.
type Guard interface {
	Name() string
	Check(ctx context.Context, c Candidate) Verdict
}
