package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mistake is one error in a config file, at its line.
type Mistake struct {
	File string
	Line int    // 1-based; 0 when the whole file is meant
	Text string // what is wrong and what to write instead
}

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
		return Section{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Section{}, err
	}
	if len(data) > MaxFile {
		return Section{}, &Mistake{File: path, Text: fmt.Sprintf("file is over %d bytes", MaxFile)}
	}
	return Parse(path, data)
}

// Parse is Read for bytes at hand. Relative secret files will be taken from the
// folder of path.
func Parse(path string, data []byte) (Section, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Section{}, fromYAML(path, err)
	}
	if len(doc.Content) == 0 {
		return Section{file: path}, nil
	}
	return Section{file: path, node: doc.Content[0]}, nil
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

// Decode reads the section strictly into v, which points to a struct with its
// defaults set: an unknown key is a mistake, and so is what v's own Validate
// finds. All mistakes are returned together, joined, as *Mistake in line order.
func (s Section) Decode(v any) error {
	if s.node == nil {
		s.node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	c := checker{file: s.file}
	c.keys(s.node, reflect.TypeOf(v))
	if err := s.node.Decode(v); err != nil {
		c.mistakes = append(c.mistakes, unjoin(fromYAML(s.file, err))...)
	}
	if len(c.mistakes) == 0 {
		c.anchor(reflect.ValueOf(v))
		if val, ok := v.(Validator); ok {
			c.invalid(s.node, val.Validate())
		}
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
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		fields := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			f, ok := fields[key.Value]
			if !ok {
				c.add(key.Line, "unknown key %q%s", key.Value, suggest(key.Value, fields))
				continue
			}
			c.keys(val, f.Type)
		}
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			c.keys(item, t.Elem())
		}
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			c.keys(n.Content[i], t.Elem())
		}
	}
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

// invalid places validation errors at their lines.
func (c *checker) invalid(n *yaml.Node, err error) {
	for _, e := range unjoin(err) {
		if m, ok := errors.AsType[*Mistake](e); ok {
			c.mistakes = append(c.mistakes, m)
			continue
		}
		line := 0
		if n != nil {
			line = n.Line
		}
		if i, ok := errors.AsType[*Invalid](e); ok && n != nil {
			line = lineOf(n, i.Field)
		}
		c.add(line, "%s", e.Error())
	}
}

// lineOf finds the line of a path such as receivers[0].notify[1].with.channel,
// or of the nearest part of it that is there.
func lineOf(n *yaml.Node, path string) int {
	line := n.Line
	for _, step := range regexp.MustCompile(`[^.\[\]]+`).FindAllString(path, -1) {
		next := child(n, step)
		if next == nil {
			break
		}
		n, line = next.value, next.line
	}
	return line
}

type place struct {
	value *yaml.Node
	line  int
}

func child(n *yaml.Node, step string) *place {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return &place{n.Content[i], n.Content[i].Line}
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return &place{n.Content[i+1], n.Content[i].Line}
		}
	}
	return nil
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
