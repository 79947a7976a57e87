package layers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// reader reads one file of the tree strictly, node by node, and keeps what is
// wrong with it.
type reader struct {
	dir   string // how people name the tree's folder
	file  string // as seen from there
	layer string
	found *mistakes
}

// document keeps the file's top node.
type document struct{ top *yaml.Node }

// UnmarshalYAML keeps the node.
func (d *document) UnmarshalYAML(n *yaml.Node) error { d.top = n; return nil }

// open reads the file as YAML. A file that says nothing is an empty mapping.
func (r *reader) open(fsys fs.FS) *yaml.Node {
	data, err := readCapped(fsys, r.file)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		r.found.add(&config.Mistake{File: r.shown(), Text: fmt.Sprintf("cannot be read: %v", err)})
		return nil
	}
	sec, err := config.Parse(r.shown(), data)
	if err != nil {
		r.found.add(err)
		return nil
	}
	var d document
	if err := sec.Decode(&d); err != nil {
		r.found.add(err)
		return nil
	}
	if d.top == nil {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1}
	}
	return d.top
}

func readCapped(fsys fs.FS, file string) ([]byte, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxFile+1))
	if err == nil && len(data) > config.MaxFile {
		err = fmt.Errorf("it is over %d bytes", config.MaxFile)
	}
	return data, err
}

// shown is the file as people name it from where they stand.
func (r *reader) shown() string { return path.Join(r.dir, r.file) }

func (r *reader) bad(line int, format string, args ...any) {
	r.found.add(&config.Mistake{File: r.shown(), Line: line, Text: fmt.Sprintf(format, args...)})
}

// plain refuses aliases: what is said twice belongs into a layer above.
func (r *reader) plain(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.bad(n.Line, "layers take the place of anchors and aliases: write it out, or into a layer above")
		return false
	}
	return true
}

// pairs walks a mapping; a key that stands twice is a mistake.
func (r *reader) pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		if !r.plain(n) {
			return
		}
		if n.Kind != yaml.MappingNode {
			r.bad(n.Line, "%s stands where there must be a section: `key: value` lines, indented", what(n))
			return
		}
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			line, twice := first[key.Value]
			switch {
			case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Value == "":
				r.bad(key.Line, "a key is a word: layers inherit by their order, not by `<<`")
				continue
			case twice:
				r.bad(key.Line, "%q stands at line %d already: remove one of them", key.Value, line)
				continue
			}
			first[key.Value] = key.Line
			if r.plain(val) && !yield(key, val) {
				return
			}
		}
	}
}

// items walks a list.
func (r *reader) items(n *yaml.Node) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.bad(n.Line, "%s stands where there must be a list: begin each item with `- `", what(n))
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.Content), func(item *yaml.Node) bool { return !r.plain(item) })
}

// setting reads a scalar, or null.
func (r *reader) setting(n *yaml.Node) *Setting {
	s := &Setting{Layer: r.layer, File: r.file, Line: n.Line}
	switch {
	case n.Kind != yaml.ScalarNode:
		r.bad(n.Line, "%s stands where there must be one value", what(n))
		return nil
	case n.Tag == "!!null":
		s.Deleted = true
	default:
		s.Value = n.Value
	}
	return s
}

// text reads a scalar that must be there.
func (r *reader) text(n *yaml.Node) string {
	s := r.setting(n)
	if s == nil {
		return ""
	}
	if s.Value == "" {
		r.bad(n.Line, "nothing stands here: write a value")
	}
	return s.Value
}

// truth reads true or false.
func (r *reader) truth(n *yaml.Node) bool {
	if v := r.text(n); v != "" && v != "true" && v != "false" {
		r.bad(n.Line, "%q stands where there must be true or false", v)
	}
	return n.Value == "true"
}

func what(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}
