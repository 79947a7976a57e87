package layers

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	texttemplate "text/template"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
)

// FuzzValue gives a string parameter any value: in every quoted place of an
// expression it must come out as the value of that string, and nothing else of
// the expression may change.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "/", `"`, `\`, "`", "'", "\n", "a|b", ".*", "${x}", "$${x}", "{{", "}}", `"} or vector(1)#`, "\xff", "\x00", "é", "{{ end }}"} {
		f.Add(seed)
	}
	p := &param{Name: "x", Type: typeString}
	tm := &template{name: "t", params: []*param{p}}
	const text = "sum by (app) (rate(m{a=\"${x}\",b!='${x}',c=~`p${x}s`,d!~\"${x}|y\"}[5m])) > 0 and on (app) label_replace(n, \"z\", \"${x}\", \"w\", \"v\")"
	f.Fuzz(func(t *testing.T, given string) {
		v, err := p.parse(given)
		if err != nil {
			require.True(t, len(given) > maxValue || !utf8.ValidString(given), "%v", err)
			return
		}
		filled, err := (&filler{tm: tm, values: map[string]value{"x": v}, used: map[string]bool{}}).expr(text)
		require.NoError(t, err)
		e, err := parsePromQL(filled)
		require.NoError(t, err, filled)
		e2, err := parsePromQL(e.String())
		require.NoError(t, err, "printed: %s", e)
		require.Equal(t, e.String(), e2.String())
		var kinds []string
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			switch n := n.(type) {
			case *parser.VectorSelector:
				for _, m := range n.LabelMatchers {
					kinds = append(kinds, m.Name+m.Type.String())
					switch m.Name {
					case "a", "b":
						require.Equal(t, given, m.Value)
					case "c":
						require.True(t, m.Matches("p"+given+"s"))
						require.False(t, m.Matches("p"+given+"ss"))
					case "d":
						require.False(t, m.Matches(given), "%q", given)
						require.False(t, m.Matches("y"))
						require.True(t, m.Matches(given+"y!"))
					}
				}
			case *parser.StringLiteral:
				if n.Val == given {
					kinds = append(kinds, "literal")
				}
			}
			return nil
		})
		require.Subset(t, kinds, []string{"a=", "b!=", "c=~", "d!~", "literal"})
		require.Equal(t, 6, strings.Count(strings.Join(kinds, " "), "=")+strings.Count(strings.Join(kinds, " "), "!~"), "%v", kinds) // with the two metrics' names

		words, err := (&filler{tm: tm, values: map[string]value{"x": v}, used: map[string]bool{}}).text("is ${x}{{ 7 }}${x} ${x}")
		require.NoError(t, err)
		as, err := texttemplate.New("").Parse(words)
		require.NoError(t, err, "%q", words)
		var out strings.Builder
		require.NoError(t, as.Execute(&out, nil), "%q", words)
		require.Equal(t, "is "+given+"7"+given+" "+given, out.String(), "%q: nothing but what the author wrote is a template", words)
	})
}

// FuzzTree reads anything as a layer, a template and an inventory: what is
// wrong is a mistake with its file, and what is right compiles, is proved, and
// is read by Prometheus.
func FuzzTree(f *testing.F) {
	template := "enabled: true\nshared: [s]\nparams:\n  - {name: a, type: number, default: 1, doc: d}\n  - {name: s, type: string, default: x, doc: d}\n" +
		"rules:\n  - alert: A\n    expr: m{x=\"${s}\"} > ${a}\n    labels: {severity: page}\n  - record: r\n    expr: sum by (app) (m)\n"
	apps := "apps:\n  - {name: x, phase: live}\n  - {name: y}\n"
	for _, layer := range []string{
		"", "templates:\n  t:\n    params: {a: 2}\n", "templates:\n  t:\n    enabled: false\n", "templates:\n  t:\n    rules:\n      - {alert: A, for: 5m, lock: [labels]}\n",
		"templates:\n  t:\n    rules:\n      - alert: A\n        labels: null\n", "templates: {t: {lock: [params.a, enabled]}}\n", "templates: &a {t: *a}\n", "a: [\n", "- 1\n", "\xff", "null\n",
		"templates:\n  t:\n    rules:\n      - {alert: A, expr: 'absent(m)'}\n", "labels: {owner: x}\nannotations: {a: \"${s}{{ 1 }}\"}\nlock: [labels]\n", "templates:\n  t: {params: {a: 1e999}}\n",
		"policies:\n  p: {mode: off, trigger: {firing_for: 5m}, approval: {roles: [a, b]}, lock: [guards]}\ncontext: {deadline: {critical: 2s}}\n",
		"policies: {p: null, q: {enabled: false}}\ncontext: {lock: [deadline]}\n", "policies: {\"\\x01\": {guards: {rate: {target: 1/1h}}}}\n",
	} {
		f.Add(template, layer, apps)
	}
	f.Add("rules:\n  - {alert: A, expr: \"${\"}\n", "", apps)
	f.Add("per_app: false\nrules: [{alert: A, expr: vector(1)}]\n", "", "apps: [{name: a}]\n")
	f.Add(strings.Replace(template, "number", "percent", 1), "", "apps: [{name: '\"'}, {name: 'a|b'}]\n")
	f.Fuzz(func(t *testing.T, template, layer, apps string) {
		if len(template)+len(layer)+len(apps) > 1<<13 {
			return
		}
		fsys := fstest.MapFS{}
		for name, text := range map[string]string{"rules.yaml": "source_url: https://x/{file}#{line}\n", "templates/t.yaml": template, "layers/global.yaml": layer, "layers/phase/live.yaml": layer, "apps.yaml": apps} {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
		tr, err := Load(fsys, "rules", nil)
		if err == nil {
			var groups []Group
			if groups, err = tr.Compile(); err == nil {
				require.NoError(t, tr.Prove(groups))
				_, err := tr.Files(groups)
				require.NoError(t, err)
				require.Empty(t, Diff(Side{tr, groups}, Side{tr, groups}))
				return
			}
		}
		for _, e := range unjoin(err) {
			_, ok := errors.AsType[*config.Mistake](e)
			require.True(t, ok, "%T %v", e, e)
		}
	})
}

func unjoin(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, unjoin(e)...)
		}
		return out
	}
	return []error{err}
}
