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

// Limits of annotations. The schemas of a large document hold each other in so
// many ways that not all of them can be gone.
const (
	maxAnnotations = 1000    // of one answer
	maxWalked      = 5000    // schemas on the way to them, nearest to the root first
	maxWay         = 32      // steps from the answer's root to a value
	maxAllWalked   = 200_000 // of all answers
	maxAllPlaces   = 10_000
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
	if c.places == nil {
		return nil
	}
	w := annotator{places: c.places, seen: map[string]bool{}}
	for _, media := range slices.Sorted(maps.Keys(content)) {
		if mt := content[media]; mt != nil && (JSON(media) || strings.HasSuffix(media, "*")) && c.places.leads(mt.Schema) {
			w.push(&visit{ref: mt.Schema})
		}
	}
	w.walk()
	if w.over && !c.places.told {
		c.places.told = true
		c.problem("metric", where, "there are too many ways to annotations: those nearest to the answer are read, %d of an answer and %d of the document at most", maxAnnotations, maxAllPlaces)
	}
	slices.SortFunc(w.found, func(a, b found) int { return cmp.Compare(a.pointer, b.pointer) })
	all := make([]Annotation, 0, len(w.found))
	for _, each := range w.found {
		all = append(all, each.Annotation)
	}
	return all
}

// places is what is known of all schemas of a document.
type places struct {
	way    map[*openapi3.Schema]bool   // whether it leads to an annotation
	parts  map[*openapi3.Schema][]part // those that do
	walked int
	found  int
	told   bool // that there are too many
}

func newPlaces() *places {
	return &places{way: map[*openapi3.Schema]bool{}, parts: map[*openapi3.Schema][]part{}}
}

// leads says whether a schema is, or holds, one with an annotation.
func (p *places) leads(ref *openapi3.SchemaRef) bool {
	if ref == nil || ref.Value == nil {
		return false
	}
	if _, known := p.way[ref.Value]; !known {
		p.explore(ref.Value)
	}
	return p.way[ref.Value] || ref.Extensions[Extension] != nil
}

// explore finds out for all schemas within root whether they lead to an
// annotation: what does is followed back from what is annotated, so that circles
// are no trouble.
func (p *places) explore(root *openapi3.Schema) {
	holders := map[*openapi3.Schema][]*openapi3.Schema{}
	var annotated []*openapi3.Schema
	p.way[root] = false
	for todo := []*openapi3.Schema{root}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.Extensions[Extension] != nil {
			annotated = append(annotated, s)
		}
		for _, inner := range parts(s) {
			v := inner.ref.Value
			holders[v] = append(holders[v], s)
			if inner.ref.Extensions[Extension] != nil {
				annotated = append(annotated, s)
			}
			leads, known := p.way[v]
			if leads {
				annotated = append(annotated, v)
			}
			if !known {
				p.way[v] = false
				todo = append(todo, v)
			}
		}
	}
	for len(annotated) > 0 {
		s := annotated[len(annotated)-1]
		annotated = annotated[:len(annotated)-1]
		p.way[s] = true
		for _, holder := range holders[s] {
			if !p.way[holder] {
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

// leading are the parts of a schema that lead to an annotation.
func (p *places) leading(s *openapi3.Schema) []part {
	known, ok := p.parts[s]
	if !ok {
		known = slices.DeleteFunc(parts(s), func(in part) bool { return !p.way[in.ref.Value] && in.ref.Extensions[Extension] == nil })
		p.parts[s] = known
	}
	return known
}

// visit is a schema with the way to it.
type visit struct {
	ref    *openapi3.SchemaRef
	holder *visit
	step   *Step // nil where holder is of the same value
	steps  int
}

func (v *visit) path() []Step {
	path := make([]Step, 0, v.steps)
	for ; v != nil; v = v.holder {
		if v.step != nil {
			path = append(path, *v.step)
		}
	}
	slices.Reverse(path)
	return path
}

// circle says whether the schema holds itself on this way.
func (v *visit) circle() bool {
	for holder := v.holder; holder != nil; holder = holder.holder {
		if holder.ref.Value == v.ref.Value {
			return true
		}
	}
	return false
}

type found struct {
	Annotation
	pointer string
}

// annotator walks the schemas of one answer.
type annotator struct {
	*places
	todo  []*visit
	seen  map[string]bool // annotations by place
	found []found
	over  bool
}

func (w *annotator) push(v *visit) {
	if len(w.todo) >= maxWalked || v.steps > maxWay || w.walked >= maxAllWalked {
		w.over = true
		return
	}
	w.walked++
	w.todo = append(w.todo, v)
}

func (w *annotator) walk() {
	for i := 0; i < len(w.todo); i++ {
		v := w.todo[i]
		for _, extensions := range []map[string]any{v.ref.Extensions, v.ref.Value.Extensions} {
			if extensions[Extension] != nil {
				w.add(v, extensions)
			}
		}
		if v.circle() {
			continue // the outermost is enough
		}
		for _, in := range w.leading(v.ref.Value) {
			next := &visit{ref: in.ref, holder: v, step: in.step, steps: v.steps}
			if in.step != nil {
				next.steps++
			}
			w.push(next)
		}
	}
}

// add keeps one of several annotations of the same words at the same place:
// alternatives share schemas.
func (w *annotator) add(v *visit, extensions map[string]any) {
	s, path := v.ref.Value, v.path()
	one := found{Annotation{Path: path, Value: extensions[Extension], Format: s.Format, Enum: s.Enum}, Pointer(path)}
	one.At, _ = extensions[position].(string)
	if s.Type != nil {
		one.Types = *s.Type
	}
	key := fmt.Sprint(one.At, one.pointer, one.Value)
	switch {
	case w.seen[key]:
	case len(w.found) >= maxAnnotations, w.places.found >= maxAllPlaces:
		w.over = true
	default:
		w.seen[key] = true
		w.places.found++
		w.found = append(w.found, one)
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
