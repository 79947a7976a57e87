package rules_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
)

// Public rule sets read without a mistake and survive being written. The folder
// is given by RULES_DATA; files that are no rules are named by what is in them.
func TestPublicRuleSets(t *testing.T) {
	root := os.Getenv("RULES_DATA")
	if root == "" {
		t.Log("RULES_DATA names no folder of rule sets")
		return
	}
	alerts, recorded := 0, 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" && filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if strings.Contains(string(data), "rule_files:") || strings.Contains(string(data), "services:\n") {
			return nil // promtool's tests, and a catalogue rules are made from
		}
		file, err := rules.Parse(path, data)
		require.NoError(t, err)
		require.NotEmpty(t, file.Groups, path)
		back, err := rules.Parse(path, written(t, file.Groups))
		require.NoError(t, err, path)
		require.Equal(t, plain(file.Groups), plain(back.Groups), path)
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					alerts++
				} else {
					recorded++
				}
			}
		}
		return nil
	}))
	t.Logf("%d alerts, %d recording rules", alerts, recorded)
	require.NotZero(t, alerts)
}
