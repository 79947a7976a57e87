package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"
)

func (p *reader) rule(n *yaml.Node) (Rule, bool) {
	m, ok := p.section(n, "a rule")
	if !ok {
		return Rule{}, false
	}
	before := len(p.mistakes)
	p.known(m, "record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
	r := Rule{Line: n.Line, Lines: m.lines()}
	r.Alert, r.Record, r.Expr = p.string(m, "alert"), p.string(m, "record"), p.string(m, "expr")
	r.For, r.KeepFiringFor = p.duration(m, "for"), p.duration(m, "keep_firing_for")
	r.Labels = p.texts(m, "labels", r.Lines)
	r.Annotations = p.texts(m, "annotations", r.Lines)
	if len(p.mistakes) > before {
		return Rule{}, false
	}
	if r.Expr != "" {
		if _, err := ParseExpr(r.Expr); err != nil {
			p.mistake(m.line("expr"), "%s: %s", r.Name(), err)
			return Rule{}, false
		}
	}
	p.validate(&r, m)
	return r, len(p.mistakes) == before
}

// validate asks Prometheus' own validation.
func (p *reader) validate(r *Rule, m fields) {
	own := rulefmt.Rule{
		Record: r.Record, Alert: r.Alert, Expr: r.Expr, For: model.Duration(r.For),
		KeepFiringFor: model.Duration(r.KeepFiringFor), Labels: r.Labels, Annotations: r.Annotations,
	}
	node := rulefmt.RuleNode{Expr: scalar(m, "expr"), Record: scalar(m, "record"), Alert: scalar(m, "alert")}
	for _, e := range own.Validate(node, model.UTF8Validation, promql()) {
		text := e.Unwrap().Error()
		line, column := 0, 0
		if n, err := fmt.Sscanf(e.Error(), "%d:%d:", &line, &column); n != 2 || err != nil || line == 0 {
			line = r.Line
		}
		for _, kind := range []string{"label", "annotation"} {
			quoted, found := strings.CutPrefix(text, kind+" ")
			name, _, _ := strings.Cut(strings.TrimPrefix(quoted, `"`), `": `)
			if bare, ok := strings.CutPrefix(text, "invalid "+kind+" name: "); ok {
				name, found = bare, true
			}
			if found {
				line = r.Lines.Of(kind+"s."+name, r.Line)
			}
		}
		if name := r.Name(); name != "" {
			text = name + ": " + text
		}
		p.mistake(line, "%s", text)
	}
}

// scalar returns a field as rulefmt wants it: a copy, empty when it is missing.
func scalar(m fields, key string) yaml.Node {
	if n := m.get(key); n != nil {
		return *n
	}
	return yaml.Node{}
}

func (p *reader) duration(m fields, key string) time.Duration {
	text := p.string(m, key)
	if text == "" {
		return 0
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		p.mistake(m.line(key), "%s: %q is not a duration: write it as 30s, 5m or 1h30m", key, text)
	}
	return time.Duration(d)
}
