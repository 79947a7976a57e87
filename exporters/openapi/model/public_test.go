package model_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/match"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// documents are those of testdata, and those in the folder OPENAPI_DOCUMENTS.
func documents(t testing.TB) (files []string) {
	t.Helper()
	for _, dir := range []string{"testdata/documents", os.Getenv("OPENAPI_DOCUMENTS")} {
		if dir == "" {
			continue
		}
		found, err := filepath.Glob(filepath.Join(dir, "*.*"))
		require.NoError(t, err)
		require.NotEmpty(t, found, dir)
		files = append(files, found...)
	}
	return files
}

// Every operation of every document finds itself, on each of its routes, with
// any values of its parameters, unless the document says itself that it cannot.
func TestEveryOperationFindsItself(t *testing.T) {
	for _, file := range documents(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			begin := time.Now()
			api, err := model.Load(t.Context(), model.Options{Location: file})
			require.NoError(t, err)
			lost := map[string]bool{}
			for _, p := range api.Problems {
				if p.Kind == "conflict" {
					lost[p.Where] = true
				}
			}
			t.Logf("%s: OpenAPI %s, %s, version %s: %d operations, %d problems, %d of them conflicts; loaded in %v",
				filepath.Base(file), api.OpenAPI, api.Title, api.Version, len(api.Operations), len(api.Problems), len(lost), time.Since(begin).Round(time.Millisecond))
			random := rand.New(rand.NewPCG(8, 8))
			for range 3 {
				for _, op := range api.Operations {
					for _, route := range op.Routes {
						if lost[op.Method+" "+route] {
							continue
						}
						path := concrete(route, random)
						got, reason := api.Table.Find(op.Method, path)
						require.Equal(t, match.Found, reason, "%s %s of %s", op.Method, path, op.ID)
						require.Equal(t, op.ID, api.Operations[got].ID, "%s %s", op.Method, path)
					}
				}
			}
		})
	}
}

// concrete fills a template with values that no literal of a document is.
func concrete(route string, random *rand.Rand) string {
	var b strings.Builder
	for route != "" {
		open := strings.IndexByte(route, '{')
		if open < 0 {
			b.WriteString(route)
			break
		}
		b.WriteString(route[:open])
		length := strings.IndexByte(route[open:], '}')
		for range 1 + random.IntN(12) {
			b.WriteByte("QXZ0123456789_~"[random.IntN(15)])
		}
		route = route[open+length+1:]
	}
	return b.String()
}
