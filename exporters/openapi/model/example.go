package model

import (
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// example is a value that a document gives for a parameter: what is meant as an
// example first, and else what cannot be wrong. nil is none.
func example(p *openapi3.Parameter) any {
	if v := firstOf(p.Example, p.Examples); v != nil {
		return v
	}
	if v := p.Extensions["x-example"]; v != nil { // where 2.0 has it
		return v
	}
	for _, media := range slices.Sorted(maps.Keys(p.Content)) {
		if mt := p.Content[media]; mt != nil {
			return contentExample(mt)
		}
	}
	return schemaExample(p.Schema)
}

func contentExample(mt *openapi3.MediaType) any {
	if v := firstOf(mt.Example, mt.Examples); v != nil {
		return v
	}
	return schemaExample(mt.Schema)
}

func firstOf(example any, examples openapi3.Examples) any {
	if example != nil {
		return example
	}
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		if e := examples[name]; e != nil && e.Value != nil && e.Value.Value != nil {
			return e.Value.Value
		}
	}
	return nil
}

func schemaExample(ref *openapi3.SchemaRef) any {
	if ref == nil || ref.Value == nil {
		return nil
	}
	s := ref.Value
	for _, v := range slices.Concat([]any{s.Example}, s.Examples, []any{s.Default, s.Const}, s.Enum) {
		if v != nil {
			return v
		}
	}
	if s.Items != nil && s.Items.Value != nil && s.Type != nil && s.Type.Is("array") {
		if v := schemaExample(s.Items); v != nil && s.Items.Value != s {
			return []any{v}
		}
	}
	return nil
}

// style is how the value of a parameter is written, and whether each of its
// parts is written by itself.
func style(p *openapi3.Parameter) (string, bool) {
	if len(p.Content) > 0 {
		return "content", false
	}
	s := p.Style
	if s == "" {
		s = "simple"
		if p.In == "query" || p.In == "cookie" {
			s = "form"
		}
	}
	if p.Explode != nil {
		return s, *p.Explode
	}
	return s, s == "form"
}

// bodyExample is the JSON body that a document gives for a request.
func bodyExample(content openapi3.Content) (media string, value any) {
	for _, media := range slices.Sorted(maps.Keys(content)) {
		if mt := content[media]; mt != nil && JSON(media) {
			return media, contentExample(mt)
		}
	}
	return "", nil
}
