package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Mistake is one error in a config file, at its line.
type Mistake struct {
	File string
	Line int    // 1-based; 0 when the whole file is meant
	Text string // what is wrong and what to write instead
}

// Error is `file:line: text`.
func (m *Mistake) Error() string {
	if m.Line == 0 {
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
}

// MaxFile bounds a config file; a larger one is a mistake of another kind.
const MaxFile = 4 << 20

// Read reads a YAML file as one section, to be decoded.
func Read(path string) (Section, error) {
	f, err := os.Open(path)
	if err != nil {
		return Section{}, unread(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Section{}, unread(path, err)
	}
	if len(data) > MaxFile {
		return Section{}, &Mistake{File: path, Text: fmt.Sprintf("file is over %d bytes", MaxFile)}
	}
	return Parse(path, data)
}

// unread says that the file itself is the mistake.
func unread(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &Mistake{File: path, Text: fmt.Sprintf("cannot be read: %v", err)}
}

// Parse is Read for bytes at hand. Relative secret files will be taken from the
// folder of path.
func Parse(path string, data []byte) (Section, error) {
	if err := plainText(path, data); err != nil {
		return Section{}, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return Section{file: path}, nil
	case err != nil:
		return Section{}, fromYAML(path, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return Section{}, fromYAML(path, err)
		}
		return Section{}, &Mistake{File: path, Line: more.Line, Text: "a second document begins here and would not be read: remove the `---`"}
	}
	return Section{file: path, node: doc.Content[0]}, nil
}

// plainText refuses what is no UTF-8 text, for which the library has no line.
func plainText(path string, data []byte) error {
	line := 1
	for rest := data; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1, r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return &Mistake{File: path, Line: line, Text: fmt.Sprintf("byte 0x%02x is not text: save the file as UTF-8", rest[0])}
		case r == '\n':
			line++
		}
		rest = rest[size:]
	}
	return nil
}

// Section is a part of a file that is not decoded yet: the whole, or the `with:`
// whose shape only its kind knows. It keeps its place in the file for errors.
type Section struct {
	file string
	node *yaml.Node
}

// UnmarshalYAML keeps the node for Decode.
func (s *Section) UnmarshalYAML(n *yaml.Node) error { s.node = n; return nil }

// Line is where the section stands.
func (s Section) Line() int {
	if s.node == nil {
		return 0
	}
	return s.node.Line
}

// Has reports whether the key of a path is written: store.etcd.
func (s Section) Has(path string) bool {
	for step := range strings.SplitSeq(path, ".") {
		if s.node == nil {
			return false
		}
		next := child(s.node, step)
		if next == nil {
			return false
		}
		s.node = next.value
	}
	return true
}

// Decode reads the section strictly into v, which points to a struct with its
// defaults set: an unknown key is a mistake, and so is what v's own Validate
// finds. All mistakes are returned together, joined, as *Mistake in line order.
// v is filled as far as it could be read.
func (s Section) Decode(v any) error {
	if s.node == nil {
		s.node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	c := checker{file: s.file}
	c.keys(s.node, reflect.TypeOf(v))
	if err := s.node.Decode(v); err != nil {
		c.mistakes = append(c.mistakes, unjoin(fromYAML(s.file, err))...)
	}
	c.anchor(reflect.ValueOf(v))
	if val, ok := v.(Validator); ok {
		c.invalid(s.node, val.Validate())
	}
	return c.err()
}

// Mistakes turns the *Invalid errors of a validation into mistakes at the lines
// of their fields inside the section.
func (s Section) Mistakes(err error) error {
	c := checker{file: s.file}
	c.invalid(s.node, err)
	return c.err()
}

type checker struct {
	file     string
	mistakes []error
}

func (c *checker) add(line int, format string, args ...any) {
	c.mistakes = append(c.mistakes, &Mistake{File: c.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	slices.SortStableFunc(c.mistakes, func(a, b error) int {
		x, _ := errors.AsType[*Mistake](a)
		y, _ := errors.AsType[*Mistake](b)
		if x == nil || y == nil {
			return 0
		}
		return x.Line - y.Line
	})
	return errors.Join(c.mistakes...)
}

// keys walks the node beside the type and reports keys the type does not have.
func (c *checker) keys(n *yaml.Node, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if own(t) {
		return
	}
	c.twice(n)
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		fields := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			f, ok := fields[key.Value]
			if key.Value == "<<" {
				c.add(key.Line, "sections inherit nothing: write the keys out, or name the whole section by an alias")
				continue
			}
			if !ok {
				c.add(key.Line, "unknown key %q%s", key.Value, suggest(key.Value, fields))
				continue
			}
			c.keys(val, f.Type)
		}
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Tag == "!!null" {
				c.add(item.Line, "an empty item stands in this list: write it, or remove it")
				continue
			}
			c.keys(item, t.Elem())
		}
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			c.keys(n.Content[i], t.Elem())
		}
	}
}

// twice reports keys that stand twice in a mapping and takes the later ones
// away: the library would read nothing of the mapping, and all that it lacks
// then would look like further mistakes.
func (c *checker) twice(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	first := map[string]int{}
	kept := make([]*yaml.Node, 0, len(n.Content))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, ok := first[key.Value]; ok && key.Kind == yaml.ScalarNode {
			c.add(key.Line, "mapping key %q already defined at line %d: remove one of them", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		kept = append(kept, key, n.Content[i+1])
	}
	n.Content = kept
}

// own reports whether a type reads itself, so that its fields are not keys.
func own(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// anchor gives relative secret files the folder of the config file, and
// sections the name of the file they stand in.
func (c *checker) anchor(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.anchor(v.Elem())
		}
	case reflect.Struct:
		if s, ok := reflect.TypeAssert[*Section](v.Addr()); ok {
			s.file = c.file
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.anchor(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.anchor(v.Index(i))
		}
	default:
		if v.Type() == reflect.TypeFor[SecretFile]() && v.String() != "" && !filepath.IsAbs(v.String()) {
			v.SetString(filepath.Join(filepath.Dir(c.file), v.String()))
		}
	}
}

// fromYAML turns the library's errors ("yaml: line 3: …") into mistakes.
func fromYAML(file string, err error) error {
	texts := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = te.Errors
	}
	var out []error
	for _, text := range texts {
		m := &Mistake{File: file, Text: text}
		if rest, ok := strings.CutPrefix(text, "line "); ok {
			if num, msg, ok := strings.Cut(rest, ": "); ok {
				if line, err := strconv.Atoi(num); err == nil {
					m.Line, m.Text = line, plainType(msg)
				}
			}
		}
		out = append(out, m)
	}
	return errors.Join(out...)
}

// plainType says "is not a number" where the library names Go types.
func plainType(msg string) string {
	m := regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `(.*)`)? into (.*)$").FindStringSubmatch(msg)
	if m == nil {
		return msg
	}
	want := m[3]
	switch {
	case strings.HasPrefix(want, "[]"):
		want = "a list: begin each item with `- `"
	case strings.HasPrefix(want, "int"), strings.HasPrefix(want, "uint"):
		want = "a whole number"
	case want == "bool":
		want = "true or false"
	case want == "string":
		want = "text"
	default:
		want = "a section: `key: value` lines, indented"
	}
	got := map[string]string{"seq": "a list", "map": "a section", "null": "nothing"}[m[1]]
	if got == "" {
		got = strconv.Quote(m[2])
	}
	return fmt.Sprintf("%s stands where there must be %s", got, want)
}

func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, unjoin(e)...)
		}
		return out
	}
	return []error{err}
}
