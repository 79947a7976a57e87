package migrate

import (
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed minimal.yml
var minimal string // with CLUSTER in the place of the cluster's name

// Minimal is a first config for an installation without an alertmanager.yml to
// take over.
func Minimal(o Options) *Result {
	secret := func(name, text string) File {
		return File{Path: filepath.Join(filepath.Dir(o.Out), secretsDir, name), Text: text + "\n", Mode: secretMode, Secret: true}
	}
	return &Result{
		Files: []File{
			{Path: o.Out, Text: strings.ReplaceAll(minimal, "CLUSTER", quote(o.Cluster)), Mode: configMode},
			secret("alertmanager.token", newToken()),
			secret("slack.token", Unfilled("write a Slack bot token (xoxb-…) into this file, in place of this line: make an app with the scopes chat:write and channels:history (groups:history for private channels) and invite it to the channel")),
			secret("pagerduty.key", Unfilled("write the integration key (32 characters) of an Events API v2 integration into this file, in place of this line; or remove the pagerduty target from the config")),
		},
		Todo: []string{
			"name the receiver as alertmanager.yml does, and write the ID of its Slack channel",
			"put a bot token (xoxb-…) into secrets/slack.token",
			"put the key of an Events API v2 integration into secrets/pagerduty.key, or remove the pagerduty target",
			"copy secrets/alertmanager.token to Alertmanager and name it in the receiver's webhook_configs, as the config shows",
		},
	}
}

// newToken is 256 bits nobody can guess.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails; it ends the program rather
	return hex.EncodeToString(b)
}

const head = `# Written by tocsin init from %s. docs/reference/config.md says what every key means;
# tocsin check says what is left to do here, line by line.
listen: %s        # Alertmanager's webhooks
operators:
  listen: 127.0.0.1:9096      # the API and reload; only this machine, unless tokens are given
alertmanagers:
  - name: %s                # part of every problem's identity: keep it
    # url: http://alertmanager:9093   # asked what fires: at a start, after trouble, of a late alert
    inbound_token_files: [%s]
store:
  bolt: {path: data/tocsin.db}
# Who is asked what the failing share. Without a source a page says that nobody could be asked.
# sources:
#   - {kind: thanos, name: main, with: {http: "http://prometheus:9090"}}
# last_resort: {kind: pagerduty, name: ops, with: {routing_key_file: secrets/ops.key}}   # Tocsin's own alarms
receivers:
`

// tocsin writes the config.
func (m *migration) tocsin() (string, error) {
	m.secrets = append(m.secrets, File{
		Path: filepath.Join(filepath.Dir(m.o.Out), inboundToken), Text: newToken() + "\n", Mode: secretMode, Secret: true,
	})
	m.todo("put alertmanager.tocsin.yml in the place of " + m.o.From + ", and a copy of " + inboundToken + " beside it (the path is taken from the file's folder), readable by Alertmanager only")
	listen := ":9095"
	if u, err := url.Parse(m.o.URL); err == nil && slices.Contains([]string{"127.0.0.1", "localhost"}, u.Hostname()) {
		listen = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "9095"))
		m.todo("if Alertmanager is not on Tocsin's host: run tocsin init again with --url set to the address at which it reaches Tocsin")
	}
	if m.o.ExternalURL == "" && slices.ContainsFunc(m.names, func(n named) bool { return n.kind == caged }) {
		m.todo("if people do not open Alertmanager at " + defaultExternalURL + ", where templates link to: run tocsin init again with --external-url set to Alertmanager's --web.external-url")
	}
	var b strings.Builder
	fmt.Fprintf(&b, head, line(m.o.From), listen, quote(m.o.Cluster), inboundToken)
	said := map[string]bool{} // what a human must do about a target is said where it stands first
	for _, r := range m.receivers {
		fmt.Fprintf(&b, "  - name: %s\n    # shadow: true   # everything but the sending, to compare with today's receiver\n    notify:\n", quote(r.name))
		for _, t := range r.targets {
			if id := t.kind + "/" + t.name; !said[id] {
				said[id] = true
				for _, must := range t.must {
					fmt.Fprintf(&b, "      # you must: %s\n", line(must))
				}
			}
			if err := t.write(&b); err != nil {
				return "", err
			}
		}
	}
	return b.String(), nil
}

// write writes the lines of a target; one of Alertmanager's is a block.
func (t target) write(b *strings.Builder) error {
	if t.block == nil {
		var with []string
		for _, kv := range t.with {
			with = append(with, kv[0]+": "+quote(kv[1]))
		}
		fmt.Fprintf(b, "      - {kind: %s, name: %s, with: {%s}}\n", t.kind, quote(t.name), strings.Join(with, ", "))
		return nil
	}
	text, err := encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{
		mapping("kind", scalar(t.kind), "name", scalar(t.name), "with", t.block),
	}})
	if err != nil {
		return err
	}
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) != "" {
			l = "      " + l
		}
		b.WriteString(l)
	}
	return nil
}

// quote writes a string that YAML reads as that string.
func quote(s string) string {
	words := []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
	if regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$`).MatchString(s) && !slices.Contains(words, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b) // a JSON string is a YAML one
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings always encode
	return strings.TrimSpace(b.String())
}
