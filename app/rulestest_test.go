package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
)

// The example of docs/testing.md passes as it stands there, and can fail.
func TestExampleOfTheTestingGuide(t *testing.T) {
	text, err := os.ReadFile("../docs/testing.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 3)
	dir := t.TempDir()
	for i, name := range []string{"http_test.yml", "http.yml", "alertmanager.yml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), blocks[i][1], 0o600))
	}
	path := filepath.Join(dir, "http_test.yml")
	var out bytes.Buffer
	require.NoError(t, app.RulesTest(t.Context(), &out, app.RulesTestOptions{Files: []string{path}, MinCoverage: 100}), &out)
	require.Contains(t, out.String(), "ok    a bad deploy fires (2 pages)\n")

	older := bytes.Replace(blocks[0][1], []byte("traits: [deploy=v42]"), []byte("traits: [deploy=v41]"), 1)
	require.NoError(t, os.WriteFile(path, older, 0o600))
	out.Reset()
	require.ErrorIs(t, app.RulesTest(t.Context(), &out, app.RulesTestOptions{Files: []string{path}}), app.ErrRulesTest)
	require.Contains(t, out.String(), "- traits: [deploy=v41]\n          + traits: [deploy=v42]\n")
}
