package app_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
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
		"in vain":         {"[spare, team]", "[team]", `tocsin.yml:20: fallbacks[0].name: no target names spare as its fallback`, false},
		"of a last":       {"name: ops, with", "name: ops, fallback: [spare], with", `tocsin.yml:10: unknown key "fallback"`, true},
		"of a fallback":   {"name: spare, with", "name: spare, fallback: [team], with", `tocsin.yml:20: unknown key "fallback"`, true},
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

// Slack's channel is archived: PagerDuty is paged in its place at once, hears
// the end, and Slack says who else was told when it works again.
func TestSomebodyStandsIn(t *testing.T) {
	t.Parallel()
	h := run(t, "")
	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(raw), "/api/}}", "/api/}, fallback: [duty]}")
	require.NoError(t, os.WriteFile(h.config, []byte(text), 0o600))
	a := h.ask(t, http.MethodPost, h.operators, "/-/reload", "alice-secret", nil)
	require.Equal(t, http.StatusOK, a.code, a.body)
	h.slack.SetChannel(fakeslack.Channel{ID: "C0PAGES", Archived: true})

	post := func(body string) {
		a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil)
		require.Equal(t, http.StatusAccepted, a.code, a.body)
	}
	soon := func(what string, holds func() bool) {
		t.Helper()
		require.Eventually(t, holds, time.Minute, 20*time.Millisecond, what)
	}
	post(fires("Lost"))
	soon("a page", func() bool { return len(h.pagerduty.Ledger().Incidents) == 1 })
	in := h.pagerduty.Ledger().Incidents[0]
	require.Contains(t, in.Title, "instead of slack/team")
	require.Contains(t, string(in.Details), "slack/team could not be told")
	require.Contains(t, string(in.Details), "is_archived")
	require.Contains(t, h.ask(t, http.MethodGet, h.listen, "/metrics", "", nil).body, `tocsin_notify_fallbacks_total{kind="slack",name="team"} 1`)

	h.slack.SetChannel(fakeslack.Channel{ID: "C0PAGES"})
	soon("Slack", func() bool { return len(h.slack.Ledger().Roots()) == 1 })
	require.Contains(t, h.slack.Ledger().Roots()[0].First.Visible, "also sent to pagerduty/duty")
	post(ceases(fires("Lost")))
	soon("the end", func() bool { return h.pagerduty.Ledger().Incidents[0].Status == "resolved" })
	soon("the end at Slack", func() bool { return strings.Contains(h.slack.Ledger().Roots()[0].Current.Visible, "resolved after") })
	require.Len(t, h.pagerduty.Ledger().Incidents, 1)
	require.Equal(t, 1, h.pagerduty.Ledger().Incidents[0].Notified)
}
