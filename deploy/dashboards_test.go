package deploy_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ Expr, LegendFormat string }
}

// Each panel of a dashboard says what it shows and in which unit, asks the chosen
// source and job, and asks for what is there.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob("../dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text := read(t, file)
		var d struct {
			UID, Title string
			Templating struct{ List []struct{ Name, Type string } }
			Panels     []panel
		}
		require.NoError(t, json.Unmarshal([]byte(text), &d), file)
		require.NotEmpty(t, d.UID)
		variables := map[string]bool{"__rate_interval": true}
		for _, v := range d.Templating.List {
			variables[v.Name] = true
		}
		require.True(t, variables["datasource"] && variables["job"], file)
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
			require.True(t, variables[m[1]] || m[1] == "__all", "%s: $%s is no variable", file, m[1])
		}
		checkPanels(t, file, d.Panels)
	}
}

func checkPanels(t *testing.T, file string, panels []panel) {
	t.Helper()
	known := shipped(t)
	ql := parser.NewParser(parser.Options{})
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range panels {
		require.False(t, ids[p.ID], "%s: %s has another's id", file, p.Title)
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, places[[2]int{x, y}], "%s: %s covers another panel", file, p.Title)
				places[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Description, p.Title)
		require.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			expr, err := ql.ParseExpr(strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
			require.NoError(t, err, p.Title)
			require.NotEmpty(t, target.LegendFormat, p.Title)
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if v, ok := n.(*parser.VectorSelector); ok {
					require.Contains(t, known, v.Name, p.Title)
					if v.Name != "ALERTS" { // of all jobs
						require.Contains(t, v.String(), `job="$job"`, p.Title)
					}
					for _, m := range v.LabelMatchers {
						require.Contains(t, append(known[v.Name], "__name__", "job", "instance", "le"), m.Name, "%s: %s", p.Title, v.Name)
					}
				}
				return nil
			})
		}
	}
}

// shipped are the metrics that dashboards may ask for, with their labels.
func shipped(t *testing.T) map[string][]string {
	t.Helper()
	out := netnsMetrics(t)
	row := regexp.MustCompile("(?m)^\\| `(tocsin_\\w+)` \\| ([a-z_, ]*) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/reference/metrics.md"), -1) {
		for _, part := range []string{"", "_bucket", "_count", "_sum"} { // the reference does not tell histograms
			out[m[1]+part] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	require.Contains(t, out, "tocsin_fault_to_page_seconds_bucket")
	out["process_resident_memory_bytes"] = nil
	out["ALERTS"] = []string{"alertname", "alertstate", "severity"}
	return out
}
