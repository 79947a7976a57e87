package match_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/match"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// synthetic are as many routes as a large document has, nested as its resources are.
func synthetic() (routes []match.Route) {
	for i := range 80 {
		for _, path := range []string{
			"/v1/resource%d", "/v1/resource%d/{id}", "/v1/resource%d/{id}/parts", "/v1/resource%d/{id}/parts/{part}", "/v1/resource%d/search", "/v1/resource%d/{id}/parts/{part}/notes/{note}",
		} {
			for _, method := range []string{"GET", "POST"} {
				routes = append(routes, match.Route{Method: method, Path: fmt.Sprintf(path, i), Operation: len(routes)})
			}
		}
	}
	return routes
}

// routed are the routes of synthetic documents and of those in OPENAPI_DOCUMENTS.
func routed(tb testing.TB) map[string][]match.Route {
	sets := map[string][]match.Route{"synthetic": synthetic()}
	dir := os.Getenv("OPENAPI_DOCUMENTS")
	if dir == "" {
		return sets
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	require.NoError(tb, err)
	for _, file := range files {
		api, err := model.Load(tb.Context(), model.Options{Location: file})
		require.NoError(tb, err)
		var routes []match.Route
		for _, op := range api.Operations {
			for _, path := range op.Routes {
				routes = append(routes, match.Route{Method: op.Method, Path: path, Operation: op.Index})
			}
		}
		if len(routes) >= 200 {
			sets[strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))] = routes
		}
	}
	return sets
}

type request struct {
	*http.Request
	operation int
}

func requests(tb testing.TB, routes []match.Route) (out []request) {
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	for _, r := range routes {
		u, err := url.Parse("http://api.example.org" + parameter.ReplaceAllString(r.Path, "a1b2c3"))
		require.NoError(tb, err)
		out = append(out, request{&http.Request{Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}}, r.Operation})
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(out), func(i, k int) { out[i], out[k] = out[k], out[i] })
	return out
}

// Every router is asked for all operations of a document in random order, in
// one run; the ratios are those of the time per request.
func BenchmarkFind(b *testing.B) {
	for name, routes := range routed(b) {
		all := requests(b, routes)
		table, _ := match.New(routes, false)
		ours := run(b, name+"/ours", func(i int) bool {
			r := all[i%len(all)]
			_, reason := table.FindURL(r.Method, r.URL)
			return reason == match.Found
		}, 0)
		mux, refused := serveMux(routes)
		run(b, fmt.Sprintf("%s/ServeMux,refuses=%d", name, refused), func(i int) bool {
			_, pattern := mux.Handler(all[i%len(all)].Request)
			return pattern != "" || refused > 0
		}, ours)
		linear := gorilla(b, routes)
		run(b, name+"/gorillamux", func(i int) bool {
			_, _, err := linear.FindRoute(all[i%len(all)].Request)
			return err == nil || name != "synthetic" // it does not find all of a real one
		}, ours)
	}
}

// run measures, says how many times ours it is, and returns nanoseconds.
func run(b *testing.B, name string, find func(i int) bool, ours float64) (each float64) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		begin, n := time.Now(), 0
		for b.Loop() {
			if !find(n) {
				b.Fatal("not found")
			}
			n++
		}
		each = float64(time.Since(begin)) / float64(n)
		if ours > 0 {
			b.ReportMetric(each/ours, "x-ours")
		}
	})
	return each
}

// serveMux leaves out what the mux calls a conflict, by a panic.
func serveMux(routes []match.Route) (mux *http.ServeMux, refused int) {
	mux = http.NewServeMux()
	name := regexp.MustCompile(`\{[^}]*\}`)
	for _, r := range routes {
		func() {
			defer func() {
				if recover() != nil {
					refused++
				}
			}()
			n := 0
			pattern := name.ReplaceAllStringFunc(r.Path, func(string) string { n++; return fmt.Sprintf("{p%d}", n) })
			if strings.HasSuffix(pattern, "/") {
				pattern += "{$}"
			}
			mux.Handle(r.Method+" "+pattern, http.NotFoundHandler())
		}()
	}
	return mux, refused
}

func gorilla(b *testing.B, routes []match.Route) interface {
	FindRoute(*http.Request) (*routers.Route, map[string]string, error)
} {
	doc := &openapi3.T{OpenAPI: "3.0.3", Info: &openapi3.Info{Title: "t", Version: "1"}, Paths: openapi3.NewPaths()}
	for _, r := range routes {
		item := doc.Paths.Value(r.Path)
		if item == nil {
			item = &openapi3.PathItem{}
			doc.Paths.Set(r.Path, item)
		}
		item.SetOperation(r.Method, openapi3.NewOperation())
	}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(b, err)
	return router
}
