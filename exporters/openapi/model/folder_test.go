package model_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

func one(path, id, version string) string {
	return fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"t","version":%q},"paths":{%q:{"get":{"operationId":%q,"responses":{"200":{"$ref":"parts.yml#/ok"}}}}}}`, version, path, id)
}

func TestAFolderIsOneAPI(t *testing.T) {
	dir := write(t, map[string]string{
		"b.json": one("/b", "read", "2"), "a.yaml": one("/a", "read", "1"), "parts.yml": "ok: {description: fine}",
		"list.json": "[1]", "README.md": "# not looked at", ".hidden.json": "{", "old/c.json": "{",
		"old.yaml": "swagger: '2.0'\ninfo: {title: t, version: '1'}\nbasePath: /v1\npaths: {/c: {get: {responses: {'200': {description: ok}}}}}",
	})
	o := model.Options{Location: dir}
	api, err := model.Load(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, []string{"GET /b", "GET /c", "read"}, ids(api))
	require.Equal(t, "1, 2", api.Version)
	require.Equal(t, "2.0, 3.0.3", api.OpenAPI)
	for path, id := range map[string]string{"/a": "read", "/b": "GET /b", "/v1/c": "GET /c"} {
		n, _ := api.Table.Find("GET", path)
		require.Equal(t, id, api.Operations[n].ID)
	}
	require.Len(t, api.Problems, 1)
	require.Equal(t, "identifier", api.Problems[0].Kind)
	require.Contains(t, api.Problems[0].Where, "b.json ")
	_, err = model.Validate(t.Context(), o)
	require.NoError(t, err)
}

func TestAChangeInAFolder(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"a document changes": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "a.json"), []byte(one("/a", "other", "1")), 0o600)
		},
		"what it refers to changes": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "parts.yml"), []byte("ok: {description: better}"), 0o600)
		},
		"a document comes": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "c.json"), []byte(one("/c", "c", "1")), 0o600)
		},
		"a document goes": func(dir string) error { return os.Remove(filepath.Join(dir, "b.json")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"a.json": one("/a", "a", "1"), "b.json": one("/b", "b", "1"), "parts.yml": "ok: {description: fine}"})
			o := model.Options{Location: dir}
			before, err := model.Load(t.Context(), o)
			require.NoError(t, err)
			same, err := before.Same(t.Context(), o)
			require.NoError(t, err)
			require.True(t, same)
			require.NoError(t, change(dir))
			same, err = before.Same(t.Context(), o)
			require.NoError(t, err)
			require.False(t, same)
			after, err := model.Load(t.Context(), o)
			require.NoError(t, err)
			require.NotEqual(t, before.Hash, after.Hash)
		})
	}
}

func TestFoldersThatAreRefused(t *testing.T) {
	for says, files := range map[string]map[string]string{
		"no operation\na.json: parse: ": {"a.json": one("/a", "a", "1"), "parts.yml": "- 1"},
		"no operation\nb.json: ":        {"b.json": `{"openapi":`},
		"the document has no operation": {"a.md": "none"},
		"more than 256 files":           many(257),
		"are more than 256 files":       many(256, "parts.yml", "ok: {description: fine}", "0.json", one("/a", "a", "1")),
	} {
		_, err := model.Load(t.Context(), model.Options{Location: write(t, files)})
		require.ErrorContains(t, err, says)
	}
}

// A broken document stays as it was, or is left out where it was not; the others
// go on changing.
func TestABrokenDocumentInAFolder(t *testing.T) {
	outside := filepath.Join(write(t, map[string]string{"secret.json": one("/s", "s", "1")}), "secret.json")
	const fine = "ok: {description: fine}"
	for name, c := range map[string]struct {
		breaks func(file string) error
		says   string
	}{
		"no JSON":       {func(file string) error { return os.WriteFile(file, []byte(`{"openapi":`), 0o600) }, "b.json: parse: "},
		"empty":         {func(file string) error { return os.WriteFile(file, nil, 0o600) }, "b.json: refused: it is no mapping"},
		"leads outside": {func(file string) error { return errors.Join(os.Remove(file), os.Symlink(outside, file)) }, "b.json: document: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"a.json": one("/a", "a", "1"), "b.json": one("/b", "b", "1"), "parts.yml": fine})
			o, b := model.Options{Location: dir}, filepath.Join(dir, "b.json")
			first, err := model.Load(t.Context(), o)
			require.NoError(t, err)
			require.NoError(t, first.Broken())

			require.NoError(t, c.breaks(b))
			kept, err := first.Reload(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, first.Hash, kept.Hash, "what is in use is the same")
			require.Equal(t, []string{"a", "b"}, ids(kept))
			require.ErrorContains(t, kept.Broken(), c.says)
			require.Equal(t, []string{"a.json", "b.json"}, []string{kept.Documents[0].Name, kept.Documents[1].Name})
			require.NoError(t, kept.Documents[0].Err)
			same, err := kept.Same(t.Context(), o)
			require.NoError(t, err)
			require.False(t, same, "it is tried again")

			require.NoError(t, os.WriteFile(filepath.Join(dir, "a.json"), []byte(one("/a", "other", "2")), 0o600))
			moved, err := kept.Reload(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, []string{"b", "other"}, ids(moved))
			require.Error(t, moved.Broken())

			fresh, err := model.Load(t.Context(), o) // a start finds no old one
			require.NoError(t, err)
			require.Equal(t, []string{"other"}, ids(fresh))

			require.NoError(t, os.Remove(b))
			require.NoError(t, os.WriteFile(b, []byte(one("/b", "mended", "3")), 0o600))
			mended, err := moved.Reload(t.Context(), o)
			require.NoError(t, err)
			require.NoError(t, mended.Broken())
			require.Equal(t, []string{"mended", "other"}, ids(mended))
		})
	}
}

// many are n files, the last of them as given by pairs.
func many(n int, last ...string) map[string]string {
	files := map[string]string{}
	for i := 0; i < len(last); i += 2 {
		files[last[i]] = last[i+1]
	}
	for i := 0; len(files) < n; i++ {
		if name := fmt.Sprintf("%d.json", i); files[name] == "" {
			files[name] = "{}"
		}
	}
	return files
}

// Whatever stands beside a document, the folder is refused or has its operation.
func FuzzFolders(f *testing.F) {
	f.Add([]byte(one("/a", "main", "1")))
	f.Add([]byte("[1]"))
	f.Add([]byte("openapi: 3.1.0\npaths: {/main: {get: {operationId: x}}}"))
	f.Add([]byte("swagger: '2.0'\nbasePath: /main\npaths: {/: {get: {responses: {'200': {$ref: 'main.json#/paths'}}}}}"))
	dir := f.TempDir()
	main := head + `"paths":{"/main":{"get":{"operationId":"main","responses":{"200":{"description":"ok"}}}}}}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(main), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), text, 0o600))
		o := model.Options{Location: dir}
		api, err := model.Load(t.Context(), o)
		if err != nil {
			return
		}
		require.Contains(t, ids(api), "main")
		same, err := api.Same(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, api.Broken() == nil, same)
		again, err := api.Reload(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, api.Hash, again.Hash)
	})
}
