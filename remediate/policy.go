package remediate

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/apps"
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
	Name     string          `yaml:"name" need:"true" doc:"Name of the policy: receivers name it under remediate, and it has its own kill switch and breaker."`
	Team     string          `yaml:"team" need:"true" doc:"Team that owns it: one switch freezes all its policies, and it has its own rate."`
	Mode     Mode            `yaml:"mode" enum:"off,observe,check,approve,auto" doc:"How far it may go. observe says what would be done and starts nothing, check starts the playbook in check mode, approve waits for a person."`
	Danger   Danger          `yaml:"danger" need:"true" enum:"read-only,reversible,disruptive,destructive" doc:"The worst that its steps can do. disruptive needs guards.proof, and in auto the claim of each step; destructive is never auto."`
	Match    []string        `yaml:"match" need:"true" doc:"Matchers as Alertmanager writes them, one an item: alertname=\"ServiceDown\". All must hold for an alert to count."`
	Trigger  Trigger         `yaml:"trigger" doc:"Which firings count."`
	Target   TargetRule      `yaml:"target" need:"true" doc:"How a target is found on a page."`
	Guards   GuardRules      `yaml:"guards" doc:"What must hold. What is left out takes the safe default."`
	Steps    []Step          `yaml:"steps" need:"true" doc:"The ladder: what is tried in turn, the gentlest first."`
	Approval Approval        `yaml:"approval" doc:"Who may approve."`
	Stable   config.Duration `yaml:"stable" doc:"How long the alert must stay resolved to count as repaired."`

	Place   string         `yaml:"-" json:"-"` // file:line it was read from
	Layered []apps.Setting `yaml:"-" json:"-"` // what layers set in it, for an app
}

// Trigger says which firings count.
type Trigger struct {
	FiringFor config.Duration `yaml:"firing_for" doc:"How long a target's alert must have fired."`
	MaxAge    config.Duration `yaml:"max_age" doc:"What began longer ago is left to people."`
}

// TargetRule says how a target is found on a page.
type TargetRule struct {
	Kind      TargetKind `yaml:"kind" need:"true" enum:"host,service,datacentre" doc:"What is acted on. Other than a host's, a target has a template without a limit prompt and with a fixed inventory, and always needs a person."`
	Label     string     `yaml:"label" need:"true" doc:"The label that names it. Of a host's value, port and brackets are taken off."`
	Trait     bool       `yaml:"trait" doc:"The label must be all that the page's first trait says, and the trait strong, such as the bad deploy. Else it is read off the alerts."`
	Validate  string     `yaml:"validate" need:"true" doc:"RE2 that the whole name matches."`
	Inventory string     `yaml:"inventory" doc:"host: the inventory in which exactly one enabled host must have that name."`
	Variable  string     `yaml:"variable" doc:"service, datacentre: the variable that holds its identity."`
	Pool      Pool       `yaml:"pool" need:"true" doc:"What the target is one of."`
}

// Pool is what a target is one of.
type Pool struct {
	Label string `yaml:"label" doc:"Label of the alerts whose value names the pool. A service or datacentre may leave it out: its pool is all of its kind."`
	Size  string `yaml:"size" need:"true" doc:"PromQL of one sample: how many targets the pool has. $pool and $target stand for label values: count(up{cluster=$pool})."`
}

// Step is one rung of a policy's ladder.
type Step struct {
	Name         string                  `yaml:"name" need:"true" doc:"Name of the step."`
	Backend      string                  `yaml:"backend" need:"true" doc:"The backend that starts it, kind/name: awx/main."`
	Template     string                  `yaml:"template" need:"true" doc:"Name of the template."`
	Organization string                  `yaml:"organization" doc:"Organization of the template: names are unique only within one."`
	Kind         string                  `yaml:"kind" enum:"job,workflow" doc:"Kind of template; job where it is left out."`
	Mode         Mode                    `yaml:"mode" enum:"off,observe,check,approve,auto" doc:"At most the policy's, which it is where it is left out."`
	Danger       Danger                  `yaml:"danger" enum:"read-only,reversible,disruptive,destructive" doc:"At most the policy's, which it is where it is left out."`
	Claim        bool                    `yaml:"claim" doc:"The playbook begins with the role tocsin_guard, which asks once more before anything is done. A disruptive step in auto needs it."`
	Variables    map[string]StepVariable `yaml:"variables" doc:"Variables of the launch, by their name."`
	Timeout      config.Duration         `yaml:"timeout" doc:"Of the job, whose template then prompts for it; its own where it is left out."`
	QueueTimeout config.Duration         `yaml:"queue_timeout" doc:"A job that is pending for longer is cancelled; 2m where it is left out."`
	Verify       Verify                  `yaml:"verify" doc:"What must hold for the step to count as a repair."`
}

// StepVariable is one variable of a launch: a constant, or a label's value that
// must match. Label names never become variable names.
type StepVariable struct {
	Value string `yaml:"value" doc:"A constant."`
	Label string `yaml:"label" doc:"Label whose value it takes: one that all the target's alerts agree on."`
	Allow string `yaml:"allow" doc:"RE2 that the whole value matches; required with label."`
}

// Verify says what must hold for a step to count as a repair.
type Verify struct {
	ResolvedWithin config.Duration `yaml:"resolved_within" doc:"The alert resolves so soon after the job's end; 10m where it is left out."`
	PromQL         string          `yaml:"promql" doc:"Question that must give samples, all of them other than zero. $target and $pool stand for label values."`
}

// Approval says who may approve, and how long it is waited for.
type Approval struct {
	Roles   []string        `yaml:"roles" doc:"Roles of the people who may approve: operator, responder, or what people have under roles. operator where it is left out; operators may always deny."`
	Expires config.Duration `yaml:"expires" doc:"Then people are paged. Time approves nothing."`
}

// GuardRules configure the guards; a zero value takes the safe default.
type GuardRules struct {
	Silences     bool          `yaml:"silences" doc:"A silence that matches an alert of the target denies."`
	Calendar     []Window      `yaml:"calendar" doc:"Times of the week at which nothing is done."`
	Zabbix       string        `yaml:"zabbix" doc:"Name of a configured Zabbix: a host that is in maintenance there, or not known there, is left alone."`
	ServiceTypes ServiceTypes  `yaml:"service_types" doc:"What kinds of service may be touched, by a label of the alerts."`
	PreChecks    []PreCheck    `yaml:"pre_checks" doc:"Questions whose answers must hold."`
	Proof        *PreCheck     `yaml:"proof" doc:"A question that shows the trouble by other means than the alert that fired. Disruptive steps need one."`
	BlastRadius  BlastRadius   `yaml:"blast_radius" doc:"How much of a pool may be unwell for it to be touched."`
	Rate         Rates         `yaml:"rate" doc:"Bounds on launches: 5/10m."`
	Concurrency  Concurrency   `yaml:"concurrency" doc:"Bounds on dispatches under way."`
	Cooldown     Cooldown      `yaml:"cooldown" doc:"How long a target is left alone once a dispatch has ended."`
	Attempts     Attempts      `yaml:"attempts" doc:"How often it is tried."`
	Breaker      BreakerPolicy `yaml:"breaker" doc:"When the policy stops until a person resets it."`
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
	Storm   string    `json:"storm,omitempty"` // a pool that is beyond its blast radius now: the engine remembers it in Past.Storms
}

// Candidate is what guards are asked about.
type Candidate struct {
	Policy   *Policy
	Step     Step
	Attempt  int // of this step in this episode, from 1
	Page     page.Page
	Target   Target
	Past     Past
	Now      time.Time
	Dispatch string // its own id, once it is claimed: its own trace in Past is not counted against it

	alerts []page.Alert // those about the target, once they were looked for
}

// Past is what is known of dispatches, switches and breakers by now. The engine
// reads it in one piece from the store, so that two replicas judge the same.
type Past struct {
	Dispatches []Trace              `json:"dispatches"` // of the last day at least, by ascending time
	Switches   map[string]Switch    `json:"switches"`   // by scope: global, team/NAME, policy/NAME; there is one only while frozen
	Breakers   map[string]Breaker   `json:"breakers"`   // by policy; there is one only while open
	Storms     map[string]time.Time `json:"storms"`     // by pool: the last time it was over its blast radius
	// Episodes are, by Target.ID, when episodes about it began, of the last 6 h at
	// least, also those in which nothing was started.
	Episodes map[string][]time.Time `json:"episodes,omitempty"`
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
	Danger  Danger    `json:"danger,omitempty"` // of the step: one that is read-only leaves no cool-down behind
	At      time.Time `json:"at"`               // claimed
	Ended   time.Time `json:"ended,omitzero"`   // of what was launched: cool-downs count from here
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
