package remediate_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

func TestTheExamplesAreGood(t *testing.T) {
	ps, err := remediate.LoadPolicies(filepath.Join("..", "deploy", "remediation", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, ps, 3)
}
