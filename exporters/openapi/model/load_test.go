package model_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

const head = `{"openapi":"3.0.3","info":{"title":"t","version":"1"},`

func load(t testing.TB, text string) (*model.API, error) {
	t.Helper()
	return model.Load(t.Context(), model.Options{Location: filepath.Join(write(t, map[string]string{"doc": text}), "doc")})
}

func ids(api *model.API) (ids []string) {
	for _, op := range api.Operations {
		ids = append(ids, op.ID)
	}
	return ids
}

func TestADocumentOfEachVersion(t *testing.T) {
	for file, want := range map[string][]string{
		"petstore-3.0.yaml": {"GET /pets/{id}/photos/", "createPet", "deletePet", "feedPet", "getFile", "getPet", "getPetFile", "listMyPets", "listPets", "listRange", "literalPercent"},
		"shop-3.1.json":     {"GET /a/b/{y}", "GET /a/{x}/c", "POST /a/b/{y}", "PUT /orders/{id}", "getOrder", "patchOrder"},
		"fleet-2.0.yaml":    {"getHost", "putHost"},
	} {
		api, err := model.Load(t.Context(), model.Options{Location: filepath.Join("testdata/documents", file)})
		require.NoError(t, err)
		require.Equal(t, want, ids(api))
	}
}

func TestWhatAnOperationDeclares(t *testing.T) {
	api, err := model.Load(t.Context(), model.Options{Location: "testdata/documents/petstore-3.0.yaml"})
	require.NoError(t, err)
	n, _ := api.Table.Find("GET", "/v2/pets")
	op := api.Operations[n]
	require.Equal(t, "listPets", op.ID)
	require.Equal(t, []string{"/v1/pets", "/v2/pets"}, op.Routes)
	require.Equal(t, "pets", op.Tag)
	require.Equal(t, []model.Parameter{
		{Name: "limit", In: "query", Style: "form", Explode: true}, {Name: "X-Tenant", In: "header", Required: true, Style: "simple"},
	}, op.Parameters)
	require.Equal(t, model.Objective{ErrorShare: 0.001, Latency: 250 * time.Millisecond}, op.Objective)
	require.Equal(t, "200", op.Declared(200))
	require.Equal(t, "4XX", op.Declared(418))
	require.Empty(t, op.Declared(500))
	_, declared := op.Responses["4XX"].Content.Lookup("Application/Problem+JSON; charset=utf-8")
	require.True(t, declared)
	_, declared = op.Responses["200"].Content.Lookup("text/html")
	require.False(t, declared)
}

func TestBasesOfTheConfigStandForThoseOfServers(t *testing.T) {
	api, err := model.Load(t.Context(), model.Options{Location: "testdata/documents/petstore-3.0.yaml", Bases: []string{"/", "/shop/"}})
	require.NoError(t, err)
	for _, path := range []string{"/pets/mine", "/shop/pets/mine"} {
		n, _ := api.Table.Find("GET", path)
		require.Equal(t, "listMyPets", api.Operations[n].ID)
	}
}

func TestReferencesToOtherFilesAndOrigins(t *testing.T) {
	const main = head + `"paths":{"/a":{"$ref":"%s"}}}`
	const item = `get: {operationId: far, responses: {"200": {description: ok}}}`
	dir := write(t, map[string]string{
		"root/api/doc.json": fmt.Sprintf(main, "../items/a.yaml"), "root/items/a.yaml": item, "secret.yaml": item,
		"root/api/out.json": fmt.Sprintf(main, "../../secret.yaml"), "root/api/link.json": fmt.Sprintf(main, "link.yaml"),
		"root/api/abs.json":  fmt.Sprintf(main, "/etc/passwd"),
		"root/api/file.json": fmt.Sprintf(main, "file:///etc/passwd"), "root/api/http.json": fmt.Sprintf(main, "http://169.254.169.254/latest"),
	})
	require.NoError(t, os.Symlink(filepath.Join(dir, "secret.yaml"), filepath.Join(dir, "root/api/link.yaml")))
	api, err := model.Load(t.Context(), model.Options{Location: filepath.Join(dir, "root/api/doc.json"), Root: filepath.Join(dir, "root")})
	require.NoError(t, err)
	require.Equal(t, []string{"far"}, ids(api))

	for _, name := range []string{"out", "link", "abs", "file", "http"} {
		_, err = model.Load(t.Context(), model.Options{Location: filepath.Join(dir, "root/api", name+".json"), Root: filepath.Join(dir, "root")})
		require.Error(t, err, name)
		t.Log(name, err)
	}
	_, err = model.Load(t.Context(), model.Options{Location: filepath.Join(dir, "root/api/doc.json")})
	require.ErrorIs(t, err, model.ErrRefused, "the folder of the document is the root unless one is named")
}

func TestAURLStaysAtItsOrigin(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other origin was asked") }))
	defer inner.Close()
	files := map[string]string{
		"/doc.json":     head + `"paths":{"/a":{"$ref":"items/a.json"}}}`,
		"/items/a.json": `{"get":{"operationId":"far","responses":{"200":{"description":"ok"}}}}`,
		"/ssrf.json":    head + `"paths":{"/a":{"$ref":"` + inner.URL + `/x.json"}}}`,
		"/moved.json":   "",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved.json" {
			http.Redirect(w, r, inner.URL+"/x.json", http.StatusFound)
			return
		}
		fmt.Fprint(w, files[r.URL.Path])
	}))
	defer server.Close()
	api, err := model.Load(t.Context(), model.Options{Location: server.URL + "/doc.json"})
	require.NoError(t, err)
	require.Equal(t, []string{"far"}, ids(api))
	for _, path := range []string{"/ssrf.json", "/moved.json"} {
		_, err = model.Load(t.Context(), model.Options{Location: server.URL + path})
		require.ErrorIs(t, err, model.ErrRefused, path)
	}
}

func TestHostileDocumentsAreRefused(t *testing.T) {
	laughs := "openapi: 3.0.3\ninfo: {title: t, version: '1'}\nx0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
	for i := range 12 {
		laughs += fmt.Sprintf("x%d: &x%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d, ", i), 9))
	}
	for name, text := range map[string]string{
		"billion laughs":   laughs + "paths: {/a: {get: {responses: {}}}}",
		"alias of itself":  "openapi: 3.0.3\nx: &x [*x]\npaths: {}",
		"merge of itself":  "openapi: 3.0.3\nx: &x\n  <<: *x\n  a: 1\npaths: {}",
		"nested":           head + `"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"nested YAML":      "x: " + strings.Repeat("[", 100_000),
		"values":           head + `"x":[` + strings.Repeat("0,", 5<<20) + `0]}`,
		"size":             strings.Repeat(" ", 33<<20),
		"no mapping":       "- 1",
		"nothing":          "",
		"no version":       "{}",
		"of the future":    `{"openapi":"4.0.0"}`,
		"no operation":     head + `"paths":{}}`,
		"a chain of items": chain(60_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, text)
			require.Error(t, err)
			require.Less(t, len(err.Error()), 2000)
			t.Log(err)
		})
	}
}

// chain are n schemas, each an array of the next.
func chain(n int) string {
	var b strings.Builder
	b.WriteString(head + `"paths":{"/a":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":{"$ref":"#/components/schemas/s0"}}}}}}}},"components":{"schemas":{`)
	for i := range n {
		fmt.Fprintf(&b, `"s%d":{"type":"array","items":{"$ref":"#/components/schemas/s%d"}},`, i, i+1)
	}
	fmt.Fprintf(&b, `"s%d":{"type":"string"}}}}`, n)
	return b.String()
}

func TestWhatIsMerelyWrongIsSaid(t *testing.T) {
	const text = head + `"paths":{
	 "/a":{"get":{"responses":{"200":{"$ref":"#/components/responses/gone"},"20":{"description":"x"}}}},
	 "/b/{x}":{"get":{"operationId":"one","responses":{"200":{"description":"x"}}}},
	 "/b/{y}":{"get":{"operationId":"two","responses":{"200":{"description":"x"}}}},
	 "/slo":{"get":{"operationId":"slo","x-slo":{"latency":"soon"},"responses":{"200":{"description":"x"}}}},
	 "c":{"get":{"responses":{}}}}}`
	api, err := load(t, text)
	require.NoError(t, err)
	require.Equal(t, []string{"GET /a", "one", "slo", "two"}, ids(api))
	kinds := map[string]int{}
	for _, p := range api.Problems {
		kinds[p.Kind]++
		require.Contains(t, model.ProblemKinds(), p.Kind)
	}
	require.Equal(t, map[string]int{"reference": 1, "conflict": 1, "invalid": 3}, kinds)
}

func TestValidateSaysWhatStrictValidationFinds(t *testing.T) {
	dir := write(t, map[string]string{"doc": `{"openapi":"3.0.3","paths":{"/a/{id}":{"get":{"responses":{"200":{"description":"x"}}}}}}`})
	o := model.Options{Location: filepath.Join(dir, "doc")}
	api, err := model.Load(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, api.Operations, 1)
	problems, err := model.Validate(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, problems)
	require.Contains(t, fmt.Sprint(problems), "info")
}
