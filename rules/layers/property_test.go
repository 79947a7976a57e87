package layers_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules/layers"
)

// world is a random tree, kept as what was drawn: it is resolved here by the
// plainest code there is, and written out for the package to resolve.
type world struct {
	apps     []map[string]string // name and dimensions
	said     []saying            // in the order of the layers
	defaults map[string]string
	unknown  string
}

// saying is what one layer sets: "" deletes.
type saying struct {
	layer, value string // phase, live
	fields       map[string]string
}

func draw(r *rand.Rand) world {
	w := world{
		defaults: map[string]string{"enabled": pick(r, "true", "true", "false"), "low": "1", "window": "1m", "severity": "warning", "for": "30s"},
		unknown:  pick(r, "global", "largest", "none"),
	}
	for i := range 1 + r.IntN(30) {
		w.apps = append(w.apps, map[string]string{
			"name": pick(r, "a", "a.b", "a+", "x|y", "é") + fmt.Sprint(i), "cluster": pick(r, "c1", "c2", ""), "phase": pick(r, "live", "dev", ""),
			"app-type": pick(r, "api", ""), "app-group": pick(r, "g1", "g2", "g3"),
		})
	}
	for _, layer := range []string{"global", "cluster", "phase", "app-type", "app-group", "name"} {
		values := map[string]bool{}
		for _, a := range w.apps {
			if a[layer] != "" {
				values[a[layer]] = true
			}
		}
		if layer == "global" {
			values["global"] = true
		}
		for _, v := range slices.Sorted(maps.Keys(values)) {
			if r.IntN(3) == 0 {
				continue
			}
			s := saying{layer, v, map[string]string{}}
			for _, field := range []string{"enabled", "low", "window", "severity", "for"} {
				if r.IntN(3) == 0 {
					s.fields[field] = map[string]func() string{
						"enabled": func() string { return pick(r, "true", "false") }, "low": func() string { return pick(r, "1", "2", "1.0", "") },
						"window": func() string { return pick(r, "1m", "60s", "5m", "") }, "severity": func() string { return pick(r, "critical", "info", "") },
						"for": func() string { return pick(r, "30s", "1m", "") },
					}[field]()
				}
			}
			w.said = append(w.said, s)
		}
	}
	return w
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// plain is the resolution for one app: every layer in turn, the last wins.
func (w world) plain(app map[string]string) map[string]string {
	out := maps.Clone(w.defaults)
	for _, s := range w.said {
		if s.layer == "global" || app[s.layer] == s.value {
			for k, v := range s.fields {
				out[k] = v
				if v == "" && (k == "low" || k == "window") {
					out[k] = w.defaults[k] // a parameter falls back to its template's
				}
			}
		}
	}
	return out
}

func (w world) files() fstest.MapFS {
	out := fstest.MapFS{}
	put := func(name, text string) { out[name] = &fstest.MapFile{Data: []byte(text)} }
	var b strings.Builder
	b.WriteString("apps:\n")
	for _, a := range w.apps {
		fmt.Fprintf(&b, "  - name: %q\n", a["name"])
		for _, d := range []string{"cluster", "phase", "app-type", "app-group"} {
			if a[d] != "" {
				fmt.Fprintf(&b, "    %s: %s\n", d, a[d])
			}
		}
	}
	put("apps.yaml", b.String())
	put("rules.yaml", "unknown: "+w.unknown+"\n")
	put("templates/t.yaml", `enabled: `+w.defaults["enabled"]+`
params:
  - {name: low, type: number, default: 1, doc: d}
  - {name: window, type: duration, default: 1m, doc: d}
rules:
  - alert: A
    expr: rate(x[${window}]) < ${low}
    for: 30s
    labels: {severity: warning}
`)
	for _, s := range w.said {
		name := "layers/" + strings.Replace(s.layer, "name", "app", 1) + "/" + s.value + ".yaml"
		if s.layer == "global" {
			name = "layers/global.yaml"
		}
		null := func(k string) string {
			if s.fields[k] == "" {
				return "null"
			}
			return s.fields[k]
		}
		var b strings.Builder
		b.WriteString("templates:\n  t:\n    params:\n      {")
		for _, k := range []string{"low", "window"} {
			if _, ok := s.fields[k]; ok {
				fmt.Fprintf(&b, "%s: %s, ", k, null(k))
			}
		}
		b.WriteString("}\n    rules:\n      - alert: A\n")
		for _, k := range []string{"enabled", "for"} {
			if _, ok := s.fields[k]; ok {
				fmt.Fprintf(&b, "        %s: %s\n", k, null(k))
			}
		}
		if _, ok := s.fields["severity"]; ok {
			fmt.Fprintf(&b, "        labels: {severity: %s}\n", null("severity"))
		}
		put(name, b.String())
	}
	if w.defaults["enabled"] == "false" { // the rule's own word does not turn a template on
		put("templates/t.yaml", strings.Replace(string(out["templates/t.yaml"].Data), "enabled: false\n", "", 1)+"    enabled: false\n")
	}
	return out
}

// Every app is matched by exactly one rule, and gets what plain resolution
// gives it; off means by none.
func TestEveryAppByExactlyOneRuleWithItsOwnValues(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := draw(r)
		tr, err := layers.Load(w.files(), "rules", nil)
		require.NoError(t, err, "seed %d", seed)
		groups, err := tr.Compile()
		require.NoError(t, err, "seed %d", seed)
		require.NoError(t, tr.Prove(groups), "seed %d", seed)
		found := rulesOf(groups, "A")
		for _, a := range w.apps {
			want := w.plain(a)
			require.Equal(t, expected(want), taking(t, found, a["name"]), "seed %d app %v want %v", seed, a, want)
		}
		strangers := taking(t, found, "stranger")
		require.Equal(t, strangers, taking(t, found, ""), "seed %d", seed)
		switch w.unknown {
		case "global":
			require.Equal(t, expected(w.plain(nil)), strangers, "seed %d", seed)
		case "none":
			require.Empty(t, strangers, "seed %d", seed)
		case "largest":
			sizes := map[string]int{}
			for _, a := range w.apps {
				sizes[strings.Join(expected(w.plain(a)), ";")]++
			}
			most := slices.Max(slices.Collect(maps.Values(sizes)))
			require.Equal(t, most, sizes[strings.Join(strangers, ";")], "seed %d", seed)
		}
	}
}

// expected are the rules that an app must have: one, or none.
func expected(v map[string]string) []string {
	if v["enabled"] == "false" {
		return nil
	}
	window := strings.Replace(v["window"], "60s", "1m", 1)
	return []string{fmt.Sprintf("rate(x[%s]) < %s for=%s severity=%s", window, strings.TrimSuffix(v["low"], ".0"), v["for"], v["severity"])}
}

// taking are the rules whose matchers take an app, without these matchers.
func taking(t *testing.T, rules []layers.Rule, app string) []string {
	t.Helper()
	var out []string
	for _, r := range rules {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		require.NoError(t, err)
		takes := true
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				s.LabelMatchers = slices.DeleteFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
					if m.Name == "app" && !m.Matches(app) {
						takes = false
					}
					return m.Name == "app"
				})
			}
			return nil
		})
		if takes {
			out = append(out, fmt.Sprintf("%s for=%s severity=%s", e, r.For, r.Labels["severity"]))
		}
	}
	return out
}
