package page

import "time"

// Course is the question how the badness inside a trait went over time.
type Course struct {
	Query   string        `json:"query"`             // PromQL with one series: the badness
	Falling bool          `json:"falling,omitempty"` // low values are the bad ones
	Window  time.Duration `json:"window_ns"`         // its rates look back so far, so that a step is a ramp as long; 0 for none
	Seen    string        `json:"seen,omitempty"`    // PromQL with one series per value of By, as long as it is there
	By      string        `json:"by,omitempty"`      // the label of the trait that is a version
	Step    time.Duration `json:"step_ns,omitempty"` // between the points that were asked for
}

// Onset is when the badness began, and after what.
type Onset struct {
	At     time.Time `json:"at"`              // the best estimate
	From   time.Time `json:"from"`            // it began between From
	To     time.Time `json:"to"`              // and To (19 times in 20)
	Before float64   `json:"before"`          // the course's level before, 0 when First
	Since  float64   `json:"since"`           // its level since
	First  bool      `json:"first,omitempty"` // there is no before: the members began with it
	After  *Change   `json:"after,omitempty"` // the change it follows, nil when none does
}

// Change is something that was done to what is watched: a deploy, another
// config, a failover.
type Change struct {
	ID     string    `json:"id"`               // its sender's own; a change that is sent twice is one
	Kind   string    `json:"kind"`             // deploy, config, failover, scale … or the sender's own word
	Title  string    `json:"title"`            // what it is known by: v42
	Labels Labels    `json:"labels,omitempty"` // what it was done to
	At     time.Time `json:"at"`
	Link   string    `json:"link,omitempty"`
	Source string    `json:"source"` // who says so: webhook/dc1, or the source in whose data it showed
}

// Share is one value of a label and how much of what it holds is bad.
type Share struct {
	Value string  `json:"value"`
	Bad   float64 `json:"bad"` // 0..1
}

// Impact is how much of what the alert watches is hit.
type Impact struct {
	Unit        string   `json:"unit"`                  // what Bad and All count: Events, Members
	Bad         float64  `json:"bad"`                   // those that failed in the rule's window, or now
	All         float64  `json:"all"`                   //
	Inside      float64  `json:"inside"`                // the share of All that the leading trait holds, 0..1
	Datacentres []string `json:"datacentres,omitempty"` // where members fail, at most 5
	InDC        Count    `json:"in_datacentres,omitzero"`
	Users       Count    `json:"users,omitzero"` // users hit, of those that were seen
}
