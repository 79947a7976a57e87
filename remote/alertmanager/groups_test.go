package alertmanager_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

// routed is a cluster with a config, as /api/v2/status shows it (secrets and
// all addresses with secrets are hidden there), and alerts.
const routed = `
global: {slack_api_url: <secret>}
route:
  receiver: team-payments
  group_by: [alertname, cluster, service]
  group_wait: 10s
  routes:
    - {matchers: ['team="infra"'], receiver: infra (eu|us).*, group_by: ['...'], continue: true}
    - {matchers: ['team="infra"', 'severity="critical"'], receiver: oncall, continue: true}
    - {matchers: ['team="night"'], receiver: night, mute_time_intervals: [nights]}
    - {matchers: ['team="twice"'], receiver: twice, group_by: [x], continue: true}
    - {matchers: ['team="twice"', 'x="1"'], receiver: twice, group_by: [alertname]}
time_intervals: [{name: nights, time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]}]
receivers:
  - name: team-payments
    webhook_configs: [{url: <secret>, http_config: {authorization: {credentials: <secret>}}}]
    slack_configs: [{channel: x}]
  - name: infra (eu|us).*
  - name: oncall
  - name: night
  - name: twice
`

func cluster(t *testing.T, config string, groups ...map[string]any) *alertmanager.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v2/status":
			_ = json.NewEncoder(w).Encode(map[string]any{"config": map[string]string{"original": config}})
		case "/api/v2/alerts/groups":
			require.Equal(t, "active=true&inhibited=false&silenced=false", r.URL.RawQuery)
			_ = json.NewEncoder(w).Encode(groups)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return &alertmanager.Client{Base: s.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
}

// group is one of /api/v2/alerts/groups.
func group(receiver string, by page.Labels, since time.Time, alerts ...page.Labels) map[string]any {
	var list []map[string]any
	for _, l := range alerts {
		list = append(list, map[string]any{"labels": l, "startsAt": since, "annotations": page.Labels{"summary": l["instance"]}})
	}
	return map[string]any{"labels": by, "receiver": map[string]string{"name": receiver}, "alerts": list}
}

func TestGroupsAreThoseOfTheWebhooks(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	long, short := now.Add(-time.Minute), now.Add(-time.Second)
	node := page.Labels{"alertname": "NodeDown", "größe": "ü", "team": "infra", "severity": "critical"}
	a := page.Labels{"alertname": "HighErrors", "cluster": "eu1", "service": "checkout", "instance": "a"}
	b := page.Labels{"alertname": "HighErrors", "cluster": "eu1", "service": "checkout", "instance": "b"}
	by := page.Labels{"alertname": "HighErrors", "cluster": "eu1", "service": "checkout"}
	c := cluster(t, routed,
		group("infra (eu|us).*", node, long, node),
		group("oncall", page.Labels{}, long, node),
		group("team-payments", by, long, a, b),
		group("team-payments", page.Labels{"alertname": "TooYoung"}, short, page.Labels{"alertname": "TooYoung"}),
		group("night", page.Labels{"alertname": "Muted"}, long, page.Labels{"alertname": "Muted", "team": "night"}),
		group("twice", page.Labels{"x": "1"}, long, page.Labels{"alertname": "T", "team": "twice", "x": "1"}),
		group("nobody", page.Labels{}, long, a),
		group("team-payments", page.Labels{}, long),
	)
	got, err := c.Groups(t.Context(), now)
	require.NoError(t, err)
	type one struct {
		receiver, key string
		alerts        int
	}
	var have []one
	for _, g := range got {
		have = append(have, one{g.Receiver, g.Key, len(g.Alerts)})
	}
	require.Equal(t, []one{
		{`infra \(eu\|us\)\.\*`, `{}/{team="infra"}:{alertname="NodeDown", größe="ü", severity="critical", team="infra"}`, 1},
		// Alertmanager's status leaves `group_by: []` out: the parent's would be wrong
		{`oncall`, `{}/{severity="critical",team="infra"}:{}`, 1},
		{`team-payments`, `{}:{alertname="HighErrors", cluster="eu1", service="checkout"}`, 2},
		{`twice`, `{}/{team="twice"}:{x="1"}`, 1},
	}, have)
}

// The keys are compared with bodies that real Alertmanagers have sent.
func TestKeysOfRealWebhooks(t *testing.T) {
	for file, receiver := range map[string]string{"0.31-firing.json": "team-payments", "0.31-regexp-receiver.json": "infra (eu|us).*"} {
		raw, err := os.ReadFile("../../testdata/alertmanager/" + file)
		require.NoError(t, err)
		var body struct {
			GroupKey, Receiver string
			GroupLabels        page.Labels
			Alerts             []struct{ Labels page.Labels }
		}
		require.NoError(t, json.Unmarshal(raw, &body))
		got, err := cluster(t, routed, group(receiver, body.GroupLabels, time.Time{}, body.Alerts[0].Labels)).Groups(t.Context(), time.Now())
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, body.GroupKey, got[0].Key)
		require.Equal(t, body.Receiver, got[0].Receiver)
	}
}

func TestGroupsOfAConfigThatCannotBeRead(t *testing.T) {
	for config, want := range map[string]string{
		"":                                  "read routes: its config cannot be read: is it of a newer release? no route provided in config",
		"route: {receiver: a, tomorrow: 1}": "read routes: its config cannot be read",
	} {
		_, err := cluster(t, config).Groups(t.Context(), time.Now())
		require.ErrorContains(t, err, want)
		require.Equal(t, remote.Content, remote.ClassOf(err))
	}
}
