package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/app"
)

// whole is a config that uses all that there is. Its first line is line 1.
const whole = `listen: 127.0.0.1:9095
public_url: https://tocsin.example.org
alertmanagers:
  - {name: dc1, url: http://alertmanager:9093, inbound_token_files: [am.token]}
operators: {listen: 127.0.0.1:9096, tokens: [{name: alice, role: operator, token_file: alice.token}]}
store: {bolt: {path: data/tocsin.db}}
sources:
  - {kind: thanos, name: main, with: {grpc: thanos:10901, http: http://thanos:10902}}
traits: {roles: {host: [instance, node], deploy: [version], user: [user, tenant]}, redact: [user]}
last_resort: {kind: pagerduty, name: ops, with: {routing_key_file: ops.key}}
receivers:
  - name: team
    notify:
      - {kind: slack, name: team, with: {token_file: slack.token, channel: C0PAY}}
      - {kind: pagerduty, name: oncall, with: {routing_key_file: team.key}}
deadline: {critical: 5s, other: 10s}
tracing: {otlp_endpoint: http://collector:4318, sample_ratio: 0.5}
people: [{name: Jane, slack: [U0123, S0123]}, {name: Ops, role: operator, pagerduty: [P0123AB]}]
`

// secrets writes what whole names, and some that no config should name.
func secrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"am.token": "am-secret\n", "alice.token": "alice-secret", "slack.token": "xoxb-1", "empty": " \n", "two": "a\nb\n",
		"ops.key": strings.Repeat("0", 32), "team.key": strings.Repeat("1", 32),
		"users.yml": "basic_auth_users: {am: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// checked runs check on a config and returns what it says, without the folder.
func checked(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "tocsin.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	err := app.Check(t.Context(), &bytes.Buffer{}, app.CheckOptions{ConfigFile: path})
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), dir+"/", "")
}

// wrong is one mistake in whole.
type wrong struct {
	old, new string
	says     string // the beginning of all that is said
	schema   bool   // the schema refuses it too
}

func wrongs() map[string]wrong {
	const am, notify = "  - {name: dc1, url: http://alertmanager:9093, inbound_token_files: [am.token]}\n", "    notify:\n"
	return map[string]wrong{
		"listen is a number":      {"listen: 127.0.0.1:9095", "listen: 9095", `tocsin.yml:1: listen: "9095" is not an address: write it as 127.0.0.1:9095`, true},
		"listen is a list":        {"listen: 127.0.0.1:9095", "listen: [a]", `tocsin.yml:1: a list stands where there must be text`, true},
		"listen has no port":      {"listen: 127.0.0.1:9095", "listen: localhost", `tocsin.yml:1: listen: "localhost" is not an address`, false},
		"port is none":            {"listen: 127.0.0.1:9095", "listen: 127.0.0.1:99999", `tocsin.yml:1: listen: "127.0.0.1:99999" is not an address`, false},
		"one port for two":        {"127.0.0.1:9096", "127.0.0.1:9095", `tocsin.yml:5: operators.listen: 127.0.0.1:9095 is taken by listen`, false},
		"polled all the time":     {"deadline:", "prewarm: {poll: 10ms}\ndeadline:", `tocsin.yml:16: prewarm.poll: more often than every second`, false},
		"lead is negative":        {"deadline:", "prewarm: {max: -1}\ndeadline:", `tocsin.yml:16: prewarm: lead and max are not negative`, false},
		"public_url is a name":    {"https://tocsin.example.org", "tocsin.example.org", `tocsin.yml:2: public_url: write it as https://`, false},
		"public_url has a path":   {"https://tocsin.example.org", "https://example.org/tocsin", `tocsin.yml:2: public_url: write it as https://tocsin.example.org, without a path`, false},
		"no clusters":             {"alertmanagers:\n" + am, "alertmanagers: []\n", `tocsin.yml:3: alertmanagers: name at least one cluster`, true},
		"a cluster, not a list":   {am, "  name: dc1\n", `tocsin.yml:4: a section stands where there must be a list`, true},
		"a token, not a list":     {"[am.token]", "am.token", `tocsin.yml:4: "am.token" stands where there must be a list`, true},
		"an empty item":           {"[am.token]", "[~]", `tocsin.yml:4: an empty item stands in this list`, true},
		"a token file gone":       {"[am.token]", "[am.token, gone]", `tocsin.yml:4: alertmanagers[0].inbound_token_files[1]: open gone: no such file`, false},
		"a token file unnamed":    {"[am.token]", `[""]`, `tocsin.yml:4: alertmanagers[0].inbound_token_files[0]: name the file`, false},
		"a token file empty":      {"[am.token]", "[empty]", `tocsin.yml:4: alertmanagers[0].inbound_token_files[0]: empty is empty: write the secret into it`, false},
		"a token of two lines":    {"[am.token]", "[two]", `tocsin.yml:4: alertmanagers[0].inbound_token_files[0]: two holds more than one line`, false},
		"one name, two clusters":  {am, am + "  - {name: dc1, inbound_token_files: [slack.token]}\n", `tocsin.yml:5: alertmanagers[1].name: "dc1" stands twice`, false},
		"one token, two clusters": {am, am + "  - {name: dc2, inbound_token_files: [am.token]}\n", `tocsin.yml:5: alertmanagers[1].inbound_token_files[0]: cluster dc1 has the same`, false},
		"a cluster's token acts":  {"alice.token", "am.token", `tocsin.yml:5: operators.tokens[0].token_file: cluster dc1 has the same`, false},
		"a reserved name":         {"name: dc1", "name: tocsin", `tocsin.yml:4: alertmanagers[0].name: "tocsin" is the name`, false},
		"a person of no role":     {"name: Ops, role: operator", "name: Ops, role: boss", `tocsin.yml:18: people[1].role: "boss" is no role; write responder or operator`, true},
		"a person without a name": {"name: Jane, slack", "slack", `tocsin.yml:18: people[0].name: write how the person is called`, true},
		"a person of nowhere":     {"name: Jane, slack: [U0123, S0123]", "name: Jane", `tocsin.yml:18: people[0]: write slack or pagerduty`, false},
		"a person's handle":       {"U0123, S0123", `"@jane"`, `tocsin.yml:18: people[0].slack[0]: "@jane" is no ID: copy it from the profile`, false},
		"a person's address":      {"P0123AB", "ops@example.org", `tocsin.yml:18: people[1].pagerduty[0]: "ops@example.org" is no ID: copy it`, false},
		"an ID of two people":     {"name: Ops, role: operator, ", "name: Ops, slack: [U0123], ", `tocsin.yml:18: people[1].slack[0]: U0123 is people[0].slack already`, false},
		"a role of nobody":        {"role: operator", "role: admin", `tocsin.yml:5: operators.tokens[0].role: "admin" is no role; write viewer or operator`, true},
		"an operator's token":     {"alice.token", "gone", `tocsin.yml:5: operators.tokens[0].token_file: open gone: no such file`, false},
		"operators to the world":  {"operators: {listen: 127.0.0.1:9096, tokens: [{name: alice, role: operator, token_file: alice.token}]}", "operators: {listen: ':9096'}", `tocsin.yml:5: operators.listen: write operators.tokens, or listen on 127.0.0.1`, false},
		"a store of nowhere":      {"{bolt: {path: data/tocsin.db}}", "{redis: {}}", `tocsin.yml:6: unknown key "redis"; known here: bolt, etcd`, true},
		"etcd without a member":   {"{bolt: {path: data/tocsin.db}}", "{etcd: {}}", `tocsin.yml:6: store.etcd.endpoints: is empty`, false},
		"etcd by half an address": {"{bolt: {path: data/tocsin.db}}", "{etcd: {endpoints: [etcd-1]}}", `tocsin.yml:6: store.etcd.endpoints[0]: "etcd-1" is no member's address: write it as https://etcd-1:2379`, false},
		"two stores":              {"{bolt: {path: data/tocsin.db}}", "{bolt: {path: x}, etcd: {endpoints: [http://e:2379]}}", `tocsin.yml:6: store.etcd: store.bolt is written too: write one of them`, false},
		"etcd's user alone":       {"{bolt: {path: data/tocsin.db}}", "{etcd: {endpoints: [http://e:2379], username: u}}", `tocsin.yml:6: store.etcd.username: username and password_file belong together`, false},
		"etcd's TLS on http":      {"{bolt: {path: data/tocsin.db}}", "{etcd: {endpoints: [http://e:2379], tls: {ca_file: ca.pem}}}", `tocsin.yml:6: store.etcd.tls: is written, but the endpoints begin with http: write https`, false},
		"a store without path":    {"path: data/tocsin.db", `path: ""`, `tocsin.yml:6: store.bolt.path: is empty`, false},
		"a kind mistyped":         {"kind: thanos", "kind: tanos", `tocsin.yml:8: sources[0].kind: no kind is called "tanos"; write "thanos"`, true},
		"a kind missing":          {"kind: thanos, ", "", `tocsin.yml:8: sources[0].kind: no kind is called ""; write one of: thanos`, true},
		"a source without with":   {", with: {grpc: thanos:10901, http: http://thanos:10902}", "", `tocsin.yml:8: sources[0].with: http: is missing, and so is grpc`, false},
		"a kind's key mistyped":   {"grpc: thanos", "gprc: thanos", `tocsin.yml:8: unknown key "gprc"; write "grpc"`, true},
		"gRPC by its address":     {"grpc: thanos:10901", "grpc: http://thanos:10901/", `tocsin.yml:8: grpc: is host:port, without http://: write thanos:10901`, false},
		"gRPC without a port":     {"grpc: thanos:10901", "grpc: thanos", `tocsin.yml:8: grpc: "thanos" is not host:port: write it as thanos-query:10901`, false},
		"a CA file gone":          {"grpc: thanos:10901,", "grpc: thanos:10901, tls: {ca_file: gone},", `tocsin.yml:8: sources[0].with.tls: open gone: no such file`, false},
		"a role without list":     {"host: [instance, node]", "host: instance", `tocsin.yml:9: "instance" stands where there must be a list`, true},
		"a label with two roles":  {"deploy: [version]", "deploy: [node]", `tocsin.yml:9: traits.roles.host: label "node" plays deploy already`, false},
		"a redacted stranger":     {"redact: [user]", "redact: [usr]", `tocsin.yml:9: traits.redact: role "usr" is not among traits.roles: write one of deploy, host, user`, false},
		"a last resort unnamed":   {"kind: pagerduty, name: ops", "kind: pagerduty", `tocsin.yml:10: last_resort.name: give it a name`, true},
		"a last resort of two":    {"name: ops", "name: oncall", `tocsin.yml:15: receivers[0].notify[1].name: pagerduty/oncall is another target at last_resort`, false},
		"a receiver's key":        {notify, "    notfy:\n", `tocsin.yml:13: unknown key "notfy"; write "notify"`, true},
		"a target twice":          {notify, notify + "      - {kind: slack, name: team, with: {token_file: slack.token, channel: C0PAY}}\n", `tocsin.yml:15: receivers[0].notify[1].name: slack/team stands twice`, false},
		"a channel's name":        {"C0PAY", `"#payments"`, `tocsin.yml:14: channel: "#payments" is not a channel ID`, false},
		"a channel missing":       {", channel: C0PAY", "", `tocsin.yml:14: channel: "" is not a channel ID`, true},
		"a secret in the config":  {"routing_key_file: team.key", "routing_key: abc", `tocsin.yml:15: unknown key "routing_key"`, true},
		"a target without with":   {", with: {routing_key_file: team.key}", "", `tocsin.yml:15: receivers[0].notify[1].with: routing_key_file: name the file`, true},
		"a deadline of words":     {"critical: 5s", "critical: soon", `tocsin.yml:16: "soon" is not a duration`, true},
		"a deadline too late":     {"other: 10s", "other: 5m", `tocsin.yml:16: deadline: a page that may wait more than 1m`, false},
		"a collector's name":      {"http://collector:4318", "collector:4318", `tocsin.yml:17: tracing.otlp_endpoint: write it as http://`, false},
		"more than all":           {"sample_ratio: 0.5", "sample_ratio: 3", `tocsin.yml:17: tracing.sample_ratio: must be between 0 and 1`, false},
		"a user leaves no token":  {"deadline:", "web_config_file: users.yml\ndeadline:", `tocsin.yml:4: alertmanagers[0].inbound_token_files: web_config_file asks every request for a user`, false},
		"a key twice":             {"deadline:", "listen: :1\ndeadline:", `tocsin.yml:16: mapping key "listen" already defined at line 1`, true},
		"a merge":                 {am, "  - &a {name: dc1, inbound_token_files: [am.token]}\n  - <<: *a\n", `tocsin.yml:5: sections inherit nothing`, false},
		"a second document":       {"deadline:", "---\ndeadline:", `tocsin.yml:16: a second document begins here`, false},
		"a tab":                   {"    notify:", "\tnotify:", `tocsin.yml:12: found a tab character`, true},
		"no UTF-8":                {"C0PAY", "C\xe9", `tocsin.yml:14: byte 0xe9 is not text: save the file as UTF-8`, true},
		"a control character":     {"C0PAY", "C\x00", `tocsin.yml:14: byte 0x00 is not text`, true},
	}
}

// Every mistake is said with its line and what to write, and nothing else is
// said with it: one mistake has no consequences that look like more of them.
func TestMistakesOfAConfig(t *testing.T) {
	dir := secrets(t)
	require.Empty(t, checked(t, dir, whole))
	require.Empty(t, checked(t, dir, strings.ReplaceAll(whole, "\n", "\r\n")), "line ends of Windows")
	require.Empty(t, checked(t, dir, "\ufeff"+whole), "a byte order mark")
	for name, w := range wrongs() {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, whole, w.old)
			says := checked(t, dir, strings.Replace(whole, w.old, w.new, 1))
			require.True(t, strings.HasPrefix(says, w.says), "says %s\nnot  %s", says, w.says)
			if name != "a user leaves no token" { // nor one for operators
				require.NotContains(t, says, "\n")
			}
		})
	}
}

func TestFilesThatAreNoConfig(t *testing.T) {
	dir := secrets(t)
	for name, tc := range map[string]struct{ text, says string }{
		"empty":   {"", "tocsin.yml: alertmanagers: name at least one cluster"},
		"comment": {"# nothing\n", "tocsin.yml: alertmanagers: name at least one cluster"},
		"null":    {"null\n", "tocsin.yml:1: alertmanagers: name at least one cluster"},
		"list":    {"- a\n", "tocsin.yml:1: a list stands where there must be a section"},
		"word":    {"hello\n", `tocsin.yml:1: "hello" stands where there must be a section`},
		"huge":    {whole + "#" + strings.Repeat("x", 5<<20), "tocsin.yml: file is over"},
	} {
		require.True(t, strings.HasPrefix(checked(t, dir, tc.text), tc.says), "%s: %s", name, checked(t, dir, tc.text))
	}
	for _, path := range []string{dir, filepath.Join(dir, "gone.yml")} {
		err := app.Check(t.Context(), &bytes.Buffer{}, app.CheckOptions{ConfigFile: path})
		require.ErrorContains(t, err, path+": cannot be read: ")
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, app.WriteSchema(&b))
	doc, err := jsonschema.UnmarshalJSON(&b)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("tocsin.json", doc))
	s, err := c.Compile("tocsin.json")
	require.NoError(t, err)
	return s
}

// accepts validates YAML as editors do.
func accepts(s *jsonschema.Schema, text string) error {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return err
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// The schema refuses nothing that is right, and whatever a schema can refuse.
func TestSchemaKnowsWhatCheckKnows(t *testing.T) {
	s := schema(t)
	require.NoError(t, accepts(s, whole))
	for name, w := range wrongs() {
		err := accepts(s, strings.Replace(whole, w.old, w.new, 1))
		require.Equal(t, w.schema, err != nil, "%s: %v", name, err)
	}
}

// What the README shows is what works.
func TestREADME(t *testing.T) {
	raw, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(raw), -1)
	require.Len(t, blocks, 2, "tocsin.yml and alertmanager.yml")
	dir := t.TempDir()
	text := strings.ReplaceAll(blocks[0][1], "/run/secrets/", dir+"/")
	for i, m := range regexp.MustCompile(regexp.QuoteMeta(dir)+`/[\w-]+`).FindAllString(text, -1) {
		require.NoError(t, os.WriteFile(m, []byte(strings.Repeat(string(rune('a'+i)), 32)), 0o600))
	}
	require.Empty(t, checked(t, dir, text))
	require.NoError(t, accepts(schema(t), text))
	var am struct {
		Route     struct{ Receiver string }
		Receivers []struct {
			Name     string
			Webhooks []struct {
				URL  string
				HTTP struct {
					Authorization struct {
						File string `yaml:"credentials_file"`
					}
				} `yaml:"http_config"`
			} `yaml:"webhook_configs"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(blocks[1][1]), &am))
	require.Contains(t, text, "- name: "+am.Route.Receiver+"\n", "the receiver that Alertmanager names")
	require.Equal(t, am.Route.Receiver, am.Receivers[0].Name)
	require.Contains(t, blocks[0][1], "["+am.Receivers[0].Webhooks[0].HTTP.Authorization.File+"]", "the token that it sends")
	require.True(t, strings.HasSuffix(am.Receivers[0].Webhooks[0].URL, "/webhook/alertmanager"))
}
