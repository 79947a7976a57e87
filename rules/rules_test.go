package rules_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
)

const shop = `# of the shop
groups:
  - name: shop
    interval: 5s
    query_offset: 0s
    limit: 10
    labels: {team: shop}
    partial_response_strategy: WARN
    rules:
      - record: shop:errors:ratio
        expr: sum(rate(errors[1m])) / sum(rate(requests[1m]))
      - alert: ShopFails
        expr: |
          shop:errors:ratio
            > 0.05
        for: 10s
        keep_firing_for: 5m
        labels:
          severity: critical
        annotations:
          summary: the shop fails
`

func TestParse(t *testing.T) {
	f, err := rules.Parse("shop.yml", []byte(shop))
	require.NoError(t, err)
	require.Len(t, f.Groups, 1)
	g := f.Groups[0]
	require.Equal(t, "shop", g.Name)
	require.Equal(t, 5*time.Second, g.Interval)
	require.NotNil(t, g.QueryOffset)
	require.Zero(t, *g.QueryOffset)
	require.Equal(t, 10, g.Limit)
	require.Equal(t, "warn", g.PartialResponse)
	require.Equal(t, map[string]string{"team": "shop"}, g.Labels)
	require.Equal(t, 3, g.Line)
	require.Equal(t, 4, g.Lines["interval"])
	require.Len(t, g.Rules, 2)
	r := g.Rules[1]
	require.Equal(t, "ShopFails", r.Name())
	require.Equal(t, "shop:errors:ratio", g.Rules[0].Name())
	require.Equal(t, 10*time.Second, r.For)
	require.Equal(t, 5*time.Minute, r.KeepFiringFor)
	require.Equal(t, "critical", g.Severity(&r))
	require.Equal(t, 12, r.Line)
	require.Equal(t, 16, r.Lines["for"])
	require.Equal(t, 19, r.Lines["labels.severity"])
	require.Equal(t, 18, r.Lines.Of("labels.team", r.Line), "a field that is not there: its section's line")
	require.Equal(t, 12, r.Lines.Of("limit", r.Line))
}

func TestParseObjects(t *testing.T) {
	object := func(indent, name string) string {
		body := "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: " + name + ", namespace: mon}\nspec:\n" +
			"  groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]\n"
		return strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", "\n"+indent) + "\n"
	}
	many := object("", "a") + "---\nkind: ConfigMap\napiVersion: v1\n---\n" + object("", "b") +
		"---\nkind: List\napiVersion: v1\nitems:\n- " + object("  ", "c") + "- kind: Secret\n  apiVersion: v1\n"
	f, err := rules.Parse("many.yml", []byte(many))
	require.NoError(t, err)
	require.Len(t, f.Groups, 3, "the same group name in several objects is no mistake")
	require.Equal(t, "mon/a", f.Groups[0].Object)
	require.Equal(t, "mon/c", f.Groups[2].Object)
	require.Equal(t, 14, f.Groups[1].Rules[0].Line)
	require.Equal(t, 23, f.Groups[2].Rules[0].Line)
}

func TestParseSaysWhere(t *testing.T) {
	group := func(rule string) string { return "groups:\n- name: g\n  rules:\n  - " + rule + "\n" }
	for _, tt := range []struct{ name, in, want string }{
		{"unknown field", group("alert: A\n    expr: up\n    fro: 1m"), `x.yml:6: field "fro" is not known: do you mean for?`},
		{"PromQL", group("alert: A\n    expr: up =="), "x.yml:5: A: 1:6: parse error: unexpected end of input"},
		{"no expression", group("alert: A"), "x.yml:4: A: field 'expr' must be set in rule"},
		{"both names", group("alert: A\n    record: b\n    expr: up"), "x.yml:5: A: only one of 'record' and 'alert' must be set"},
		{"no name", group("expr: up"), "x.yml:4: one of 'record' or 'alert' must be set"},
		{"duration", group("alert: A\n    expr: up\n    for: soon"), `x.yml:6: for: "soon" is not a duration: write it as 30s, 5m or 1h30m`},
		{"template", group("alert: A\n    expr: up\n    annotations:\n      ok: fine\n      bad: '{{ $x }}'"), `x.yml:8: A: annotation "bad": template: __alert_A:1: undefined variable "$x"`},
		{"label name", group("alert: A\n    expr: up\n    labels:\n      __name__: x"), "x.yml:7: A: invalid label name: __name__"},
		{"a record's for", group("record: a:b\n    expr: up\n    for: 1m"), "x.yml:4: a:b: invalid field 'for' in recording rule"},
		{"strategy", "groups:\n- name: g\n  partial_response_strategy: never\n  rules: []\n", `x.yml:3: partial_response_strategy "never" is not known: write abort or warn`},
		{"no group name", "groups:\n- rules: []\n", "x.yml:2: the group has no name: write `name: …`"},
		{"twice", "groups:\n- name: g\n- name: g\n", `x.yml:3: group "g" stands twice in this file`},
		{"limit", "groups:\n- name: g\n  limit: many\n", `x.yml:3: limit "many" is not a whole number`},
		{"no groups", "route: {}\n", "x.yml:1: field \"route\" is not known; known here: groups\nx.yml:1: `groups:` is missing: this is no rule file"},
		{"no list", "groups: {}\n", "x.yml:1: groups must be a list: begin each item with `- `"},
		{"no text", group("alert: [A]\n    expr: up"), "x.yml:4: alert must be text"},
		{"key twice", "groups: []\ngroups: []\n", `x.yml:2: mapping key "groups" already defined at line 1`},
		{"no YAML", "groups: [\n", "x.yml:1: did not find expected node content"},
		{"alias of itself", "groups: &a [*a]\n", "x.yml: anchor 'a' value contains itself"},
		{"no spec", "apiVersion: v1\nkind: PrometheusRule\n", "x.yml: `spec:` is missing"},
		{"nested", group("alert: A\n    expr: " + strings.Repeat("(", 300) + "up" + strings.Repeat(")", 300)), "x.yml:5: A: the expression is nested deeper than 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := rules.Parse("x.yml", []byte(tt.in))
			require.EqualError(t, err, tt.want)
			var m *config.Mistake
			require.ErrorAs(t, err, &m)
			require.Equal(t, "x.yml", m.File)
		})
	}
}

func TestParseKeepsWhatIsRight(t *testing.T) {
	f, err := rules.Parse("x.yml", []byte("groups:\n- name: g\n  rules:\n  - {alert: A, expr: up ==}\n  - {alert: B, expr: up}\n"))
	require.Error(t, err)
	require.Len(t, f.Groups[0].Rules, 1)
	require.Equal(t, "B", f.Groups[0].Rules[0].Alert)

	f, err = rules.Parse("empty.yml", []byte("# nothing yet\n"))
	require.NoError(t, err)
	require.Empty(t, f.Groups)
}

func TestParseFollowsAliases(t *testing.T) {
	f, err := rules.Parse("x.yml", []byte(`groups:
- name: g
  rules:
  - &base
    alert: A
    expr: up == 0
    labels: {severity: critical}
  - <<: *base
    alert: B
`))
	require.NoError(t, err)
	b := f.Groups[0].Rules[1]
	require.Equal(t, "B", b.Alert)
	require.Equal(t, "up == 0", b.Expr)
	require.Equal(t, 6, b.Lines["expr"], "the line that sets it")
}

func TestReadAll(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yml", "b.yml", "c[1].yml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(shop), 0o600))
	}
	files, err := rules.ReadAll(filepath.Join(dir, "b.yml"), filepath.Join(dir, "*.yml"), filepath.Join(dir, "c[1].yml"))
	require.NoError(t, err)
	require.Len(t, files, 3, "each once")
	require.Equal(t, filepath.Join(dir, "b.yml"), files[0].Path)

	_, err = rules.ReadAll(filepath.Join(dir, "*.rules"))
	require.ErrorContains(t, err, "*.rules: no file is called so")
	_, err = rules.ReadFile(filepath.Join(dir, "none.yml"))
	require.EqualError(t, err, filepath.Join(dir, "none.yml")+": no such file or directory")
}

func TestWrite(t *testing.T) {
	f, err := rules.Parse("shop.yml", []byte(shop))
	require.NoError(t, err)
	g := f.Groups
	g[0].Comments = map[string]string{"": "from rules/templates/shop.yaml", "interval": "<- layers/global.yaml:3"}
	g[0].Rules[1].Comments = map[string]string{
		"": "ShopFails", "for": "<- layers/phase/live.yaml:14", "expr": "<- templates/shop.yaml:9\nup", "labels.severity": "locked",
	}
	var b bytes.Buffer
	require.NoError(t, rules.Write(&b, g))
	require.Equal(t, `groups:
  # from rules/templates/shop.yaml
  - name: shop
    interval: 5s # <- layers/global.yaml:3
    query_offset: 0s
    limit: 10
    partial_response_strategy: warn
    labels:
      team: shop
    rules:
      - record: shop:errors:ratio
        expr: sum(rate(errors[1m])) / sum(rate(requests[1m]))
      # ShopFails
      - alert: ShopFails
        # <- templates/shop.yaml:9 up
        expr: |
          shop:errors:ratio
            > 0.05
        for: 10s # <- layers/phase/live.yaml:14
        keep_firing_for: 5m
        labels:
          severity: critical # locked
        annotations:
          summary: the shop fails
`, b.String())

	b.Reset()
	require.NoError(t, rules.WriteObject(&b, rules.Object{Name: "shop", Namespace: "mon", Labels: map[string]string{"role": "alert-rules"}}, g[:1]))
	require.Contains(t, b.String(), "kind: PrometheusRule\nmetadata:\n  name: shop\n  namespace: mon\n  labels:\n    role: alert-rules\nspec:\n  groups:\n")
	back, err := rules.Parse("x.yml", b.Bytes())
	require.NoError(t, err)
	require.Equal(t, "mon/shop", back.Groups[0].Object)
}
