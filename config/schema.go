package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Schema is a JSON Schema (draft 2020-12) node, as far as a config needs it.
type Schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
	Items       *Schema            `json:"items,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Const       string             `json:"const,omitempty"`
	Default     any                `json:"default,omitempty"`
	OneOf       []*Schema          `json:"oneOf,omitempty"`
}

// durationPattern is Prometheus' notation (prometheus/common model.ParseDuration).
const durationPattern = `^(0|([0-9]+(ms|s|m|h|d|w|y))+)$`

// SchemaOf describes the YAML form of v, a pointer to a config struct with its
// defaults set: keys from the yaml tags, words from the doc tags, `need:"true"`
// for keys that must be there, `enum:"a,b"` for the words a key may have.
func SchemaOf(v any) *Schema { return schemaOf(reflect.ValueOf(v).Elem()) }

func schemaOf(v reflect.Value) *Schema {
	t := v.Type()
	switch t {
	case reflect.TypeFor[Duration]():
		s := &Schema{Type: "string", Pattern: durationPattern}
		if d := v.Interface().(Duration); d != 0 {
			s.Default = d.String()
		}
		return s
	case reflect.TypeFor[Section]():
		return &Schema{Type: "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(reflect.New(t.Elem()).Elem())
	case reflect.Struct:
		return structSchema(v)
	case reflect.Slice:
		return &Schema{Type: "array", Items: schemaOf(reflect.New(t.Elem()).Elem())}
	case reflect.Map:
		return &Schema{Type: "object", Additional: schemaOf(reflect.New(t.Elem()).Elem())}
	case reflect.Bool:
		return withDefault(&Schema{Type: "boolean"}, v)
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Int32:
		return withDefault(&Schema{Type: "integer"}, v)
	case reflect.Float64:
		return withDefault(&Schema{Type: "number"}, v)
	default:
		return withDefault(&Schema{Type: "string"}, v)
	}
}

func structSchema(v reflect.Value) *Schema {
	s := &Schema{Type: "object", Properties: map[string]*Schema{}, Additional: false}
	for name, f := range fieldsOf(v.Type()) {
		p := schemaOf(v.FieldByIndex(f.Index))
		p.Description = f.Tag.Get("doc")
		s.Properties[name] = p
		if f.Tag.Get("need") == "true" {
			s.Required = append(s.Required, name)
			if p.Type == "array" {
				p.MinItems = 1
			}
		}
		if words := f.Tag.Get("enum"); words != "" {
			p.Enum = strings.Split(words, ",")
		}
	}
	slices.Sort(s.Required)
	return s
}

func withDefault(s *Schema, v reflect.Value) *Schema {
	if !v.IsZero() {
		s.Default = v.Interface()
	}
	return s
}

// Key is one key of a config section, for the reference.
type Key struct {
	Path    string // receivers[].notify[].with.channel
	Type    string
	Default string
	Doc     string
	Need    bool
}

// Keys lists every key of v in the order of its struct fields.
func Keys(v any) []Key { return keysOf(reflect.ValueOf(v).Elem(), "") }

func keysOf(v reflect.Value, path string) []Key {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		return keysOf(reflect.New(t.Elem()).Elem(), path)
	case t.Kind() == reflect.Slice:
		return keysOf(reflect.New(t.Elem()).Elem(), path+"[]")
	case t.Kind() != reflect.Struct || own(t):
		return nil
	}
	var out []Key
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if opts == "inline" {
			out = append(out, keysOf(v.Field(i), path)...)
			continue
		}
		here := strings.TrimPrefix(path+"."+name, ".")
		s := schemaOf(v.Field(i))
		k := Key{Path: here, Type: typeWord(f.Type, s), Doc: f.Tag.Get("doc"), Need: f.Tag.Get("need") == "true"}
		if s.Default != nil {
			k.Default = fmt.Sprint(s.Default)
		}
		out = append(out, k)
		out = append(out, keysOf(v.Field(i), here)...)
	}
	return out
}

func typeWord(t reflect.Type, s *Schema) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case t == reflect.TypeFor[SecretFile]():
		return "file"
	case s.Type == "array":
		return "list of " + typeWord(t.Elem(), s.Items)
	case s.Type == "object":
		return "section"
	default:
		return s.Type
	}
}
