package packs_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/layers"
)

// shipped are the packs that stand in deploy/alerts too, where their promtool
// tests and the checks of their metrics, labels and runbooks are.
func shipped() []string { return []string{"netns", "tocsin"} }

// built are the rules of a shipped pack with a global layer of one's own.
func built(t *testing.T, pack, layer string) []rules.Rule {
	t.Helper()
	groups, err := compiled(t, "layers/global.yaml", layer)
	require.NoError(t, err)
	i := slices.IndexFunc(groups, func(g layers.Group) bool { return g.Name == pack })
	require.GreaterOrEqual(t, i, 0)
	return groups[i].Written().Rules
}

// onlyGroup are the rules of the one group of a file.
func onlyGroup(t *testing.T, name string) []rules.Rule {
	t.Helper()
	f, err := rules.ReadFile(name)
	require.NoError(t, err)
	require.Len(t, f.Groups, 1)
	return f.Groups[0].Rules
}

// TestShipped holds the packs against deploy/alerts: whoever builds them without
// a layer of his own gets the same alerts.
func TestShipped(t *testing.T) {
	for _, pack := range shipped() {
		want, have := onlyGroup(t, "../../deploy/alerts/"+pack+".rules.yml"), onlyGroup(t, golden(pack))
		require.Len(t, have, len(want), pack)
		for i, w := range want {
			h := have[i]
			require.Equal(t, w.Alert, h.Alert)
			require.Equal(t, asWritten(t, w.Expr), asWritten(t, h.Expr), w.Alert)
			require.Equal(t, w.For, h.For, w.Alert)
			require.Equal(t, w.Labels, h.Labels, w.Alert)
			require.Equal(t, w.KeepFiringFor, h.KeepFiringFor, w.Alert)
			require.Equal(t, w.Annotations, h.Annotations, w.Alert)
		}
	}
}

// asWritten is an expression as the parser writes it.
func asWritten(t *testing.T, expr string) string {
	t.Helper()
	e, err := rules.ParseExpr(expr)
	require.NoError(t, err)
	return e.String()
}

func TestShippedAreTunedByLayers(t *testing.T) {
	exprs := map[string]string{}
	for _, r := range slices.Concat(
		built(t, "netns", "templates: {netns: {params: {conntrack_ratio: 70%}}}"),
		built(t, "tocsin", "templates: {tocsin: {params: {pages_wait: 30}, rules: [{alert: TocsinDown, for: 30s}]}}"),
	) {
		exprs[r.Alert] = r.Expr
		if r.Alert == "TocsinDown" {
			require.Equal(t, "30s", r.For.String())
		}
	}
	require.Contains(t, exprs["ConntrackNearLimit"], "> 0.7")
	require.Contains(t, exprs["TocsinPagesWait"], "> 30")
}

// TestWatchdogIsLocked tries what would quieten the alert whose silence is the alarm.
func TestWatchdogIsLocked(t *testing.T) {
	for name, layer := range map[string]string{
		"off":            "rules: [{alert: TocsinWatchdog, enabled: false}]",
		"the whole pack": "enabled: false",
		"expression":     "rules: [{alert: TocsinWatchdog, expr: vector(0) > 1}]",
		"for":            "rules: [{alert: TocsinWatchdog, for: 1h}]",
		"severity":       "rules: [{alert: TocsinWatchdog, labels: {severity: info}}]",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compiled(t, "layers/global.yaml", "templates:\n  tocsin: {"+layer+"}\n")
			require.ErrorContains(t, err, "is locked at")
		})
	}
}
