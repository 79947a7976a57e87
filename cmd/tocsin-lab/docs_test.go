package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

// Every command that the docs name is one.
func TestCommandsInTheDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("(?m)`(?:sudo )?bin/tocsin-lab ([^`]+)`|^    tocsin-lab (.+)$").FindAllStringSubmatch(string(raw), -1) {
			parser, err := kong.New(&cli{})
			require.NoError(t, err)
			_, err = parser.Parse(strings.Fields(m[1] + m[2]))
			require.NoError(t, err, "%s: %s", file, m[0])
			found++
		}
	}
	require.Greater(t, found, 5)
}

// What docs/wishes.md tells people to type in the demo is there.
func TestCommandsOfTheTour(t *testing.T) {
	raw, err := os.ReadFile("../../docs/wishes.md")
	require.NoError(t, err)
	commands := regexp.MustCompile("`bin/tocsin-lab ([^`]+)`").FindAllStringSubmatch(string(raw), -1)
	require.Greater(t, len(commands), 5)
	for _, m := range commands {
		var c cli
		parser, err := kong.New(&c)
		require.NoError(t, err)
		_, err = parser.Parse(strings.Fields(m[1]))
		require.NoError(t, err, m[0])
		if kind := c.Fault.Kind; kind != "" && kind != "heal" && kind != "KIND" {
			require.Contains(t, scenario.Kinds(), scenario.Kind(kind), m[0])
		}
	}
	addresses, err := os.ReadFile("../../lab/world/processes.go")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\$([A-Z]+)`).FindAllStringSubmatch(string(raw), -1) {
		require.Contains(t, string(addresses), m[1]+"=http://", "no address of this name is written")
	}
	for _, m := range regexp.MustCompile(`-d '([^']+)'`).FindAllStringSubmatch(string(raw), -1) {
		var body struct{ Faults []fault.Fault }
		require.NoError(t, json.Unmarshal([]byte(m[1]), &body), m[1])
		require.NoError(t, fault.New(1).Set(1, body.Faults...), m[1])
	}
}

// The settings that docs/doctor.md shows are settings, and its keys are all there are.
func TestSettingsOfTheDocuments(t *testing.T) {
	raw, err := os.ReadFile("../../docs/doctor.md")
	require.NoError(t, err)
	shown := regexp.MustCompile("(?s)```yaml\n(.+?)```").FindStringSubmatch(string(raw))
	require.NotNil(t, shown)
	path := filepath.Join(t.TempDir(), "slow.yml")
	require.NoError(t, os.WriteFile(path, []byte(shown[1]), 0o600))
	settings, err := ttn.Named(path)
	require.NoError(t, err)
	require.Equal(t, 40*time.Second, settings.For)

	require.NoError(t, os.WriteFile(path, []byte("nothing: 1\n"), 0o600))
	_, err = ttn.Named(path)
	known := regexp.MustCompile("known here: ([a-z_, ]+)").FindStringSubmatch(err.Error())
	require.NotNil(t, known, err.Error())
	for key := range strings.SplitSeq(known[1], ", ") {
		require.Contains(t, string(raw), "`"+key+"`")
	}
}
