package app_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/lab/fakesmtp"
)

// others is an alertmanager.yml with one of everything for which Tocsin has no
// kind of its own, and with text that YAML, templates and shells treat specially.
const others = `global:
  http_config: {proxy_url: 'http://proxy.example.org:3128', tls_config: {ca_file: ca.pem}}
  smtp_smarthost: mail.example.org:587
  smtp_from: '"On: call" <on-call@example.org>'
  smtp_auth_username: tocsin
  smtp_auth_password: "s3cret: \"q\" # {{ x }}"
  opsgenie_api_key: s3cret-opsgenie
  telegram_bot_token_file: telegram.token
  victorops_api_key: s3cret-victorops
  wechat_api_secret: s3cret-wechat
  wechat_api_corp_id: corp
  webex_api_url: https://webex.example.org/v1/messages
  rocketchat_token: s3cret-rocket
  rocketchat_token_id: s3cret-rocket-id
  mattermost_webhook_url: https://mattermost.example.org/hooks/s3cret-mattermost
  jira_api_url: https://jira.example.org
templates: [tmpl/*.tmpl, none/*.tmpl]
route: {receiver: "a: \"b\"\n{{ c }}"}
receivers:
  - name: "a: \"b\"\n{{ c }}"
    email_configs:
      - to: 'a@example.org, "b: c" <b@example.org>'
        # an old password: s3cret-comment
        headers: {Subject: "{{ .CommonLabels.alertname }}: \"it's\" #1", X-Odd: "- [a, {b: c}]"}
        html: |2
            <b>{{ range .Alerts }}
          {{ .Annotations.summary | toUpper }}{{ end }}</b>

        text: "tab\there\nnewline \u2028 \u0085 é 'q' \\ \"\n\n"
    webhook_configs:
      - &hook
        url: 'https://hook.example.org/s3cret?a={{ .CommonLabels.a }}&b="c"'
        send_resolved: false
        http_config:
          authorization: {credentials: s3cret-bearer}
          http_headers: {X-Key: {secrets: [s3cret-header, "s3cret: two"]}, X-Plain: {values: ['{{ x }}']}}
      - <<: *hook
        max_alerts: 7
      - url_file: hook.url
      - url: http://u:s3cret-userinfo@hook.example.org/
      - {url: http://x.example.org, http_config: {proxy_url: 'http://u:s3cret-proxy@proxy.example.org'}}
      - {url: http://x.example.org, http_config: {proxy_url: 'http://p.example.org', proxy_connect_header: {X: [s3cret-connect]}}}
    opsgenie_configs: [{tags: 'a,b: c', responders: [{name: '{{ .CommonLabels.team }}', type: team}]}]
    telegram_configs: [{chat_id: -100, message: "<b>{{ .Status }}</b>\n: x"}]
    victorops_configs: [{routing_key: 'yes', custom_fields: {"a: b": "{{ .Status }}"}}]
    wechat_configs: [{to_user: '@all', agent_id: '007'}]
    webex_configs: [{room_id: 'null', http_config: {authorization: {credentials: s3cret-webex}}}]
    rocketchat_configs: [{channel: '#ops', fields: [{title: 'a: b', value: '{{ .Status }}'}]}]
    mattermost_configs: [{channel: '@on-call', text: "# {{ .Status }}"}]
    jira_configs: [{project: OPS, issue_type: Bug, fields: {customfield_1: [{value: '{{ .Status }}'}]}, http_config: {basic_auth: {username: u, password: s3cret-jira}}}]
    msteams_configs: [{webhook_url: 'https://teams.example.org/s3cret-1', title: '"{{ .Status }}"'}]
    msteamsv2_configs: [{webhook_url: 'https://teams.example.org/s3cret-2'}]
    discord_configs: [{webhook_url: 'https://discord.example.org/s3cret-3', content: '@here: {{ .Status }}'}]
    pushover_configs: [{user_key: s3cret-user, token: s3cret-token, retry: 1m}]
    incidentio_configs: [{url: 'https://incident.example.org/4', alert_source_token: s3cret-5}]
    sns_configs:
      - {topic_arn: 'arn:aws:sns:eu-west-1:1:a', sigv4: {region: eu-west-1}}
      - {topic_arn: 'arn:aws:sns:eu-west-1:1:b', sigv4: {region: eu-west-1, access_key: k, secret_key: s3cret-aws}}
    pagerduty_configs: [{routing_key: 'x{{ .CommonLabels.s3cret }}', description: 'a: {{ .Status }}'}]
`

// Everything is taken over or said to stay with its line, nothing secret leaves
// its file, and check takes what was written.
func TestEveryIntegrationIsTakenOverOrSaid(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "") // with it the kind refuses SNS, when it is opened
	dir := t.TempDir()
	from, out := filepath.Join(dir, "alertmanager.yml"), filepath.Join(dir, "tocsin.yml")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tmpl"), 0o700))
	_, ca, err := fakesmtp.Certificate()
	require.NoError(t, err)
	for name, text := range map[string]string{
		"alertmanager.yml": others, "telegram.token": "1:x", "hook.url": "https://hook.example.org/", "ca.pem": string(ca),
		"tmpl/ours.tmpl": `{{ define "ours" }}x{{ end }}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var told bytes.Buffer
	require.NoError(t, app.Init(&told, app.InitOptions{From: from, Out: out, Cluster: "main", URL: "http://127.0.0.1:9095", ExternalURL: "https://alertmanager.example.org"}))
	golden(t, "migrate/testdata/others.told.golden", strings.ReplaceAll(told.String(), dir, "/etc/alertmanager"))
	raw, err := os.ReadFile(out)
	require.NoError(t, err)
	golden(t, "migrate/testdata/others.tocsin.yml.golden", strings.ReplaceAll(string(raw), dir, "/etc/alertmanager"))
	for _, secret := range []string{"s3cret", "1:x"} {
		require.NotContains(t, strings.ReplaceAll(told.String()+string(raw), "{{ .CommonLabels.s3cret }}", ""), secret)
	}
	require.NoError(t, app.Check(t.Context(), &bytes.Buffer{}, app.CheckOptions{ConfigFile: out}))
	samePerIntegration(t, dir, from, raw)
}

// samePerIntegration reads the targets of a config back into one receiver, with
// the files in the place of secrets, and compares it with the original.
func samePerIntegration(t *testing.T, dir, from string, raw []byte) {
	t.Helper()
	var conf struct {
		Receivers []struct {
			Name   string
			Notify []struct {
				With struct{ Receiver, Global map[string]any }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &conf))
	was, err := amconfig.LoadFile(from)
	require.NoError(t, err)
	require.Equal(t, was.Receivers[0].Name, conf.Receivers[0].Name)
	lists := map[string][]any{}
	global := map[string]any{}
	for _, n := range conf.Receivers[0].Notify {
		for list, items := range n.With.Receiver {
			lists[list] = append(lists[list], items.([]any)...)
		}
		maps.Copy(global, n.With.Global)
	}
	doc, err := json.Marshal(map[string]any{
		"global": opened(t, dir, global), "route": map[string]any{"receiver": was.Receivers[0].Name}, "receivers": []any{receiverOf(t, dir, was.Receivers[0].Name, lists)},
	})
	require.NoError(t, err)
	is, err := amconfig.Load(strings.ReplaceAll(string(doc), "\u0085", `\u0085`)) // JSON is YAML but for this end of a line
	require.NoError(t, err)
	a, b := was.Receivers[0], is.Receivers[0]
	require.Equal(t, a.EmailConfigs, b.EmailConfigs)
	require.Equal(t, []string{string(a.WebhookConfigs[0].URL), string(a.WebhookConfigs[1].URL)}, []string{string(b.WebhookConfigs[0].URL), string(b.WebhookConfigs[1].URL)})
	require.Equal(t, a.WebhookConfigs[1].MaxAlerts, b.WebhookConfigs[1].MaxAlerts)
	require.Equal(t, a.WebhookConfigs[0].HTTPConfig.Authorization, b.WebhookConfigs[0].HTTPConfig.Authorization)
	require.Equal(t, a.WebhookConfigs[0].HTTPConfig.HTTPHeaders, b.WebhookConfigs[0].HTTPConfig.HTTPHeaders)
	require.Equal(t, a.TelegramConfigs[0].Message, b.TelegramConfigs[0].Message)
	require.Equal(t, a.OpsGenieConfigs, b.OpsGenieConfigs)
	require.Equal(t, a.VictorOpsConfigs, b.VictorOpsConfigs)
	require.Equal(t, a.WechatConfigs, b.WechatConfigs)
	require.Equal(t, a.WebexConfigs, b.WebexConfigs)
	require.Equal(t, a.RocketchatConfigs, b.RocketchatConfigs)
	require.Equal(t, a.MattermostConfigs, b.MattermostConfigs)
	require.Equal(t, a.JiraConfigs, b.JiraConfigs)
	require.Equal(t, a.MSTeamsConfigs, b.MSTeamsConfigs)
	require.Equal(t, a.MSTeamsV2Configs, b.MSTeamsV2Configs)
	require.Equal(t, a.DiscordConfigs, b.DiscordConfigs)
	require.Equal(t, a.PushoverConfigs, b.PushoverConfigs)
	require.Equal(t, a.IncidentioConfigs, b.IncidentioConfigs)
	require.Equal(t, a.SNSConfigs[:1], b.SNSConfigs)
	require.Equal(t, a.PagerdutyConfigs[0].RoutingKey, b.PagerdutyConfigs[0].RoutingKey)
	require.Equal(t, a.PagerdutyConfigs[0].Description, b.PagerdutyConfigs[0].Description)
}

func receiverOf(t *testing.T, dir, name string, lists map[string][]any) map[string]any {
	t.Helper()
	out := map[string]any{"name": name}
	for list, items := range lists {
		out[list] = opened(t, dir, items)
	}
	return out
}

// opened puts what stands in files under secrets/ back where it was.
func opened(t *testing.T, dir string, v any) any {
	t.Helper()
	read := func(v any) (string, bool) {
		path, ok := v.(string)
		if !ok || !strings.HasPrefix(path, "secrets/") {
			return "", false
		}
		raw, err := os.ReadFile(filepath.Join(dir, path))
		require.NoError(t, err)
		return string(raw), true
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = opened(t, dir, v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, val := range v {
			if text, ok := read(val); ok {
				out[strings.TrimSuffix(key, "_file")] = text
				continue
			}
			if files, ok := val.([]any); ok && key == "files" {
				var secrets []any
				for _, f := range files {
					text, ok := read(f)
					require.True(t, ok)
					secrets = append(secrets, text)
				}
				out["secrets"] = secrets
				continue
			}
			out[key] = opened(t, dir, val)
		}
		return out
	default:
		return v
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write it with UPDATE=1")
	require.Equal(t, string(want), got, "%s: UPDATE=1 rewrites it", path)
}
