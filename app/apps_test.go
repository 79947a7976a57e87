package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

// A page waits as long as its app lets it: of several, the one that waits the least.
func TestDeadlinesOfApps(t *testing.T) {
	p := &plan{Config: DefaultConfig()}
	require.Nil(t, p.deadline().Own, "without the file all are alike")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apps.conf"), []byte(`label: app
classes:
  - others: true
    settings: [{field: deadline.other, value: 8s, at: "layers/global.yaml:1"}]
  - apps: [checkout]
    settings: [{field: deadline.critical, value: 2s, at: "layers/app/checkout.yaml:1"}]
  - apps: [cart]
    settings: [{field: deadline.critical, value: 30s, at: "layers/app/cart.yaml:1"}, {field: deadline.other, value: 1m, at: "layers/app/cart.yaml:1"}]
`), 0o600))
	p.Apps.File = "apps.conf"
	require.NoError(t, p.planApps(dir))
	of := func(severity string, names ...string) time.Duration {
		problem := page.Problem{Members: map[string]page.Member{}}
		for _, n := range names {
			problem.Members[n] = page.Member{Open: true, Alert: page.Alert{ID: n, Labels: page.Labels{"app": n, "severity": severity}}}
		}
		return p.deadline().Of(problem)
	}
	require.Equal(t, 2*time.Second, of("critical", "checkout"))
	require.Equal(t, 10*time.Second, of("warning", "checkout"), "what layers do not set is the config's")
	require.Equal(t, 30*time.Second, of("critical", "cart"))
	require.Equal(t, time.Minute, of("warning", "cart"))
	require.Equal(t, 2*time.Second, of("critical", "cart", "checkout"))
	require.Equal(t, 10*time.Second, of("warning", "cart", "checkout"))
	require.Equal(t, 5*time.Second, of("critical", "stranger"))
	require.Equal(t, 8*time.Second, of("warning", "stranger"))
	require.Equal(t, 8*time.Second, of("warning", ""))
	require.Equal(t, 8*time.Second, of("warning"))
}
