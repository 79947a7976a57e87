// Package archtest keeps the import policy of the house. It parses the files
// itself: a test that asked `go list` would keep a cached "ok" after a
// forbidden import was added.
package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/tocsin/tocsin/"

// policy says what each package may import of ours. It is a statement of what
// the house is, not a record of what the code does: mend the import, not the line.
//
//	down to the leaves, up to the parent, never sideways.
//
// `x/*` on the left is every direct subfolder of x; on the right `x/*` likewise.
func policy() map[string]string {
	return map[string]string{
		"page":     "",
		"chart":    "page",
		"config":   "",
		"apps":     "config",
		"expr":     "",
		"remote":   "",
		"remote/*": "page config remote",

		"store":   "",
		"store/*": "config store",

		"webhook":                 "page config remote store",
		"pipeline":                "page config remote store",
		"enrich":                  "page config remote remote/* expr",
		"enrich/*":                "page config remote remote/* expr enrich",
		"notify":                  "page config remote store",
		"notify/*":                "page config remote remote/* notify",
		"web":                     "page config remote store chart",
		"notify/notifytest":       "page config remote notify lab/fault",
		"rules":                   "config expr page",
		"rules/replay":            "page config remote remote/* rules",
		"rules/unittest":          "rules rules/replay config page",
		"app":                     "*",
		"app/*":                   "config",
		"dashboards":              "page remote remote/*",
		"deploy":                  "",
		"rules/lint":              "rules config expr page remote remote/*",
		"rules/latency":           "rules config expr page",
		"rules/doctor":            "rules rules/latency config expr page",
		"lab/*":                   "page config remote remote/* lab/*",
		"lab/ttn":                 "config rules/latency", // one formula in the house: the doctor's
		"cmd/tocsin":              "app config",
		"cmd/tocsin-lab":          "app config dashboards lab lab/* remote/prometheus rules/latency",
		"exporters":               "",
		"exporters/netns":         "exporters exporters/netns/*",
		"exporters/netns/*":       "exporters exporters/netns/*",
		"cmd/netns_exporter":      "exporters exporters/*",
		"exporters/openapi":       "exporters exporters/openapi/*",
		"exporters/openapi/*":     "exporters exporters/openapi/*",
		"cmd/openapi_exporter":    "exporters exporters/*",
		"remediate":               "page config remote remote/* store expr apps",
		"remediate/*":             "page config remote remote/* remediate",
		"remediate/remediatetest": "config remediate lab/fault",
		"rules/layers":            "rules config expr page apps",
		"rules/packs":             "",

		"internal/archtest": "",
	}
}

// testPolicy is what tests of a package may import beside that: suites, fakes
// and the engine they run on.
func testPolicy() map[string]string {
	return map[string]string{
		"store":          "store/* page",
		"store/*":        "store/* lab/*",
		"webhook":        "store/*",
		"pipeline":       "store/* notify notify/* enrich",
		"enrich":         "enrich/*",
		"enrich/*":       "enrich/*",
		"notify":         "store/* notify/* lab/*",
		"notify/*":       "store/* notify/* lab/*",
		"rules/replay":   "enrich/enrichtest",
		"remediate":      "store/* remediate/* lab/* enrich/enrichtest",
		"remediate/*":    "store/* remediate/* lab/*",
		"rules/layers":   "enrich/enrichtest",
		"rules/packs":    "expr rules rules/doctor rules/layers",
		"rules/lint":     "enrich/enrichtest",
		"web":            "store/*",
		"deploy":         "app dashboards",
		"cmd/tocsin":     "lab/* enrich/enrichtest store store/* page",
		"cmd/tocsin-lab": "lab/* page",
		"lab/*":          "*",

		"exporters/openapi":   "lab/world",
		"exporters/openapi/*": "dashboards",
	}
}

// forbidden are libraries and why none of ours may import them.
func forbidden() map[string]string {
	return map[string]string{
		"github.com/prometheus/alertmanager/types":          "deprecated aliases; use alert",
		"github.com/thanos-io/thanos/pkg/promclient":        "pulls the AWS and Azure SDKs",
		"github.com/thanos-io/thanos/pkg/store/labelpb":     "its conversions are unsafe casts unless built with slicelabels",
		"github.com/prometheus/alertmanager/notify/webhook": "526 packages for one struct",
		"gopkg.in/yaml.v3": "unmaintained; use go.yaml.in/yaml/v3",
	}
}

func TestImportsKeepThePolicy(t *testing.T) {
	imports := parseHouse(t)
	rules, tests := policy(), testPolicy()
	used := map[string]bool{}
	for _, im := range imports {
		key := match(rules, im.pkg)
		if key == "" {
			t.Errorf("%s: package %s has no line in the policy: which room is it?", im.file, im.pkg)
			continue
		}
		used[key] = true
		if why, no := forbidden()[im.target]; no {
			t.Errorf("%s: imports %s: %s", im.file, im.target, why)
		}
		target, ours := strings.CutPrefix(im.target, module)
		if !ours || target == im.pkg {
			continue
		}
		allowed := rules[key]
		if strings.HasSuffix(im.file, "_test.go") {
			allowed += " " + tests[match(tests, im.pkg)]
		}
		if !allows(allowed, target) {
			t.Errorf("%s: %s may not import %s (it may import: %s)", im.file, im.pkg, target, allowed)
		}
	}
	for key := range rules {
		if !used[key] && key != "internal/archtest" {
			t.Errorf("the policy has a line for %s, which no longer exists", key)
		}
	}
}

func TestTheMatcherOfThePolicy(t *testing.T) {
	require.True(t, allows("page remote/*", "remote/alertmanager"))
	require.False(t, allows("page remote/*", "remote"))
	require.False(t, allows("notify", "notify/slack"))
	require.True(t, allows("*", "anything"))
	require.Equal(t, "notify/*", match(policy(), "notify/slack"))
	require.Empty(t, match(policy(), "util"))
}

// Every folder of a kind is a line of the menu, and every line a folder.
func TestMenuListsEveryKind(t *testing.T) {
	menu, err := os.ReadFile(filepath.Join(root(t), "app", "kinds.go"))
	require.NoError(t, err)
	for _, room := range []string{"enrich", "notify", "remediate"} {
		folders, err := os.ReadDir(filepath.Join(root(t), room))
		require.NoError(t, err)
		for _, f := range folders {
			if !f.IsDir() || strings.HasSuffix(f.Name(), "test") || f.Name() == "testdata" || f.Name() == "traits" || f.Name() == "changes" {
				continue
			}
			require.Contains(t, string(menu), f.Name()+".Kind(", "%s/%s is not on the menu", room, f.Name())
		}
	}
}

type imported struct{ pkg, file, target string }

func parseHouse(t *testing.T) []imported {
	t.Helper()
	var out []imported
	top := root(t)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata" || rel == "tools" || rel == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parse %s: %w", rel, err)
		}
		out = append(out, imported{pkg: path.Dir(rel), file: rel})
		for _, im := range f.Imports {
			target, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			out = append(out, imported{path.Dir(rel), rel, target})
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, out)
	return out
}

func root(t *testing.T) string {
	t.Helper()
	top, err := filepath.Abs("../..")
	require.NoError(t, err)
	return top
}

func match(rules map[string]string, pkg string) string {
	if _, ok := rules[pkg]; ok {
		return pkg
	}
	if key := path.Dir(pkg) + "/*"; path.Dir(pkg) != "." {
		if _, ok := rules[key]; ok {
			return key
		}
	}
	return ""
}

func allows(list, target string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(a string) bool {
		return a == "*" || a == target || strings.HasSuffix(a, "/*") && path.Dir(target) == strings.TrimSuffix(a, "/*")
	})
}
