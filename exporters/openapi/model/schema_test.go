package model_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// check judges a body by a schema of a document of that version.
func check(t testing.TB, version, schema, body string, request bool) error {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(body), &value))
	return schemaOf(t, version, schema, request).Check(value)
}

func schemaOf(t testing.TB, version, schema string, request bool) model.Schema {
	t.Helper()
	content := `"content":{"application/json":{"schema":` + schema + `}}`
	api, err := load(t, `{"openapi":"`+version+`","info":{"title":"t","version":"1"},"paths":{"/a":{"post":{
		"requestBody":{`+content+`},"responses":{"200":{"description":"",`+content+`}}}}}}`)
	require.NoError(t, err)
	op := api.Operations[0]
	from := op.Responses["200"].Content
	if request {
		from = op.Request.Content
	}
	s, ok := from.Lookup("application/json")
	require.True(t, ok)
	return s
}

func TestSchemas(t *testing.T) {
	const tree = `{"type":"object","properties":{"next":{"$ref":"#/paths/~1a/post/responses/200/content/application~1json/schema"},"n":{"type":"integer"}}}`
	for _, c := range []struct{ version, schema, good, bad, says string }{
		{"3.0.3", `{"type":"string"}`, `"a"`, `1`, "body: number, not [string]"},
		{"3.0.3", `{"type":"string","nullable":true}`, `null`, `1`, ""},
		{"3.1.0", `{"type":["string","null"]}`, `null`, `{}`, "body: object, not [string null]"},
		{"3.0.3", `{"type":"integer"}`, `2.0`, `2.5`, ""},
		{"3.0.3", `{"type":"number","minimum":1,"exclusiveMinimum":true}`, `1.5`, `1`, "body: below the minimum 1"},
		{"3.1.0", `{"type":"number","exclusiveMinimum":1}`, `1.5`, `1`, ""},
		{"3.1.0", `{"type":"number","minimum":5,"exclusiveMinimum":1}`, `5`, `4`, ""},
		{"3.0.3", `{"type":"number","maximum":1}`, `1`, `1.1`, ""},
		{"3.0.3", `{"type":"number","multipleOf":0.1}`, `0.3`, `0.35`, ""},
		{"3.0.3", `{"type":"string","maxLength":2}`, `"éé"`, `"eee"`, "body: 3 characters"},
		{"3.0.3", `{"type":"string","pattern":"^a"}`, `"ab"`, `"b"`, ""},
		{"3.0.3", `{"type":"string","enum":["a",null]}`, `"a"`, `"secret"`, "body: not one of the 2 values of the enum"},
		{"3.1.0", `{"const":"open"}`, `"open"`, `"shut"`, ""},
		{"3.1.0", `{"const":null}`, `null`, `"shut"`, ""},
		{"3.1.0", `{"properties":{"a":{"const":null},"b":{"const":{"const":null}}}}`, `{"a":null,"b":{"const":null}}`, `{"a":0}`, ""},
		{"3.1.0", `{"enum":[{"const":null}]}`, `{"const":null}`, `{"enum":[null]}`, ""},
		{"3.0.3", `{"type":"array","items":{"type":"string"},"maxItems":2}`, `["a"]`, `["a",1]`, "body/1: number, not [string]"},
		{"3.0.3", `{"type":"array","items":{},"uniqueItems":true}`, `[1,2]`, `[1,{"a":1},{"a":1}]`, "body: items 1 and 2 are the same"},
		{"3.1.0", `{"prefixItems":[{"type":"number"}],"items":{"type":"string"}}`, `[1,"a"]`, `[1,2]`, ""},
		{"3.0.3", `{"type":"object","required":["a"]}`, `{"a":null}`, `{}`, `body: property "a" is missing`},
		{"3.0.3", `{"type":"object","additionalProperties":false,"properties":{"a":{}}}`, `{"a":1}`, `{"secret":1}`, "body/*: nothing is allowed here"},
		{"3.0.3", `{"type":"object","additionalProperties":{"type":"string"}}`, `{"a":"b"}`, `{"a":1}`, ""},
		{"3.0.3", `{"allOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, `{"a":1}`, ""},
		{"3.0.3", `{"anyOf":[{"type":"string"},{"type":"number"}]}`, `1`, `true`, "body: fits none of 2 alternatives"},
		{"3.0.3", `{"oneOf":[{"type":"integer"},{"type":"number"}]}`, `1.5`, `1`, "body: fits 2 alternatives, not one"},
		{"3.0.3", `{"not":{"type":"string"}}`, `1`, `"a"`, ""},
		{"3.0.3", tree, `{"next":{"next":{"n":1}}}`, `{"next":{"next":{"n":"1"}}}`, "body/next/next/n: string, not [integer]"},
	} {
		t.Run(c.version+c.schema, func(t *testing.T) {
			require.NoError(t, check(t, c.version, c.schema, c.good, false))
			err := check(t, c.version, c.schema, c.bad, false)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "secret", "bodies hold secrets")
			if c.says != "" {
				require.EqualError(t, err, c.says)
			}
		})
	}
}

func TestReadOnlyAndWriteOnly(t *testing.T) {
	const schema = `{"type":"object","required":["id","password"],"properties":{"id":{"readOnly":true},"password":{"writeOnly":true}}}`
	require.NoError(t, check(t, "3.0.3", schema, `{"id":1}`, false))
	require.NoError(t, check(t, "3.0.3", schema, `{"password":1}`, true))
	require.Error(t, check(t, "3.0.3", schema, `{"id":1}`, true))
	require.Error(t, check(t, "3.0.3", schema, `{"password":1}`, false))
}

// Alternatives that nest would take a time that doubles with each level; a
// schema that is all of itself would never end.
func TestAJudgementHasAnEnd(t *testing.T) {
	const self = `"$ref":"#/components/schemas/N"`
	for _, n := range []string{
		`{"oneOf":[{"properties":{"c":{` + self + `}}},{"properties":{"c":{` + self + `}}}]}`,
		`{"allOf":[{` + self + `}]}`,
	} {
		api, err := load(t, head+`"paths":{"/a":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":{`+self+`}}}}}}}},"components":{"schemas":{"N":`+n+`}}}`)
		require.NoError(t, err)
		s, _ := api.Operations[0].Responses["200"].Content.Lookup("application/json")
		var value any
		require.NoError(t, json.Unmarshal([]byte(strings.Repeat(`{"c":`, 60)+"1"+strings.Repeat("}", 60)), &value))
		require.ErrorIs(t, s.Check(value), model.ErrTooMuch)
	}
}

// The library's own judge, of which ours keeps only what a compiled schema
// needs, is asked about the same values. Not about null: it refuses that where
// no type is named, which 3.0.3 does not.
func TestSchemasJudgeAsTheLibraryDoes(t *testing.T) {
	values := []string{`true`, `0`, `1`, `1.5`, `-3`, `"a"`, `"abc"`, `""`, `[]`, `[1,1]`, `["a"]`, `{}`, `{"a":1}`, `{"a":"b","b":2}`, `{"a":null}`}
	schemas := []string{
		`{"type":"string","minLength":2}`, `{"type":"integer","minimum":0,"maximum":1}`, `{"type":"array","items":{"type":"integer"},"uniqueItems":true}`,
		`{"type":"object","required":["a"],"properties":{"a":{"type":"string","nullable":true}}}`, `{"type":"object","maxProperties":1}`,
		`{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":{"type":"integer"}}]}`, `{"enum":["a",1,true]}`,
		`{"oneOf":[{"type":"number"},{"type":"integer"}]}`, `{"not":{"type":"array"}}`, `{"allOf":[{"type":"number"},{"minimum":1}]}`, `{"type":"boolean","nullable":true}`,
	}
	for _, schema := range schemas {
		var theirs openapi3.Schema
		require.NoError(t, json.Unmarshal([]byte(schema), &theirs))
		for _, body := range values {
			var value any
			require.NoError(t, json.Unmarshal([]byte(body), &value))
			require.Equal(t, theirs.VisitJSON(value) == nil, check(t, "3.0.3", schema, body, false) == nil, fmt.Sprint(schema, " ", body))
		}
	}
}
