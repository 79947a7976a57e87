package model

import (
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

func (c *compiler) content(content openapi3.Content, request bool) Content {
	out := Content{}
	for media, mt := range content {
		media, _, _ = strings.Cut(media, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		out[media] = nil
		if mt == nil {
			continue
		}
		if s := c.schema(mt.Schema); s != nil {
			out[media] = side{s, request}
		}
	}
	return out
}

// schema compiles what a reference refers to once, circles included.
func (c *compiler) schema(ref *openapi3.SchemaRef) *schema {
	if ref == nil || ref.Value == nil {
		return nil
	}
	v := ref.Value
	if s := c.schemas[v]; s != nil {
		return s
	}
	s := &schema{
		nullable: v.Nullable, minLength: v.MinLength, maxLength: v.MaxLength, minItems: v.MinItems, maxItems: v.MaxItems,
		unique: v.UniqueItems, required: v.Required, minProps: v.MinProps, maxProps: v.MaxProps, multipleOf: v.MultipleOf,
		enum: v.Enum, readOnly: v.ReadOnly, writeOnly: v.WriteOnly, never: v.Always != nil && !*v.Always,
	}
	c.schemas[v] = s
	if v.Type != nil {
		s.types = *v.Type
	}
	if v.Const != nil {
		s.constant = &v.Const
	}
	s.minimum, s.exclusiveMin = bound(v.Min, v.ExclusiveMin, func(a, b float64) bool { return a > b })
	s.maximum, s.exclusiveMax = bound(v.Max, v.ExclusiveMax, func(a, b float64) bool { return a < b })
	if v.Pattern != "" {
		re, err := regexp.Compile(v.Pattern)
		if err != nil { // of JavaScript's own: look-ahead, \d{1,2000}
			c.problem("schema", ref.Ref, "a pattern is not judged: %v", err)
		}
		s.pattern = re
	}
	s.items, s.prefix = c.schema(v.Items), c.list(v.PrefixItems)
	s.allOf, s.anyOf, s.oneOf, s.not = c.list(v.AllOf), c.list(v.AnyOf), c.list(v.OneOf), c.schema(v.Not)
	s.properties = make(map[string]*schema, len(v.Properties))
	for name, p := range v.Properties {
		if compiled := c.schema(p); compiled != nil {
			s.properties[name] = compiled
		}
	}
	s.patternProperties = len(v.PatternProperties) > 0
	if has := v.AdditionalProperties.Has; has != nil && !*has {
		s.additional = &schema{never: true}
	} else {
		s.additional = c.schema(v.AdditionalProperties.Schema)
	}
	c.discriminator(s, v)
	return s
}

// bound is the tighter of an inclusive and an exclusive bound: 3.0 writes the
// latter as a boolean beside the former, 3.1 as a number.
func bound(inclusive *float64, exclusive openapi3.ExclusiveBound, tighter func(a, b float64) bool) (*float64, bool) {
	if exclusive.Value != nil && (inclusive == nil || !tighter(*inclusive, *exclusive.Value)) {
		return exclusive.Value, true
	}
	return inclusive, exclusive.Bool != nil && *exclusive.Bool
}

func (c *compiler) list(refs openapi3.SchemaRefs) []*schema {
	var out []*schema
	for _, ref := range refs {
		if s := c.schema(ref); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// discriminator names an alternative by the last step of its reference, or as
// mapping says.
func (c *compiler) discriminator(s *schema, v *openapi3.Schema) {
	if v.Discriminator == nil || len(v.OneOf)+len(v.AnyOf) == 0 {
		return
	}
	s.discriminator, s.discriminatorMapping = v.Discriminator.PropertyName, map[string]*schema{}
	byRef := map[string]*schema{}
	for _, ref := range slices.Concat(v.OneOf, v.AnyOf) {
		if compiled := c.schema(ref); compiled != nil && ref.Ref != "" {
			byRef[ref.Ref] = compiled
			s.discriminatorMapping[ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]] = compiled
		}
	}
	for name, to := range v.Discriminator.Mapping {
		if compiled := byRef[to.Ref]; compiled != nil {
			s.discriminatorMapping[name] = compiled
		}
	}
}
