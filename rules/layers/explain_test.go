package layers_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules/layers"
)

func TestExplainTellsTheWinnerAndWhatItShadows(t *testing.T) {
	tr, _ := compile(t, shop)
	e, err := tr.Explain("checkout", "HighErrorRate", "")
	require.NoError(t, err)
	require.True(t, e.Enabled)
	got := map[string][]string{}
	for _, f := range e.Fields {
		for _, s := range f.Settings {
			got[f.Field] = append(got[f.Field], s.Place()+" "+s.Layer)
		}
	}
	require.Equal(t, []string{"layers/app/checkout.yaml:4 app/checkout", "templates/http.yaml:5 template"}, got["params.error_ratio"])
	require.Equal(t, []string{"layers/app/checkout.yaml:7 app/checkout", "templates/http.yaml:15 template"}, got["labels.severity"])
	require.Equal(t, []string{"templates/http.yaml:14 template"}, got["for"])
	require.NotContains(t, got, "params.codes", "the alert does not use it")

	e, err = tr.Explain("queue", "HighErrorRate", "template.enabled")
	require.NoError(t, err)
	require.False(t, e.Enabled)
	require.Equal(t, "layers/app-type/broker.yaml:2", e.Fields[0].Settings[0].Place())

	e, err = tr.Explain("search", "HighErrorRate", "for")
	require.NoError(t, err)
	require.Equal(t, "null", e.Fields[0].Value)

	e, err = tr.Explain("cart", "HighErrorRate", "labels.team")
	require.NoError(t, err)
	require.Equal(t, "layers/global.yaml:5", e.Fields[0].Locked.Place())

	e, err = tr.Explain("cart", "Watchdog", "")
	require.NoError(t, err)
	require.Equal(t, "vector(1)", e.Expr)
	var text strings.Builder
	require.NoError(t, e.WriteText(&text))
	require.Contains(t, text.String(), "expr, for all apps in one:\n  vector(1)\n")
}

func TestDiffTellsAppsAndFields(t *testing.T) {
	old, was := compile(t, shop)
	for name, tc := range map[string]struct {
		file, text string
		want       []layers.Change
	}{
		"nothing but lines": {"layers/app/checkout.yaml", "# moved\n\ntemplates:\n  http:\n    params: {error_ratio: 1.0%}\n    rules: [{alert: HighErrorRate, labels: {severity: critical}}]\n", nil},
		"a parameter": {"layers/app/cart.yaml", "templates: {http: {params: {error_ratio: 7%}}}\n", []layers.Change{{
			Rule: "HighErrorRate", What: "changed", Apps: []string{"cart"},
			Fields: []layers.Edit{{Field: "params.error_ratio", From: "5%", To: "7%", At: "layers/app/cart.yaml:1"}},
		}}},
		"a label for all": {"layers/global.yaml", "templates: {http: {rules: [{alert: HighErrorRate, labels: {team: shop}}]}}\n", []layers.Change{
			{Rule: "HighErrorRate", What: "changed", Apps: []string{"cart"}, Unknown: true, Fields: []layers.Edit{{Field: "labels.team", From: "web", To: "shop", At: "layers/global.yaml:1"}}},
			{Rule: "HighErrorRate", What: "changed", Apps: []string{"checkout"}, Fields: []layers.Edit{{Field: "labels.team", From: "web", To: "shop", At: "layers/global.yaml:1"}}},
			{Rule: "HighErrorRate", What: "changed", Apps: []string{"search"}, Fields: []layers.Edit{{Field: "labels.team", From: "web", To: "shop", At: "layers/global.yaml:1"}}},
		}},
		"a rule that goes and one that comes": {"templates/watchdog.yaml", "per_app: false\ninterval: 5s\nrules: [{alert: Dog, expr: vector(1)}]\n", []layers.Change{
			{Rule: "Dog", What: "added"},
			{Rule: "Watchdog", What: "removed"},
			{Rule: "group watchdog", What: "changed", Fields: []layers.Edit{{Field: "interval", To: "5s", At: "templates/watchdog.yaml"}}},
		}},
		"an app more": {"apps.yaml", `
apps:
  - {name: cart, cluster: dc1, phase: live, app-type: api, app-group: shop}
  - {name: checkout, cluster: dc1, phase: live, app-type: api, app-group: payments}
  - {name: search, cluster: dc2, phase: dev, app-type: api}
  - {name: queue, cluster: dc2, phase: live, app-type: broker}
  - {name: topics, cluster: dc2, phase: live, app-type: broker}
`, []layers.Change{
			{Rule: "HighErrorRate", What: "removed", Apps: []string{"topics"}},
			{Rule: "app:http_errors:rate", What: "removed", Apps: []string{"topics"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			now, is := compile(t, shop, tc.file, tc.text)
			require.Equal(t, tc.want, layers.Diff(layers.Side{Tree: old, Groups: was}, layers.Side{Tree: now, Groups: is}))
		})
	}
}
