// Package lint tells authors of alerting rules what is wrong with them, with a
// fix for each. It works on the expression's syntax tree. An error is provably
// broken; what cannot be proved is a warning or said for information.
package lint

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/rules"
)

// Severity says how sure a finding is that the rule is broken.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // provably broken
	Warning Severity = "warning" // hardly what its author means
	Info    Severity = "info"    // a habit that pays off
)

// Reaches reports whether s is as grave as other, or graver.
func (s Severity) Reaches(other Severity) bool {
	order := []Severity{Info, Warning, Error}
	return slices.Index(order, s) >= slices.Index(order, other)
}

// Finding is one thing to mend.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`
	Rule     string   `json:"rule,omitempty"` // name of the alert or of the recorded series
	Message  string   `json:"message"`
	Fix      string   `json:"fix"`

	Home Place `json:"-"` // where the rule begins: comments there suppress it

	old bool // of a rule that is not asked about
}

// Place is a line (1-based) of a file.
type Place struct {
	File string
	Line int
}

// Source is what was read from one file, or compiled from a tree.
type Source struct {
	Path   string
	Groups []rules.Group
	Broken []*config.Mistake // what the reader found
	// At tells where a field of a rule is written, "" being the rule itself;
	// nil takes Path and the lines of the rule.
	At func(r *rules.Rule, field string) Place
}

// Remedy is a policy that acts on alerts by itself.
type Remedy struct {
	Policy  string
	Label   string // names the target
	Matches func(labels map[string]string) bool
}

// Options of the checks.
type Options struct {
	Texts    map[string][]byte                 // the files by their paths: their comments are heeded
	Scrape   func(e parser.Expr) time.Duration // of the series of a selector, 0 where it is not known; nil: nothing is known
	Roles    map[string][]string               // role to labels
	Remedies []Remedy

	Changed func(s *Source, g *rules.Group, r *rules.Rule) bool // only findings of such rules are returned; nil: of all
	Same    map[string]bool                                     // files that did not change: nothing is said of their comments
}

// maxNodes bounds the expressions that are judged: longer ones were written by
// a machine.
const maxNodes = 4000

// Run judges all rules and returns findings by file and line. More are those of
// checks that are made elsewhere: comments suppress them as well.
func Run(sources []Source, o Options, more ...Finding) []Finding {
	l := &linter{options: o, seen: map[string]Place{}, recorded: map[string][]expr.Recording{}, shapes: map[string]shape{}}
	for _, s := range sources {
		for _, g := range s.Groups {
			for _, r := range g.Rules {
				if r.Record != "" {
					l.record(&r)
				}
			}
		}
	}
	found := slices.Clone(more)
	for _, s := range sources {
		for _, m := range s.Broken {
			found = append(found, Finding{
				File: m.File, Line: m.Line, Severity: Error, Check: checkSyntax, Message: m.Text,
				Fix: "mend it: nothing of a file with a mistake is loaded", Home: Place{m.File, m.Line}, old: o.Same[m.File],
			})
		}
		for i := range s.Groups {
			for k := range s.Groups[i].Rules {
				found = append(found, l.judge(&s, &s.Groups[i], &s.Groups[i].Rules[k])...)
			}
		}
	}
	found = slices.DeleteFunc(disable(found, sources, o.Texts), func(f Finding) bool {
		return f.old || f.Check == checkDisable && o.Same[f.File]
	})
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Check, b.Check), strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(found, func(a, b Finding) bool {
		a.Home, a.Rule = b.Home, b.Rule // the rules of a template say it once
		return a == b
	})
}

// linter knows what rules know of each other.
type linter struct {
	options  Options
	seen     map[string]Place
	recorded map[string][]expr.Recording
	shapes   map[string]shape // of recorded series
}

func (l *linter) record(r *rules.Rule) {
	l.recorded[r.Record] = append(l.recorded[r.Record], expr.Recording{Expr: r.Expr, Labels: r.Labels})
	e, err := rules.ParseExpr(r.Expr)
	if err != nil || !small(e) {
		return
	}
	s := newShaper().of(e)
	for name := range r.Labels {
		s = s.with(name)
	}
	if was, ok := l.shapes[r.Record]; ok {
		s = was.or(s)
	}
	l.shapes[r.Record] = s
}

func (l *linter) judge(s *Source, g *rules.Group, r *rules.Rule) []Finding {
	j := &judge{linter: l, source: s, group: g, rule: r, shaper: newShaper()}
	j.duplicate()
	e, err := rules.ParseExpr(r.Expr)
	if err != nil || !small(e) {
		return j.found // the reader has said so, or a machine wrote it
	}
	j.expr = e
	j.expression()
	if r.Alert != "" {
		j.alert()
	}
	return j.found
}

// judge looks at one rule.
type judge struct {
	*linter

	source *Source
	group  *rules.Group
	rule   *rules.Rule
	expr   parser.Expr
	shaper *shaper
	found  []Finding
}

// add says something about a field; "" is the rule itself.
func (j *judge) add(field string, severity Severity, check, message, fix string) {
	j.at(j.place(field), severity, check, message, fix)
}

// in says something about a part of the expression.
func (j *judge) in(n parser.Node, severity Severity, check, message, fix string) {
	at := j.place("expr")
	if j.source.At == nil {
		at.Line += blockLines(j.options.Texts[at.File], at.Line, j.rule.Expr, int(n.PositionRange().Start))
	}
	j.at(at, severity, check, message, fix)
}

func (j *judge) at(at Place, severity Severity, check, message, fix string) {
	f := j.source.Finding(j.rule, "", severity, check, message, fix)
	f.File, f.Line, f.old = at.File, at.Line, j.options.Changed != nil && !j.options.Changed(j.source, j.group, j.rule)
	j.found = append(j.found, f)
}

func (j *judge) place(field string) Place { return j.source.place(j.rule, field) }

func (s *Source) place(r *rules.Rule, field string) Place {
	if s.At != nil {
		return s.At(r, field)
	}
	return Place{s.Path, r.Lines.Of(field, r.Line)}
}

// Finding makes one about a field of a rule, "" being the rule itself.
func (s *Source) Finding(r *rules.Rule, field string, severity Severity, check, message, fix string) Finding {
	at := s.place(r, field)
	return Finding{File: at.File, Line: at.Line, Severity: severity, Check: check, Rule: r.Name(), Message: message, Fix: fix, Home: s.place(r, "")}
}

// labels are those that the rule adds to its alerts.
func (j *judge) labels() map[string]string {
	out := maps.Clone(j.group.Labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, j.rule.Labels)
	return out
}

// blockLines is how many lines behind its key a part of an expression stands
// that is written as a block: `expr: |`.
func blockLines(text []byte, line int, expression string, at int) int {
	lines := strings.SplitN(string(text), "\n", line+1)
	if line < 1 || len(lines) < line || at < 0 || at > len(expression) {
		return 0
	}
	key, _, _ := strings.Cut(lines[line-1], " #")
	key = strings.TrimRight(key, " \t\r+-0123456789")
	if !strings.HasSuffix(key, "|") {
		return 0
	}
	return 1 + strings.Count(expression[:at], "\n")
}

// small reports whether an expression is one that a person would read.
func small(e parser.Expr) bool {
	n := 0
	parser.Inspect(e, func(parser.Node, []parser.Node) error {
		if n++; n > maxNodes {
			return errTooMany
		}
		return nil
	})
	return n <= maxNodes
}
