package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/store/etcd"
)

// The reference is generated from the code. UPDATE=1 (make golden) writes it.
func TestReference(t *testing.T) {
	for name, text := range map[string]string{
		"config.md":  configReference(),
		"metrics.md": metricsReference(t),
	} {
		path := filepath.Join("..", "docs", "reference", name)
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(have), "%s is not what the code says: run make golden", path)
	}
}

func configReference() string {
	var b strings.Builder
	b.WriteString("# Config reference\n\nWritten by `make golden` from the code. `tocsin check --schema` prints the same as JSON Schema.\n" +
		"Durations are Prometheus' (`30s`, `5m`); relative secret files are taken from the config file's folder. Keys in **bold** must be there.\n")
	table(&b, "tocsin.yml", DefaultConfig())
	b.WriteString("\n`traits.roles` defaults to:\n\n")
	roles := DefaultConfig().Traits.Roles
	for _, r := range slices.Sorted(maps.Keys(roles)) {
		fmt.Fprintf(&b, "- %s: %s\n", r, strings.Join(roles[r], ", "))
	}
	for _, k := range Sources() {
		table(&b, "Source `"+k.Name+"`: its `with`", k.Config())
	}
	for _, k := range Notifiers() {
		table(&b, "Target `"+k.Name+"`: its `with`", k.Config())
	}
	for _, k := range Backends() {
		table(&b, "Backend `"+k.Name+"`: its `with`", k.Config())
	}
	table(&b, "A file of `remediation.policies`: each item of its `policies`", remediate.DefaultPolicy())
	table(&b, "rules.yaml of layered rules (docs/layers.md)", layers.DefaultSettings())
	return b.String()
}

func table(b *strings.Builder, title string, v any) {
	fmt.Fprintf(b, "\n## %s\n\n| key | type | default | what it means |\n| --- | --- | --- | --- |\n", title)
	for _, k := range config.Keys(v) {
		name := "`" + k.Path + "`"
		if k.Need {
			name = "**" + name + "**"
		}
		def := k.Default
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, k.Type, def, k.Doc)
	}
}

// Every key must say what it means: the reference and the schema have no other source.
func TestEveryKeyIsDocumented(t *testing.T) {
	check := func(what string, v any) {
		for _, k := range config.Keys(v) {
			require.NotEmpty(t, k.Doc, "%s: %s has no doc tag", what, k.Path)
		}
	}
	check("config", DefaultConfig())
	check("rules.yaml", layers.DefaultSettings())
	for _, k := range Sources() {
		check(k.Name, k.Config())
	}
	for _, k := range Notifiers() {
		check(k.Name, k.Config())
	}
}

func metricsReference(t *testing.T) string {
	reg := &describer{descs: map[string]string{}}
	newMetrics(reg)
	st, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "x.db")}, slog.New(slog.DiscardHandler), time.Now, reg)
	require.NoError(t, err)
	require.NoError(t, st.Close())
	ended, cancel := context.WithCancel(t.Context())
	cancel() // no cluster is there, and none is needed for its metrics
	_, err = etcd.Open(ended, etcd.Config{Endpoints: []string{"http://127.0.0.1:1"}, Prefix: etcd.DefaultPrefix}, slog.New(slog.DiscardHandler), time.Now, reg)
	require.ErrorIs(t, err, context.Canceled)
	for _, c := range processCollectors("v") {
		require.NoError(t, reg.Register(c))
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\nWritten by `make golden` from the code. Go's own `go_*` and `process_*` are left out.\n\n| metric | labels | what it says |\n| --- | --- | --- |\n")
	var names []string
	for n := range reg.descs {
		if strings.HasPrefix(n, "tocsin_") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		b.WriteString(reg.descs[n])
	}
	return b.String()
}

// describer is a Registerer that keeps what collectors say of themselves.
type describer struct{ descs map[string]string }

func (d *describer) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 256)
	c.Describe(ch)
	close(ch)
	re := regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)
	for desc := range ch {
		m := re.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("unreadable description %s", desc)
		}
		d.descs[m[1]] = fmt.Sprintf("| `%s` | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2])
	}
	return nil
}

func (d *describer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d *describer) Unregister(prometheus.Collector) bool { return false }
