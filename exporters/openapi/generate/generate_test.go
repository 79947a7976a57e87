package generate_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/dashboards"
	"github.com/tocsin/tocsin/exporters/openapi/generate"
	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

func petstore(t *testing.T) *model.API {
	t.Helper()
	api, err := model.Load(t.Context(), model.Options{Location: "../model/testdata/documents/petstore-3.0.yaml"})
	require.NoError(t, err)
	return api
}

func options() generate.Options {
	return generate.Options{Service: "petstore", ErrorShare: 0.05, Latency: time.Second, RunbookURL: "https://runbooks.example.org/apis/", GrafanaURL: "https://grafana.example.org/", Probe: true, Values: true}
}

// The golden is what promtool checks and tests (make rules).
func TestRules(t *testing.T) {
	got, err := generate.Rules(petstore(t), options())
	require.NoError(t, err)
	golden := filepath.Join("testdata", "petstore.rules.yml")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// known are the metrics with their labels, as the exporter has them, and what
// the rules record.
func known(t *testing.T, rules generate.File) map[string]bool {
	t.Helper()
	reg := prometheus.NewRegistry()
	m := observe.NewMetrics(reg, observe.Options{})
	m.Service("petstore", observe.Sampling{}, slog.New(slog.DiscardHandler)).Load(petstore(t))
	values.New(reg).Service("petstore", values.Options{}, slog.New(slog.DiscardHandler))
	families, err := reg.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	described := make(chan *prometheus.Desc, 100)
	probe.NewProbes(nil).Describe(described)
	close(described)
	for d := range described {
		names[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	for _, f := range families {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			names[f.GetName()+suffix] = true
		}
	}
	for _, r := range rules.Groups[0].Rules {
		names[r.Record] = true
	}
	return names
}

func asks(t *testing.T, names map[string]bool, query string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	require.NoError(t, err, query)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			require.True(t, names[v.Name], "%s is no metric of the exporter", v.Name)
		}
		return nil
	})
}

func TestEveryQueryAsksForWhatThereIs(t *testing.T) {
	for _, native := range []bool{false, true} {
		o := options()
		o.Native = native
		text, err := generate.Rules(petstore(t), o)
		require.NoError(t, err)
		var rules generate.File
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		require.NoError(t, d.Decode(&rules))
		names := known(t, rules)
		for _, r := range rules.Groups[0].Rules {
			asks(t, names, r.Expr)
		}

		text, err = generate.Dashboard(petstore(t), o)
		require.NoError(t, err)
		var board struct {
			UID    string `json:"uid"`
			Panels []struct {
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		require.NoError(t, json.Unmarshal(text, &board))
		require.Len(t, board.Panels, 12)
		for _, p := range board.Panels {
			asks(t, names, strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$operation", ".*").Replace(p.Targets[0].Expr))
		}
		lint(t, text, names)
		for _, r := range rules.Groups[0].Rules {
			link := r.Annotations["dashboard_url"]
			require.Equal(t, r.Alert != "", strings.HasPrefix(link, "https://grafana.example.org/d/"+board.UID+"?var-job={{ $labels.job | urlquery }}"), "%s: %s", r.Alert, link)
			for _, m := range regexp.MustCompile(`var-(\w+)=\{\{ \$labels\.(\w+) `).FindAllStringSubmatch(link, -1) {
				require.Equal(t, m[1], m[2])
				require.Contains(t, string(text), `"name": "`+m[1]+`"`, "no variable of the dashboard")
				require.True(t, dashboards.Keeps(r.Expr, m[1]), "%s has no label %s", r.Alert, m[1])
			}
		}

		for _, query := range regexp.MustCompile("(?s)```\n(.*?)\n```").FindAllStringSubmatch(string(generate.Runbook(petstore(t), o)), -1) {
			asks(t, names, query[1])
		}
	}
}

// lint holds the dashboard to the ten checks of those that are shipped.
func lint(t *testing.T, text []byte, names map[string]bool) {
	t.Helper()
	d, err := dashboards.Parse("petstore.dashboard.json", text)
	require.NoError(t, err)
	house := dashboards.House{Metrics: map[string][]string{}}
	for name := range names {
		house.Metrics[name] = []string{"service", "operation", "code", "check", "reason", "target"}
	}
	require.Empty(t, dashboards.Lint(d, house))
}

func TestTheRunbookHasASectionForEachAlertAndALineForEachOperation(t *testing.T) {
	api := petstore(t)
	book := string(generate.Runbook(api, options()))
	text, err := generate.Rules(api, options())
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		require.Contains(t, book, "\n## "+m[1]+"\n")
		require.Contains(t, string(text), "https://runbooks.example.org/apis/petstore.md#"+strings.ToLower(m[1]))
	}
	for _, op := range api.Operations {
		require.Contains(t, book, "| `"+op.ID+"`")
	}
	require.Contains(t, book, "| `listPets` | GET `/pets` | 200 4XX | 0.1 % | 250ms |")
}

// Words of a document do not leave the place they are put in.
func TestHostileWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"openapi":"3.0.3","info":{"title":"\"}${datasource}","version":"1\nrules: []"},"paths":{
		"/a|b":{"get":{"operationId":"a\"} or vector(1) #|\\","x-slo":{"error_share":0.5},"responses":{"200":{"description":""}}}}}}`), 0o600))
	api, err := model.Load(t.Context(), model.Options{Location: file})
	require.NoError(t, err)
	text, err := generate.Rules(api, options())
	require.NoError(t, err)
	var rules generate.File
	require.NoError(t, yaml.Unmarshal(text, &rules))
	require.Len(t, rules.Groups[0].Rules, 11)
	names := known(t, rules)
	for _, r := range rules.Groups[0].Rules {
		asks(t, names, r.Expr)
		require.NotContains(t, r.Annotations["summary"], "vector")
	}
	board, err := generate.Dashboard(api, options())
	require.NoError(t, err)
	require.True(t, json.Valid(board))
	require.Contains(t, string(generate.Runbook(api, options())), "a\"} or vector(1) #\\|")
}

// Of a service whose requests nobody sees there is nothing to say but of probes.
func TestProbedOnly(t *testing.T) {
	o := options()
	o.ProbedOnly = true
	text, err := generate.Rules(petstore(t), o)
	require.NoError(t, err)
	board, err := generate.Dashboard(petstore(t), o)
	require.NoError(t, err)
	for _, made := range []string{string(text), string(board), string(generate.Runbook(petstore(t), o))} {
		require.NotContains(t, made, "openapi_request")
		require.NotContains(t, made, "openapi_contract_violations_total")
		require.Contains(t, made, "openapi_probe_operation_")
	}
	require.Contains(t, string(text), "OpenAPIDocumentNotLoaded")
}
