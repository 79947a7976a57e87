package model_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

func oracle(t testing.TB, schema string) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, compiler.AddResource("s.json", parsed))
	theirs, err := compiler.Compile("s.json")
	require.NoError(t, err, schema)
	return theirs
}

// JSON Schema 2020-12 has a judge of its own, which is asked about the same values.
func TestSchemasOf31JudgeAsJSONSchemaDoes(t *testing.T) {
	values := []string{
		`null`, `1`, `"a"`, `[]`, `[1]`, `["a"]`, `[1,"a"]`, `[1,"a",true]`, `["a","a",1,2]`, `[{"a":1}]`,
		`{}`, `{"a":1}`, `{"a":"x"}`, `{"b":1}`, `{"a":1,"b":2}`, `{"a":1,"x-1":2}`, `{"a":1,"x-1":"t"}`, `{"c":true}`, `{"a":1,"b":2,"c":true}`, `{"kind":"a","a":1}`, `{"kind":"b","b":1,"z":0}`,
	}
	for _, schema := range []string{
		`{"if":{"required":["a"]},"then":{"required":["b"]}}`,
		`{"if":{"type":"array"},"then":{"minItems":1},"else":{"type":"object"}}`,
		`{"if":{"properties":{"kind":{"const":"b"}},"required":["kind"]},"else":{"maxProperties":2}}`,
		`{"then":{"type":"string"},"else":{"type":"string"}}`,
		`{"contains":{"type":"string"}}`,
		`{"contains":{"type":"string"},"minContains":2}`,
		`{"contains":{"type":"string"},"minContains":0,"maxContains":1}`,
		`{"minContains":3}`,
		`{"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}`,
		`{"prefixItems":[{"type":"integer"}],"items":{"type":"string"}}`,
		`{"patternProperties":{"^x-":{"type":"integer"},"^[ab]$":true},"additionalProperties":false}`,
		`{"properties":{"a":{"type":"integer"}},"patternProperties":{"a":{"minimum":1}},"additionalProperties":{"type":"boolean"}}`,
		`{"propertyNames":{"maxLength":1}}`,
		`{"propertyNames":false}`,
		`{"dependentRequired":{"a":["b"],"c":[]}}`,
		`{"dependentSchemas":{"a":{"required":["b"]},"c":{"maxProperties":1}}}`,
		`{"properties":{"a":true},"unevaluatedProperties":false}`,
		`{"allOf":[{"properties":{"a":true}},{"properties":{"b":true}}],"unevaluatedProperties":false}`,
		`{"anyOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":true},"required":["b"]}],"unevaluatedProperties":false}`,
		`{"oneOf":[{"properties":{"kind":{"const":"a"},"a":true},"required":["kind"]},{"properties":{"kind":{"const":"b"},"b":true},"required":["kind"]}],"unevaluatedProperties":{"type":"integer"}}`,
		`{"if":{"properties":{"kind":{"const":"a"}},"required":["kind"]},"then":{"properties":{"a":true}},"else":{"properties":{"b":true}},"unevaluatedProperties":false}`,
		`{"dependentSchemas":{"a":{"properties":{"b":true}}},"properties":{"a":true},"unevaluatedProperties":false}`,
		`{"patternProperties":{"^x-":true},"unevaluatedProperties":{"type":"integer"}}`,
		`{"allOf":[{"additionalProperties":{"type":"integer"}}],"unevaluatedProperties":false}`,
		`{"allOf":[{"properties":{"a":true},"unevaluatedProperties":{"type":"integer"}}],"unevaluatedProperties":false}`,
		`{"not":{"not":{"properties":{"a":true}}},"unevaluatedProperties":false}`,
		`{"prefixItems":[true],"unevaluatedItems":false}`,
		`{"prefixItems":[true],"contains":{"type":"string"},"unevaluatedItems":false}`,
		`{"allOf":[{"prefixItems":[{"type":"integer"}]},{"prefixItems":[true,{"type":"string"}]}],"unevaluatedItems":{"type":"boolean"}}`,
		`{"anyOf":[{"items":{"type":"string"}},{"prefixItems":[true,true]}],"unevaluatedItems":false}`,
		`{"items":{"properties":{"a":true},"unevaluatedProperties":false},"unevaluatedProperties":true}`,
		`{"type":["null","array"],"uniqueItems":true,"unevaluatedItems":{"type":["string","integer"]}}`,
	} {
		theirs := oracle(t, schema)
		fit := 0
		for _, body := range values {
			var value any
			require.NoError(t, json.Unmarshal([]byte(body), &value))
			want := theirs.Validate(value) == nil
			require.Equal(t, want, check(t, "3.1.0", schema, body, false) == nil, fmt.Sprint(schema, " ", body))
			if want {
				fit++
			}
		}
		require.NotZero(t, fit, schema)
	}
}

// maker makes schemas and values of a few words, so that they meet.
type maker struct{ *rand.Rand }

func (m maker) name() string { return []string{"a", "b", "x-1"}[m.IntN(3)] }

func (m maker) value(depth int) any {
	switch n := m.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return float64(m.IntN(3))
	case n == 2:
		return m.name()
	case n == 3:
		return m.IntN(2) == 0
	case depth == 0:
		return 1.5
	case n == 4:
		list := []any{}
		for range m.IntN(4) {
			list = append(list, m.value(depth-1))
		}
		return list
	default:
		object := map[string]any{}
		for range m.IntN(4) {
			object[m.name()] = m.value(depth - 1)
		}
		return object
	}
}

func (m maker) schemas(depth int) []any {
	list := []any{m.schema(depth)}
	for range m.IntN(2) {
		list = append(list, m.schema(depth))
	}
	return list
}

func (m maker) schema(depth int) any {
	if depth == 0 || m.IntN(8) == 0 {
		return []any{
			true, false,
			map[string]any{"type": "object"},
			map[string]any{"type": []any{"integer", "string"}},
			map[string]any{"required": []any{m.name()}},
			map[string]any{"const": m.name()},
			map[string]any{"minimum": 1},
			map[string]any{"maxLength": 1},
			map[string]any{"minItems": 2},
		}[m.IntN(9)]
	}
	s := map[string]any{}
	for range 1 + m.IntN(4) {
		switch key := []string{
			"allOf", "anyOf", "oneOf", "prefixItems", "properties", "patternProperties", "dependentSchemas", "dependentRequired", "minContains", "maxContains",
			"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedProperties", "unevaluatedItems",
		}[m.IntN(20)]; key {
		case "allOf", "anyOf", "oneOf", "prefixItems":
			s[key] = m.schemas(depth - 1)
		case "properties", "dependentSchemas":
			s[key] = map[string]any{m.name(): m.schema(depth - 1), m.name(): m.schema(depth - 1)}
		case "patternProperties":
			s[key] = map[string]any{[]string{"^x", "a|b", "."}[m.IntN(3)]: m.schema(depth - 1)}
		case "dependentRequired":
			s[key] = map[string]any{m.name(): []any{m.name()}}
		case "minContains", "maxContains":
			s[key] = m.IntN(3)
		default:
			s[key] = m.schema(depth - 1)
		}
	}
	return s
}

func TestAnySchemaOf31IsJudgedAsJSONSchemaDoes(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(31, 2020))}
	agreed := map[bool]int{}
	for range 120 {
		text, err := json.Marshal(map[string]any{"allOf": []any{m.schema(3)}, "x-made": true})
		require.NoError(t, err)
		theirs := oracle(t, string(text))
		ours := schemaOf(t, "3.1.0", string(text), false)
		for range 20 {
			value := m.value(3)
			want := theirs.Validate(value) == nil
			got := ours.Check(value)
			require.Equal(t, want, got == nil, "%s %v: %v", text, value, got)
			agreed[want]++
		}
	}
	require.Greater(t, agreed[true], 300)
	require.Greater(t, agreed[false], 300)
}

func TestWhatIsNotJudgedIsTold(t *testing.T) {
	problems := func(schema, more string) (told []string) {
		api, err := load(t, `{"openapi":"3.1.0","info":{"title":"t","version":"1"},`+more+`"paths":{"/a/{b}":{"post":{
			"requestBody":{"content":{"application/json":{"schema":`+schema+`}}},"responses":{"200":{"$ref":"#/components/responses/R"}}}}},
			"components":{"schemas":{"S":`+schema+`},"responses":{"R":{"description":"","content":{"text/json":{"schema":{"items":{"properties":{"s":{"$ref":"#/components/schemas/S"}}}}}}}}}}`)
		require.NoError(t, err)
		for _, p := range api.Problems {
			told = append(told, p.String())
		}
		return told
	}
	const body = "schema #/paths/~1a~1{b}/post/requestBody/content/application~1json/schema/"
	for schema, says := range map[string][]string{
		`{"type":"object","format":"x","contentMediaType":"a/b","unevaluatedProperties":false,"if":{},"$schema":"https://json-schema.org/draft/2020-12/schema"}`: nil,
		`{"pattern":"(?=a)"}`:                                   {body + "pattern: not judged: ", "schema #/components/schemas/S/pattern: not judged: "},
		`{"items":{"$dynamicRef":"#node"}}`:                     {body + "items/$dynamicRef: not judged: ", "schema #/components/schemas/S/items/$dynamicRef: "},
		`{"patternProperties":{"(?!a)":{}}}`:                    {body + "patternProperties: not judged: ", "schema #/components/schemas/S/patternProperties: "},
		`{"anyOf":[{},{"dependencies":{}}]}`:                    {body + "anyOf/1/dependencies: not judged: ", "schema #/components/schemas/S/anyOf/1/dependencies: "},
		`{"$schema":"http://json-schema.org/draft-04/schema#"}`: {body + "$schema: not judged: ", "schema #/components/schemas/S/$schema: "},
	} {
		got := problems(schema, "")
		require.Len(t, got, len(says), "%s: %v", schema, got)
		for _, prefix := range says {
			require.True(t, slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, prefix) }), "%s: %v", schema, got)
		}
	}
	require.Equal(t, []string{"schema #/jsonSchemaDialect: not judged: the keywords of schemas are taken for those of 2020-12"},
		problems(`{}`, `"jsonSchemaDialect":"http://json-schema.org/draft-07/schema",`))
}

// What is not known of a pattern is not held against a body.
func TestAPatternThatIsNotJudged(t *testing.T) {
	require.NoError(t, check(t, "3.1.0", `{"patternProperties":{"(?=a)":{}},"additionalProperties":false,"unevaluatedProperties":false}`, `{"ab":1}`, false))
}

// What a body says never stands in a message.
func TestMessagesOf31NameNoValue(t *testing.T) {
	for schema, body := range map[string]string{
		`{"propertyNames":{"pattern":"^a"}}`:                 `{"secret":1}`,
		`{"patternProperties":{"s":{"type":"string"}}}`:      `{"secret":1}`,
		`{"unevaluatedProperties":false}`:                    `{"secret":1}`,
		`{"contains":{"const":"a"}}`:                         `["secret"]`,
		`{"if":{"type":"string"},"then":{"maxLength":1}}`:    `"secret"`,
		`{"dependentSchemas":{"a":{"propertyNames":false}}}`: `{"a":"secret"}`,
	} {
		err := check(t, "3.1.0", schema, body, false)
		require.Error(t, err, schema)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestAnAnchorIsAPlaceToReferTo(t *testing.T) {
	api, err := load(t, `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{"responses":{"200":{"description":"","content":{"application/json":{
		"schema":{"type":"array","items":{"$ref":"#node"},"contains":{"$ref":"#gone"}}}}}}}}},
		"components":{"schemas":{"a/b":{"$anchor":"node","type":"object","properties":{"next":{"$ref":"#node"}}}}}}`)
	require.NoError(t, err)
	require.Len(t, api.Problems, 1)
	require.Contains(t, api.Problems[0].String(), "→ #gone: leads to nothing")
	s, _ := api.Operations[0].Responses["200"].Content.Lookup("application/json")
	require.NoError(t, s.Check([]any{map[string]any{"next": map[string]any{}}}))
	require.EqualError(t, s.Check([]any{map[string]any{"next": "a"}}), "body/0/next: string, not [object]")
}

// The document of 2.0 is converted; people look for what is wrong in their own.
func TestPlacesIn20(t *testing.T) {
	api, err := load(t, `{"swagger":"2.0","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{"responses":{"200":{"description":"","schema":{"$ref":"#/definitions/D"}}}}}},
		"definitions":{"D":{"properties":{"p":{"pattern":"(?=a)"}}}}}`)
	require.NoError(t, err)
	require.Len(t, api.Problems, 1)
	require.Equal(t, "#/definitions/D/properties/p/pattern", api.Problems[0].Where)
}
