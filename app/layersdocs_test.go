package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/apps"
)

// The tree of docs/layers.md is one that compiles, and its commands print what
// the document says. UPDATE=1 (make golden) writes what they print.
func TestLayersDocument(t *testing.T) {
	path, err := filepath.Abs("../docs/layers.md")
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	blocks := regexp.MustCompile("(?ms)^```(yaml|console)\n(.*?)^```$")
	text := blocks.ReplaceAllStringFunc(string(raw), func(block string) string {
		m := blocks.FindStringSubmatch(block)
		if m[1] == "console" {
			return "```console\n" + typed(t, m[2]) + "```"
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(m[2], "# "), "\n")
		if strings.HasPrefix(name, "out/") {
			have, err := os.ReadFile(name)
			require.NoError(t, err)
			return "```yaml\n# " + name + "\n" + string(have) + "```"
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(m[2]), 0o644))
		return block
	})
	require.Contains(t, text, "proved to take each app once")
	var out bytes.Buffer // and with what stands behind its last command
	require.NoError(t, app.RulesExplain(&out, app.RulesOptions{Dir: "rules"}, "refunds", "HighErrorRate", "labels.remediate"))
	require.Contains(t, out.String(), "labels.remediate = restart-web")
	for _, f := range append(apps.PolicyFields(), apps.ContextFields()...) {
		require.Contains(t, text, f.Name, "every field that layers set is told of")
	}
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	require.Equal(t, string(raw), text, "docs/layers.md is not what the commands print: run make golden")
}

// typed runs the commands of a block and returns it with what they print.
func typed(t *testing.T, block string) string {
	t.Helper()
	var out bytes.Buffer
	for line := range strings.Lines(block) {
		words, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ tocsin rules ")
		if !strings.HasPrefix(line, "$ ") {
			continue // what a command printed when it was written
		}
		out.WriteString(line)
		o := app.RulesOptions{Dir: "rules"}
		if !isCommand {
			continue // cat: the block behind it shows the file
		}
		switch f := strings.Fields(words); f[0] {
		case "check":
			require.NoError(t, app.RulesCheck(&out, o))
		case "build":
			o.Out = f[2]
			require.NoError(t, app.RulesBuild(&out, o))
		case "explain":
			require.NoError(t, app.RulesExplain(&out, o, f[1], f[2], f[3]))
		default:
			t.Fatalf("%s is not known here", line)
		}
	}
	return out.String()
}
