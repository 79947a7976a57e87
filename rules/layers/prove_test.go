package layers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/layers"
)

// What the compiler never does is found, were it to do it.
func TestTheProofFindsWhatIsWrong(t *testing.T) {
	tr, good := compile(t, shop)
	at := func(g []layers.Group, id, app string) *layers.Rule {
		for i := range g {
			for j := range g[i].Rules {
				if r := &g[i].Rules[j]; r.ID == id && slices.Contains(r.Apps, app) {
					return r
				}
			}
		}
		t.Fatalf("no rule %s for %s", id, app)
		return nil
	}
	for name, tamper := range map[string]func([]layers.Group){
		"an app is left out": func(g []layers.Group) {
			g[0].Rules = slices.DeleteFunc(g[0].Rules, func(r layers.Rule) bool { return slices.Contains(r.Apps, "checkout") && r.ID == "HighErrorRate" })
		},
		"an app is taken twice": func(g []layers.Group) {
			g[0].Rules = append(g[0].Rules, *at(g, "HighErrorRate", "checkout"))
		},
		"a matcher takes one more": func(g []layers.Group) {
			r := at(g, "HighErrorRate", "checkout")
			r.Expr = strings.ReplaceAll(r.Expr, `app="checkout"`, `app=~"checkout|cart"`)
		},
		"a matcher takes strangers": func(g []layers.Group) {
			r := at(g, "HighErrorRate", "checkout")
			r.Expr = strings.ReplaceAll(r.Expr, `app="checkout"`, `app=~"checkout.*"`)
		},
		"one selector has none": func(g []layers.Group) {
			r := at(g, "HighErrorRate", "checkout")
			r.Expr = strings.Replace(r.Expr, `app="checkout"`, ``, 1)
		},
		"an app that is off is taken": func(g []layers.Group) {
			r := at(g, "HighErrorRate", "search")
			r.Apps = []string{"queue", "search"}
			r.Expr = strings.ReplaceAll(r.Expr, `app="search"`, `app=~"queue|search"`)
		},
		"no PromQL":         func(g []layers.Group) { at(g, "HighErrorRate", "search").Expr = "up{" },
		"two for all":       func(g []layers.Group) { g[1].Rules = append(g[1].Rules, g[1].Rules[0]) },
		"a group from none": func(g []layers.Group) { g[1].Name = "dog" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := slices.Clone(good)
			for i := range bad {
				bad[i].Rules = slices.Clone(bad[i].Rules)
			}
			tamper(bad)
			require.Error(t, tr.Prove(bad))
			require.NoError(t, tr.Prove(good))
		})
	}
}

// An annotation does not name hundreds of apps: then nobody is sent to a line
// that may not be theirs.
func TestThresholdsFromTooManyLines(t *testing.T) {
	link := func(others int) string {
		var apps strings.Builder
		apps.WriteString("apps:\n")
		edits := []string{"rules.yaml", "source_url: https://git.example.org/{file}#{line}\n"}
		for i := range 200 {
			name := fmt.Sprintf("a%03d", i)
			fmt.Fprintf(&apps, "  - {name: %s}\n", name)
			if i < others {
				edits = append(edits, "layers/app/"+name+".yaml", "templates: {x: {params: {low: 1.0}}}\n")
			}
		}
		_, groups := compile(t, "-- templates/x.yaml --\nparams: [{name: low, type: number, default: 1, doc: d}]\nrules: [{alert: A, expr: \"up < ${low}\"}]\n", append(edits, "apps.yaml", apps.String())...)
		found := rulesOf(groups, "A")
		require.Len(t, found, 1)
		return found[0].Annotations[page.AnnotationThreshold]
	}
	require.Equal(t, "https://git.example.org/templates/x.yaml#1", link(0))
	require.Contains(t, link(50), `{{ if eq $labels.app "a000" }}https://git.example.org/layers/app/a000.yaml#1{{ else if`)
	require.Empty(t, link(51))
}

func TestNoDurationIsNone(t *testing.T) {
	_, groups := compile(t, shop, "layers/app/search.yaml", "templates: {http: {rules: [{alert: HighErrorRate, for: 0s, labels: {severity: info}}]}}\n",
		"layers/app/cart.yaml", "templates: {http: {rules: [{alert: HighErrorRate, for: null, labels: {severity: info}}]}}\n")
	var both []string
	for _, r := range rulesOf(groups, "HighErrorRate") {
		if r.For == "" {
			both = append(both, r.Apps...)
		}
	}
	require.Equal(t, []string{"cart", "search"}, both)
}

func TestAWholeMapIsTakenAway(t *testing.T) {
	_, groups := compile(t, shop, "layers/global.yaml", "",
		"layers/app/cart.yaml", "templates: {http: {rules: [{alert: HighErrorRate, labels: null, annotations: null}]}}\n",
		"layers/app/search.yaml", "templates: {http: {rules: [{alert: HighErrorRate, labels: null, annotations: {summary: x}}]}}\n")
	labels := map[string]int{}
	for _, r := range rulesOf(groups, "HighErrorRate") {
		for _, a := range r.Apps {
			labels[a] = len(r.Labels)
		}
	}
	require.Equal(t, map[string]int{"cart": 0, "checkout": 1, "search": 0}, labels)
}

// expressions are such as keep the label app, and such as do not, with what is
// said of them.
func expressions() map[string]string {
	return map[string]string{
		"up == 0":                                 "",
		"sum by (app, pod) (x) > 0":               "",
		"sum without (pod) (x) > 0":               "",
		"sum without (app) (x) > 0":               "sum drops the label app",
		"count(x) > 0":                            "count drops the label app",
		"topk(3, x) > 0":                          "topk drops the label app",
		"topk by (app) (3, x) > 0":                "",
		"up / on (app) single > 0":                "",
		"x / on (pod) y > 0":                      "/ matches without the label app",
		"x / ignoring (app) y > 0":                "/ matches without the label app",
		"x / ignoring (pod) y > 0":                "",
		"x * on (node) group_left (v) info > 0":   "",
		"info * on (node) group_right (v) x > 0":  "",
		"info * on (node) group_left (app) x > 0": "",
		"x and on (node) info":                    "",
		"x unless on () info":                     "",
		"info and on (node) x":                    "the samples of info are shared",
		"x or info":                               "the samples of info are shared",
		"x or vector(0)":                          "vector(0) has no samples of an app",
		"absent(x)":                               "absent cannot tell which app is gone",
		"vector(1)":                               "vector(1) has no samples of an app",
		"1 > bool 2":                              "has no samples of an app",
		"2 < x":                                   "",
		"-x > 0":                                  "",
		`label_replace(x, "app", "a", "b", "c")`:  "label_replace writes over the label app",
		`label_replace(x, "b", "a", "app", "c")`:  "",
		"histogram_quantile(0.9, sum by (le, app) (rate(x[5m]))) > 1": "",
		"max_over_time((sum by (app) (rate(x[5m])))[10m:1m] @ 5) > 1": "",
		`{__name__="info", a="b"} > 0`:                                "the samples of info are shared",
		"(x > 0) and (hour() > 8)":                                    "",
		"x > scalar(info)":                                            "",
	}
}

// What is carried over matching and aggregation is one app's.
func TestTheLabelMustLive(t *testing.T) {
	for expr, want := range expressions() {
		t.Run(expr, func(t *testing.T) {
			fsys, err := tree(t, "-- apps.yaml --\napps: [{name: a}, {name: b}]\n-- templates/x.yaml --\nshared: [info]\nrules:\n  - alert: A\n    expr: '"+
				strings.ReplaceAll(expr, "'", "''")+"'\n-- layers/app/a.yaml --\ntemplates: {x: {rules: [{alert: A, for: 1m}]}}\n")
			require.NoError(t, err)
			tr, err := layers.Load(fsys, "rules", nil)
			require.NoError(t, err)
			groups, err := tr.Compile()
			if want != "" {
				require.ErrorContains(t, err, want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, tr.Prove(groups))
			for _, r := range rulesOf(groups, "A") {
				require.NotContains(t, r.Expr, "info{app", "shared metrics get no matcher")
			}
		})
	}
}
