// Package enrich answers "what do the failing share that the healthy do not?"
// within a deadline, from sources that may hang, lie or be partly there.
package enrich

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/page"
)

// Source fills tables: one row per member, failing and healthy alike. A source
// over metrics asks PromQL about the members of the alert's own selector; one
// over logs asks a terms aggregation about what the alert's labels select, each
// bucket a member (enrichtest.Terms, docs/adr/0016). It keeps the context's
// deadline and its own limits, and returns what it has with Partial set rather
// than nothing. One that cannot do without an expression and is given none
// returns ErrNoRule.
type Source interface {
	Table(ctx context.Context, q Question) (*Table, error)
}

// Explainer finds the traits in a table. It is deterministic and asks nobody.
type Explainer interface {
	Explain(t *Table) Finding
}

// Question is what a source is asked: about one rule's expression.
type Question struct {
	Alert    string        // alertname, for the trait's own record
	Expr     string        // the rule's expression, PromQL; "" where nobody knows it
	Labels   page.Labels   // labels all firing alerts of the rule share, the rule's own static labels among them: untrusted
	Group    page.Labels   // labels of the Alertmanager group: where the problem is, never why
	Firing   []page.Labels // label sets of the firing alerts of this rule in this problem
	At       time.Time     // evaluate at
	Since    time.Time     // when the first of the firing alerts began; zero: unknown
	Deadline time.Time     // the first answer is wanted by then
}

// Finding is what an Explainer says about one table.
type Finding struct {
	Traits  []page.Trait // best first; Query and Source are filled in by the Enricher
	None    bool         // both populations are there and nothing sets them apart
	Scope   page.Labels  // constant over both
	Failing int
	Healthy int
	Minor   *page.Trait // looks worse than the rest and does not explain the alert: no trait, and no None either
	Notes   []string    // what is missing; they name no label value
}

// Kind is one way to make a Source; app/kinds.go lists them.
type Kind struct {
	Name string
	// Config returns a pointer to the kind's own config section with its
	// defaults set, for the decoder, the schema and the reference.
	Config func() any
	// New builds a source from what Config returned, decoded and validated.
	// It does not reach out: a source that is down must not stop the house.
	New func(cfg any, d Deps) (Source, error)
}

// Deps is what the house lends to a source.
type Deps struct {
	Name      string // the configured name
	Transport http.RoundTripper
	Log       *slog.Logger
	Reg       prometheus.Registerer
	Roles     Roles
	Now       func() time.Time
}

// Checker is a Source that can prove its connection (`tocsin check --connect`).
type Checker interface {
	Check(ctx context.Context) error
}

// ErrNoRule is returned by a Ruler that has no rule for an alert, or several.
var ErrNoRule = errors.New("no rule")

// Ruler is a Source that knows the rules: it finds the expression of an alert
// whose generator URL names none. Labels choose among rules of one name.
type Ruler interface {
	Expr(ctx context.Context, alertname string, labels page.Labels) (string, error)
}

// Keyer is a Source that can tell which questions have the same answer: those
// with equal keys, their time apart. Without it all of a question counts.
type Keyer interface {
	Key(q Question) string
}

// Redactor is a Source whose queries are no PromQL: it hides the values of labels
// in them itself, and says whether there were any. What it cannot read it
// returns as "", true.
type Redactor interface {
	Redact(query string, hides func(label string) bool) (string, bool)
}

// Linker is a Source that can show a query in its own UI.
type Linker interface {
	Link(query string, at time.Time) string
}
