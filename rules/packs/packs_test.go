package packs_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/rules/packs"
)

// golden is where a pack stands as it is compiled.
func golden(pack string) string { return "compiled/" + pack + ".rules.yml" }

// TestPacks compiles the tree: what it says stands in compiled/, each app is
// taken once, and every critical alert tells within the minute.
func TestPacks(t *testing.T) {
	tree, err := layers.Load(packs.Tree, ".", nil)
	require.NoError(t, err)
	groups, err := tree.Compile()
	require.NoError(t, err)
	require.NoError(t, tree.Prove(groups))
	files, err := tree.Files(groups)
	require.NoError(t, err)
	templates, err := filepath.Glob("templates/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, len(templates))
	for _, f := range files {
		pack := strings.TrimSuffix(f.Name, ".yaml")
		t.Run(pack, func(t *testing.T) {
			if os.Getenv("UPDATE") != "" {
				require.NoError(t, os.WriteFile(golden(pack), f.Data, 0o600))
			}
			want, err := os.ReadFile(golden(pack))
			require.NoError(t, err)
			require.Equal(t, string(want), string(f.Data), "UPDATE=1 rewrites it")
			predicted, err := patient(t, golden(pack)).Predict()
			require.NoError(t, err)
			for _, p := range predicted {
				require.False(t, p.Never, p.Alert)
				if p.Severity == "critical" {
					require.LessOrEqual(t, p.Mean, time.Minute, p.Alert)
				}
				t.Log(p.Alert, p.Span)
			}
		})
	}
}

// patient is a compiled pack under the configs that are shipped.
func patient(t *testing.T, pack string) doctor.Patient {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	f, err := rules.ReadFile(pack)
	require.NoError(t, err)
	p, err := doctor.ReadPrometheus("prometheus.yml", read("../../deploy/examples/prometheus.yml"))
	require.NoError(t, err)
	a, err := doctor.ReadAlertmanager("alertmanager.yml", read("../../deploy/examples/alertmanager.yml"))
	require.NoError(t, err)
	return doctor.Patient{Files: []rules.File{f}, Prometheus: p, Routes: a, Level: 1}
}

// TestEveryAlertIsTestedAndHasItsRunbook looks for a promtool test that sees the
// alert fire, and for the page that says what to do.
func TestEveryAlertIsTestedAndHasItsRunbook(t *testing.T) {
	compiled, err := filepath.Glob("compiled/*.rules.yml")
	require.NoError(t, err)
	require.NotEmpty(t, compiled)
	for _, name := range compiled {
		pack := strings.TrimSuffix(filepath.Base(name), ".rules.yml")
		f, err := rules.ReadFile(name)
		require.NoError(t, err)
		tests, err := os.ReadFile("tests/" + pack + "_test.yml")
		require.NoError(t, err)
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" {
					continue
				}
				require.Contains(t, string(tests), `alertname="`+r.Alert+`"`)
				require.Equal(t, r.Alert, strings.TrimSuffix(path.Base(r.Annotations["runbook_url"]), ".md"))
				page, err := os.ReadFile("../../docs/runbooks/" + r.Alert + ".md")
				require.NoError(t, err)
				require.Contains(t, string(page), "# "+r.Alert+"\n")
			}
		}
	}
}
