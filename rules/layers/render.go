package layers

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
)

// body is what a rule says once its parameters are in their places; apps with
// the same body share a rule.
type body struct {
	expr, wait, keep    string
	labels, annotations map[string]string
	uses                []string // parameters
	key                 string   // equal where all of it is
}

// renderer fills the rules of a template, once per distinct set of values.
type renderer struct {
	t      *Tree
	tm     *template
	known  map[string][]*body // by all values
	bodies map[string]*body   // of single rules
}

func newRenderer(t *Tree, tm *template) *renderer {
	return &renderer{t, tm, map[string][]*body{}, map[string]*body{}}
}

// render returns a body per rule of the template, nil for those that are off.
// app is named where a value is missing; "" are those that nobody knows.
func (r *renderer) render(res *resolved, app string) []*body {
	var sig strings.Builder
	for _, s := range res.winners {
		if s == nil || s.Deleted {
			sig.WriteByte(1)
			continue
		}
		sig.WriteString(s.Value)
		sig.WriteByte(0)
	}
	if known, ok := r.known[sig.String()]; ok {
		return known
	}
	values := map[string]value{}
	for _, p := range r.tm.params {
		if s := res.param(r.tm, p.Name); s != nil {
			if v, err := p.parse(s.Value); err == nil { // else it was said by settle
				values[p.Name] = v
			}
		}
	}
	out := make([]*body, len(r.tm.rules))
	for i, h := range r.tm.rules {
		if res.on(r.tm, h.id) {
			out[i] = r.rule(res, h, values, app)
		}
	}
	r.known[sig.String()] = out
	return out
}

// param is the setting that gives a parameter its value: the template's where
// a layer took it back by null.
func (r *resolved) param(tm *template, name string) *Setting {
	at := Path{Part: partParams, Name: name}
	if s := r.at(tm, at); s != nil {
		return s
	}
	for _, e := range tm.base.entries {
		if e.path == at && !e.set.Deleted {
			return e.set
		}
	}
	return nil
}

// rule fills one rule.
func (r *renderer) rule(res *resolved, h *ruleHead, values map[string]value, app string) *body {
	f := &filler{tm: r.tm, values: values, used: map[string]bool{}}
	b := &body{labels: map[string]string{}, annotations: map[string]string{}}
	for i, at := range r.tm.paths {
		s := res.winners[i]
		if at.Rule != h.id || s == nil || s.Deleted || at.Part == partEnabled {
			continue
		}
		form := f.text
		if at.Part == partExpr {
			form = f.expr
		}
		text, err := form(s.Value)
		if missing, ok := errors.AsType[*missingError](err); ok {
			if app == "" {
				return nil // of apps that are not in the inventory nobody said it: no rule
			}
			r.t.found.add(&config.Mistake{File: path.Join(r.t.dir, r.tm.file), Line: missing.p.line, Text: missing.Error() +
				" for app " + app + ": set it in a layer, or give it a default"})
			return nil
		}
		if err == nil {
			err = b.put(at, text)
		}
		if err != nil {
			r.t.wrong(s, "%s: %v", at, err)
			return nil
		}
	}
	b.uses = slices.Sorted(maps.Keys(f.used))
	same := strings.Join(slices.Concat(b.uses, []string{h.id, b.all()}), "\x00")
	if known, ok := r.bodies[same]; ok {
		return known // of other values of parameters that this rule does not use
	}
	if err := r.sound(h, b); err != nil {
		r.t.wrong(r.blamed(res, h, err), "%s: %v", h.id, err)
		b = nil
	} else {
		b.key = b.all()
	}
	r.bodies[same] = b
	return b
}

// put sets a field of the body.
func (b *body) put(at Path, text string) error {
	switch at.Part {
	case partExpr:
		b.expr = text
	case partLabels:
		b.labels[at.Name] = text
	case partAnnotations:
		b.annotations[at.Name] = text
	default:
		d, err := model.ParseDuration(text)
		if err != nil {
			return errors.New(`"` + text + `" is not a duration: write 30s, 5m or 1h30m`)
		}
		text := d.String()
		if d == 0 {
			text = "" // the same as none
		}
		if at.Part == partFor {
			b.wait = text
		} else {
			b.keep = text
		}
	}
	return nil
}

// exprError says that an expression is what is wrong with a rule.
type exprError struct{ error }

// sound holds a rule against Prometheus' own checks, and against what rules
// per app must keep to; its expression is printed anew.
func (r *renderer) sound(h *ruleHead, b *body) error {
	e, err := parsePromQL(b.expr)
	if err != nil {
		return exprError{err}
	}
	if r.tm.perApp {
		if err := unnamed(e, r.t.Settings.AppLabel); err != nil {
			return exprError{err}
		}
		if err := (carrier{r.t.Settings.AppLabel, r.tm.shared}).check(e); err != nil {
			return exprError{err}
		}
	}
	b.expr = e.String()
	rule := rulefmt.Rule{Expr: b.expr, Labels: b.labels, Annotations: b.annotations}
	if h.alert {
		rule.Alert = h.name
	} else {
		rule.Record = h.name
	}
	for _, err := range rule.Validate(rulefmt.RuleNode{}, model.LegacyValidation, parser.NewParser(parser.Options{})) {
		return err.Unwrap()
	}
	return nil
}

// blamed is the setting to point at for a rule that is not sound.
func (r *renderer) blamed(res *resolved, h *ruleHead, err error) *Setting {
	if _, ok := errors.AsType[exprError](err); ok {
		if s := res.at(r.tm, Path{Rule: h.id, Part: partExpr}); s != nil {
			return s
		}
	}
	return &Setting{File: r.tm.file, Line: h.line}
}

// all is everything that a body says.
func (b *body) all() string {
	var s strings.Builder
	write := func(words ...string) {
		for _, w := range words {
			s.WriteString(w)
			s.WriteByte(0)
		}
	}
	write(b.expr, b.wait, b.keep)
	for _, m := range []map[string]string{b.labels, b.annotations} {
		write("")
		for _, k := range slices.Sorted(maps.Keys(m)) {
			write(k, m[k])
		}
	}
	return s.String()
}
