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
    - {matchers: ['team="infra"', 'severity="critical"'], receiver: oncall, group_by: []}
    - {matchers: ['team="night"'], receiver: night, mute_time_intervals: [nights]}
time_intervals: [{name: nights, time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]}]
receivers:
  - name: team-payments
    webhook_configs: [{url: <secret>, http_config: {authorization: {credentials: <secret>}}}]
    slack_configs: [{channel: x}]
  - name: infra (eu|us).*
  - name: oncall
  - name: night
`

func cluster(t *testing.T, config string, alerts ...map[string]any) *alertmanager.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v2/status":
			_ = json.NewEncoder(w).Encode(map[string]any{"config": map[string]string{"original": config}})
		case "/api/v2/alerts":
			_ = json.NewEncoder(w).Encode(alerts)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return &alertmanager.Client{Base: s.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
}

func firing(since time.Time, labels page.Labels) map[string]any {
	return map[string]any{"labels": labels, "startsAt": since, "annotations": page.Labels{"summary": labels["instance"]}}
}

func TestGroupsAreThoseOfTheWebhooks(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	long, short := now.Add(-time.Minute), now.Add(-time.Second)
	infra := page.Labels{"alertname": "NodeDown", "größe": "ü", "instance": "n1", "team": "infra"}
	worse := infra.Clone()
	worse["severity"] = "critical"
	errors1 := page.Labels{"alertname": "HighErrors", "cluster": "eu1", "service": "checkout", "severity": "critical", "instance": "a"}
	errors2 := errors1.Clone()
	errors2["instance"] = "b"
	c := cluster(t, routed,
		firing(long, infra), firing(long, worse), firing(long, errors1), firing(short, errors2),
		firing(short, page.Labels{"alertname": "TooYoung"}),
		firing(long, page.Labels{"alertname": "Muted", "team": "night"}),
	)
	got, err := c.Groups(t.Context(), now)
	require.NoError(t, err)
	type group struct {
		receiver, key string
		labels        page.Labels
		alerts        int
	}
	var have []group
	for _, g := range got {
		have = append(have, group{g.Receiver, g.Key, g.Labels, len(g.Alerts)})
	}
	require.Equal(t, []group{
		{`infra \(eu\|us\)\.\*`, `{}/{team="infra"}:{alertname="NodeDown", größe="ü", instance="n1", severity="critical", team="infra"}`, worse, 1},
		{`infra \(eu\|us\)\.\*`, `{}/{team="infra"}:{alertname="NodeDown", größe="ü", instance="n1", team="infra"}`, infra, 1},
		{`oncall`, `{}/{severity="critical",team="infra"}:{}`, page.Labels{}, 1},
		{`team-payments`, `{}:{alertname="HighErrors", cluster="eu1", service="checkout"}`, page.Labels{"alertname": "HighErrors", "cluster": "eu1", "service": "checkout"}, 2},
	}, have)
}

// The keys are compared with bodies that real Alertmanagers have sent.
func TestKeysOfRealWebhooks(t *testing.T) {
	for file, labels := range map[string]page.Labels{
		"0.31-firing.json":          {"alertname": "HighErrors", "cluster": "eu1", "service": "checkout"},
		"0.31-regexp-receiver.json": {"alertname": "NodeDown", "größe": "ü", "instance": "n1", "team": "infra"},
	} {
		raw, err := os.ReadFile("../../testdata/alertmanager/" + file)
		require.NoError(t, err)
		var body struct{ GroupKey, Receiver string }
		require.NoError(t, json.Unmarshal(raw, &body))
		got, err := cluster(t, routed, firing(time.Time{}, labels)).Groups(t.Context(), time.Now())
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
