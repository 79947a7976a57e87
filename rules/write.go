package rules

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Object is the Kubernetes object that rule groups are written as.
type Object struct {
	Name        string
	Namespace   string // "": none is written
	Labels      map[string]string
	Annotations map[string]string
}

// Write writes groups as a rule file of Prometheus and Thanos Ruler, with their
// comments. The same groups give the same bytes, and Parse reads them back.
func Write(w io.Writer, groups []Group) error {
	return encode(w, groupsNode(groups))
}

// WriteObject writes groups as one PrometheusRule.
func WriteObject(w io.Writer, o Object, groups []Group) error {
	meta := &yaml.Node{Kind: yaml.MappingNode}
	put(meta, nil, "", "name", o.Name)
	if o.Namespace != "" {
		put(meta, nil, "", "namespace", o.Namespace)
	}
	putTexts(meta, nil, "labels", o.Labels)
	putTexts(meta, nil, "annotations", o.Annotations)
	top := &yaml.Node{Kind: yaml.MappingNode}
	put(top, nil, "", "apiVersion", "monitoring.coreos.com/v1")
	put(top, nil, "", "kind", "PrometheusRule")
	top.Content = append(top.Content, text("metadata"), meta, text("spec"), groupsNode(groups))
	return encode(w, top)
}

func encode(w io.Writer, n *yaml.Node) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return enc.Close()
}

func groupsNode(groups []Group) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range groups {
		list.Content = append(list.Content, groupNode(&groups[i]))
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("groups"), list}}
}

func groupNode(g *Group) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, HeadComment: comment(g.Comments[""])}
	put(n, g.Comments, "name", "name", g.Name)
	putDuration(n, g.Comments, "interval", g.Interval)
	if g.QueryOffset != nil {
		put(n, g.Comments, "query_offset", "query_offset", model.Duration(*g.QueryOffset).String())
	}
	if g.Limit != 0 {
		n.Content = append(n.Content, text("limit"), &yaml.Node{
			Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(g.Limit), LineComment: comment(g.Comments["limit"]),
		})
	}
	if g.PartialResponse != "" {
		put(n, g.Comments, "partial_response_strategy", "partial_response_strategy", g.PartialResponse)
	}
	putTexts(n, g.Comments, "labels", g.Labels)
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range g.Rules {
		list.Content = append(list.Content, ruleNode(&g.Rules[i]))
	}
	n.Content = append(n.Content, text("rules"), list)
	return n
}

func ruleNode(r *Rule) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, HeadComment: comment(r.Comments[""])}
	if r.Record != "" {
		put(n, r.Comments, "record", "record", r.Record)
	}
	if r.Alert != "" {
		put(n, r.Comments, "alert", "alert", r.Alert)
	}
	put(n, r.Comments, "expr", "expr", r.Expr)
	putDuration(n, r.Comments, "for", r.For)
	putDuration(n, r.Comments, "keep_firing_for", r.KeepFiringFor)
	putTexts(n, r.Comments, "labels", r.Labels)
	putTexts(n, r.Comments, "annotations", r.Annotations)
	return n
}

// put adds a field with its comment: behind its value, or above it where the
// value takes several lines.
func put(n *yaml.Node, comments map[string]string, path, key, value string) {
	k, v := text(key), text(value)
	if c := comment(comments[path]); v.Style == yaml.LiteralStyle {
		k.HeadComment = c
	} else {
		v.LineComment = c
	}
	n.Content = append(n.Content, k, v)
}

func putDuration(n *yaml.Node, comments map[string]string, key string, d time.Duration) {
	if d != 0 {
		put(n, comments, key, key, model.Duration(d).String())
	}
}

func putTexts(n *yaml.Node, comments map[string]string, key string, texts map[string]string) {
	if len(texts) == 0 {
		return
	}
	k, sub := text(key), &yaml.Node{Kind: yaml.MappingNode}
	k.HeadComment = comment(comments[key])
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		put(sub, comments, key+"."+name, name, texts[name])
	}
	n.Content = append(n.Content, k, sub)
}

// text is a scalar that is read back as this very text. Several lines stand as
// a block where a block can say them: one that begins with a blank or holds
// what is no line of YAML is quoted.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
		if strings.TrimLeft(s, " \t\n") != s || strings.ContainsFunc(s, unprintable) || strings.Contains(s, " \n") {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}

func unprintable(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// comment is one line behind a #, whatever stood in it.
func comment(s string) string {
	if s == "" {
		return ""
	}
	return "# " + strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
