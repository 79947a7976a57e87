package model

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

func (c *compiler) content(content openapi3.Content, request bool) Content {
	out := Content{}
	for media, mt := range content {
		name := media
		media, _, _ = strings.Cut(media, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		out[media] = nil
		if mt == nil {
			continue
		}
		if s := c.schema(mt.Schema, "content", name, "schema"); s != nil {
			out[media] = side{s, request}
		}
	}
	return out
}

// at does something one place further down the document, or where a reference
// leads.
func (c *compiler) at(ref string, steps []string, do func()) {
	was := c.place
	if ref != "" {
		c.place = []string{ref}
	} else {
		c.place = append(c.place, steps...)
	}
	do()
	c.place = was
}

// schema compiles what a reference refers to once, circles included. steps lead
// to where it stands.
func (c *compiler) schema(ref *openapi3.SchemaRef, steps ...string) (s *schema) {
	if ref == nil || ref.Value == nil {
		return nil
	}
	if s := c.schemas[ref.Value]; s != nil {
		return s
	}
	c.at(ref.Ref, steps, func() { s = c.fresh(ref.Value) })
	return s
}

func (c *compiler) fresh(v *openapi3.Schema) *schema {
	s := &schema{
		nullable: v.Nullable, minLength: v.MinLength, maxLength: v.MaxLength, minItems: v.MinItems, maxItems: v.MaxItems,
		unique: v.UniqueItems, required: v.Required, minProps: v.MinProps, maxProps: v.MaxProps, multipleOf: v.MultipleOf,
		enum: v.Enum, readOnly: v.ReadOnly, writeOnly: v.WriteOnly, never: v.Always != nil && !*v.Always,
		dependentRequired: v.DependentRequired,
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
		s.pattern = c.regexp(v.Pattern, "pattern")
	}
	s.items, s.prefix = c.schema(v.Items, "items"), c.list(v.PrefixItems, "prefixItems")
	s.allOf, s.anyOf, s.oneOf, s.not = c.list(v.AllOf, "allOf"), c.list(v.AnyOf, "anyOf"), c.list(v.OneOf, "oneOf"), c.schema(v.Not, "not")
	s.condition, s.then, s.otherwise = c.schema(v.If, "if"), c.schema(v.Then, "then"), c.schema(v.Else, "else")
	s.contains, s.minContains, s.maxContains = c.schema(v.Contains, "contains"), v.MinContains, v.MaxContains
	s.properties, s.dependentSchemas = c.named(v.Properties, "properties"), c.named(v.DependentSchemas, "dependentSchemas")
	s.propertyNames = c.schema(v.PropertyNames, "propertyNames")
	s.additional = c.rest(v.AdditionalProperties, "additionalProperties")
	s.unevaluatedItems = c.rest(v.UnevaluatedItems, "unevaluatedItems")
	s.unevaluatedProperties = c.rest(v.UnevaluatedProperties, "unevaluatedProperties")
	for pattern, p := range v.PatternProperties {
		re := c.regexp(pattern, "patternProperties")
		s.unknownPatterns = s.unknownPatterns || re == nil
		if compiled := c.schema(p, "patternProperties", pattern); re != nil && compiled != nil {
			s.patterns = append(s.patterns, patterned{re, compiled})
		}
	}
	c.discriminator(s, v)
	c.unjudged(v)
	return s
}

// regexp is nil where the pattern is of JavaScript's own: look-ahead, \d{1,2000}.
func (c *compiler) regexp(pattern, keyword string) *regexp.Regexp {
	re, err := regexp.Compile(pattern)
	if err != nil {
		c.notJudged(keyword, err.Error())
	}
	return re
}

// rest is the schema of what no other one is for. false is one that nothing
// fits, true one that everything does.
func (c *compiler) rest(b openapi3.BoolSchema, keyword string) *schema {
	if b.Has != nil {
		return &schema{never: !*b.Has}
	}
	return c.schema(b.Schema, keyword)
}

func (c *compiler) named(refs openapi3.Schemas, keyword string) map[string]*schema {
	out := make(map[string]*schema, len(refs))
	for name, ref := range refs {
		if s := c.schema(ref, keyword, name); s != nil {
			out[name] = s
		}
	}
	return out
}

// unjudged tells keywords that say what a value is and that nobody here looks
// at. Those that only describe it (format, contentMediaType) are none.
func (c *compiler) unjudged(v *openapi3.Schema) {
	if v.DynamicRef != "" {
		c.notJudged("$dynamicRef", "what it refers to depends on who refers to the schema")
	}
	if !c.knows(v.SchemaDialect) {
		c.notJudged("$schema", "the keywords are taken for those of 2020-12")
	}
	for _, old := range []string{"$recursiveRef", "additionalItems", "dependencies"} {
		if _, has := v.Extensions[old]; has {
			c.notJudged(old, "2020-12 has another keyword for it")
		}
	}
}

func (c *compiler) notJudged(keyword, why string) {
	steps := []string{c.place[0]}
	for _, step := range c.place[1:] {
		steps = append(steps, escape(step))
	}
	c.problem("schema", strings.Join(append(steps, keyword), "/"), "not judged: %s", why)
}

// escape is a name as a step of a JSON pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// knows says whether a schema's keywords mean what they mean here.
func (c *compiler) knows(dialect string) bool {
	return dialect == "" || strings.HasPrefix(dialect, "https://json-schema.org/draft/2020-12/") || strings.HasPrefix(dialect, "https://spec.openapis.org/oas/3.")
}

// bound is the tighter of an inclusive and an exclusive bound: 3.0 writes the
// latter as a boolean beside the former, 3.1 as a number.
func bound(inclusive *float64, exclusive openapi3.ExclusiveBound, tighter func(a, b float64) bool) (*float64, bool) {
	if exclusive.Value != nil && (inclusive == nil || !tighter(*inclusive, *exclusive.Value)) {
		return exclusive.Value, true
	}
	return inclusive, exclusive.Bool != nil && *exclusive.Bool
}

func (c *compiler) list(refs openapi3.SchemaRefs, keyword string) []*schema {
	var out []*schema
	for i, ref := range refs {
		if s := c.schema(ref, keyword, strconv.Itoa(i)); s != nil {
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
