package names_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns/names"
)

const mapping = `# hosts without containers
- path: /system.slice/checkout-*.service
  labels: {app: checkout, namespace: shop}
- regex: /batch/(?P<team>[^/]+)/job-(\d+)
  labels: {app: batch, namespace: $team, container: job-$2}
- regex: /docker/.*
  labels: {pod: "no$$pod"}
`

func TestMapping(t *testing.T) {
	m, err := names.ParseMapping("names.yml", []byte(mapping))
	require.NoError(t, err)
	for path, want := range map[string]names.Name{
		"/system.slice/checkout-eu.service":   {App: "checkout", Namespace: "shop"},
		"/system.slice/checkout-eu/x.service": {},
		"/batch/red/job-17":                   {App: "batch", Namespace: "red", Container: "job-17"},
		"/batch/red/job-17/more":              {},
		"/docker/" + hex64("a1"):              {Pod: "no$pod"},
	} {
		require.Equal(t, want, m.Match(path), path)
	}
	r := names.New(names.Options{Mapping: m})
	require.Equal(t, names.Name{App: "checkout", Namespace: "shop", Runtime: "systemd", Unit: "checkout-eu.service"}, r.Resolve("/system.slice/checkout-eu.service"))
	require.Equal(t, "nginx", r.Resolve("/system.slice/nginx.service").App, "what is not mapped keeps its own")
}

// The example in the docs is one.
func TestMappingInTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/cgroups.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(doc), "```yaml\n")
	require.True(t, ok)
	text, _, _ := strings.Cut(rest, "```")
	m, err := names.ParseMapping("docs/cgroups.md", []byte(text))
	require.NoError(t, err)
	require.Equal(t, "red", m.Match("/batch/red/job-17").Namespace)
}

func TestMappingsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"rules: []":                     "names.yml:1: expected a list of rules",
		"- 7":                           "names.yml:1: expected path or regex, and labels",
		"- path: /a\n  label: {app: x}": `names.yml:2: unknown key "label"`,
		"- path: /a\n  labels: {app: x, team: y}":       `names.yml:2: unknown label "team"`,
		"- path: /a\n  labels:\n    app: x\n    app: y": "names.yml:4: label app stands there twice",
		"- path: /a\n  path: /b\n  labels: {app: x}":    "names.yml:2: path stands there twice",
		"- path: /a":                                  "names.yml:1: expected labels",
		"- path: /a\n  labels: {}":                    "names.yml:1: expected labels",
		"- path: /a\n  labels: {app: [x]}":            "names.yml:2: label app: expected text",
		"- labels: {app: x}":                          "names.yml:1: expected either path or regex",
		"- path: /a\n  regex: /a\n  labels: {app: x}": "names.yml:1: expected either path or regex",
		"- path: '/[a'\n  labels: {app: x}":           "names.yml:1: path: syntax error in pattern",
		"\n- regex: '('\n  labels: {app: x}":          "names.yml:2: regex: error parsing regexp",
		"- path: [a]\n  labels: {app: x}":             "names.yml:1: path: expected text",
		"- {":                                         "names.yml: yaml: line",
		"[]\n---\n[]":                                 "names.yml: one document is expected",
	} {
		_, err := names.ParseMapping("names.yml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestLoadMapping(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names.yml")
	_, err := names.LoadMapping(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	m, err := names.LoadMapping(file)
	require.NoError(t, err)
	require.Zero(t, m.Match("/x"))
	require.NoError(t, os.WriteFile(file, []byte("# "+strings.Repeat("x", 1<<20)), 0o600))
	_, err = names.LoadMapping(file)
	require.ErrorContains(t, err, "longer than 1048576 bytes")
}

func FuzzParseMapping(f *testing.F) {
	for _, s := range []string{mapping, "", "[]", "- {path: /a, labels: {app: x}}", "- &a {regex: '.*', labels: {pod: $0}}\n- *a", "- path: !!binary x", "- <<: {path: /a}\n  labels: {app: x}", "a: &a [*a]"} {
		f.Add([]byte(s), "/system.slice/a.service")
	}
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		m, err := names.ParseMapping("names.yml", raw)
		if err != nil {
			require.Contains(t, err.Error(), "names.yml")
			return
		}
		m.Match(path)
	})
}
