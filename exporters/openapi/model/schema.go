package model

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// ErrTooMuch says that a value was not judged: it would have taken more than
// maxSteps, as it does where alternatives nest.
var ErrTooMuch = errors.New("too many steps to judge")

const maxSteps = 200_000

// schema is a compiled JSON Schema: of OpenAPI 3.0, or 2020-12 as of 3.1. Formats
// are not judged, nor what compiler.unjudged tells. Schemas refer to each other
// as the document does, in circles too.
type schema struct {
	never    bool     // the boolean schema false
	types    []string // empty: any
	nullable bool
	enum     []any // nil: any
	constant *any

	minimum, maximum           *float64
	exclusiveMin, exclusiveMax bool
	multipleOf                 *float64

	minLength uint64
	maxLength *uint64
	pattern   *regexp.Regexp

	minItems uint64
	maxItems *uint64
	unique   bool
	prefix   []*schema
	items    *schema

	contains                 *schema
	minContains, maxContains *uint64
	unevaluatedItems         *schema // nil: any

	required              []string
	minProps              uint64
	maxProps              *uint64
	properties            map[string]*schema
	patterns              []patterned
	unknownPatterns       bool    // some are not judged: additional is not either
	additional            *schema // nil: any
	unevaluatedProperties *schema // nil: any
	propertyNames         *schema
	dependentRequired     map[string][]string
	dependentSchemas      map[string]*schema
	readOnly, writeOnly   bool

	allOf, anyOf, oneOf        []*schema
	not                        *schema
	condition, then, otherwise *schema // if, then, else
	discriminator              string
	discriminatorMapping       map[string]*schema
}

// patterned is what properties have to be whose names match.
type patterned struct {
	name *regexp.Regexp
	*schema
}

// side is a schema as a request or a response has to keep it: what is read-only
// need not be in a request, what is write-only not in a response.
type side struct {
	*schema
	request bool
}

// Check judges a value within maxSteps.
func (s side) Check(value any) error {
	j := judge{request: s.request, steps: maxSteps}
	return j.value(s.schema, value, 0)
}

type judge struct {
	request bool
	steps   int
}

// violation is where a value breaks its schema. The value itself is never in
// it: bodies hold secrets.
type violation struct{ where, what string }

func (v *violation) Error() string { return "body" + v.where + ": " + v.what }

func wrong(format string, args ...any) error { return &violation{what: fmt.Sprintf(format, args...)} }

// in puts a step in front of where.
func in(step string, err error) error {
	if v, ok := errors.AsType[*violation](err); ok {
		v.where = step + v.where
	}
	return err
}

func (j *judge) value(s *schema, v any, depth int) error {
	if j.steps--; j.steps < 0 || depth > maxDepth {
		return ErrTooMuch
	}
	if s.never {
		return wrong("nothing is allowed here")
	}
	if v == nil && s.nullable {
		return nil
	}
	if len(s.types) > 0 && !slices.ContainsFunc(s.types, func(t string) bool { return is(t, v) }) {
		return wrong("%s, not %v", kind(v), s.types)
	}
	if s.enum != nil && !slices.ContainsFunc(s.enum, func(e any) bool { return reflect.DeepEqual(e, v) }) {
		return wrong("not one of the %d values of the enum", len(s.enum))
	}
	if s.constant != nil && !reflect.DeepEqual(*s.constant, v) {
		return wrong("not the constant")
	}
	var err error
	switch v := v.(type) {
	case float64:
		err = s.number(v)
	case string:
		err = s.text(v)
	case []any:
		err = j.array(s, v, depth)
	case map[string]any:
		err = j.object(s, v, depth)
	}
	if err == nil {
		err = j.combined(s, v, depth)
	}
	if err == nil {
		err = j.conditional(s, v, depth)
	}
	if err == nil {
		err = j.unevaluated(s, v, depth)
	}
	return err
}

func is(t string, v any) bool {
	switch t {
	case "null":
		return v == nil
	case "integer":
		f, ok := v.(float64)
		return ok && f == math.Trunc(f)
	case "file": // of 2.0
		return true
	default:
		return kind(v) == t
	}
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func (s *schema) number(v float64) error {
	switch {
	case s.minimum != nil && (v < *s.minimum || s.exclusiveMin && v == *s.minimum):
		return wrong("below the minimum %v", *s.minimum)
	case s.maximum != nil && (v > *s.maximum || s.exclusiveMax && v == *s.maximum):
		return wrong("above the maximum %v", *s.maximum)
	case s.multipleOf != nil && *s.multipleOf > 0:
		// a quotient of floats is whole only to within their precision
		q := v / *s.multipleOf
		if math.Abs(q-math.Round(q)) > 1e-9*max(1, math.Abs(q)) {
			return wrong("no multiple of %v", *s.multipleOf)
		}
	}
	return nil
}

func (s *schema) text(v string) error {
	if s.minLength > 0 || s.maxLength != nil {
		n := uint64(utf8.RuneCountInString(v))
		if n < s.minLength || s.maxLength != nil && n > *s.maxLength {
			return wrong("%d characters", n)
		}
	}
	if s.pattern != nil && !s.pattern.MatchString(v) {
		return wrong("does not match the pattern %s", s.pattern)
	}
	return nil
}

func (j *judge) array(s *schema, v []any, depth int) error {
	n := uint64(len(v))
	if n < s.minItems || s.maxItems != nil && n > *s.maxItems {
		return wrong("%d items", n)
	}
	if s.unique {
		if err := j.distinct(v); err != nil {
			return err
		}
	}
	for i, item := range v {
		each := s.items
		if i < len(s.prefix) {
			each = s.prefix[i]
		}
		if each == nil {
			continue
		}
		if err := j.value(each, item, depth+1); err != nil {
			return in("/"+strconv.Itoa(i), err)
		}
	}
	return j.containing(s, v, depth)
}

func (j *judge) distinct(v []any) error {
	for i := range v {
		if j.steps -= i; j.steps < 0 {
			return ErrTooMuch
		}
		for k := range i {
			if reflect.DeepEqual(v[i], v[k]) {
				return wrong("items %d and %d are the same", k, i)
			}
		}
	}
	return nil
}

func (j *judge) object(s *schema, v map[string]any, depth int) error {
	n := uint64(len(v))
	if n < s.minProps || s.maxProps != nil && n > *s.maxProps {
		return wrong("%d properties", n)
	}
	for _, name := range s.required {
		if _, ok := v[name]; ok {
			continue
		}
		if p := s.properties[name]; p != nil && (j.request && p.readOnly || !j.request && p.writeOnly) {
			continue
		}
		return wrong("property %q is missing", name)
	}
	for name, value := range v {
		if err := j.property(s, name, value, depth); err != nil {
			if s.properties[name] == nil {
				name = "*" // a key that the document does not name may be a secret
			}
			return in("/"+name, err)
		}
	}
	return j.dependent(s, v, depth)
}

// property judges one by all schemas that are for its name.
func (j *judge) property(s *schema, name string, value any, depth int) error {
	if s.propertyNames != nil {
		if err := j.value(s.propertyNames, name, depth+1); err != nil {
			return err
		}
	}
	p := s.properties[name]
	known := p != nil || s.unknownPatterns
	if p != nil {
		if err := j.value(p, value, depth+1); err != nil {
			return err
		}
	}
	for _, p := range s.patterns {
		if !p.name.MatchString(name) {
			continue
		}
		known = true
		if err := j.value(p.schema, value, depth+1); err != nil {
			return err
		}
	}
	if known || s.additional == nil {
		return nil
	}
	return j.value(s.additional, value, depth+1)
}

// combined judges what other schemas say of the same value.
func (j *judge) combined(s *schema, v any, depth int) error {
	for _, each := range s.allOf {
		if err := j.value(each, v, depth+1); err != nil {
			return err
		}
	}
	if s.not != nil {
		switch err := j.value(s.not, v, depth+1); {
		case errors.Is(err, ErrTooMuch):
			return err
		case err == nil:
			return wrong("is what it must not be")
		}
	}
	if chosen := s.chosen(v); chosen != nil {
		return j.value(chosen, v, depth+1)
	}
	if err := j.some(s.anyOf, v, depth, false); err != nil {
		return err
	}
	return j.some(s.oneOf, v, depth, true)
}

// chosen is the alternative that the discriminator names.
func (s *schema) chosen(v any) *schema {
	object, ok := v.(map[string]any)
	if !ok || s.discriminator == "" {
		return nil
	}
	name, _ := object[s.discriminator].(string)
	return s.discriminatorMapping[name]
}

func (j *judge) some(alternatives []*schema, v any, depth int, one bool) error {
	if len(alternatives) == 0 {
		return nil
	}
	fits := 0
	for _, each := range alternatives {
		switch err := j.value(each, v, depth+1); {
		case errors.Is(err, ErrTooMuch):
			return err
		case err == nil && !one:
			return nil
		case err == nil:
			fits++
		}
	}
	switch fits {
	case 1:
		return nil
	case 0:
		return wrong("fits none of %d alternatives", len(alternatives))
	default:
		return wrong("fits %d alternatives, not one", fits)
	}
}
