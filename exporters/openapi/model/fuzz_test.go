package model_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/exporters/openapi/match"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Whatever a document is, it is refused or every route of it that is not lost
// leads to an operation.
func FuzzDocuments(f *testing.F) {
	files, _ := filepath.Glob("testdata/documents/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(chain(3)))
	f.Add([]byte(head + `"paths":{"/a":{"$ref":"doc"},"/b":{"get":{"responses":{"200":{"$ref":"doc#/paths/~1b"}}}}}}`))
	f.Add([]byte("openapi: 3.1.0\nx: &x {a: *x}\npaths: {/a/{b}: {get: {<<: *x}}}"))
	f.Add([]byte(head + `"paths":{"/a":{"get":{"responses":{"200":{"description":"","content":{"*/*":{"schema":{"$ref":"#/components/schemas/A"}}}}}}}},"components":{"schemas":{"A":{"$ref":"#/components/schemas/B"},"B":{"$ref":"#/components/schemas/A"}}}}`))
	f.Add([]byte(answer + "    A: {properties: {a: {x-prometheus-metric: {name: a}}, b: {$ref: '#/components/schemas/A', x-prometheus-metric: 7}, c: {items: {$ref: '#/components/schemas/A'}}}}\n"))
	f.Add([]byte(head + `"paths":{"/a/{b}":{"get":{"parameters":[{"name":"b","in":"path","examples":{"x":{"value":[1]}},"style":"matrix"}],"responses":{"200":{"description":"","content":{"application/json":{"schema":{"type":"array","items":{"x-prometheus-metric":"a"}}}}}}}}}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(dir, "doc")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		o := model.Options{Location: file}
		api, err := model.Load(t.Context(), o)
		if err != nil {
			return
		}
		if _, err := model.Validate(t.Context(), o); err != nil {
			t.Log(err)
		}
		for _, op := range api.Operations {
			for _, route := range op.Routes {
				if _, reason := api.Table.Find(op.Method, route); reason == match.NoMethod && op.Method != "OPTIONS" {
					t.Errorf("%s %q is a path without its method", op.Method, route)
				}
			}
			for _, r := range op.Responses {
				for _, a := range r.Annotations {
					if !strings.HasPrefix(a.At, "doc:") || len(a.Path) > 32 {
						t.Errorf("%s at %q", model.Pointer(a.Path), a.At)
					}
				}
				for _, s := range r.Content {
					if s != nil {
						_ = s.Check(map[string]any{"a": []any{1.0, "b", nil}})
					}
				}
			}
		}
	})
}

// Whatever a body is, judging it ends.
func FuzzBodies(f *testing.F) {
	api, err := model.Load(f.Context(), model.Options{Location: "testdata/documents/petstore-3.0.yaml"})
	if err != nil {
		f.Fatal(err)
	}
	n, _ := api.Table.Find("GET", "/v1/pets/1")
	schema, _ := api.Operations[n].Responses["200"].Content.Lookup("application/json")
	f.Add(`{"name":"a","friend":{"name":"b","tag":null,"age":1e400}}`)
	f.Add(`{"name":"","kind":"cow"}`)
	f.Add(`[[[[{}]]]]`)
	f.Fuzz(func(t *testing.T, body string) {
		var value any
		if json.Unmarshal([]byte(body), &value) != nil {
			return
		}
		err := schema.Check(value)
		if object, ok := value.(map[string]any); err == nil && (!ok || object["name"] == nil) {
			t.Errorf("%s is no pet", body)
		}
	})
}
