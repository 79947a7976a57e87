package lint

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var errTooMany = errors.New("too many")

// shape is what can be said of the labels of an expression's series without
// asking a server.
type shape struct {
	closed bool // only names can be there; else all but names
	names  map[string]bool
	must   map[string]bool // surely there
}

func closed() shape { return shape{closed: true, names: map[string]bool{}, must: map[string]bool{}} }

func open() shape { return shape{names: map[string]bool{}, must: map[string]bool{}} }

// can reports whether series can have a label.
func (s shape) can(name string) bool {
	_, named := s.names[name]
	return named == s.closed
}

func (s shape) clone() shape {
	return shape{s.closed, maps.Clone(s.names), maps.Clone(s.must)}
}

// with is the shape where a label can be.
func (s shape) with(name string) shape {
	s = s.clone()
	if s.closed {
		s.names[name] = true
	} else {
		delete(s.names, name)
	}
	return s
}

// without is the shape where labels cannot be.
func (s shape) without(names ...string) shape {
	s = s.clone()
	for _, n := range names {
		if s.closed {
			delete(s.names, n)
		} else {
			s.names[n] = true
		}
		delete(s.must, n)
	}
	return s
}

// only keeps those labels.
func (s shape) only(names ...string) shape {
	out := closed()
	for _, n := range names {
		if s.can(n) {
			out.names[n] = true
		}
		if s.must[n] {
			out.must[n] = true
		}
	}
	return out
}

// or is the shape of series of which some are s and others are o.
func (s shape) or(o shape) shape {
	out := open()
	switch {
	case s.closed && o.closed:
		out.closed = true
		maps.Copy(out.names, s.names)
		maps.Copy(out.names, o.names)
	case s.closed:
		return o.or(s)
	default: // all but what neither can have
		for n := range s.names {
			if !o.can(n) {
				out.names[n] = true
			}
		}
	}
	for n := range s.must {
		if o.must[n] {
			out.must[n] = true
		}
	}
	return out
}

// and is the shape of series that are both.
func (s shape) and(o shape) shape {
	if !s.closed && o.closed {
		return o.and(s)
	}
	out := s.clone()
	for n := range s.names {
		if s.closed && !o.can(n) {
			delete(out.names, n)
		}
	}
	if !s.closed {
		maps.Copy(out.names, o.names)
	}
	maps.Copy(out.must, o.must)
	return out
}

// String names the labels of a closed shape.
func (s shape) String() string {
	if len(s.names) == 0 {
		return "no labels"
	}
	return strings.Join(slices.Sorted(maps.Keys(s.names)), ", ")
}

// shaper derives shapes, each once.
type shaper struct{ known map[parser.Expr]shape }

func newShaper() *shaper { return &shaper{map[parser.Expr]shape{}} }

func (d *shaper) of(e parser.Expr) shape {
	if s, ok := d.known[e]; ok {
		return s
	}
	s := d.derive(e)
	d.known[e] = s
	return s
}

func (d *shaper) derive(e parser.Expr) shape {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return d.of(e.Expr)
	case *parser.StepInvariantExpr:
		return d.of(e.Expr)
	case *parser.UnaryExpr:
		return d.of(e.Expr)
	case *parser.SubqueryExpr:
		return d.of(e.Expr)
	case *parser.MatrixSelector:
		return d.of(e.VectorSelector)
	case *parser.VectorSelector:
		return selected(e)
	case *parser.AggregateExpr:
		return d.aggregated(e)
	case *parser.Call:
		return d.called(e)
	case *parser.BinaryExpr:
		return d.joined(e)
	}
	return closed() // a number
}

func selected(e *parser.VectorSelector) shape {
	s := open()
	for _, m := range e.LabelMatchers {
		switch {
		case m.Type == labels.MatchEqual && m.Value == "":
			s.names[m.Name] = true
		case m.Name != model.MetricNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) && !m.Matches(""):
			s.must[m.Name] = true
		}
	}
	for n := range s.names {
		delete(s.must, n)
	}
	return s
}

func (d *shaper) aggregated(e *parser.AggregateExpr) shape {
	in := d.of(e.Expr)
	var out shape
	switch {
	case slices.Contains([]parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}, e.Op):
		return in // members, chosen within their groups
	case e.Without:
		out = in.without(append([]string{model.MetricNameLabel}, e.Grouping...)...)
	default:
		out = in.only(e.Grouping...)
	}
	if name, ok := unparen(e.Param).(*parser.StringLiteral); ok && e.Op == parser.COUNT_VALUES {
		out = out.with(name.Val)
	}
	return out
}

// called knows the functions that make or drop labels; the others keep those
// of their vector.
func (d *shaper) called(e *parser.Call) shape {
	switch e.Func.Name {
	case "absent", "absent_over_time":
		return d.absent(e)
	case "vector", "time", "pi", "scalar":
		return closed()
	case "info":
		return open()
	case "histogram_quantiles":
		if len(e.Args) > 1 {
			if name, ok := unparen(e.Args[1]).(*parser.StringLiteral); ok {
				return d.of(e.Args[0]).with(name.Val)
			}
		}
		return open()
	}
	var in shape
	found := false
	for _, a := range e.Args {
		if t := a.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			in, found = d.of(a), true
			break
		}
	}
	if !found {
		return closed() // hour() without an argument
	}
	if name := e.Func.Name; (name == "label_replace" || name == "label_join") && len(e.Args) > 1 {
		dst, ok := unparen(e.Args[1]).(*parser.StringLiteral)
		if !ok {
			return open()
		}
		in = in.with(dst.Val)
		delete(in.must, dst.Val)
	}
	if e.Func.Name == "histogram_quantile" || e.Func.Name == "histogram_fraction" {
		in = in.without("le")
	}
	return in
}

// absent has the labels that its selector says by =.
func (d *shaper) absent(e *parser.Call) shape {
	out := closed()
	if len(e.Args) != 1 {
		return out
	}
	arg := unparen(e.Args[0])
	if m, ok := arg.(*parser.MatrixSelector); ok {
		arg = m.VectorSelector
	}
	sel, ok := arg.(*parser.VectorSelector)
	if !ok {
		return out
	}
	times := map[string]int{}
	for _, m := range sel.LabelMatchers {
		if times[m.Name]++; m.Name == model.MetricNameLabel || m.Type != labels.MatchEqual || m.Value == "" || times[m.Name] > 1 {
			delete(out.names, m.Name)
			delete(out.must, m.Name)
			continue
		}
		out.names[m.Name], out.must[m.Name] = true, true
	}
	return out
}

func (d *shaper) joined(e *parser.BinaryExpr) shape {
	scalarL, scalarR := e.LHS.Type() == parser.ValueTypeScalar, e.RHS.Type() == parser.ValueTypeScalar
	m := e.VectorMatching
	switch {
	case scalarL && scalarR:
		return closed()
	case scalarR || e.Op == parser.LAND || e.Op == parser.LUNLESS:
		return d.of(e.LHS)
	case scalarL:
		return d.of(e.RHS)
	case e.Op == parser.LOR:
		return d.of(e.LHS).or(d.of(e.RHS))
	case m == nil:
		return open()
	}
	many, one := d.of(e.LHS), d.of(e.RHS)
	if m.Card == parser.CardOneToMany {
		many, one = one, many
	}
	if m.FillValues.LHS != nil || m.FillValues.RHS != nil {
		return many.or(one) // either may be missing
	}
	switch {
	case m.Card != parser.CardOneToOne:
		for _, n := range m.Include {
			if many = many.without(n); one.can(n) {
				many = many.with(n)
			}
		}
		return many
	case m.On:
		return many.and(one).only(m.MatchingLabels...)
	}
	drop := slices.Clone(m.MatchingLabels)
	return many.without(drop...).and(one.without(drop...).with(model.MetricNameLabel))
}

func unparen(e parser.Expr) parser.Expr {
	for {
		switch p := e.(type) {
		case *parser.ParenExpr:
			e = p.Expr
		case *parser.StepInvariantExpr:
			e = p.Expr
		default:
			return e
		}
	}
}
