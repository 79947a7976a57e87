package layers

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// template is a file of templates/: rules with ${parameters}.
type template struct {
	name, file string
	doc        string
	perApp     bool     // false: one rule for all, and only global may change it
	shared     []string // metrics without the app label
	group      map[string]string
	params     []*param
	rules      []*ruleHead
	base       *patch // what the template itself sets
	paths      []Path // every field that anybody sets, by its number
	number     map[Path]int
	thresholds map[string]string // the parameter that an expression is held against
}

// ruleHead is what no layer changes about a rule.
type ruleHead struct {
	id    string // by which layers call it: its name, or what it calls itself
	alert bool
	name  string // of the alert or the recorded series
	line  int
}

// layerTemplate is the layer that a template's own values are in.
const layerTemplate = "template"

// words is the list of keys that may stand somewhere.
func words(s string) []string { return strings.Fields(s) }

func groupKeys() []string { return words("interval query_offset limit partial_response_strategy") }

// readTemplate reads templates/<name>.yaml.
func (t *Tree) readTemplate(fsys fs.FS, file string) {
	r := &reader{dir: t.dir, file: file, layer: layerTemplate, found: &t.found}
	top := r.open(fsys)
	if top == nil {
		return
	}
	tm := &template{
		name: strings.TrimSuffix(path.Base(file), ".yaml"), file: file, perApp: true,
		group: map[string]string{}, base: &patch{line: 1, rules: map[string]int{}}, number: map[Path]int{}, thresholds: map[string]string{},
	}
	known := append(groupKeys(), words("doc enabled per_app shared params rules lock")...)
	var rules *yaml.Node
	for k, v := range r.pairs(top) {
		switch k.Value {
		case "doc":
			tm.doc = r.text(v)
		case partEnabled:
			r.truth(v)
			r.put(tm.base, Path{Part: partEnabled}, v)
		case "per_app":
			tm.perApp = r.truth(v)
		case "shared":
			for _, item := range r.items(v) {
				tm.shared = append(tm.shared, r.text(item))
			}
		case partParams:
			r.declare(tm, v)
		case "rules":
			rules = v
		case "lock":
			defer r.locks(tm, tm.base, "", v) // once all parameters are known
		default:
			if !slices.Contains(groupKeys(), k.Value) {
				r.bad(k.Line, "unknown key %q%s", k.Value, nearest(k.Value, known))
				continue
			}
			tm.group[k.Value] = r.ofGroup(k.Value, v)
		}
	}
	if !slices.ContainsFunc(tm.base.entries, func(e entry) bool { return e.path == Path{Part: partEnabled} }) {
		tm.base.entries = append(tm.base.entries, entry{Path{Part: partEnabled}, &Setting{Value: "true", Layer: layerTemplate, File: file, Line: 1}})
	}
	if rules == nil {
		r.bad(top.Line, "a template has rules: write `rules:` and a list of alerts")
		return
	}
	for _, item := range r.items(rules) {
		r.rule(tm, tm.base, item, true)
	}
	t.templates = append(t.templates, tm)
}

// ofGroup reads what a template says of its rule group.
func (r *reader) ofGroup(key string, n *yaml.Node) string {
	text := r.text(n)
	var err error
	switch key {
	case "interval", "query_offset":
		_, err = model.ParseDuration(text)
	case "limit":
		_, err = strconv.ParseUint(text, 10, 31)
	default:
		if text != "abort" && text != "warn" {
			err = errors.New("it is abort or warn")
		}
	}
	if err != nil && text != "" {
		r.bad(n.Line, "%q is no %s: %v", text, key, err)
	}
	return text
}

// declare reads the list of parameters.
func (r *reader) declare(tm *template, n *yaml.Node) {
	for _, item := range r.items(n) {
		p := &param{line: item.Line}
		var def, least, most *yaml.Node
		for k, v := range r.pairs(item) {
			switch k.Value {
			case "name":
				p.Name = r.text(v)
			case "type":
				p.Type = r.text(v)
			case "doc":
				p.Doc = r.text(v)
			case "values":
				for _, one := range r.items(v) {
					p.Values = append(p.Values, r.text(one))
				}
			case "default":
				def = v
			case "min":
				least = v
			case "max":
				most = v
			default:
				r.bad(k.Line, "unknown key %q%s", k.Value, nearest(k.Value, words("name type doc values default min max")))
			}
		}
		if !r.sound(tm, p) {
			continue
		}
		p.min, p.max = r.bound(p, least), r.bound(p, most)
		if def != nil {
			r.put(tm.base, Path{Part: partParams, Name: p.Name}, def)
		}
		tm.params = append(tm.params, p)
	}
}

// sound reports whether a parameter is declared as it must be.
func (r *reader) sound(tm *template, p *param) bool {
	switch {
	case !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(p.Name):
		r.bad(p.line, "%q cannot name a parameter: lower case letters, digits and _", p.Name)
	case tm.param(p.Name) != nil:
		r.bad(p.line, "parameter %q stands at line %d already", p.Name, tm.param(p.Name).line)
	case !slices.Contains(types(), p.Type):
		r.bad(p.line, "%q is no type of a parameter%s", p.Type, cmp.Or(nearest(p.Type, types()), "; known: "+strings.Join(types(), ", ")))
	case p.Doc == "":
		r.bad(p.line, "say what %s is for: doc: …", p.Name)
	case (p.Type == typeEnum) != (len(p.Values) > 0):
		r.bad(p.line, "an enum lists its values, and nothing else does: values: [a, b]")
	default:
		return true
	}
	return false
}

// bound reads min or max.
func (r *reader) bound(p *param, n *yaml.Node) *value {
	if n == nil {
		return nil
	}
	if !slices.Contains([]string{typeDuration, typeNumber, typePercent}, p.Type) {
		r.bad(n.Line, "a %s has no least or most", p.Type)
		return nil
	}
	v, err := p.parse(r.text(n))
	if err != nil {
		r.bad(n.Line, "%v", err)
		return nil
	}
	return &v
}

func (tm *template) param(name string) *param {
	for _, p := range tm.params {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (tm *template) rule(id string) *ruleHead {
	for _, h := range tm.rules {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (tm *template) paramNames() []string {
	var out []string
	for _, p := range tm.params {
		out = append(out, p.Name)
	}
	return out
}

func (tm *template) ruleNames() []string {
	var out []string
	for _, h := range tm.rules {
		out = append(out, h.id)
	}
	return out
}
