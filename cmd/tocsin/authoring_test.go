package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
)

// TestAuthoring types what docs/authoring.md says, in an empty folder, at a
// Prometheus where a deploy has been failing for 50 seconds, and holds what is
// printed against the page; … stands for what is different every time.
// UPDATE=1 (make golden) writes what is printed.
func TestAuthoring(t *testing.T) {
	path, err := filepath.Abs("../../docs/authoring.md")
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	// scraped for 90 s to come, however slow the machine is
	fleet := enrichtest.Fleet{Now: time.Now().Add(90 * time.Second), Since: 140 * time.Second, Seed: 7, Fault: enrichtest.Fault{
		Errors: func(ls labels.Labels) bool { return ls.Get("deploy") == "v42" },
	}}
	a := author{T: t, dir: t.TempDir(), prometheus: enrichtest.New(t, fleet.Series()...).URL}
	blocks := regexp.MustCompile("(?ms)^```(yaml|console)\n(.*?)^```$")
	text := blocks.ReplaceAllStringFunc(string(raw), func(block string) string {
		m := blocks.FindStringSubmatch(block)
		if m[1] == "console" {
			return "```console\n" + a.session(m[2]) + "```"
		}
		a.write(m[2])
		return block
	})
	require.Greater(t, a.typed, 6)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	require.Equal(t, string(raw), text, "docs/authoring.md is not what the commands print: run make golden")
}

// author sits before a shell.
type author struct {
	*testing.T
	dir, prometheus string
	typed           int
}

// write makes the file that the first line of a block names.
func (a *author) write(block string) {
	a.Helper()
	name, text, _ := strings.Cut(strings.TrimPrefix(block, "# "), "\n")
	file := filepath.Join(a.dir, name)
	require.NoError(a, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(a, os.WriteFile(file, []byte(text), 0o644))
}

// session types the commands of a block. What was printed before is left as it
// stands where it fits what is printed now.
func (a *author) session(block string) string {
	a.Helper()
	var out strings.Builder
	for _, part := range strings.SplitAfter("\n"+block, "\n$ ")[1:] {
		command, printed, _ := strings.Cut(strings.TrimSuffix(part, "$ "), "\n")
		now := a.run(command)
		if !fits(printed, now) {
			printed = now
		}
		out.WriteString("$ " + command + "\n" + printed)
	}
	return out.String()
}

// server is what the page calls the Prometheus.
const server = "http://thanos-query:10902"

func (a *author) run(command string) string {
	a.Helper()
	a.typed++
	words := strings.Fields(strings.ReplaceAll(command, server, a.prometheus))
	require.Equal(a, "tocsin", words[0])
	cmd := exec.CommandContext(a.Context(), os.Args[0], words[1:]...)
	cmd.Dir, cmd.Env = a.dir, append(os.Environ(), "TOCSIN_MAIN=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run() // a finding is an exit status; the page shows what is printed
	require.True(a, err == nil || out.Len() > 0, "%s: %v", command, err)
	return strings.ReplaceAll(out.String(), a.prometheus, server)
}

// fits reports whether a text is what a page says, where … is any text, and a
// line of it any lines.
func fits(page, text string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(page) {
		if line == "…\n" {
			pattern.WriteString(`(.*\n)*`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*"))
	}
	return page != "" && regexp.MustCompile("^"+pattern.String()+"$").MatchString(text)
}

func TestFits(t *testing.T) {
	require.True(t, fits("a … c\n…\n", "a b c\nd\ne\n"))
	require.True(t, fits("a\n…\n", "a\n"))
	require.False(t, fits("a … c\n", "a b d\n"))
	require.False(t, fits("a\n", "a\nb\n"))
	require.False(t, fits("", "a\n"))
}
