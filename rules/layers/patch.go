package layers

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// put adds a field with its value to a patch.
func (r *reader) put(p *patch, at Path, n *yaml.Node) {
	if s := r.setting(n); s != nil {
		p.entries = append(p.entries, entry{at, s})
	}
}

// rule reads one rule: all of it in a template, what is different in a layer.
func (r *reader) rule(tm *template, p *patch, n *yaml.Node, base bool) {
	h := &ruleHead{line: n.Line}
	var fields [][2]*yaml.Node
	for k, v := range r.pairs(n) {
		switch k.Value {
		case "alert", "record":
			if h.name != "" {
				r.bad(k.Line, "a rule is an alert or a recording rule, not both")
			}
			h.alert, h.name = k.Value == "alert", r.text(v)
		case "name":
			h.id = r.text(v)
		default:
			fields = append(fields, [2]*yaml.Node{k, v})
		}
	}
	if base {
		h = r.head(tm, h)
	} else {
		h = r.called(tm, h)
	}
	if h == nil {
		return
	}
	if line, twice := p.rules[h.id]; twice {
		r.bad(n.Line, "rule %q stands at line %d already: put the two together", h.id, line)
	}
	p.rules[h.id] = n.Line
	for _, kv := range fields {
		r.field(tm, p, h, kv[0], kv[1])
	}
	if base && !has(p, Path{Rule: h.id, Part: partExpr}) {
		r.bad(n.Line, "%s has no expr", h.id)
	}
}

func has(p *patch, at Path) bool {
	for _, e := range p.entries {
		if e.path == at {
			return true
		}
	}
	return false
}

// head adds a rule to its template.
func (r *reader) head(tm *template, h *ruleHead) *ruleHead {
	if h.id == "" {
		h.id = h.name
	}
	switch {
	case h.name == "":
		r.bad(h.line, "give the rule its name: `alert: HighErrorRate` or `record: app:errors:rate1m`")
		return nil
	case !h.alert && !model.LegacyValidation.IsValidMetricName(h.name):
		r.bad(h.line, "%q is not the name of a metric", h.name)
		return nil
	case strings.HasPrefix(h.id, partParams+"."):
		r.bad(h.line, "%q reads as a parameter: call it otherwise by `name:`", h.id)
		return nil
	}
	if other := tm.rule(h.id); other != nil {
		r.bad(h.line, "rule %q stands at line %d already: give one of them another `name:`, by which layers call it", h.id, other.line)
		return nil
	}
	tm.rules = append(tm.rules, h)
	return h
}

// called finds the rule that a layer means.
func (r *reader) called(tm *template, h *ruleHead) *ruleHead {
	id := h.id
	if id == "" {
		id = h.name
	}
	if id == "" {
		r.bad(h.line, "say which rule: `alert: %s`", strings.Join(tm.ruleNames(), "` or `alert: "))
		return nil
	}
	found := tm.rule(id)
	if found == nil {
		r.bad(h.line, "template %s has no rule %q%s", tm.name, id, nearest(id, tm.ruleNames()))
		return nil
	}
	if h.name != "" && (h.alert != found.alert || h.name != found.name) {
		kind := map[bool]string{true: "alert", false: "record"}[found.alert]
		r.bad(h.line, "rule %q of template %s is `%s: %s`", id, tm.name, kind, found.name)
		return nil
	}
	return found
}

// field reads a field of a rule.
func (r *reader) field(tm *template, p *patch, h *ruleHead, k, v *yaml.Node) {
	known := words("name enabled expr for keep_firing_for labels annotations lock")
	at := Path{Rule: h.id, Part: k.Value}
	switch k.Value {
	case partEnabled:
		r.truth(v)
		r.put(p, at, v)
	case partExpr:
		if r.text(v) != "" {
			r.put(p, at, v)
		}
	case partFor, partKeep, partAnnotations:
		if !h.alert {
			r.bad(k.Line, "%s: a recording rule has no %s", h.id, k.Value)
			return
		}
		if k.Value != partAnnotations {
			r.put(p, at, v)
			return
		}
		r.texts(p, at, v)
	case partLabels:
		r.texts(p, at, v)
	case "lock":
		r.locks(tm, p, h.id, v)
	default:
		r.bad(k.Line, "unknown field %q%s", k.Value, nearest(k.Value, known))
	}
}

// texts reads labels or annotations; null takes all of them away.
func (r *reader) texts(p *patch, at Path, n *yaml.Node) {
	if n.Tag == "!!null" {
		r.put(p, at, n)
		return
	}
	for name, val := range r.pairs(n) {
		if !model.LegacyValidation.IsValidLabelName(name.Value) {
			r.bad(name.Line, "%q is not the name of a label: letters, digits and _", name.Value)
			continue
		}
		at.Name = name.Value
		r.put(p, at, val)
	}
}

// everyAlert stands for the alerts of all templates in what a layer says of them.
const everyAlert = "*"

// spread returns what a layer says of every alert, as if it had said it of each
// alert of a template; what it says of one of them comes behind.
func (p *patch) spread(tm *template) *patch {
	out := &patch{rules: map[string]int{}}
	for _, h := range tm.rules {
		if !h.alert {
			continue
		}
		for _, e := range p.entries {
			e.path.Rule = h.id
			out.entries = append(out.entries, e)
		}
		for _, l := range p.locks {
			l.path.Rule = h.id
			out.locks = append(out.locks, l)
		}
	}
	return out
}

// locks reads the fields that layers below may not touch.
func (r *reader) locks(tm *template, p *patch, rule string, n *yaml.Node) {
	known := words("enabled expr for keep_firing_for labels annotations")
	if rule == "" {
		known = words("enabled params")
	}
	for _, item := range r.items(n) {
		s := r.setting(item)
		if s == nil {
			continue
		}
		part, name, _ := strings.Cut(s.Value, ".")
		at := Path{Rule: rule, Part: part, Name: name}
		switch {
		case !slices.Contains(known, part):
			r.bad(item.Line, "there is no field %q to lock%s", s.Value, nearest(part, known))
		case part == partParams && name != "" && tm.param(name) == nil:
			r.bad(item.Line, "template %s has no parameter %q%s", tm.name, name, nearest(name, tm.paramNames()))
		case name != "" && part != partParams && part != partLabels && part != partAnnotations:
			r.bad(item.Line, "%s has no fields of its own", part)
		default:
			p.locks = append(p.locks, lock{at, s})
		}
	}
}

// patch reads what a layer says of a template.
func (r *reader) patch(tm *template, n *yaml.Node) *patch {
	p := &patch{line: n.Line, rules: map[string]int{}}
	for k, v := range r.pairs(n) {
		switch k.Value {
		case partEnabled:
			r.truth(v)
			r.put(p, Path{Part: partEnabled}, v)
		case partParams:
			for name, val := range r.pairs(v) {
				r.param(tm, p, name, val)
			}
		case "rules":
			for _, item := range r.items(v) {
				r.rule(tm, p, item, false)
			}
		case "lock":
			r.locks(tm, p, "", v)
		default:
			r.bad(k.Line, "unknown key %q%s", k.Value, nearest(k.Value, words("enabled params rules lock")))
		}
	}
	return p
}

func (r *reader) param(tm *template, p *patch, name, val *yaml.Node) {
	if tm.param(name.Value) == nil {
		r.bad(name.Line, "template %s has no parameter %q%s", tm.name, name.Value, nearest(name.Value, tm.paramNames()))
		return
	}
	r.put(p, Path{Part: partParams, Name: name.Value}, val)
}
