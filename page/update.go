package page

import "time"

// UpdateKind says in which way a problem changed.
type UpdateKind string

// What can be new about a page that people were told of. What an update says
// beyond its kind stands in its text.
const (
	UpdateJoined     UpdateKind = "joined"     // alerts began to fire
	UpdateLeft       UpdateKind = "left"       // alerts resolved while others fire
	UpdateWorse      UpdateKind = "worse"      // see Problem.Peak for what counts
	UpdateBetter     UpdateKind = "better"     // the severity fell, or most of it resolved
	UpdateContext    UpdateKind = "context"    // enrichment arrived
	UpdateAcked      UpdateKind = "acked"      // somebody took it
	UpdateUnacked    UpdateKind = "unacked"    //
	UpdateSilenced   UpdateKind = "silenced"   // a silence stands in Alertmanager
	UpdateUnsilenced UpdateKind = "unsilenced" // it was ended
	UpdateNote       UpdateKind = "note"       // somebody, or a service, has something to say
	UpdateRun        UpdateKind = "run"        // a step of a remediation
	UpdateFlapping   UpdateKind = "flapping"   // it comes and goes: kept as one open item
	UpdateStorm      UpdateKind = "storm"      // told by a storm's message from now on, or no longer
	UpdateResolved   UpdateKind = "resolved"   // the episode is over
)

// Update is one line of what changed since the page left. Targets with a thread
// say each of them once, in their order.
type Update struct {
	N        int        `json:"n"` // counts from 1 in an episode, without a gap
	Kind     UpdateKind `json:"kind"`
	At       time.Time  `json:"at"`
	Actor    string     `json:"actor,omitempty"` // who did it, as people are called; "" for the alert itself
	Via      string     `json:"via,omitempty"`   // target it was done at (Act.Via), which need not be told of it
	Text     string     `json:"text"`            // one line, untrusted: a kind escapes it
	Link     string     `json:"link,omitempty"`
	Evidence []string   `json:"evidence,omitempty"` // further lines, what was seen: untrusted, at most MaxEvidence
	Aloud    bool       `json:"aloud,omitempty"`    // worth a ring: edits and threads ring nobody
}

// MaxEvidence bounds the lines of an update's evidence.
const MaxEvidence = 60

// Rings reports whether a further incident is opened for it: it got worse, or a
// machine says that people are needed.
func (u Update) Rings() bool { return u.Kind == UpdateWorse || u.Kind == UpdateRun && u.Aloud }

// Peak is the worst an episode has been, as people were told: what goes beyond
// it is worse. A further incident is opened at PagerDuty for it.
type Peak struct {
	Times    int       `json:"times,omitempty"`    // how often it got worse
	Rung     int       `json:"rung,omitempty"`     // how often a machine said that people are needed
	At       time.Time `json:"at,omitzero"`        // the last time of either
	Severity Severity  `json:"severity,omitempty"` // the highest
	Critical []string  `json:"critical,omitempty"` // alertnames that were critical
	Traits   []string  `json:"traits,omitempty"`   // Labels.ID of strong traits
	Alerts   int       `json:"alerts,omitempty"`   // how many fired when people were told of their number last
}
