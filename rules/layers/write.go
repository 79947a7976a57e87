package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// File is one file to write.
type File struct {
	Name  string // http.yaml
	Data  []byte
	Rules int
}

// Header begins every file that is written here. A file that begins otherwise
// is somebody else's, and left alone.
const Header = "# Written by tocsin rules build"

// maxObject bounds an object of the Prometheus Operator: etcd takes 1.5 MiB.
const maxObject = 1 << 20

// Files writes compiled rules as they are to be read by Prometheus, by Thanos
// Ruler or by the Prometheus Operator: one file per template that has rules.
// The same tree gives the same bytes.
func (t *Tree) Files(groups []Group) ([]File, error) {
	var out []File
	var m mistakes
	for _, g := range groups {
		if len(g.Rules) == 0 {
			continue
		}
		data, err := t.file(g)
		if err != nil {
			m.add(fmt.Errorf("%s: %w", path.Join(t.dir, g.Template), err))
			continue
		}
		out = append(out, File{g.Name + ".yaml", data, len(g.Rules)})
	}
	return out, m.err()
}

func (t *Tree) file(g Group) ([]byte, error) {
	body := mapping("groups", list(t.groupNode(g)))
	top := body
	if t.Settings.Output.Format == FormatOperator {
		meta, err := t.metadata(g.Name)
		if err != nil {
			return nil, err
		}
		top = mapping("apiVersion", scalar("monitoring.coreos.com/v1"))
		put(top, "kind", scalar("PrometheusRule"))
		put(top, "metadata", meta)
		put(top, "spec", body)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s from %s and the layers: change those.\n", Header, path.Join(t.dir, g.Template))
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(top), enc.Close()); err != nil {
		return nil, err
	}
	if t.Settings.Output.Format == FormatOperator {
		if b.Len() > maxObject {
			return nil, fmt.Errorf("the object has %d bytes, and a cluster takes %d: part the template in two", b.Len(), maxObject)
		}
		return b.Bytes(), nil
	}
	return b.Bytes(), reread(b.Bytes())
}

// reread holds a rule file against Prometheus' own reader.
func reread(data []byte) error {
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	_, errs := rulefmt.Parse(data, true, model.LegacyValidation, parser.NewParser(parser.Options{}), silent)
	return errors.Join(errs...)
}

// metadata names an object of the Prometheus Operator.
func (t *Tree) metadata(name string) (*yaml.Node, error) {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`).MatchString(name) {
		return nil, fmt.Errorf("%q cannot name an object: call the file in lower case letters, digits, - and .", name)
	}
	meta := mapping("name", scalar(name))
	if ns := t.Settings.Output.Namespace; ns != "" {
		put(meta, "namespace", scalar(ns))
	}
	if len(t.Settings.Output.Labels) > 0 {
		put(meta, "labels", sortedMapping(t.Settings.Output.Labels, nil, ""))
	}
	return meta, nil
}

func (t *Tree) groupNode(g Group) *yaml.Node {
	n := mapping("name", scalar(g.Name))
	for _, f := range []struct{ key, value string }{
		{"interval", g.Interval}, {"query_offset", g.QueryOffset},
		{"limit", g.Limit}, {"partial_response_strategy", g.PartialResponse},
	} {
		switch {
		case f.value == "":
		case f.key == "limit":
			put(n, f.key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: f.value})
		default:
			put(n, f.key, scalar(f.value))
		}
	}
	rules := list()
	for _, r := range g.Rules {
		rules.Content = append(rules.Content, r.node())
	}
	put(n, "rules", rules)
	return n
}

// node is the rule with, beside each field, the line that set it.
func (r *Rule) node() *yaml.Node {
	from := map[string]string{}
	var params []string
	for _, o := range r.Origins {
		from[o.Field] = o.places()
		if name, ok := strings.CutPrefix(o.Field, partParams+"."); ok {
			params = append(params, fmt.Sprintf("%s = %s  <- %s", name, oneLine(r.said[o.Field]), o.places()))
		}
	}
	kind, name := "alert", r.Alert
	if r.Record != "" {
		kind, name = "record", r.Record
	}
	n := mapping(kind, scalar(name))
	n.Content[0].HeadComment = "for " + r.whom()
	expr := scalar(r.Expr)
	if len(r.Expr) > 80 {
		expr.Style = yaml.LiteralStyle
		expr.Value += "\n"
	}
	put(n, partExpr, expr)
	n.Content[2].HeadComment = strings.Join(append(params, "expr  <- "+from[partExpr]), "\n")
	for _, f := range []struct{ key, value string }{{partFor, r.For}, {partKeep, r.KeepFiringFor}} {
		if f.value != "" {
			put(n, f.key, noted(scalar(f.value), from[f.key]))
		}
	}
	for _, m := range []struct {
		key    string
		values map[string]string
	}{{partLabels, r.Labels}, {partAnnotations, r.Annotations}} {
		if len(m.values) > 0 {
			put(n, m.key, sortedMapping(m.values, from, m.key+"."))
		}
	}
	return n
}

// whom names the apps of a rule, for a comment.
func (r *Rule) whom() string {
	if !r.PerApp {
		return "all, whatever their app"
	}
	s := Change{Apps: r.Apps, Unknown: r.Unknown}.whom()
	return strings.TrimPrefix(s, ", ")
}

// places lists where a field comes from, the one of most apps first.
func (o Origin) places() string {
	const named = 3
	var out []string
	for i, s := range o.From {
		if i == named {
			out = append(out, fmt.Sprintf("and %d more: tocsin rules explain tells them", len(o.From)-named))
			break
		}
		at := s.Place()
		if s.Deleted {
			at += " (null)"
		}
		if len(o.From) > 1 {
			at += " (" + plural(s.Apps, "app") + ")"
		}
		out = append(out, at)
	}
	return strings.Join(out, ", ")
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func noted(n *yaml.Node, from string) *yaml.Node {
	if from != "" && !strings.Contains(n.Value, "\n") {
		n.LineComment = from
	}
	return n
}

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// mapping makes a mapping of one key; put adds further ones.
func mapping(key string, val *yaml.Node) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	put(n, key, val)
	return n
}

func put(n *yaml.Node, key string, val *yaml.Node) { n.Content = append(n.Content, scalar(key), val) }

// sortedMapping is a mapping with its keys in order, and behind each value the
// place of its field.
func sortedMapping(m, from map[string]string, prefix string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		put(n, k, noted(scalar(m[k]), from[prefix+k]))
	}
	return n
}
