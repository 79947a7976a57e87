package remediate

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxQuestion and maxSelectors bound a question.
const (
	maxQuestion  = 4 << 10
	maxSelectors = 8
)

// Pose returns PromQL in which $target and $pool stand for a target's name and
// pool: bare, as a matcher's whole value, or inside a matcher's string. They are
// put into the syntax tree, and quoted where a matcher is a regular expression.
func Pose(text string, t Target) (string, error) {
	q, err := pose(text, t)
	if err != nil {
		return "", err
	}
	return q.String(), nil
}

func pose(text string, t Target) (parser.Expr, error) {
	if len(text) > maxQuestion {
		return nil, fmt.Errorf("the question is over %d bytes", maxQuestion)
	}
	quoted, err := quoteBare(text)
	if err != nil {
		return nil, err
	}
	q, err := parser.NewParser(parser.Options{}).ParseExpr(quoted)
	if err != nil {
		return nil, fmt.Errorf("no PromQL: %w", err)
	}
	if q.Type() != parser.ValueTypeVector {
		return nil, fmt.Errorf("it gives a %s: write a question that gives samples", parser.DocumentedType(q.Type()))
	}
	var errs []error
	parser.Inspect(q, func(n parser.Node, _ []parser.Node) error {
		if misplaced(n) {
			errs = append(errs, errors.New("$target and $pool stand for values of matchers, nowhere else"))
		}
		if sel, ok := n.(*parser.VectorSelector); ok {
			errs = append(errs, fill(sel, t))
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return q, nil
}

// fill puts a target's name and pool into the matchers of a selector.
func fill(sel *parser.VectorSelector, t Target) error {
	value := strings.NewReplacer("$target", t.Name, "$pool", t.Pool)
	pattern := strings.NewReplacer("$target", regexp.QuoteMeta(t.Name), "$pool", regexp.QuoteMeta(t.Pool))
	for i, m := range sel.LabelMatchers {
		r := value
		switch {
		case !placed(m.Value):
			continue
		case t.Name == "" && strings.Contains(m.Value, "$target"), t.Pool == "" && strings.Contains(m.Value, "$pool"):
			return errors.New("the target or its pool has no name: an empty value would match what lacks the label")
		case m.Name == model.MetricNameLabel:
			return errors.New("$target and $pool do not name metrics")
		case m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp:
			r = pattern
		}
		filled, err := labels.NewMatcher(m.Type, m.Name, r.Replace(m.Value))
		if err != nil {
			return err
		}
		sel.LabelMatchers[i] = filled
	}
	return nil
}

// misplaced reports whether $target or $pool stands where it has no meaning: as
// a text, or as the name of a label.
func misplaced(n parser.Node) bool {
	switch n := n.(type) {
	case *parser.StringLiteral:
		return placed(n.Val)
	case *parser.VectorSelector:
		return slices.ContainsFunc(n.LabelMatchers, func(m *labels.Matcher) bool { return placed(m.Name) })
	case *parser.AggregateExpr:
		return slices.ContainsFunc(n.Grouping, placed)
	case *parser.BinaryExpr:
		return n.VectorMatching != nil && slices.ContainsFunc(slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include), placed)
	}
	return false
}

func placed(s string) bool { return strings.Contains(s, "$target") || strings.Contains(s, "$pool") }

// quoteBare puts $target and $pool into quotes where they stand outside of them.
func quoteBare(text string) (string, error) {
	var b strings.Builder
	for len(text) > 0 {
		switch c := text[0]; c {
		case '"', '\'', '`':
			end := literal(text)
			b.WriteString(text[:end])
			text = text[end:]
		case '#':
			_, rest, _ := strings.Cut(text, "\n")
			b.WriteByte('\n')
			text = rest
		case '$':
			name := ""
			for _, known := range []string{"$target", "$pool"} {
				if rest, ok := strings.CutPrefix(text, known); ok && !word(rest) {
					name = known
				}
			}
			if name == "" {
				return "", errors.New("only $target and $pool can stand in a question")
			}
			b.WriteString(strconv.Quote(name))
			text = text[len(name):]
		default:
			b.WriteByte(c)
			text = text[1:]
		}
	}
	return b.String(), nil
}

// literal is where the string literal that begins a text ends.
func literal(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] != '`':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return len(text)
}

// word reports whether a text begins with what a name could go on with.
func word(s string) bool {
	return s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] >= '0' && s[0] <= '9')
}

// freshness is a question after the time of the oldest of the newest samples
// that a selector reads, and how far back the selector means to look.
type freshness struct {
	query  string
	offset time.Duration
}

// freshnesses are those of every selector of a question, each once.
func freshnesses(q parser.Expr) ([]freshness, error) {
	var out []freshness
	var errs []error
	parser.Inspect(q, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.SubqueryExpr:
			if n.OriginalOffset != 0 || n.Timestamp != nil || n.StartOrEnd != 0 {
				errs = append(errs, errors.New("a subquery with an offset or @ is not about now"))
			}
		case *parser.VectorSelector:
			if n.Timestamp != nil || n.StartOrEnd != 0 || n.OriginalOffset < 0 {
				errs = append(errs, errors.New("a selector with @ or a negative offset is not about now"))
			}
			f := freshness{query: "min(timestamp(" + n.String() + "))", offset: n.OriginalOffset}
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
		return nil
	})
	if len(out) == 0 {
		errs = append(errs, errors.New("it asks for no metric"))
	}
	if len(out) > maxSelectors {
		errs = append(errs, fmt.Errorf("it reads %d selectors, at most %d", len(out), maxSelectors))
	}
	return out, errors.Join(errs...)
}

// metricsOf are the metrics that a text of PromQL reads by name; ok is false if
// it cannot be told of all of them.
func metricsOf(q parser.Expr) (names []string, ok bool) {
	ok = true
	parser.Inspect(q, func(n parser.Node, _ []parser.Node) error {
		sel, is := n.(*parser.VectorSelector)
		if !is {
			return nil
		}
		name := sel.Name
		for _, m := range sel.LabelMatchers {
			if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
				name = m.Value
			}
		}
		if name == "" {
			ok = false
		}
		names = append(names, name)
		return nil
	})
	return names, ok
}

// requirement is what must hold of one number: <= 5.
type requirement struct {
	op    string
	limit float64
}

func parseRequirement(text string) (requirement, error) {
	s := strings.TrimSpace(text)
	for _, op := range []string{"<=", ">=", "==", "!=", "<", ">"} {
		rest, ok := strings.CutPrefix(s, op)
		if !ok {
			continue
		}
		limit, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
		if err != nil || math.IsNaN(limit) || math.IsInf(limit, 0) {
			break
		}
		return requirement{op, limit}, nil
	}
	return requirement{}, fmt.Errorf("%q is no condition: write it as <= 5", text)
}

// holds reports whether a number meets it. NaN meets nothing.
func (r requirement) holds(v float64) bool {
	switch {
	case math.IsNaN(v):
		return false
	case r.op == "<=":
		return v <= r.limit
	case r.op == ">=":
		return v >= r.limit
	case r.op == "==":
		return v == r.limit
	case r.op == "!=":
		return v != r.limit
	case r.op == "<":
		return v < r.limit
	case r.op == ">":
		return v > r.limit
	}
	return false
}

// String writes the condition.
func (r requirement) String() string { return r.op + " " + number(r.limit) }

// number writes a value as people read it.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
