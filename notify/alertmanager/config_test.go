package alertmanager_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify/alertmanager"
)

// Mistakes are said at the line of the user's file, whoever found them.
func TestMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing": {"follow: worse\n", "receiver: write the lists of one receiver as in alertmanager.yml"},
		"no list": {"receiver:\n  name: ops\n", "with.yml:1: receiver: write the lists"},
		"unknown key": {
			"follow: worse\nreceiver:\n  email_configs:\n    - to: a@b.example\n      from: c@d.example\n      smarthst: x:25\n",
			`with.yml:6: receiver.email_configs[0].smarthst: unknown key "smarthst"`,
		},
		"unknown list": {
			"receiver:\n  email_configs: []\n  carrier_pigeon_configs: [{to: x}]\n", `with.yml:3: receiver.carrier_pigeon_configs: unknown key`,
		},
		"unknown key of global": {
			"global:\n  smtp_from: a@b.example\n  smtp_smarthos: x:25\nreceiver:\n  email_configs: [{to: a@b.example, smarthost: 'x:25'}]\n",
			`with.yml:3: global.smtp_smarthos: unknown key "smtp_smarthos"`,
		},
		"a type": {
			"receiver:\n  webhook_configs:\n    - url_file: x\n      max_alerts: many\n", "with.yml:4: receiver.webhook_configs[0].max_alerts: cannot unmarshal",
		},
		"lacks something": {"receiver:\n  email_configs:\n    - to: a@b.example\n", "with.yml:1: receiver: no global SMTP smarthost set"},
		"secret in the file": {
			"receiver:\n  opsgenie_configs:\n    - api_key: hunter2\n      api_url: http://x/\n",
			"with.yml:3: receiver.opsgenie_configs[0].api_key: secrets are files: write api_key_file in place of api_key",
		},
		"secret in global": {
			"receiver:\n  email_configs: [{to: a@b.example}]\nglobal:\n  smtp_smarthost: x:25\n  smtp_from: c@d.example\n  smtp_auth_password: hunter2\n",
			"with.yml:6: global.smtp_auth_password: secrets are files: write smtp_auth_password_file",
		},
		"secret address": {
			"receiver:\n  webhook_configs:\n    - url: https://x.example/hunter2\n",
			"with.yml:3: receiver.webhook_configs[0].url: secrets are files: write url_file",
		},
		"secret of http_config": {
			"receiver:\n  webhook_configs:\n    - url_file: x\n      http_config:\n        basic_auth: {username: u, password: hunter2}\n",
			"with.yml:5: receiver.webhook_configs[0].http_config.basic_auth.password: secrets are files: write password_file",
		},
		"twice":    {"receiver:\n  webhook_configs: [{url_file: x}]\n  webhook_configs: [{url_file: y}]\n", `with.yml:2: receiver.webhook_configs: "webhook_configs" stands twice`},
		"external": {"external_url: here\nreceiver:\n  webhook_configs: [{url_file: x}]\n", "with.yml:1: external_url: write it as"},
		"follow":   {"follow: all\nreceiver:\n  webhook_configs: [{url_file: x}]\n", `with.yml:1: follow: "all" is not known; write worse, joined or never`},
		"bomb":     {"receiver: &r\n  webhook_configs: &w [*r, *r]\n", "with.yml:"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := config.Parse("with.yml", []byte(tc.text))
			if err == nil {
				err = s.Decode(alertmanager.Kind().Config())
			}
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "plain", "names of Go types say nothing")
		})
	}
}

func TestFilesAreReadBeforeAnythingRuns(t *testing.T) {
	for name, tc := range map[string]struct{ text, content, want string }{
		"missing":   {"receiver:\n  webhook_configs: [{url_file: missing}]\n", "", "receiver.webhook_configs[0].url_file: open"},
		"to fill":   {"receiver:\n  webhook_configs: [{url_file: secret}]\n", config.Unfilled + "the address", "still is to be filled in: the address"},
		"of global": {"receiver:\n  opsgenie_configs: [{api_url: 'http://x/'}]\nglobal: {opsgenie_api_key_file: missing}\n", "", "global.opsgenie_api_key_file: open"},
		"templates": {"receiver:\n  webhook_configs: [{url_file: secret}]\ntemplates: ['none/*.tmpl']\n", "http://x/", "templates[0]: "},
		"template":  {"receiver:\n  webhook_configs: [{url_file: secret}]\ntemplates: ['broken.tmpl']\n", "http://x/", "templates[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "", tc.text)
			dir := filepath.Dir(path)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(tc.content), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.tmpl"), []byte("{{ define"), 0o600))
			_, err := alertmanager.Kind().New(decode(t, path), deps())
			require.ErrorContains(t, err, tc.want)
		})
	}
	d := deps()
	d.PublicURL = ""
	path := write(t, "http://x", "receiver:\n  webhook_configs: [{url_file: HOOK/webhook}]\n")
	_, err := alertmanager.Kind().New(decode(t, path), d)
	require.ErrorContains(t, err, "external_url: write Alertmanager's address")
}

// A whole section may stand elsewhere in the file, and a receiver may be pasted.
func TestAliasesAndAPastedName(t *testing.T) {
	s, err := config.Parse("with.yml", []byte("receiver:\n  name: ops\n  webhook_configs:\n    - &hook {url_file: x}\n    - *hook\n"))
	require.NoError(t, err)
	require.NoError(t, s.Decode(alertmanager.Kind().Config()))
}

// A block that begins with a blank is what it is.
func TestBlocksOfText(t *testing.T) {
	s, err := config.Parse("with.yml", []byte("receiver:\n  email_configs:\n    - to: a@b.example\n      smarthost: x:25\n      from: c@d.example\n      html: |2\n          <b>\n        {{ x }}\n      text: >2\n           x\n         y\n"))
	require.NoError(t, err)
	require.NoError(t, s.Decode(alertmanager.Kind().Config()))
}

func FuzzConfig(f *testing.F) {
	for kind, list := range lists() {
		f.Add("receiver:\n  " + kind + "_configs: " + strings.ReplaceAll(list, "URL", "http://x") + "\n")
	}
	f.Add("receiver: {email_configs: [{to: a@b, smarthost: 'x:25', from: c@d}]}\nglobal: {}\ntemplates: [x]\n")
	f.Add("receiver: &a {webhook_configs: [*a]}\n")
	f.Add("receiver: {webhook_configs: [{url_file: x, payload: {a: [1, {b: '{{'}]}}]}\n")
	f.Fuzz(func(_ *testing.T, text string) {
		s, err := config.Parse("with.yml", []byte(text))
		if err != nil {
			return
		}
		c := alertmanager.Kind().Config()
		if s.Decode(c) == nil {
			_, _ = alertmanager.Kind().New(c, deps()) // its files are missing, as a rule
		}
	})
}
