//go:build linux

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The rules of the nodes are the shipped ones, ten times as fast, and no other
// number in them is touched.
func TestHastyRules(t *testing.T) {
	shipped, err := os.ReadFile("../../deploy/alerts/netns.rules.yml")
	require.NoError(t, err)
	fast := string(hasty(shipped))
	var doc map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(fast), &doc))
	require.NotRegexp(t, `for: \d+m|\[\d+m\]`, fast)
	back := strings.NewReplacer("for: 60s", "for: 10m", "for: 30s", "for: 5m", "for: 12s", "for: 2m", "for: 6s", "for: 1m", "[30s]", "[5m]", "[60s]", "[10m]")
	require.Equal(t, string(shipped), back.Replace(fast))
}
