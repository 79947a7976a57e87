package rules_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
)

// Whatever is read is written so that it is read again as the same, and the
// same is written as the same bytes. Comments, hostile ones too, change nothing.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		shop,
		"groups: []\n",
		"groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, annotations: {a: \"x\\n y \\u2028\", \"b.c\": '{{ $value }}', d: \"\\tz\\n\", e: 'yes', f: '#'}}\n",
		"apiVersion: v1\nkind: List\nitems: [{kind: PrometheusRule, apiVersion: v1, spec: {groups: [{name: g, rules: [{record: a, expr: 1}]}]}}]\n",
		"groups:\n- &a {name: g, rules: []}\n- <<: *a\n  name: h\n",
		"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: \"a\\n\\n\"\n    for: 1d\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := rules.Parse("x.yml", data)
		if err != nil || len(read.Groups) == 0 {
			return
		}
		for _, g := range read.Groups {
			for _, r := range g.Rules {
				require.Positive(t, r.Line)
			}
		}
		first := written(t, plain(read.Groups[:1]))
		back, err := rules.Parse("y.yml", first)
		require.NoError(t, err, "%s", first)
		require.Equal(t, plain(read.Groups[:1]), plain(back.Groups))
		require.Equal(t, string(first), string(written(t, plain(back.Groups))))

		commented := plain(read.Groups[:1])
		commented[0].Comments = hostile(data, "", "name", "labels", "interval")
		for i := range commented[0].Rules {
			r := &commented[0].Rules[i]
			fields := []string{"", "expr", "alert", "for", "labels", "annotations"}
			for _, k := range slices.Sorted(maps.Keys(r.Annotations)) {
				fields = append(fields, "annotations."+k)
			}
			r.Comments = hostile(data, fields...)
		}
		again, err := rules.Parse("z.yml", written(t, commented))
		require.NoError(t, err, "%s", written(t, commented))
		require.Equal(t, plain(read.Groups[:1]), plain(again.Groups))
	})
}

func hostile(data []byte, fields ...string) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		out[f] = string(data)
	}
	return out
}

func written(t *testing.T, groups []rules.Group) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, rules.Write(&b, groups))
	return b.Bytes()
}

// plain is groups without their place.
func plain(groups []rules.Group) []rules.Group {
	out := slices.Clone(groups)
	for i := range out {
		g := &out[i]
		g.Object, g.Line, g.Lines, g.Comments = "", 0, nil, nil
		if len(g.Labels) == 0 {
			g.Labels = nil
		}
		g.Rules = slices.Clone(g.Rules)
		for j := range g.Rules {
			r := &g.Rules[j]
			r.Line, r.Lines, r.Comments = 0, nil, nil
			if len(r.Labels) == 0 {
				r.Labels = nil
			}
			if len(r.Annotations) == 0 {
				r.Annotations = nil
			}
		}
	}
	return out
}
