package page

import (
	"maps"
	"time"
)

// Count is how many members of a population match.
type Count struct {
	Matched int `json:"matched"`
	Total   int `json:"total"`
}

// Share is Matched/Total, 0 for an empty population.
func (c Count) Share() float64 {
	if c.Total == 0 {
		return 0
	}
	return float64(c.Matched) / float64(c.Total)
}

// Trait is what failing members have in common that healthy ones do not.
type Trait struct {
	Labels  Labels  `json:"labels"`          // the conjunction: every label=value of it holds
	Failing Count   `json:"failing"`         // members of the failing population that match
	Healthy Count   `json:"healthy"`         // members of the healthy population that match
	Share   float64 `json:"share"`           // share of the badness inside, 0..1 (for counted events: of the events)
	Score   float64 `json:"score"`           // log-likelihood ratio less its description length, in nats
	Role    string  `json:"role,omitempty"`  // the configured role of its first label: host, user, deploy, datacentre …
	Query   string  `json:"query"`           // PromQL that shows its members
	Link    string  `json:"link,omitempty"`  // opens Query in the source's own UI
	Source  string  `json:"source"`          // name of the source that answered
	Also    []Label `json:"also,omitempty"`  // labels that say the same: "also node=n12"
	Alert   string  `json:"alert,omitempty"` // alertname of the rule it explains

	Rules []string `json:"rules,omitempty"` // where a problem has several: all that show it, the one its counts are of first

	Course   *Course `json:"course,omitempty"`   // asks when it began
	Versions []Share `json:"versions,omitempty"` // of a deploy: its own value first, then the others by their size
	Strength string  `json:"strength,omitempty"` // strong, likely or weak; docs/traits.md says of what
	Rival    Labels  `json:"rival,omitempty"`    // other labels that explain nearly as much and cannot be told apart from these
	Agree    Count   `json:"agree,omitzero"`     // earlier windows that, each alone, show the trait too
}

// Label is one name and value.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Query is one question that was asked, and what it cost.
type Query struct {
	Source  string        `json:"source"`
	Text    string        `json:"text"`
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	Series  int           `json:"series"`
	Bytes   int64         `json:"bytes,omitempty"`
	Partial bool          `json:"partial,omitempty"` // the source said part of the data was missing
	Cached  bool          `json:"cached,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// Context is what enrichment found out about a problem.
type Context struct {
	Traits  []Trait   `json:"traits,omitempty"` // best first
	None    bool      `json:"none,omitempty"`   // both populations were seen and nothing sets them apart
	Scope   Labels    `json:"scope,omitempty"`  // constant over both populations: where, never why
	Failing int       `json:"failing"`          // members
	Healthy int       `json:"healthy"`          // members
	Queries []Query   `json:"queries,omitempty"`
	Notes   []Note    `json:"notes,omitempty"` // what is missing or partial, in words for the page
	Pending bool      `json:"pending,omitempty"`
	At      time.Time `json:"at,omitzero"` // when the answer was complete

	Impact  *Impact  `json:"impact,omitempty"`
	Course  *Course  `json:"course,omitempty"`  // of all members, where they have nothing in common
	Source  string   `json:"source,omitempty"`  // whom Course is for
	Onset   *Onset   `json:"onset,omitempty"`   // comes after the traits
	Changes []Change `json:"changes,omitempty"` // around the onset, in order of time

	LastSeen time.Time `json:"last_seen,omitzero"` // where the failing are gone: when the last of them was there

	Exemplars *Exemplars `json:"exemplars,omitempty"` // of the leading trait, or of all members where they have nothing in common; come after the traits
}

// Known reports whether the context answers "what do they share?", be it with "nothing".
func (c Context) Known() bool { return len(c.Traits) > 0 || c.None }

// Dating returns the question when the badness began and the source to ask: of
// the leading trait, or of all members where they have nothing in common.
func (c Context) Dating() (Course, string, bool) {
	switch {
	case len(c.Traits) > 0 && c.Traits[0].Course != nil:
		return *c.Traits[0].Course, c.Traits[0].Source, true
	case len(c.Traits) == 0 && c.None && c.Course != nil:
		return *c.Course, c.Source, true
	}
	return Course{}, "", false
}

// SameCause reports whether c and other say the same of what the failing share,
// be the counts as they may.
func (c Context) SameCause(other Context) bool {
	if len(c.Traits) == 0 || len(other.Traits) == 0 {
		return len(c.Traits) == len(other.Traits) && c.None == other.None
	}
	return maps.Equal(c.Traits[0].Labels, other.Traits[0].Labels)
}

// Note is one line the page owes its reader: what is missing and why.
type Note struct {
	Room string    `json:"room"` // enrich, notify, webhook …
	Text string    `json:"text"`
	At   time.Time `json:"at,omitzero"`
}
