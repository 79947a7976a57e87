package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// chained is whole with somebody who stands in for PagerDuty.
func chained() string {
	s := strings.Replace(whole, "routing_key_file: team.key}}", "routing_key_file: team.key}, fallback: [spare, team]}", 1)
	return s + "fallbacks:\n  - {kind: pagerduty, name: spare, with: {routing_key_file: ops.key}}\n"
}

func TestFallbacks(t *testing.T) {
	dir := secrets(t)
	require.Empty(t, checked(t, dir, chained()))
	require.NoError(t, accepts(schema(t), chained()))
	for name, w := range map[string]wrong{
		"nobody":          {"[spare, team]", "[spare, nobody]", `tocsin.yml:15: receivers[0].notify[1].fallback[1]: no target is called "nobody": add it to fallbacks`, false},
		"mistyped":        {"[spare, team]", "[spare, taem]", `tocsin.yml:15: receivers[0].notify[1].fallback[1]: no target is called "taem"; write "team"`, false},
		"itself":          {"[spare, team]", "[spare, oncall]", `tocsin.yml:15: receivers[0].notify[1].fallback[1]: oncall cannot stand in for itself`, false},
		"no list":         {"[spare, team]", "spare", `tocsin.yml:15: "spare" stands where there must be a list`, true},
		"one of two":      {"name: spare", "name: team", `tocsin.yml:15: receivers[0].notify[1].fallback[0]: no target is called "spare"`, false},
		"in vain":         {"[spare, team]", "[team]", `tocsin.yml:19: fallbacks[0].name: no target names spare as its fallback`, false},
		"of a last":       {"name: ops, with", "name: ops, fallback: [spare], with", `tocsin.yml:10: unknown key "fallback"`, true},
		"of a fallback":   {"name: spare, with", "name: spare, fallback: [team], with", `tocsin.yml:19: unknown key "fallback"`, true},
		"another chain":   {"deadline:", "  - name: two\n    notify:\n      - {kind: pagerduty, name: oncall, with: {routing_key_file: team.key}}\ndeadline:", `tocsin.yml:18: receivers[1].notify[0].fallback: pagerduty/oncall has another fallback where it stands first`, false},
		"a kind mistyped": {"- {kind: pagerduty, name: spare", "- {kind: pagreduty, name: spare", `tocsin.yml:15: receivers[0].notify[1].fallback[0]: no target is called "spare"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, chained(), w.old)
			text := strings.Replace(chained(), w.old, w.new, 1)
			says := checked(t, dir, text)
			require.True(t, strings.HasPrefix(says, w.says), "says %s\nnot  %s", says, w.says)
			require.Equal(t, w.schema, accepts(schema(t), text) != nil)
		})
	}
	same := strings.Replace(chained(), "deadline:", "  - name: two\n    notify:\n      - {kind: pagerduty, name: oncall, with: {routing_key_file: team.key}, fallback: [pagerduty/spare, slack/team]}\ndeadline:", 1)
	require.Empty(t, checked(t, dir, same), "the same chain, by whole names")
}
