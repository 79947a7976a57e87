package model

import (
	"errors"
	"slices"
	"strconv"
)

// Keywords of JSON Schema 2020-12 that 3.0 does not have.

// holds says whether a value fits a schema, for its own sake. The error is that
// nobody knows.
func (j *judge) holds(s *schema, v any, depth int) (bool, error) {
	err := j.value(s, v, depth+1)
	if errors.Is(err, ErrTooMuch) {
		return false, err
	}
	return err == nil, nil
}

// conditional is if, then and else.
func (j *judge) conditional(s *schema, v any, depth int) error {
	if s.condition == nil || s.then == nil && s.otherwise == nil {
		return nil
	}
	holds, err := j.holds(s.condition, v, depth)
	switch {
	case err != nil:
		return err
	case holds && s.then != nil:
		return j.value(s.then, v, depth+1)
	case !holds && s.otherwise != nil:
		return j.value(s.otherwise, v, depth+1)
	}
	return nil
}

func (j *judge) containing(s *schema, v []any, depth int) error {
	if s.contains == nil {
		return nil
	}
	n := uint64(0)
	for _, item := range v {
		holds, err := j.holds(s.contains, item, depth)
		if err != nil {
			return err
		}
		if holds {
			n++
		}
	}
	least := uint64(1)
	if s.minContains != nil {
		least = *s.minContains
	}
	if n < least || s.maxContains != nil && n > *s.maxContains {
		return wrong("%d items that it has to contain", n)
	}
	return nil
}

// dependent judges what the presence of a property asks for.
func (j *judge) dependent(s *schema, v map[string]any, depth int) error {
	for name, others := range s.dependentRequired {
		if _, has := v[name]; !has {
			continue
		}
		for _, other := range others {
			if _, has := v[other]; !has {
				return wrong("property %q is missing beside %q", other, name)
			}
		}
	}
	for name, each := range s.dependentSchemas {
		if _, has := v[name]; has {
			if err := j.value(each, v, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// seen are the properties or items of one value that some schema was for.
type seen struct {
	all   bool
	names map[string]bool
	items []bool
}

// unevaluated judges the properties and items that no schema was for.
func (j *judge) unevaluated(s *schema, v any, depth int) error {
	switch v := v.(type) {
	case []any:
		if s.unevaluatedItems == nil {
			return nil
		}
		known := &seen{items: make([]bool, len(v))}
		if err := j.see(s, v, known, true, depth); err != nil {
			return err
		}
		for i, item := range v {
			if known.all || known.items[i] {
				continue
			}
			if err := j.value(s.unevaluatedItems, item, depth+1); err != nil {
				return in("/"+strconv.Itoa(i), err)
			}
		}
	case map[string]any:
		if s.unevaluatedProperties == nil {
			return nil
		}
		known := &seen{names: map[string]bool{}}
		if err := j.see(s, v, known, true, depth); err != nil {
			return err
		}
		for name, value := range v {
			if known.all || known.names[name] {
				continue
			}
			if err := j.value(s.unevaluatedProperties, value, depth+1); err != nil {
				return in("/*", err)
			}
		}
	}
	return nil
}

// see collects what the schema, and every other one that it applies to the same
// value, was for. own is the schema that asks.
func (j *judge) see(s *schema, v any, known *seen, own bool, depth int) error {
	if j.steps--; j.steps < 0 || depth > maxDepth {
		return ErrTooMuch
	}
	var err error
	switch v := v.(type) {
	case []any:
		known.all = known.all || s.items != nil || !own && s.unevaluatedItems != nil
		err = j.seeItems(s, v, known, depth)
	case map[string]any:
		known.all = known.all || s.additional != nil || s.unknownPatterns || !own && s.unevaluatedProperties != nil
		s.seeProperties(v, known)
	}
	if err != nil || known.all {
		return err
	}
	for _, each := range s.applied(v) {
		if err := j.see(each, v, known, false, depth+1); err != nil {
			return err
		}
	}
	return j.seeWhere(s, v, known, depth)
}

func (j *judge) seeItems(s *schema, v []any, known *seen, depth int) error {
	for i := range min(len(s.prefix), len(v)) {
		known.items[i] = true
	}
	if s.contains == nil {
		return nil
	}
	for i, item := range v {
		holds, err := j.holds(s.contains, item, depth)
		if err != nil {
			return err
		}
		known.items[i] = known.items[i] || holds
	}
	return nil
}

func (s *schema) seeProperties(v map[string]any, known *seen) {
	for name := range v {
		if s.properties[name] != nil || slices.ContainsFunc(s.patterns, func(p patterned) bool { return p.name.MatchString(name) }) {
			known.names[name] = true
		}
	}
}

// applied are the schemas that a value has to fit in any case.
func (s *schema) applied(v any) []*schema {
	all := s.allOf
	if chosen := s.chosen(v); chosen != nil {
		all = append(slices.Clip(all), chosen)
	}
	if object, is := v.(map[string]any); is {
		for name, each := range s.dependentSchemas {
			if _, has := object[name]; has {
				all = append(slices.Clip(all), each)
			}
		}
	}
	return all
}

// seeWhere is see of the schemas that hold only where the value fits them.
func (j *judge) seeWhere(s *schema, v any, known *seen, depth int) error {
	var may []*schema
	if s.chosen(v) == nil {
		may = slices.Concat(s.anyOf, s.oneOf)
	}
	if s.condition != nil {
		holds, err := j.holds(s.condition, v, depth)
		if err != nil {
			return err
		}
		branch := s.otherwise
		if holds {
			may, branch = append(may, s.condition), s.then
		}
		if branch != nil {
			may = append(may, branch)
		}
	}
	for _, each := range may {
		holds, err := j.holds(each, v, depth)
		if err != nil {
			return err
		}
		if !holds {
			continue
		}
		if err := j.see(each, v, known, false, depth+1); err != nil {
			return err
		}
	}
	return nil
}
