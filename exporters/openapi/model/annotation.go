package model

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Extension is the annotation that makes a metric of a value.
const Extension = "x-prometheus-metric"

// position stands before Extension once a file is read, and says where that is.
const position = Extension + "-at"

// Limits of the annotations of one answer.
const (
	maxAnnotations = 1000
	maxWay         = 32     // steps from the answer's root to a value
	maxExpanded    = 20_000 // schemas walked on the way
)

// Annotation is a schema with Extension, at one place of an answer.
type Annotation struct {
	At     string // file:line of the annotation, or the file alone
	Path   []Step // from the root of the answer
	Value  any    // of the annotation, as it is decoded from JSON
	Types  []string
	Format string
	Enum   []any
}

// Step leads from a value to one in it.
type Step struct {
	Each bool   // every element of an array, or every property that no other step names
	Name string // of a property
}

// Pointer is a JSON pointer in which * is each element.
func Pointer(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteByte('/')
		if s.Each {
			b.WriteByte('*')
			continue
		}
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s.Name))
	}
	return b.String()
}

// annotations are those of an answer's JSON schemas, in the order of their
// places. Only schemas on the way to one are walked.
func (c *compiler) annotations(where string, content openapi3.Content) []Annotation {
	if !c.annotated {
		return nil
	}
	if c.way == nil {
		c.way = map[*openapi3.Schema]bool{}
	}
	w := annotator{way: c.way, on: map[*openapi3.Schema]bool{}, seen: map[string]bool{}}
	for _, media := range slices.Sorted(maps.Keys(content)) {
		if mt := content[media]; mt != nil && (JSON(media) || strings.HasSuffix(media, "*")) && c.leads(mt.Schema) {
			w.walk(mt.Schema, nil)
		}
	}
	if w.over {
		c.problem("metric", where, "more than %d annotations, or %d schemas on the way to them: the rest is left out", maxAnnotations, maxExpanded)
	}
	if w.circle {
		c.problem("metric", where, "an annotation is in a schema that holds itself: the outermost is read")
	}
	slices.SortFunc(w.found, func(a, b Annotation) int { return cmp.Compare(Pointer(a.Path), Pointer(b.Path)) })
	return w.found
}

// leads says whether a schema is, or holds, one with an annotation.
func (c *compiler) leads(ref *openapi3.SchemaRef) bool {
	if ref == nil || ref.Value == nil {
		return false
	}
	if _, known := c.way[ref.Value]; !known {
		c.explore(ref.Value)
	}
	return c.way[ref.Value] || ref.Extensions[Extension] != nil
}

// explore finds out for all schemas within root whether they lead to an
// annotation: what does is followed back from what is annotated, so that circles
// are no trouble.
func (c *compiler) explore(root *openapi3.Schema) {
	holders := map[*openapi3.Schema][]*openapi3.Schema{}
	var annotated []*openapi3.Schema
	c.way[root] = false
	for todo := []*openapi3.Schema{root}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.Extensions[Extension] != nil {
			annotated = append(annotated, s)
		}
		for _, part := range parts(s) {
			v := part.ref.Value
			holders[v] = append(holders[v], s)
			if part.ref.Extensions[Extension] != nil {
				annotated = append(annotated, s)
			}
			leads, known := c.way[v]
			if leads {
				annotated = append(annotated, v)
			}
			if !known {
				c.way[v] = false
				todo = append(todo, v)
			}
		}
	}
	for len(annotated) > 0 {
		s := annotated[len(annotated)-1]
		annotated = annotated[:len(annotated)-1]
		c.way[s] = true
		for _, holder := range holders[s] {
			if !c.way[holder] {
				annotated = append(annotated, holder)
			}
		}
		holders[s] = nil
	}
}

// part is a schema in a schema; step is nil where both are of the same value.
type part struct {
	step *Step
	ref  *openapi3.SchemaRef
}

func parts(s *openapi3.Schema) (all []part) {
	add := func(step *Step, refs ...*openapi3.SchemaRef) {
		for _, ref := range refs {
			if ref != nil && ref.Value != nil {
				all = append(all, part{step, ref})
			}
		}
	}
	for _, list := range []openapi3.SchemaRefs{s.AllOf, s.AnyOf, s.OneOf} {
		add(nil, list...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		add(&Step{Name: name}, s.Properties[name])
	}
	add(&Step{Each: true}, s.Items, s.AdditionalProperties.Schema)
	add(&Step{Each: true}, s.PrefixItems...)
	return all
}

// annotator walks the schemas of one answer.
type annotator struct {
	way      map[*openapi3.Schema]bool
	on       map[*openapi3.Schema]bool // from the root to here
	seen     map[string]bool           // places that have the annotation already
	found    []Annotation
	expanded int
	over     bool
	circle   bool
}

func (w *annotator) walk(ref *openapi3.SchemaRef, at []Step) {
	s := ref.Value
	if w.expanded++; w.expanded > maxExpanded || len(at) > maxWay || len(w.found) >= maxAnnotations {
		w.over = true
		return
	}
	for _, extensions := range []map[string]any{ref.Extensions, s.Extensions} {
		if v := extensions[Extension]; v != nil {
			w.add(s, extensions, at)
		}
	}
	if w.on[s] {
		w.circle = true
		return
	}
	w.on[s] = true
	defer delete(w.on, s)
	for _, p := range parts(s) {
		if !w.way[p.ref.Value] && p.ref.Extensions[Extension] == nil {
			continue
		}
		if p.step == nil {
			w.walk(p.ref, at)
			continue
		}
		w.walk(p.ref, append(slices.Clip(at), *p.step))
	}
}

// add keeps one of several annotations of the same words at the same place:
// alternatives share schemas.
func (w *annotator) add(s *openapi3.Schema, extensions map[string]any, at []Step) {
	a := Annotation{Path: at, Value: extensions[Extension], Format: s.Format, Enum: s.Enum}
	a.At, _ = extensions[position].(string)
	if s.Type != nil {
		a.Types = *s.Type
	}
	if key := fmt.Sprint(a.At, Pointer(at), a.Value); !w.seen[key] {
		w.seen[key] = true
		w.found = append(w.found, a)
	}
}

// fileName is a file as it is named in a position.
func fileName(u *url.URL) string { return path.Base(u.Path) }

// positioned writes where each annotation stands before it. The text is JSON.
func positioned(data []byte, file string, line int) []byte {
	key := []byte(strconv.Quote(Extension))
	if !bytes.Contains(data, key) {
		return data
	}
	var out bytes.Buffer
	copied := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '\n':
			line++
		case '"':
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					end++
				}
				end++
			}
			if after := bytes.TrimLeft(data[min(end+1, len(data)):], " \t\r\n"); bytes.HasPrefix(data[i:], key) && bytes.HasPrefix(after, []byte(":")) {
				out.Write(data[copied:i])
				out.Write(at(file, line))
				copied = i
			}
			i = end
		}
	}
	out.Write(data[copied:])
	return out.Bytes()
}

func at(file string, line int) []byte {
	return []byte(strconv.Quote(position) + ":" + strconv.Quote(Label(file)+":"+strconv.Itoa(line)) + ",")
}
