package packs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/layers"
)

// selfTree is the tree of the alerts in deploy/alerts, with a layer of one's own.
func selfTree(t *testing.T, global string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, name := range []string{"apps.yaml", "templates/netns.yaml", "templates/tocsin.yaml"} {
		data, err := fs.ReadFile(os.DirFS("self"), name)
		require.NoError(t, err)
		out[name] = &fstest.MapFile{Data: data}
	}
	if global != "" {
		out["layers/global.yaml"] = &fstest.MapFile{Data: []byte(global)}
	}
	return out
}

// selfRules are the rules of the tree by template.
func selfRules(t *testing.T, global string) map[string][]rules.Rule {
	t.Helper()
	tree, err := layers.Load(selfTree(t, global), ".", nil)
	require.NoError(t, err)
	groups, err := tree.Compile()
	require.NoError(t, err)
	require.NoError(t, tree.Prove(groups))
	files, err := tree.Files(groups)
	require.NoError(t, err)
	out := map[string][]rules.Rule{}
	for _, f := range files {
		name := filepath.Join(t.TempDir(), f.Name)
		require.NoError(t, os.WriteFile(name, f.Data, 0o600))
		out[f.Name] = onlyGroup(t, name)
	}
	return out
}

// onlyGroup are the rules of the one group of a file.
func onlyGroup(t *testing.T, name string) []rules.Rule {
	t.Helper()
	f, err := rules.ReadFile(name)
	require.NoError(t, err)
	require.Len(t, f.Groups, 1)
	return f.Groups[0].Rules
}

// TestSelfIsWhatIsShipped holds the templates against deploy/alerts: whoever
// builds them without a layer of his own gets the same alerts.
func TestSelfIsWhatIsShipped(t *testing.T) {
	got := selfRules(t, "")
	require.Len(t, got, 2)
	for _, pack := range []string{"netns", "tocsin"} {
		want := onlyGroup(t, "../../deploy/alerts/"+pack+".rules.yml")
		have := got[pack+".yaml"]
		require.Len(t, have, len(want), pack)
		for i, w := range want {
			h := have[i]
			require.Equal(t, w.Alert, h.Alert)
			require.Equal(t, asWritten(t, w.Expr), asWritten(t, h.Expr), w.Alert)
			require.Equal(t, w.For, h.For, w.Alert)
			require.Equal(t, w.Labels, h.Labels, w.Alert)
			require.Equal(t, w.KeepFiringFor, h.KeepFiringFor, w.Alert)
			delete(w.Annotations, "dashboard_url") // an example's address: a layer says where one's own dashboards are
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

func TestSelfIsTunedByLayers(t *testing.T) {
	got := selfRules(t, "templates:\n  netns: {params: {conntrack_ratio: 70%}}\n  tocsin: {params: {pages_wait: 30}, rules: [{alert: TocsinDown, for: 30s}]}\n")
	exprs := map[string]string{}
	for _, all := range got {
		for _, r := range all {
			exprs[r.Alert] = r.Expr
			if r.Alert == "TocsinDown" {
				require.Equal(t, "30s", r.For.String())
			}
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
			tree, err := layers.Load(selfTree(t, "templates:\n  tocsin: {"+layer+"}\n"), ".", nil)
			require.NoError(t, err)
			_, err = tree.Compile()
			require.ErrorContains(t, err, "is locked at")
		})
	}
}
