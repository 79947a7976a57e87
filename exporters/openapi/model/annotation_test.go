package model_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// annotated are the annotations of the first operation's 200, as pointer value at.
func annotated(t *testing.T, files map[string]string) ([]string, []model.Problem) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	api, err := model.Load(t.Context(), model.Options{Location: filepath.Join(dir, "doc")})
	require.NoError(t, err)
	var all []string
	for _, a := range api.Operations[0].Responses["200"].Annotations {
		value, err := json.Marshal(a.Value)
		require.NoError(t, err)
		all = append(all, fmt.Sprintf("%s %s %s", model.Pointer(a.Path), value, a.At))
	}
	return all, api.Problems
}

const answer = `openapi: 3.1.0
info: {title: a, version: b}
paths: {/a: {get: {responses: {"200": {description: "", content: {application/json: {schema: {$ref: "#/components/schemas/A"}}}}}}}}
components:
  schemas:
`

func TestAnnotationsAreFoundWithTheirPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"YAML": {map[string]string{"doc": answer + `    A:
      type: object
      properties:
        a/b~c: {x-prometheus-metric: one}
        list: {type: array, items: {type: array, prefixItems: [{x-prometheus-metric: two}], items: {x-prometheus-metric: three}}}
        map: {additionalProperties: {properties: {"*": {x-prometheus-metric: {name: four}}}}}
      oneOf:
        - properties: {x: {x-prometheus-metric: five}}
        - properties: {x: {x-prometheus-metric: six}, y: {type: string}}
      allOf: [{$ref: "#/components/schemas/B"}, {$ref: "#/components/schemas/B"}]
    B: {properties: {b: {$ref: "#/components/schemas/C", x-prometheus-metric: eight}}}
    C: {type: number, x-prometheus-metric: nine}
    D: {x-prometheus-metric: unused}
`}, []string{
			`/a~1b~0c "one" doc:9`, `/b "eight" doc:16`, `/b "nine" doc:17`, `/list/*/* "three" doc:10`, `/list/*/* "two" doc:10`, `/map/*/* {"name":"four"} doc:11`, `/x "five" doc:13`, `/x "six" doc:14`,
		}},
		"JSON": {map[string]string{"doc": "\n" + `{"openapi": "3.0.3", "info": {"title": "x-prometheus-metric", "version": "\"x-prometheus-metric\": "},
"paths": {"/a": {"get": {"responses": {"200": {"description": "\\", "content": {"application/json": {"schema": {"properties": {
"a": {"x-prometheus-metric"
  : "one"}}}}}}}}}}}`}, []string{`/a "one" doc:4`}},
		"2.0": {map[string]string{"doc": `swagger: "2.0"
info: {title: a, version: b}
produces: [application/json]
paths: {/a: {get: {responses: {"200": {description: "", schema: {$ref: "#/definitions/A"}}}}}}
definitions:
  A: {type: object, properties: {a: {type: number, x-prometheus-metric: one}}}
`}, []string{`/a "one" doc:6`}},
		"another file": {map[string]string{"doc": answer + "    A: {$ref: 'other.yaml#/A'}\n", "other.yaml": "\nA: {x-prometheus-metric: one}\n"}, []string{` "one" other.yaml:2`}},
		"mended":       {map[string]string{"doc": answer + "    A: {properties: {a: {x-prometheus-metric: one}, b: {$ref: '#/components/schemas/Gone'}}}\n"}, []string{`/a "one" doc:6`}},
		"a circle":     {map[string]string{"doc": answer + "    A: {properties: {a: {x-prometheus-metric: one}, next: {$ref: '#/components/schemas/A'}, all: {items: {$ref: '#/components/schemas/A'}}}}\n"}, []string{`/a "one" doc:6`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := annotated(t, c.files)
			require.ElementsMatch(t, c.want, got)
		})
	}
}

// What unfolds without end is bounded, and told.
func TestAnnotationsAreBounded(t *testing.T) {
	var doubling strings.Builder
	doubling.WriteString(answer)
	for i := range 25 {
		name, next := fmt.Sprintf("S%d", i), fmt.Sprintf("S%d", i+1)
		if i == 0 {
			name = "A"
		}
		fmt.Fprintf(&doubling, "    %s: {properties: {a: {$ref: '#/components/schemas/%s'}, b: {$ref: '#/components/schemas/%s'}}}\n", name, next, next)
	}
	doubling.WriteString("    S25: {x-prometheus-metric: one}\n")
	got, problems := annotated(t, map[string]string{"doc": doubling.String()})
	require.Empty(t, got, "they are 25 steps away, each of which doubles the ways")
	require.Len(t, problems, 1)
	require.Equal(t, "metric", problems[0].Kind)
	require.Contains(t, problems[0].Text, "too many ways to annotations")
}
