package alertmanager

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// receiverName is how the one receiver is called where nobody sees it.
const receiverName = "tocsin"

const maxNodes = 1 << 14

// written returns n with its aliases written out.
func written(n *yaml.Node, left *int) *yaml.Node {
	if *left--; *left < 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c := *n
	c.Anchor, c.Content, c.HeadComment, c.LineComment, c.FootComment = "", nil, "", "", ""
	if c.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 { // the encoder gets blocks wrong that begin with a blank
		c.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, written(child, left))
	}
	return &c
}

// read takes a section apart beside the type that Alertmanager reads it into.
func read(s config.Section, path string) (*walk, error) {
	w := &walk{of: reflect.TypeFor[amconfig.Receiver](), path: path}
	if path == "global" {
		w.of = reflect.TypeFor[amconfig.GlobalConfig]()
	}
	if s.Line() == 0 {
		return w, nil
	}
	if err := s.Decode(w); err != nil {
		return w, err
	}
	for i, n := range w.at {
		n.Value = string(w.Files[i])
	}
	return w, errors.Join(w.errs...)
}

// walk is a part of alertmanager.yml on its way through the decoder, which
// takes relative Files from the folder of the config.
type walk struct {
	Files []config.SecretFile

	of    reflect.Type
	path  string
	node  *yaml.Node
	at    []*yaml.Node // where Files stand
	paths []string     // of Files
	errs  []error
}

// UnmarshalYAML keeps the node, without aliases, and collects what it names.
func (w *walk) UnmarshalYAML(n *yaml.Node) error {
	left := maxNodes
	w.node = written(n, &left)
	if left < 0 {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: aliases grow beyond all bounds", n.Line)}}
	}
	w.visit(w.node, w.of, w.path)
	return nil
}

func (w *walk) visit(n *yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields, rest := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i].Value, n.Content[i+1]
			if key == "<<" {
				w.errs = append(w.errs, config.Bad(path, "sections inherit nothing: write the keys out, or name the whole section by an alias"))
				continue
			}
			f, ok := fields[key]
			if !ok {
				f = rest
			}
			w.field(val, f, path+"."+key, key, fields)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 0; i+1 < len(n.Content); i += 2 {
			w.visit(n.Content[i+1], t.Elem(), path+"."+n.Content[i].Value)
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			w.visit(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// field looks at one key: a file, a secret that should be one, or a section.
func (w *walk) field(val *yaml.Node, t reflect.Type, path, key string, beside map[string]reflect.Type) {
	switch {
	case t == nil: // Alertmanager says that it is unknown
	case val.Kind == yaml.ScalarNode && strings.HasSuffix(key, "_file"):
		w.file(val, path)
	case key == "files" && val.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice: // of http_headers
		for i, item := range val.Content {
			w.file(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case secret(t) && (val.Value != "" || len(val.Content) > 0):
		for _, other := range []string{key + "_file", strings.TrimSuffix(key, "secrets") + "files"} {
			if _, ok := beside[other]; ok {
				w.errs = append(w.errs, config.Bad(path, "secrets are files: write %s in place of %s, and the secret into that file", other, key))
				break
			}
		}
	default:
		w.visit(val, t, path)
	}
}

func (w *walk) file(n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		w.at, w.paths = append(w.at, n), append(w.paths, path)
		w.Files = append(w.Files, config.SecretFile(n.Value))
	}
}

// secret reports whether Alertmanager hides values of the type: Secret,
// SecretURL, SecretTemplateURL of several packages, and lists of them.
func secret(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return strings.HasPrefix(t.Name(), "Secret")
}

// fieldsOf returns the types of a struct's keys, and that of further keys if
// it takes any.
func fieldsOf(t reflect.Type) (fields map[string]reflect.Type, rest reflect.Type) {
	fields = map[string]reflect.Type{}
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if strings.Contains(opts, "inline") {
			if f.Type.Kind() == reflect.Map {
				rest = f.Type.Elem()
				continue
			}
			inner, _ := fieldsOf(f.Type)
			maps.Copy(fields, inner)
			continue
		}
		fields[cmp.Or(name, strings.ToLower(f.Name))] = f.Type
	}
	return fields, rest
}

// document makes an alertmanager.yml with one receiver out of the section, and
// has Alertmanager read it. Errors name the keys they are about.
func document(c *Config) (string, error) {
	w, err := read(c.Receiver, "receiver")
	receiver := w.node
	if receiver == nil || receiver.Kind != yaml.MappingNode || !hasConfigs(receiver) {
		return "", errors.Join(err, config.Bad("receiver", "write the lists of one receiver as in alertmanager.yml: email_configs, webhook_configs, …"))
	}
	w, gerr := read(c.Global, "global")
	global := w.node
	errs := []error{err, gerr}
	root := mapping("receivers", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{named(receiver)}},
		"route", mapping("receiver", text(receiverName)))
	if global != nil {
		root.Content = append(root.Content, text("global"), global)
	}
	doc, err := yaml.Marshal(root)
	if err != nil {
		return "", errors.Join(append(errs, config.Bad("receiver", "%v", err))...)
	}
	if _, err := amconfig.Load(string(doc)); err != nil {
		errs = append(errs, placed(doc, err))
	}
	return string(doc), errors.Join(errs...)
}

func hasConfigs(receiver *yaml.Node) bool {
	return slices.ContainsFunc(receiver.Content, func(n *yaml.Node) bool { return strings.HasSuffix(n.Value, "_configs") })
}

// named gives the receiver our name; one that was pasted has its own.
func named(receiver *yaml.Node) *yaml.Node {
	out := mapping("name", text(receiverName))
	for i := 0; i+1 < len(receiver.Content); i += 2 {
		if receiver.Content[i].Value != "name" {
			out.Content = append(out.Content, receiver.Content[i], receiver.Content[i+1])
		}
	}
	return out
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func mapping(kv ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(kv); i += 2 {
		n.Content = append(n.Content, text(kv[i].(string)), kv[i+1].(*yaml.Node))
	}
	return n
}

// placed turns Alertmanager's errors, which count the lines of doc, into ones
// that name the key.
func placed(doc []byte, err error) error {
	var root yaml.Node
	if e := yaml.Unmarshal(doc, &root); e != nil {
		return config.Bad("receiver", "%v", e)
	}
	paths := map[int]string{}
	lines(root.Content[0], "", paths)
	var out []error
	for _, m := range regexp.MustCompile(`line (\d+): ([^\n]+)`).FindAllStringSubmatch(err.Error(), -1) {
		line, _ := strconv.Atoi(m[1])
		for line > 0 && paths[line] == "" {
			line--
		}
		path, advice := plain(paths[line], m[2])
		out = append(out, config.Bad(ours(path), "%s", advice))
	}
	if len(out) == 0 {
		out = append(out, config.Bad("receiver", "%s", strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	return errors.Join(out...)
}

// lines notes what begins at each line.
func lines(n *yaml.Node, path string, out map[int]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
			out[n.Content[i].Line] = at
			lines(n.Content[i+1], at, out)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			out[item.Line] = at
			lines(item, at, out)
		}
	default:
	}
}

// ours is the path in Tocsin's section of one in the document.
func ours(path string) string {
	if rest, ok := strings.CutPrefix(path, "receivers[0]"); ok {
		return "receiver" + rest
	}
	if path == "global" || strings.HasPrefix(path, "global.") {
		return path
	}
	return "receiver"
}

// plain says it without the names of Go types, and finds the key that is meant
// among those that begin at its line.
func plain(path, msg string) (key, advice string) {
	m := regexp.MustCompile(`^field (\S+) (not found|already set) in type`).FindStringSubmatch(msg)
	if m == nil {
		return path, msg
	}
	if i := strings.LastIndex(path, "."+m[1]); i >= 0 {
		path = path[:i+1+len(m[1])]
	}
	if m[2] == "already set" {
		return path, fmt.Sprintf("%q stands twice: remove one of them", m[1])
	}
	return path, fmt.Sprintf("unknown key %q: alertmanager.yml knows none of this name here", m[1])
}
