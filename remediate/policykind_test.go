package remediate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

// A policy without its target is told what to write, in whole sentences.
func TestAPolicyWithoutATarget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.yaml")
	require.NoError(t, os.WriteFile(path, []byte("policies:\n  - name: a\n    mode: auto\n"), 0o600))
	_, err := remediate.LoadPolicies(path)
	require.ErrorContains(t, err, "kind")
	require.ErrorContains(t, err, "write the label that names the target")
	require.NotContains(t, err.Error(), "a  is never touched")
}
