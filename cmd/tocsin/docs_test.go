package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// guides are the documents that name commands of this program, of make, and files.
func guides() []string {
	return []string{
		"README.md", "docs/wishes.md", "docs/web.md", "docs/delivery.md",
		"docs/doctor.md",
		"docs/dashboards.md",
		"docs/layers.md",
		"docs/authoring.md",
		"docs/replay.md",
		"docs/testing.md",
		"docs/preview.md",
		"docs/packs.md",
		"docs/lint.md",
	}
}

// What the documents tell people to type is there.
func TestCommandsOfTheDocuments(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	quoted := regexp.MustCompile("(?m)`([^`\n]+)`|^(?:    )?((?:make|bin/tocsin|tocsin) [^`\n]+)$")
	seen := 0
	for _, name := range guides() {
		for _, m := range quoted.FindAllStringSubmatch(document(t, name), -1) {
			text, _, _ := strings.Cut(m[1]+m[2], "  ") // what it is for
			text, _, _ = strings.Cut(text, " #")
			text, _, _ = strings.Cut(text, " | ")
			words := strings.Fields(text)
			switch {
			case len(words) < 2 || strings.Contains(text, "…") || strings.Contains(text, "|"):
				continue
			case words[0] == "make":
				require.Regexp(t, "(?m)^"+regexp.QuoteMeta(words[1])+":", string(makefile), "%s: %s", name, text)
			case words[0] == "bin/tocsin" || words[0] == "tocsin":
				if err := parse(words[1:]); err != nil { // a document may name a command without its arguments
					require.Regexp(t, "^(missing flags|expected)", err.Error(), "%s: %s", name, text)
				}
				for i, w := range words {
					if words[i-min(i, 1)] == "--payload" && strings.HasPrefix(w, "testdata/") {
						require.FileExists(t, filepath.Join("../..", w), name)
					}
				}
			default:
				continue
			}
			seen++
		}
	}
	require.Greater(t, seen, 20)
	require.ErrorContains(t, parse([]string{"pages", "explode"}), "unexpected argument")
	require.ErrorContains(t, parse([]string{"pages", "dead", "--loud"}), "unknown flag")
}

// parse reads a command line and does nothing.
func parse(args []string) error {
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": version})
	if err == nil {
		_, err = parser.Parse(args)
	}
	return err
}

// Links of the documents lead to files and headings that are there.
func TestLinksOfTheDocuments(t *testing.T) {
	seen := 0
	for _, name := range guides() {
		links := regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(document(t, name), -1)
		for _, m := range links {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			path := filepath.Join(filepath.Dir(name), m[1])
			if m[1] == "" {
				path = name
			}
			_, err := os.Stat(filepath.Join("../..", path))
			require.NoError(t, err, name)
			if m[2] != "" {
				require.Regexp(t, "(?mi)^#+ "+strings.ReplaceAll(regexp.QuoteMeta(m[2]), "-", "[ -]")+`[?!.]*$`, document(t, path), name)
			}
		}
	}
	require.Greater(t, seen, 20)
}

func document(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../..", name))
	require.NoError(t, err)
	return string(raw)
}
