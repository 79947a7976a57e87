package rules

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// fields is a YAML mapping that remembers where its keys stand.
type fields struct {
	names []string // in the order of the file
	at    map[string]field
}

type field struct {
	line  int
	value *yaml.Node
}

func (m fields) has(key string) bool       { return m.at[key].value != nil }
func (m fields) get(key string) *yaml.Node { return m.at[key].value }
func (m fields) line(key string) int       { return m.at[key].line }

// text returns a field's text as it stands, "" when it is no scalar.
func (m fields) text(key string) string {
	if n := m.get(key); n != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return n.Value
	}
	return ""
}

func (m fields) lines() Lines {
	l := make(Lines, len(m.at))
	for k, f := range m.at {
		l[k] = f.line
	}
	return l
}

// target follows a document to its content and an alias to what it stands for.
// The decoder has refused aliases that hold themselves.
func target(n *yaml.Node) *yaml.Node {
	for n != nil {
		switch {
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		case n.Kind == yaml.DocumentNode && len(n.Content) > 0:
			n = n.Content[0]
		default:
			return n
		}
	}
	return nil
}

// section reads a mapping; what says what stands there, for the mistake.
func (p *reader) section(n *yaml.Node, what string) (fields, bool) {
	n = target(n)
	if n == nil || n.Kind != yaml.MappingNode {
		line := 0
		if n != nil {
			line = n.Line
		}
		p.mistake(line, "here must stand %s: `key: value` lines", what)
		return fields{}, false
	}
	m := fields{at: map[string]field{}}
	m.add(n)
	return m, true
}

// add takes the keys of a mapping; those of a merge (`<<`) do not shadow its own.
func (m *fields) add(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		if _, has := m.at[key.Value]; has || key.Tag == "!!merge" || key.Kind != yaml.ScalarNode {
			continue
		}
		m.names = append(m.names, key.Value)
		m.at[key.Value] = field{line: key.Line, value: value}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		brought := target(n.Content[i+1])
		if brought.Kind == yaml.MappingNode {
			m.add(brought)
			continue
		}
		for _, c := range brought.Content { // a list of them
			if c = target(c); c.Kind == yaml.MappingNode {
				m.add(c)
			}
		}
	}
}

// known refuses keys that are not among these, with what may be meant.
func (p *reader) known(m fields, keys ...string) {
	for _, k := range m.names {
		if slices.Contains(keys, k) {
			continue
		}
		hint := "; known here: " + strings.Join(keys, ", ")
		if near := config.Nearest(k, keys); near != "" {
			hint = ": do you mean " + near + "?"
		}
		p.mistake(m.line(k), "field %q is not known%s", k, hint)
	}
}

// sub reads a mapping inside a mapping.
func (p *reader) sub(m fields, key string) (fields, bool) {
	if !m.has(key) {
		p.mistake(0, "`%s:` is missing", key)
		return fields{}, false
	}
	return p.section(m.get(key), "`"+key+"`")
}

func (p *reader) list(m fields, key string) []*yaml.Node {
	n := m.get(key)
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case n.Kind != yaml.SequenceNode:
		p.mistake(m.line(key), "%s must be a list: begin each item with `- `", key)
		return nil
	}
	return n.Content
}

func (p *reader) string(m fields, key string) string {
	if n := m.get(key); n != nil && n.Kind != yaml.ScalarNode {
		p.mistake(m.line(key), "%s must be text", key)
		return ""
	}
	return m.text(key)
}

// texts reads a mapping of texts and adds the lines of its keys.
func (p *reader) texts(m fields, key string, lines Lines) map[string]string {
	if !m.has(key) || m.get(key).Tag == "!!null" {
		return nil
	}
	sub, ok := p.sub(m, key)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(sub.names))
	for _, k := range sub.names {
		out[k] = p.string(sub, k)
		if lines != nil {
			lines[key+"."+k] = sub.line(k)
		}
	}
	return out
}
