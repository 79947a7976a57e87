package lint

import (
	"fmt"
	"maps"
	"slices"
	"text/template/parse"
)

// templates holds the labels that texts use against those that the expression
// can have. What stands under a condition on the label is meant so.
func (j *judge) templates() {
	s := j.shaper.of(j.expr)
	for section, texts := range map[string]map[string]string{"annotations.": j.rule.Annotations, "labels.": j.rule.Labels} {
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			for _, name := range slices.Sorted(maps.Keys(used(texts[key]))) {
				if s.can(name) {
					continue
				}
				message := fmt.Sprintf("%s uses the label %s, which the expression drops", key, name)
				if s.closed {
					message += ": it has " + s.String()
				}
				fix := "keep it in the aggregation, or leave it out of the text"
				if value := j.labels()[name]; value != "" || name == "alertname" {
					fix = "$labels holds the labels of the series, not those of the rule: write the value itself"
				}
				j.add(section+key, Error, checkTemplate, message, fix)
			}
		}
	}
}

// used are the labels of the alert that a text writes.
func used(text string) map[string]bool {
	t := parse.New("text")
	t.Mode = parse.SkipFuncCheck
	// $labels is what Prometheus puts before every template
	tree, err := t.Parse("{{$labels := .}}{{$value := .}}{{$externalLabels := .}}{{$externalURL := .}}"+text, "", "", map[string]*parse.Tree{})
	if err != nil || tree.Root == nil {
		return nil
	}
	u := usage{found: map[string]bool{}}
	u.walk(tree.Root, nil, true)
	return u.found
}

// usage gathers labels. own says that the dot is the alert's.
type usage struct{ found map[string]bool }

func (u usage) walk(n parse.Node, guarded map[string]bool, own bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			u.walk(c, guarded, own)
		}
	case *parse.ActionNode:
		u.pipe(n.Pipe, guarded, own)
	case *parse.TemplateNode:
		u.pipe(n.Pipe, guarded, own)
	case *parse.IfNode:
		u.branch(&n.BranchNode, guarded, own, own)
	case *parse.WithNode:
		u.branch(&n.BranchNode, guarded, own, false)
	case *parse.RangeNode:
		u.branch(&n.BranchNode, guarded, own, false)
	}
}

// branch walks what depends on a condition: labels that it asks about may be
// missing within.
func (u usage) branch(n *parse.BranchNode, guarded map[string]bool, own, inside bool) {
	asked := usage{found: maps.Clone(guarded)}
	if asked.found == nil {
		asked.found = map[string]bool{}
	}
	asked.pipe(n.Pipe, nil, own)
	if n.NodeType == parse.NodeRange {
		u.pipe(n.Pipe, guarded, own) // what is ranged over is used
	}
	u.walk(n.List, asked.found, inside)
	u.walk(n.ElseList, asked.found, own)
}

func (u usage) pipe(p *parse.PipeNode, guarded map[string]bool, own bool) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		for i, a := range c.Args {
			switch a := a.(type) {
			case *parse.PipeNode:
				u.pipe(a, guarded, own)
			case *parse.VariableNode:
				if len(a.Ident) > 1 && a.Ident[0] == "$labels" {
					u.add(a.Ident[1], guarded)
				}
			case *parse.FieldNode:
				if own && len(a.Ident) > 1 && a.Ident[0] == "Labels" {
					u.add(a.Ident[1], guarded)
				}
			case *parse.IdentifierNode:
				if i == 0 && a.Ident == "index" && len(c.Args) > 2 && c.Args[1].String() == "$labels" {
					if name, ok := c.Args[2].(*parse.StringNode); ok {
						u.add(name.Text, guarded)
					}
				}
			}
		}
	}
}

func (u usage) add(name string, guarded map[string]bool) {
	if !guarded[name] {
		u.found[name] = true
	}
}
