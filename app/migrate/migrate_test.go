package migrate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/app/migrate"
	"github.com/tocsin/tocsin/config"
)

const tocsinAt = "http://tocsin:9095"

// from migrates a text that stands in a folder of its own.
func from(t *testing.T, text string) (string, *migrate.Result, error) {
	t.Helper()
	dir := t.TempDir()
	r, err := fromIn(t, dir, text)
	return dir, r, err
}

func fromIn(t *testing.T, dir, text string) (*migrate.Result, error) {
	t.Helper()
	path := filepath.Join(dir, "alertmanager.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return migrate.FromAlertmanager(migrate.Options{From: path, Out: filepath.Join(dir, "tocsin.yml"), Cluster: "dc1", URL: tocsinAt})
}

func example(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/alertmanager.yml")
	require.NoError(t, err)
	return string(raw)
}

// The golden files are what init makes of the example; UPDATE=1 rewrites them.
func TestExample(t *testing.T) {
	dir, r, err := from(t, example(t))
	require.NoError(t, err)
	var told bytes.Buffer
	r.Tell(&told)
	golden := map[string]string{"testdata/told.golden": told.String()}
	for _, f := range r.Files {
		if !f.Secret {
			golden["testdata/"+filepath.Base(f.Path)+".golden"] = f.Text
		}
	}
	require.Len(t, golden, 3)
	for name, got := range golden {
		got = strings.ReplaceAll(got, dir, "/etc/alertmanager")
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
		}
		want, err := os.ReadFile(name)
		require.NoError(t, err, "write it with UPDATE=1")
		require.Equal(t, string(want), got, "%s: UPDATE=1 rewrites it", name)
	}
}

// What is secret in the original is in files that only their owner reads, and
// nowhere else but in the copy of the original.
func TestSecretsStayInTheirFiles(t *testing.T) {
	secrets := []string{"mail-secret", "slack-hook-secret", "mattermost-secret", "dead-man-secret", "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"}
	dir, r, err := from(t, example(t))
	require.NoError(t, err)
	var shown, did bytes.Buffer
	r.Show(&shown)
	r.Tell(&shown)
	require.NoFileExists(t, filepath.Join(dir, "tocsin.yml"), "showing writes nothing")
	require.NoError(t, r.Write(&did, false))
	conf, err := os.ReadFile(filepath.Join(dir, "tocsin.yml"))
	require.NoError(t, err)
	for _, s := range secrets {
		require.NotContains(t, shown.String(), s)
		require.NotContains(t, did.String(), s)
		require.NotContains(t, string(conf), s)
	}
	for path, mode := range map[string]os.FileMode{
		"secrets": 0o700, "secrets/slack.token": 0o600, "secrets/pagerduty-web-pager.key": 0o600, "secrets/alertmanager.token": 0o600,
		"alertmanager.tocsin.yml": 0o600, "tocsin.yml": 0o640,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
	key, err := config.SecretFile(filepath.Join(dir, "secrets/pagerduty-web-pager.key")).Read()
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef0123456789abcdef", key.Reveal())
	token, err := config.SecretFile(filepath.Join(dir, "secrets/alertmanager.token")).Read()
	require.NoError(t, err)
	require.Len(t, token.Reveal(), 64)
}

func TestNothingIsOverwritten(t *testing.T) {
	dir, r, err := from(t, example(t))
	require.NoError(t, err)
	mine := filepath.Join(dir, "tocsin.yml")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o600))
	require.ErrorContains(t, r.Write(&bytes.Buffer{}, false), "tocsin.yml is there already: --force overwrites it")
	require.NoFileExists(t, filepath.Join(dir, "alertmanager.tocsin.yml"), "all or nothing")
	require.NoDirExists(t, filepath.Join(dir, "secrets"))

	require.NoError(t, r.Write(&bytes.Buffer{}, true))
	token := filepath.Join(dir, "secrets/slack.token")
	require.NoError(t, os.WriteFile(token, []byte("xoxb-1"), 0o600))
	old, err := os.ReadFile(filepath.Join(dir, "secrets/alertmanager.token"))
	require.NoError(t, err)
	again, err := fromIn(t, dir, example(t))
	require.NoError(t, err)
	var did bytes.Buffer
	require.NoError(t, again.Write(&did, true))
	for name, want := range map[string]string{token: "xoxb-1", filepath.Join(dir, "secrets/alertmanager.token"): string(old)} {
		have, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(have), "a secret that is there is kept, with --force too")
		require.Contains(t, did.String(), "kept    "+name)
	}
	require.Contains(t, did.String(), "wrote   "+filepath.Join(dir, "secrets/pagerduty-files-pager.key"), "one that waits is written")
}

func TestMistakesHaveLines(t *testing.T) {
	const receivers = "route: {receiver: a}\nreceivers:\n"
	for name, tc := range map[string]struct{ text, says string }{
		"unknown key":        {"route: {receiver: a}\nreceivers:\n  - name: a\n    slak_configs: []\n", ":4: field slak_configs not found"},
		"syntax":             {"route:\n  receiver: [a\n", ": did not find expected"},
		"undefined receiver": {"route:\n  receiver: a\n  routes:\n    - receiver: b\nreceivers: [{name: a}]\n", `:4: undefined receiver "b" used in route`},
		"no route":           {"receivers: []\n", ": no routes provided"},
		"empty":              {"", ": no route provided in config"},
		"twice":              {receivers + "  - name: a\n  - name: a\n", `:4: notification config name "a" is not unique`},
		"no slack address":   {receivers + "  - name: a\n    slack_configs: [{channel: x}]\n", "no Slack API URL nor App token set"},
		"nothing to take": {
			receivers + "  - name: a\n    webhook_configs: [{url: 'http://tocsin:9095/webhook/alertmanager'}]\n",
			`no receiver has anything that Tocsin could take over: `,
		},
		"nothing but a heartbeat": {
			"route:\n  receiver: none\n  routes: [{receiver: a, match_re: {alertname: \"Dead-?Mans.*\"}}]\nreceivers:\n  - name: none\n  - name: a\n    webhook_configs: [{url: http://x}]\n",
			`:7: receiver "a": webhook_configs[0]: a heartbeat leans on repeats`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := from(t, tc.text)
			require.ErrorContains(t, err, tc.says)
			var m *config.Mistake
			require.ErrorAs(t, err, &m)
			require.Contains(t, err.Error(), "alertmanager.yml:")
		})
	}
	_, err := migrate.FromAlertmanager(migrate.Options{From: filepath.Join(t.TempDir(), "none.yml"), Out: "x", URL: tocsinAt})
	require.ErrorContains(t, err, "none.yml: cannot be read: no such file")
	_, err = migrate.FromAlertmanager(migrate.Options{From: "x", Out: "x", URL: "tocsin:9095"})
	require.ErrorContains(t, err, `"tocsin:9095" is not Tocsin's address: write it as http://tocsin:9095`)
}

// Bot tokens that Alertmanager had are taken over, aliases and merges are written
// out, targets that are the same are one, odd names are quoted.
func TestShapesOfReceivers(t *testing.T) {
	_, r, err := from(t, `global: {slack_app_token: xoxb-global}
route: {receiver: 'null'}
receivers:
  - name: 'null'
    slack_configs:
      - &base {channel: C0123ABCD, send_resolved: true}
      - <<: *base
        channel: '#two'
        app_token: xoxb-own
  - name: "team: a/b"
    slack_configs:
      - *base
      - channel: '#3'
        app_token_file: /run/secrets/slack
      - channel: '#3'
        api_url: https://slack.com/api/chat.postMessage
        http_config: {authorization: {credentials: xoxb-own}}
    pagerduty_configs:
      - routing_key: 0123456789abcdef0123456789abcdef
      - routing_key: 0123456789abcdef0123456789abcdef
        url: https://pd.example.org/prefix/v2/enqueue
`)
	require.NoError(t, err)
	var conf struct {
		Receivers []struct {
			Name   string
			Notify []struct {
				Kind, Name string
				With       map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(fileOf(t, r, "tocsin.yml").Text), &conf))
	require.Equal(t, []string{"null", "team: a/b"}, []string{conf.Receivers[0].Name, conf.Receivers[1].Name})
	var got []string
	for _, n := range append(conf.Receivers[0].Notify, conf.Receivers[1].Notify...) {
		got = append(got, strings.Join([]string{n.Kind, n.Name, n.With["token_file"] + n.With["routing_key_file"], n.With["channel"] + n.With["events_url"]}, " "))
	}
	require.Equal(t, []string{
		"slack C0123ABCD secrets/slack.token C0123ABCD",
		"slack two secrets/slack-2.token #two",
		"slack C0123ABCD secrets/slack.token C0123ABCD",
		"slack 3 /run/secrets/slack #3",
		"slack 3-2 secrets/slack-2.token #3",
		"pagerduty team-a-b secrets/pagerduty-team-a-b.key ",
		"pagerduty team-a-b-2 secrets/pagerduty-team-a-b.key https://pd.example.org/prefix",
	}, got)
	require.Equal(t, "xoxb-global\n", fileOf(t, r, "slack.token").Text)
	am, err := amconfig.Load(fileOf(t, r, "alertmanager.tocsin.yml").Text)
	require.NoError(t, err)
	for _, rcv := range am.Receivers {
		require.Empty(t, rcv.SlackConfigs)
		require.Empty(t, rcv.PagerdutyConfigs)
		require.Len(t, rcv.WebhookConfigs, 1)
		require.Equal(t, tocsinAt+"/webhook/alertmanager", string(rcv.WebhookConfigs[0].URL))
	}
}

func fileOf(t *testing.T, r *migrate.Result, name string) migrate.File {
	t.Helper()
	for _, f := range r.Files {
		if filepath.Base(f.Path) == name {
			return f
		}
	}
	t.Fatalf("no file %s", name)
	return migrate.File{}
}

// Whatever it is given, init says what is wrong or writes two files that load.
func FuzzFromAlertmanager(f *testing.F) {
	raw, err := os.ReadFile("testdata/alertmanager.yml")
	require.NoError(f, err)
	f.Add(string(raw))
	f.Add("route: {receiver: 'null'}\nreceivers: [{name: 'null', slack_configs: [null]}]\nglobal: {slack_api_url: https://hooks.slack.com/services/T/B/s}\n")
	f.Add("route: {receiver: a}\nreceivers: [{name: a, pagerduty_configs: [{routing_key: \"\\u2028: #\"}]}]\n")
	f.Add("x: &x {name: a, slack_configs: [{channel: '#a', api_url: 'https://slack.com'}]}\nroute: {receiver: a}\nreceivers: [*x]\n")
	f.Add("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://u:p@x/{{ .x }}', http_config: {http_headers: {X: {secrets: [a, \"b\\n\"], files: [c]}}}}]}]\n")
	f.Add("route: {receiver: a}\nreceivers: [{name: a, email_configs: [{to: a@b, from: c@d, smarthost: 'x:25', html: \"\\x85 a\\n\\t: '\"}]}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, r, err := from(t, text)
		if err != nil {
			return
		}
		_, err = amconfig.Load(fileOf(t, r, "alertmanager.tocsin.yml").Text)
		require.NoError(t, err)
		var conf map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(fileOf(t, r, "tocsin.yml").Text), &conf))
	})
}
