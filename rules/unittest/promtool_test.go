//go:build promtool

package unittest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVerdictsArePromtools holds the verdicts against the real promtool, whose
// path $PROMTOOL says (make rules).
func TestVerdictsArePromtools(t *testing.T) {
	promtool := os.Getenv("PROMTOOL")
	require.FileExists(t, promtool)
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			path := c.write(t)
			said, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput()
			passes, ours := judged(t, path)
			require.Equal(t, err == nil, passes, "promtool: %s\nours: %s", said, ours)
		})
	}
}
