package world_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

func plans() map[string]world.Plan {
	secrets := world.SecretsIn("secrets")
	return map[string]world.Plan{
		"fast": {
			Settings: ttn.Fast(), Slack: "slack:1", PagerDuty: "pd:1", Tocsin: "tocsin:1", Operators: "tocsin:2", Channel: "C0PAGES",
			Prometheus: []string{"prom-a:1", "prom-b:1"}, Alertmanagers: []string{"am-1:1", "am-2:1"}, Gossip: []string{"am-1:2", "am-2:2"},
			Sidecars: []world.Thanos{{"side-a:1", "side-a:2"}, {"side-b:1", "side-b:2"}}, Query: world.Thanos{GRPC: "query:1", HTTP: "query:2"},
			SecretFiles: secrets,
		},
		"repair": {
			Settings: ttn.Fast(), Slack: "slack:1", PagerDuty: "pd:1", Tocsin: "tocsin:1", Operators: "tocsin:2", Channel: "C0PAGES",
			Prometheus: []string{"prom-a:1"}, Alertmanagers: []string{"am-1:1"}, SecretFiles: secrets, AWX: "awx:1", Remediate: []string{"restart", "shift"},
		},
		"stock": {
			Settings: ttn.Stock(), Slack: "slack:1", PagerDuty: "pd:1", Tocsin: "tocsin:1", Operators: "tocsin:2", Channel: "C0PAGES",
			Prometheus: []string{"prom-a:1"}, Alertmanagers: []string{"am-1:1"}, SecretFiles: secrets,
		},
		"matrix": {
			Settings: ttn.Fast(), Slack: "slack:1", PagerDuty: "pd:1", Tocsin: "tocsin:1", Operators: "tocsin:2", Channel: "C0PAGES",
			Prometheus: []string{"prom-a:1"}, Alertmanagers: []string{"am-1:1"}, SecretFiles: secrets, Services: []string{"cart", "search"},
			Expressions: []expressions.Expression{
				{Name: "Down", On: []expressions.Signal{expressions.Down}, Expr: "up == 0"},
				{Name: "Recorded", Expr: `a:b{service="$service"} > 1`, Rules: []expressions.Recording{{Record: "a:b", Expr: "sum by (service) (b)"}}},
			},
		},
		"alone": {Settings: ttn.Fast(), Slack: "slack:1", PagerDuty: "pd:1", Tocsin: "tocsin:1", Operators: "tocsin:2", Channel: "C0PAGES", SecretFiles: secrets},
	}
}

// Goldens are rewritten by UPDATE=1 go test.
func TestFiles(t *testing.T) {
	for name, plan := range plans() {
		t.Run(name, func(t *testing.T) {
			files, err := plan.Files()
			require.NoError(t, err)
			for file, got := range files {
				golden := filepath.Join("testdata", name, file)
				if os.Getenv("UPDATE") != "" {
					require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
					require.NoError(t, os.WriteFile(golden, got, 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
				var doc map[string]any
				require.NoError(t, yaml.Unmarshal(got, &doc), file)
			}
			kept, err := os.ReadDir(filepath.Join("testdata", name))
			require.NoError(t, err)
			require.Len(t, files, len(kept), "a file is missing, or a golden is too many")
		})
	}
}

func TestRulesAreRules(t *testing.T) {
	for name, plan := range plans() {
		if len(plan.Prometheus) == 0 || plan.Expressions != nil {
			continue
		}
		files, err := plan.Files()
		require.NoError(t, err)
		groups, errs := rulefmt.Parse(files["rules.yml"], false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		require.Empty(t, errs, name)
		require.Len(t, groups.Groups, 1)
		require.Len(t, groups.Groups[0].Rules, 4)
		require.Equal(t, model.Duration(plan.Settings.For), groups.Groups[0].Rules[0].For, name)
		require.Equal(t, model.Duration(plan.Settings.ForState), groups.Groups[0].Rules[2].For, name)
	}
}
