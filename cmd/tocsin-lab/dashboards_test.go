package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/dashboards"
)

// oracle is a Prometheus that knows one number, but for queries with a word.
func oracle(t *testing.T, ignorant string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer sesame":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/api/v1/label/"):
			fmt.Fprint(w, `{"status":"success","data":["one"]}`)
		case ignorant != "" && strings.Contains(r.FormValue("query"), ignorant):
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":[]}}`, map[bool]string{true: "vector", false: "matrix"}[r.URL.Path == "/api/v1/query"])
		case r.URL.Path == "/api/v1/query":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`)
		default:
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func token(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("sesame\n"), 0o600))
	return "--token-file=" + file
}

func TestDashboards(t *testing.T) {
	token := token(t)
	code, out, errs := lab(t, "dashboards", "--prometheus", oracle(t, ""), token)
	require.Zero(t, code, errs)
	shipped, err := dashboards.Shipped()
	require.NoError(t, err)
	require.Equal(t, len(shipped), strings.Count(out, "\n"), out)
	require.Regexp(t, `(?m)^ok    dashboard remediation: 14 of 14 queries returned data$`, out)

	lacking := oracle(t, "tocsin_enrich_panics_total")
	code, out, errs = lab(t, "dashboards", "--prometheus", lacking, token, "../../dashboards/t*.json")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "tocsin-lab: 1 did not hold\n")
	require.Contains(t, out, "FAIL  dashboard traits: 7 of 8 queries returned data\n    Panics contained A: no data: sum(increase(tocsin_enrich_panics_total{job=\"one\", instance=~\".*\"}[60s]))\n")
	code, _, errs = lab(t, "dashboards", "--prometheus", lacking, token, "--allow-empty", "../../dashboards/traits.json")
	require.Zero(t, code, errs)

	code, out, _ = lab(t, "dashboards", "--prometheus", lacking, token, "-o", "json", "--var", "job=two", "--range", "1d", "../../dashboards/traits.json")
	require.Equal(t, 1, code)
	var boards []board
	require.NoError(t, json.Unmarshal([]byte(out), &boards))
	last := boards[0].Queries[7]
	require.Equal(t, dashboards.Asked{Panel: "Panics contained", RefID: "A", Query: `sum(increase(tocsin_enrich_panics_total{job="two", instance=~".*"}[75s]))`}, last)
}

func TestDashboardsThatCannotBeAsked(t *testing.T) {
	for says, args := range map[string][]string{
		"values of $job: list values of a label: status 401": {"--prometheus", oracle(t, "")},
		"--prometheus prometheus: not an http or https":      {"--prometheus", "prometheus"},
		"no such file": {"--prometheus", oracle(t, ""), "nothing.json"},
	} {
		code, out, errs := lab(t, append([]string{"dashboards"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, out+errs, says)
	}
}

// Together the scenes look at every dashboard, and what they expect to be silent
// is there.
func TestScenesLookAtEveryDashboard(t *testing.T) {
	shipped, err := dashboards.Shipped()
	require.NoError(t, err)
	var seen []string
	for scene, s := range sights(false) {
		queries := []string{}
		for _, d := range shipped {
			if !slices.Contains(s.dashboards, name(d)) {
				continue
			}
			seen = append(seen, name(d))
			for p := range d.Drawn() {
				for _, target := range p.Targets {
					queries = append(queries, name(d)+"/"+p.Title+" "+target.RefID)
				}
			}
		}
		for query, reason := range s.silent {
			require.Contains(t, queries, query, scene)
			require.NotEmpty(t, reason)
		}
	}
	for _, d := range shipped {
		require.Contains(t, seen, name(d), "no scene looks at it")
	}
	require.Empty(t, sights(true)["nodes"].silent)
}

// A query that is to be silent and is not is as wrong as one that is silent.
func TestWhatIsSilent(t *testing.T) {
	b := board{Name: "x", Queries: []dashboards.Asked{{Panel: "Up", RefID: "A", Query: "up", Data: true}, {Panel: "Down", RefID: "A", Query: "down"}, {Panel: "Bad", RefID: "A", Query: "bad", Error: "status 400"}}}
	require.Equal(t, []string{"Bad A: status 400: bad", "Down A: no data: down"}, b.judge(nil))
	require.Equal(t, []string{"Bad A: status 400: bad", "Up A: has data, and was to have none (why): up"}, b.judge(map[string]string{"x/Up A": "why", "x/Down A": "why"}))
	require.Equal(t, []string{"Bad A: status 400: bad"}, b.errors())
}
