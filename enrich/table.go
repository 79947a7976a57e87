package enrich

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Model says what the measures of a table are.
type Model string

// The models. A later one (histogram, additive) is a new word here and a leaf
// model in the explainer.
const (
	// State: Failing is 0 or 1 per member, Weight is 1.
	State Model = "state"
	// Ratio: Failing is bad events, Weight all events of the member.
	Ratio Model = "ratio"
	// Value: Failing is 0 or 1 by the member's own value against the rule's
	// threshold; Value holds it.
	Value Model = "value"
	// Counter: Weight is how many events a member counted; Past says how many
	// it counted before.
	Counter Model = "counter"
	// Histogram: Buckets and Past's Buckets are a member's events by size.
	Histogram Model = "histogram"
	// Additive: Weight is a member's part of a sum, Past's Weight the part that
	// was foreseen.
	Additive Model = "additive"
)

// Table is both populations, one row per member, as columns. Labels are
// dictionary encoded: Cols[c].Codes[row] indexes Cols[c].Dict, and code 0 is
// always "" (the member has no such label).
type Table struct {
	Model   Model
	Cols    []Column
	Failing []float64   // badness of the row, see Model
	Weight  []float64   // size of the row, see Model
	Value   []float64   // the row's own value of the rule's left-hand side; NaN where there is none
	Bad     []bool      // the row's own value breaks the rule; of a Ratio that is no verdict yet, for small rows break it by chance
	Share   float64     // Ratio: the share of bad events at which the rule fires; 0 when it is not known
	Partial bool        // the source said part of the data is missing
	Cut     bool        // a limit of ours ended it early
	Lacking bool        // labels that could set members apart were not read: too early for "nothing in common"
	Past    []Past      // the same members in earlier windows, the one to compare with first; nil when they were not asked
	Buckets [][]float64 // Histogram: events of bucket b (not cumulative) of row i at [b][i], by rising upper bound
	Queries []page.Query
	Query   func(labels page.Labels) string // PromQL that shows the members with these labels
	Before  func(context.Context) *Table    // asks for the Past, and for what is Lacking, and returns the table with it; nil when there is none
	Notes   []string                        // what was left out, in words for the page; they name no label value
	Source  string
	Alert   string

	LastSeen time.Time // where the failing members are gone: when the last of them was there; zero where it is not known

	// Course asks how bad the members with these labels were over time, and
	// since when each value of by is there ("": not asked).
	Course func(by string, labels page.Labels) page.Course

	// Exemplars asks for single events: failing ones of the members with these
	// labels, and healthy ones; nil where the source keeps none.
	Exemplars func(ctx context.Context, labels page.Labels) (Exemplars, error)
}

// Past is what the members of a table did in an earlier window: row for row the
// same measures as the table's own, 0 for a member that was not there.
type Past struct {
	Name    string // how long before: 1h, 1d, 1w
	Failing []float64
	Weight  []float64
	Buckets [][]float64
}

// Column is one label of all rows.
type Column struct {
	Name  string
	Role  string // as configured, "" for none
	Dict  []string
	Codes []uint32
}

// Rows is the number of members.
func (t *Table) Rows() int { return len(t.Bad) }

// Roles maps a role (host, deploy, user, datacentre …) to the labels that play
// it in this installation, in order of preference.
type Roles map[string][]string

// Of returns the role a label plays, "" for none.
func (r Roles) Of(label string) string {
	best, at := "", -1
	for role, names := range r {
		for i, n := range names {
			// two roles may name one label: the one that prefers it more has it, then the lesser name
			if n == label && (at < 0 || i < at || (i == at && role < best)) {
				best, at = role, i
			}
		}
	}
	return best
}
