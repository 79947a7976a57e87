// Package rules is the room of the authors: rule files read with the line of
// every field, and written so that the same rules are always the same bytes.
// What is made of them (the time to notify, layers, lint, replay) stands in its
// subfolders.
package rules

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Lines tells the line (1-based) of each field that stands in a file, by the
// field's path: "for", "expr", "labels.severity", "annotations.summary".
type Lines map[string]int

// Of returns the line of a field, or that of what it would stand in: of the
// field's section, else the given line.
func (l Lines) Of(field string, otherwise int) int {
	if line, ok := l[field]; ok {
		return line
	}
	for i := range field {
		if field[i] != '.' {
			continue
		}
		if line, ok := l[field[:i]]; ok {
			return line
		}
		break
	}
	return otherwise
}

// File is the rule groups of one file: a Prometheus or Thanos Ruler rule file,
// or PrometheusRule objects, alone, as several documents, or in a List.
type File struct {
	Path   string
	Groups []Group // in the order of the file
}

// Group is a list of rules that are evaluated together, one after the other.
type Group struct {
	Name            string
	Object          string            // "namespace/name" of the PrometheusRule it stands in; "" in a rule file
	Interval        time.Duration     // 0: the server's evaluation interval
	QueryOffset     *time.Duration    // nil: the server's rule_query_offset
	Limit           int               // 0: none
	Labels          map[string]string // added to every rule's
	PartialResponse string            // Thanos Ruler: "abort", "warn", or "": its default, abort
	Rules           []Rule            // in the order of evaluation

	Line     int               // where it begins, 0 when it was not read from a file
	Lines    Lines             // of its fields
	Comments map[string]string // by field, as Lines; written behind the field by Write; "" is the group's own, above it
}

// Rule is an alerting rule (Alert is set) or a recording rule (Record is).
type Rule struct {
	Alert         string
	Record        string
	Expr          string // PromQL that parses
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        map[string]string
	Annotations   map[string]string

	Line     int               // where it begins, 0 when it was not read from a file
	Lines    Lines             // of its fields
	Comments map[string]string // by field, as Lines; written behind the field by Write; "" is the rule's own, above it
}

// Name returns the name of the alert or of the recorded series.
func (r *Rule) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

// Severity returns the severity that its alerts carry: the rule's own label,
// else the group's; "" when there is none.
func (g *Group) Severity(r *Rule) string {
	if s, ok := r.Labels["severity"]; ok {
		return s
	}
	return g.Labels["severity"]
}

// Bounds on what is read. A rule file of 1,000 alerts has half a megabyte.
const (
	MaxFile = 16 << 20 // bytes of a file
	MaxExpr = 1 << 20  // bytes of an expression: one that names thousands of apps has a hundred thousand
	maxNest = 256      // open brackets in an expression
)

// ParseExpr parses PromQL with everything switched on that a server may switch
// on: experimental functions, arithmetic in durations, fill modifiers. What is
// too large or nested too deep to be a rule is refused before it is parsed.
func ParseExpr(text string) (parser.Expr, error) {
	if len(text) > MaxExpr {
		return nil, fmt.Errorf("the expression has %d bytes, at most %d are read", len(text), MaxExpr)
	}
	if nesting(text) > maxNest {
		return nil, fmt.Errorf("the expression is nested deeper than %d", maxNest)
	}
	return promql().ParseExpr(text)
}

func promql() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, ExperimentalDurationExpr: true,
		EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	})
}

func nesting(text string) int {
	open, most := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			open++
			most = max(most, open)
		case ')':
			open--
		}
	}
	return most
}
