package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Limits of what a file may unfold to.
const (
	maxNodes      = 2 << 20 // values, aliases unfolded
	maxDepth      = 256
	maxReferences = 50_000 // the largest public document has 11,000
)

// toJSON makes JSON of YAML or JSON, within the limits: no library sees an alias
// or a value nested without end.
func toJSON(data []byte, file string) ([]byte, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		if err := boundJSON(trimmed); err != nil {
			return nil, err
		}
		if json.Valid(trimmed) {
			return positioned(trimmed, file, 1+bytes.Count(data[:len(data)-len(trimmed)], []byte("\n"))), nil
		} // YAML in flow style begins so too
	}
	if err := boundIndent(data); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: %w", ErrRefused, errNoMapping)
	}
	w := writer{file: file}
	if err := w.value(doc.Content[0], 0); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

// boundJSON counts what a parser would build, without building it.
func boundJSON(data []byte) error {
	nodes, depth, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			nodes, depth = nodes+1, depth+1
		case c == '}' || c == ']':
			depth--
		case c == ',':
			nodes++
		}
		if nodes > maxNodes || depth > maxDepth {
			return tooMuch()
		}
	}
	return nil
}

// boundIndent refuses what the YAML parser would build too much of: every flow
// indicator, dash, colon and line may be a node.
func boundIndent(data []byte) error {
	nodes := 0
	for _, c := range data {
		switch c {
		case '\n', ',', '[', '{':
			nodes++
		}
	}
	if nodes > maxNodes {
		return tooMuch()
	}
	return nil
}

func tooMuch() error {
	return fmt.Errorf("%w: more than %d values, or nested deeper than %d", ErrRefused, maxNodes, maxDepth)
}

// writer writes a YAML tree as JSON.
type writer struct {
	out   bytes.Buffer
	nodes int
	file  string
}

func (w *writer) value(n *yaml.Node, depth int) error {
	w.nodes++
	if w.nodes > maxNodes || depth > maxDepth || w.out.Len() > 2*maxFile {
		return tooMuch()
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.value(n.Alias, depth+1)
	case yaml.MappingNode:
		return w.mapping(n, depth)
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			if err := w.value(item, depth+1); err != nil {
				return err
			}
		}
		w.out.WriteByte(']')
		return nil
	default:
		return w.scalar(n)
	}
}

// mapping writes the keys in their order; merged ones (<<) where they are not
// set, and of a key that is set twice the first.
func (w *writer) mapping(n *yaml.Node, depth int) error {
	w.out.WriteByte('{')
	seen := map[string]bool{}
	if err := w.entries(n, depth, seen); err != nil {
		return err
	}
	w.out.WriteByte('}')
	return nil
}

func (w *writer) entries(n *yaml.Node, depth int, seen map[string]bool) error {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: a key is no scalar", key.Line)
		}
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: key %q is set twice", key.Line, key.Value)
		}
		if len(seen) > 0 {
			w.out.WriteByte(',')
		}
		seen[key.Value] = true
		if key.Value == Extension {
			w.out.Write(at(w.file, key.Line))
		}
		w.text(key.Value)
		w.out.WriteByte(':')
		if err := w.value(value, depth+1); err != nil {
			return err
		}
	}
	for _, m := range merged {
		if err := w.merge(m, depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) merge(n *yaml.Node, depth int, seen map[string]bool) error {
	w.nodes++
	if depth > maxDepth || w.nodes > maxNodes {
		return tooMuch()
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.merge(n.Alias, depth+1, seen)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if err := w.merge(item, depth+1, seen); err != nil {
				return err
			}
		}
		return nil
	case yaml.MappingNode:
		rest := &yaml.Node{Kind: yaml.MappingNode}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if w.nodes++; !seen[n.Content[i].Value] {
				rest.Content = append(rest.Content, n.Content[i], n.Content[i+1])
			}
		}
		return w.entries(rest, depth, seen)
	default:
		return fmt.Errorf("line %d: << merges a mapping", n.Line)
	}
}

func (w *writer) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
		return nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
		w.out.WriteString(strconv.FormatBool(b))
		return nil
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			w.out.WriteString(strconv.FormatInt(i, 10))
			return nil
		}
		fallthrough // too large for an int
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return fmt.Errorf("line %d: %s is no number of JSON", n.Line, n.Value)
		}
		return json.NewEncoder(&w.out).Encode(f)
	default:
		w.text(n.Value)
		return nil
	}
}

func (w *writer) text(s string) {
	b, _ := json.Marshal(s) // a string always marshals
	w.out.Write(b)
}
