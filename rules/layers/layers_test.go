package layers_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/layers"
)

// shop is a small tree that has one of everything.
const shop = `
-- rules.yaml --
source_url: https://git.example.org/rules/blob/main/{file}#L{line}
-- apps.yaml --
apps:
  - {name: cart, cluster: dc1, phase: live, app-type: api, app-group: shop}
  - {name: checkout, cluster: dc1, phase: live, app-type: api, app-group: payments}
  - {name: search, cluster: dc2, phase: dev, app-type: api}
  - {name: queue, cluster: dc2, phase: live, app-type: broker}
-- templates/http.yaml --
doc: HTTP services.
interval: 15s
shared: [node_info]
params:
  - {name: error_ratio, type: percent, default: 5%, min: 0.1%, max: 100%, doc: Share of requests that fail.}
  - {name: window, type: duration, default: 1m, min: 30s, doc: Over how long.}
  - {name: codes, type: regex, default: "5..", doc: Status codes of failures.}
rules:
  - record: app:http_errors:rate
    expr: sum by (app) (rate(http_requests_total{code=~"${codes}"}[${window}]))
  - alert: HighErrorRate
    expr: |
      app:http_errors:rate / sum by (app) (rate(http_requests_total[${window}])) > ${error_ratio}
    for: 30s
    labels: {severity: warning}
    annotations:
      summary: "{{ $labels.app }}: {{ $value | humanizePercentage }} of requests fail (more than ${error_ratio})"
-- templates/watchdog.yaml --
doc: Always fires.
per_app: false
rules:
  - alert: Watchdog
    expr: vector(1)
    labels: {severity: none}
-- layers/global.yaml --
templates:
  http:
    rules:
      - alert: HighErrorRate
        lock: [labels.team]
        labels: {team: web}
-- layers/phase/dev.yaml --
templates:
  http:
    rules:
      - {alert: HighErrorRate, for: null, labels: {severity: info}}
-- layers/app-type/broker.yaml --
templates:
  http: {enabled: false}
-- layers/app/checkout.yaml --
templates:
  http:
    params:
      error_ratio: 1%
    rules:
      - alert: HighErrorRate
        labels: {severity: critical}
`

func tree(t testing.TB, text string, edits ...string) (fs.FS, error) {
	t.Helper()
	m := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		m[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	for i := 0; i < len(edits); i += 2 {
		m[edits[i]] = &fstest.MapFile{Data: []byte(edits[i+1])}
	}
	return m, nil
}

func compile(t testing.TB, text string, edits ...string) (*layers.Tree, []layers.Group) {
	t.Helper()
	fsys, err := tree(t, text, edits...)
	require.NoError(t, err)
	tr, err := layers.Load(fsys, "rules", nil)
	require.NoError(t, err)
	groups, err := tr.Compile()
	require.NoError(t, err)
	require.NoError(t, tr.Prove(groups))
	return tr, groups
}

func rulesOf(groups []layers.Group, id string) []layers.Rule {
	var out []layers.Rule
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.ID == id {
				out = append(out, r)
			}
		}
	}
	return out
}

func TestOneRulePerDistinctSetOfParameters(t *testing.T) {
	_, groups := compile(t, shop)
	found := rulesOf(groups, "HighErrorRate")
	require.Len(t, found, 3)
	require.Equal(t, []string{"cart"}, found[0].Apps)
	require.True(t, found[0].Unknown)
	require.Equal(t, `app:http_errors:rate{app!~"checkout|queue|search"} / sum by (app) (rate(http_requests_total{app!~"checkout|queue|search"}[1m])) > 0.05`, found[0].Expr)
	require.Equal(t, `app:http_errors:rate{app="checkout"} / sum by (app) (rate(http_requests_total{app="checkout"}[1m])) > 0.01`, found[1].Expr)
	require.Equal(t, map[string]string{"severity": "critical", "team": "web"}, found[1].Labels)
	require.Equal(t, "{{ $labels.app }}: {{ $value | humanizePercentage }} of requests fail (more than 1%)", found[1].Annotations["summary"])
	require.Equal(t, "https://git.example.org/rules/blob/main/layers/app/checkout.yaml#L4", found[1].Annotations[page.AnnotationThreshold])
	require.Equal(t, "30s", found[1].For)
	require.Empty(t, found[2].For, "null takes it away")
	require.Equal(t, []string{"search"}, found[2].Apps)

	record := rulesOf(groups, "app:http_errors:rate")
	require.Len(t, record, 1, "what differs in the alert does not part the recording rule")
	require.Equal(t, []string{"cart", "checkout", "search"}, record[0].Apps)
	require.Equal(t, `sum by (app) (rate(http_requests_total{app!="queue",code=~"5.."}[1m]))`, record[0].Expr)

	dog := rulesOf(groups, "Watchdog")
	require.Len(t, dog, 1)
	require.Equal(t, "vector(1)", dog[0].Expr)
}

func TestMistakesNameTheirLineAndTheCure(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"an unknown template":      {"layers/global.yaml", "templates:\n  htpt: {}\n", `rules/layers/global.yaml:2: there is no template "htpt"; write "http"`},
		"an unknown parameter":     {"layers/global.yaml", "templates:\n  http:\n    params:\n      eror_ratio: 2%\n", `rules/layers/global.yaml:4: template http has no parameter "eror_ratio"; write "error_ratio"`},
		"an unknown rule":          {"layers/global.yaml", "templates:\n  http:\n    rules:\n      - alert: HighErorRate\n", `rules/layers/global.yaml:4: template http has no rule "HighErorRate"; write "HighErrorRate"`},
		"an unknown field":         {"layers/global.yaml", "templates:\n  http:\n    rules:\n      - alert: HighErrorRate\n        fro: 1m\n", `rules/layers/global.yaml:5: unknown field "fro"; write "for"`},
		"a rule of another kind":   {"layers/global.yaml", "templates:\n  http:\n    rules:\n      - record: HighErrorRate\n", `rules/layers/global.yaml:4: rule "HighErrorRate" of template http is ` + "`alert: HighErrorRate`"},
		"a rule twice":             {"layers/global.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, for: 1m}\n      - {alert: HighErrorRate, for: 2m}\n", `rules/layers/global.yaml:5: rule "HighErrorRate" stands at line 4 already: put the two together`},
		"no percentage":            {"layers/app/cart.yaml", "templates:\n  http:\n    params:\n      error_ratio: 2\n", `rules/layers/app/cart.yaml:4: "2" is not what error_ratio can be: write a percentage with its sign: 5%`},
		"too little":               {"layers/app/cart.yaml", "templates:\n  http:\n    params: {window: 10s}\n", `rules/layers/app/cart.yaml:3: 10s of window is less than its least, 30s`},
		"no duration":              {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, for: soon}\n", `rules/layers/app/cart.yaml:4: HighErrorRate.for: "soon" is not a duration: write 30s, 5m or 1h30m`},
		"no PromQL":                {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - alert: HighErrorRate\n        expr: up{ ==\n", `rules/layers/app/cart.yaml:5: HighErrorRate: 1:`},
		"apps together":            {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, expr: sum(up) > 1}\n", `rules/layers/app/cart.yaml:4: HighErrorRate: sum drops the label app, so that apps would be counted together: write by (app)`},
		"apps chosen":              {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, expr: 'up{app=\"x\"} == 0'}\n", `rules/layers/app/cart.yaml:4: HighErrorRate: app="x" chooses apps by itself`},
		"a locked field":           {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - alert: HighErrorRate\n        labels:\n          team: mine\n", `rules/layers/app/cart.yaml:6: HighErrorRate.labels.team is locked at rules/layers/global.yaml:5 by layer global: take it out here, or unlock it there`},
		"a locked field, null":     {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - alert: HighErrorRate\n        labels: null\n", `rules/layers/app/cart.yaml:5: HighErrorRate.labels.team is locked at`},
		"a lock of nothing":        {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, lock: [label]}\n", `rules/layers/app/cart.yaml:4: there is no field "label" to lock; write "labels"`},
		"an app of nowhere":        {"layers/app/chekout.yaml", "", `rules/layers/app/chekout.yaml: no app of apps.yaml has app "chekout"; write "checkout"`},
		"a layer of nowhere":       {"layers/phse/dev.yaml", "", `rules/layers/phse: is no layer; write "phase"`},
		"a file beside":            {"layers/dev.yaml", "", `rules/layers/dev.yaml: would not be read: beside global.yaml each layer has a folder`},
		"another ending":           {"layers/app/cart.yml", "", `rules/layers/app/cart.yml: would not be read: call it .yaml`},
		"not per app":              {"layers/app/cart.yaml", "templates:\n  watchdog: {enabled: false}\n", `rules/layers/app/cart.yaml:2: template watchdog is not per app`},
		"an alias":                 {"layers/app/cart.yaml", "templates:\n  http: &a {enabled: true}\n", `rules/layers/app/cart.yaml:2: layers take the place of anchors`},
		"a hole of nothing":        {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, annotations: {x: \"${POD}\"}}\n", `rules/layers/app/cart.yaml:4: HighErrorRate.annotations.x: template http has no parameter "POD"`},
		"a regex in the open":      {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, expr: \"up > ${codes}\"}\n", `rules/layers/app/cart.yaml:4: HighErrorRate.expr: ${codes} is a regex: in an expression it stands inside quotes`},
		"a broken template":        {"layers/app/cart.yaml", "templates:\n  http:\n    rules:\n      - {alert: HighErrorRate, annotations: {summary: \"{{ $nope }}\"}}\n", `rules/templates/http.yaml:11: HighErrorRate: `},
		"a setting":                {"rules.yaml", "order: [global, app, app]\n", `rules/rules.yaml:1: order[2]: "app" stands twice`},
		"a dimension":              {"apps.yaml", "apps:\n  - {name: a, phse: live}\n", `rules/apps.yaml:2: unknown key "phse"; write "phase"`},
		"no app":                   {"apps.yaml", "", "rules/apps.yaml: there are 0 apps: write between 1 and 100000"},
		"an app twice":             {"apps.yaml", "apps:\n  - {name: a}\n  - {name: a}\n", `rules/apps.yaml:3: app "a" stands at line 2 already: choose one of them`},
		"an app as a path":         {"apps.yaml", "apps:\n  - {name: ../a}\n", `rules/apps.yaml:2: "../a" cannot name a file of a layer`},
		"a parameter undocumented": {"templates/x.yaml", "params:\n  - {name: a, type: number}\nrules: []\n", `rules/templates/x.yaml:2: say what a is for: doc: …`},
		"a type":                   {"templates/x.yaml", "params:\n  - {name: a, type: percnt, doc: d}\nrules: []\n", `rules/templates/x.yaml:2: "percnt" is no type of a parameter; write "percent"`},
		"a default beyond":         {"templates/x.yaml", "params:\n  - {name: a, type: number, doc: d, default: 5, max: 3}\nrules: []\n", `rules/templates/x.yaml:2: 5 of a is more than its most, 3`},
		"no value":                 {"templates/x.yaml", "params:\n  - {name: a, type: number, doc: d}\nrules:\n  - {alert: A, expr: \"up > ${a}\"}\n", `rules/templates/x.yaml:2: parameter a has no value for app cart: set it in a layer, or give it a default`},
		"a parameter of nothing":   {"templates/x.yaml", "params:\n  - {name: a, type: number, doc: d, default: 1}\nrules:\n  - {alert: A, expr: up}\n", `rules/templates/x.yaml:2: no rule of the template uses ${a}: layers that set it would change nothing`},
		"a name twice":             {"templates/x.yaml", "rules:\n  - {alert: HighErrorRate, expr: up}\n", `rules/templates/x.yaml:2: rule "HighErrorRate" stands at rules/templates/http.yaml:11 already`},
	} {
		t.Run(name, func(t *testing.T) {
			fsys, err := tree(t, shop, tc.file, tc.text)
			require.NoError(t, err)
			tr, err := layers.Load(fsys, "rules", nil)
			if err == nil {
				_, err = tr.Compile()
			}
			require.Error(t, err)
			require.Contains(t, "\n"+err.Error(), "\n"+tc.want, "%v", err)
		})
	}
}

func TestValuesStayValues(t *testing.T) {
	const one = `
-- apps.yaml --
apps: [{name: a.b}, {name: c}]
-- templates/x.yaml --
params:
  - {name: path, type: string, default: /, doc: d}
  - {name: codes, type: regex, default: "5..", doc: d}
  - {name: low, type: number, default: -1.50, doc: d}
  - {name: by, type: label, default: pod, doc: d}
  - {name: agg, type: enum, values: [avg, max], default: max, doc: d}
  - {name: share, type: percent, default: 5.3%, doc: d}
rules:
  - alert: A
    expr: |
      # ${comment}
      ${agg} by (app, ${by}) (label_replace(x{path="${path}", p=~"${path}.*", c=~"${codes}", d=~"4..|${codes}"}, "y", "${1}", "z", "(.*)")) > ${low} * ${share}
    annotations:
      plain: 'over ${share} at ${path} $${path} ${1}'
      action: '{{ if gt $value ${low} }}x{{ end }}'
`
	for path, want := range map[string][2]string{
		"/":                        {`c=~"5..",d=~"4..|(?:5..)",p=~"/.*",path="/"`, "over 5.3% at / ${path} ${1}"},
		`"} or vector(1) or x{y="`: {`c=~"5..",d=~"4..|(?:5..)",p=~"\"\\} or vector\\(1\\) or x\\{y=\".*",path="\"} or vector(1) or x{y=\""`, `over 5.3% at "} or vector(1) or x{y=" ${path} ${1}`},
		`a.b|c\`:                   {`c=~"5..",d=~"4..|(?:5..)",p=~"a\\.b\\|c\\\\.*",path="a.b|c\\"`, `over 5.3% at a.b|c\ ${path} ${1}`},
		"{{ $value }}":             {`c=~"5..",d=~"4..|(?:5..)",p=~"\\{\\{ \\$value \\}\\}.*",path="{{ $value }}"`, `over 5.3% at {{"{{"}} $value }} ${path} ${1}`},
		"${low}":                   {`c=~"5..",d=~"4..|(?:5..)",p=~"\\$\\{low\\}.*",path="${low}"`, `over 5.3% at ${low} ${path} ${1}`},
	} {
		layer := "templates:\n  x:\n    params:\n      path: " + quoteYAML(path) + "\n"
		_, groups := compile(t, one, "layers/app/a.b.yaml", layer)
		r := rulesOf(groups, "A")
		require.NotEmpty(t, r)
		got := r[len(r)-1]
		if path != "/" {
			require.Equal(t, []string{"a.b"}, got.Apps)
			want[0] = `app="a.b",` + want[0]
		}
		require.Equal(t, `max by (app, pod) (label_replace(x{`+want[0]+`}, "y", "${1}", "z", "(.*)")) > (-1.5) * 0.053`, got.Expr)
		require.Equal(t, want[1], got.Annotations["plain"])
		require.Equal(t, "{{ if gt $value -1.5 }}x{{ end }}", got.Annotations["action"])
	}
}

func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func TestUnknownApps(t *testing.T) {
	for unknown, want := range map[string]string{
		"global":  `up{app!~"a|b|c"} == 0`,
		"largest": `up{app!="c"} == 0`,
		"none":    `up{app=~"a|b"} == 0`,
	} {
		t.Run(unknown, func(t *testing.T) {
			_, groups := compile(t, `
-- apps.yaml --
apps: [{name: a, phase: live}, {name: b, phase: live}, {name: c}]
-- templates/x.yaml --
rules: [{alert: A, expr: up == 0}]
-- layers/phase/live.yaml --
templates: {x: {rules: [{alert: A, labels: {severity: critical}}]}}
-- layers/app/c.yaml --
templates: {x: {rules: [{alert: A, labels: {severity: info}}]}}
`, "rules.yaml", "unknown: "+unknown+"\n")
			require.Equal(t, want, rulesOf(groups, "A")[0].Expr)
		})
	}
}

func TestLongMatchersArePartedAmongRules(t *testing.T) {
	var apps, layer strings.Builder
	apps.WriteString("apps:\n")
	files := []string{"rules.yaml", "expr_bytes: 1024\n"}
	for i := range 200 {
		name := "service-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26)
		apps.WriteString("  - {name: " + name + ", phase: " + map[bool]string{true: "live", false: "dev"}[i%2 == 0] + "}\n")
	}
	layer.WriteString("templates: {x: {rules: [{alert: A, labels: {severity: info}}]}}\n")
	files = append(files, "apps.yaml", apps.String(), "layers/phase/dev.yaml", layer.String())
	_, groups := compile(t, "-- templates/x.yaml --\nrules: [{alert: A, expr: up / up > 0.5, labels: {severity: critical}}]\n", files...)
	found := rulesOf(groups, "A")
	require.Greater(t, len(found), 4)
	require.True(t, found[0].Unknown)
	require.Empty(t, found[0].Apps, "the known ones are named")
	for _, r := range found[1:] {
		require.LessOrEqual(t, len(r.Expr), 1024)
	}
}

func TestThresholdsFromSeveralLines(t *testing.T) {
	_, groups := compile(t, shop, "layers/app/cart.yaml", "templates:\n  http:\n    params: {error_ratio: 5.0%}\n")
	found := rulesOf(groups, "HighErrorRate")
	require.Equal(t, []string{"cart"}, found[0].Apps, "5.0% is 5%")
	require.Equal(t, `{{ if eq $labels.app "cart" }}https://git.example.org/rules/blob/main/layers/app/cart.yaml#L3`+
		`{{ else }}https://git.example.org/rules/blob/main/templates/http.yaml#L5{{ end }}`, found[0].Annotations[page.AnnotationThreshold])
}

func TestTheSameTreeGivesTheSameBytes(t *testing.T) {
	var first []layers.File
	for range 5 {
		tr, groups := compile(t, shop, "layers/app/cart.yaml", "templates:\n  http:\n    params: {error_ratio: 5.0%}\n")
		files, err := tr.Files(groups)
		require.NoError(t, err)
		require.Len(t, files, 2)
		if first == nil {
			first = files
		}
		require.Equal(t, first, files)
	}
}

// A server that sees one cluster: an app may be in several, with other values in each.
func TestOnlySomeOfTheApps(t *testing.T) {
	fsys, err := tree(t, `
-- apps.yaml --
apps:
  - {name: a, cluster: dc1}
  - {name: b, cluster: dc1}
  - {name: a, cluster: dc2}
-- templates/x.yaml --
params: [{name: low, type: number, default: 1, doc: d}]
rules: [{alert: A, expr: "up < ${low}"}]
-- layers/cluster/dc1.yaml --
templates: {x: {params: {low: 2}}}
-- layers/cluster/dc2.yaml --
templates: {x: {params: {low: 3}}}
-- layers/app/b.yaml --
templates: {x: {params: {low: 4}}}
`)
	require.NoError(t, err)
	for cluster, want := range map[string][]string{"dc1": {`up{app!="b"} < 2`, `up{app="b"} < 4`}, "dc2": {`up < 3`}} {
		tr, err := layers.Load(fsys, "rules", map[string]string{"cluster": cluster})
		require.NoError(t, err)
		groups, err := tr.Compile()
		require.NoError(t, err)
		require.NoError(t, tr.Prove(groups))
		var got []string
		for _, r := range rulesOf(groups, "A") {
			got = append(got, r.Expr)
		}
		require.Equal(t, want, got)
	}
	_, err = layers.Load(fsys, "rules", nil)
	require.EqualError(t, err, `rules/apps.yaml:4: app "a" stands at line 2 already: choose one of them, as by --only cluster=dc1`)
	_, err = layers.Load(fsys, "rules", map[string]string{"cluster": "dc3"})
	require.ErrorContains(t, err, `rules/apps.yaml: no app has cluster "dc3"; write "dc1"`)
	_, err = layers.Load(fsys, "rules", map[string]string{"kluster": "dc1"})
	require.ErrorContains(t, err, `rules/apps.yaml: apps cannot be chosen by "kluster"; write "cluster"`)
}

// What a layer says of every alert, it says of each: before what it says of one
// of them, and after all that layers above it say.
func TestOfEveryAlert(t *testing.T) {
	_, groups := compile(t, shop,
		"layers/app-group/payments.yaml", "labels: {owner: payments, severity: page, remediate: \"restart-${none}\"}\nannotations: {dashboard_url: \"https://grafana.example.org/d/app?var-app={{ $labels.app }}\"}\n"+
			"lock: [labels.owner]\ntemplates: {http: {rules: [{alert: HighErrorRate, labels: {severity: worst, remediate: null}}]}}\n",
		"layers/app/checkout.yaml", "labels: {tier: '1'}\n")
	for _, r := range rulesOf(groups, "HighErrorRate") {
		if r.Apps[0] == "checkout" {
			require.Equal(t, map[string]string{"owner": "payments", "severity": "worst", "team": "web", "tier": "1"}, r.Labels)
			require.Contains(t, r.Annotations["dashboard_url"], "var-app={{ $labels.app }}")
		} else {
			require.NotContains(t, r.Labels, "owner")
		}
	}
	require.Empty(t, rulesOf(groups, "app:http_errors:rate")[0].Labels, "recording rules are none")
	require.NotContains(t, rulesOf(groups, "Watchdog")[0].Labels, "owner")

	fsys, err := tree(t, shop, "layers/app-group/payments.yaml", "lock: [labels.owner]\n", "layers/app/checkout.yaml", "labels:\n  owner: me\n")
	require.NoError(t, err)
	tr, err := layers.Load(fsys, "rules", nil)
	require.NoError(t, err)
	_, err = tr.Compile()
	require.EqualError(t, err, "rules/layers/app/checkout.yaml:2: HighErrorRate.labels.owner is locked at rules/layers/app-group/payments.yaml:1 by layer app-group/payments: take it out here, or unlock it there")
}
