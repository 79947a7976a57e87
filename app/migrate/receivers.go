package migrate

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	ampagerduty "github.com/prometheus/alertmanager/notify/pagerduty"
)

// receiver takes over its integrations, each by Tocsin's own kind where that
// can, and notes what stays.
func (m *migration) receiver(r amconfig.Receiver) error {
	out := receiver{name: r.Name, node: receiverNode(m.root, r.Name), taken: map[string][]int{}}
	if out.node == nil {
		return fmt.Errorf("receiver %q has no place in the file", r.Name)
	}
	for i, c := range r.SlackConfigs {
		if c == nil { // an empty item: all of it is global
			g := m.am.Global
			c = &amconfig.SlackConfig{APIURL: g.SlackAPIURL, APIURLFile: g.SlackAPIURLFile, AppToken: g.SlackAppToken, AppTokenFile: g.SlackAppTokenFile}
		}
		t, id, why := m.slack(c)
		m.ours(&out, "slack_configs", i, t, id, why)
	}
	for i, c := range r.PagerdutyConfigs {
		t, id, why := m.pagerduty(r.Name, c)
		m.ours(&out, "pagerduty_configs", i, t, id, why)
	}
	m.others(&out)
	if len(out.targets) > 0 {
		m.receivers = append(m.receivers, out)
	}
	return nil
}

// ours adds a target of one of Tocsin's own kinds; where it cannot be one, why
// says why, it is told by Alertmanager's notifier.
func (m *migration) ours(r *receiver, list string, i int, t target, id, why string) {
	if why != "" {
		m.other(r, list, i, why)
		return
	}
	r.taken[list] = append(r.taken[list], i)
	m.add(r, t, id)
}

func (m *migration) stays(format string, args ...any) {
	m.res.Stays = append(m.res.Stays, line(fmt.Sprintf(format, args...)))
}

// lost notes once what is not carried over.
func (m *migration) lost(what string) {
	if !slices.Contains(m.res.Lost, what) {
		m.res.Lost = append(m.res.Lost, what)
	}
}

// add puts a target into a receiver, under one name wherever it is the same.
func (m *migration) add(r *receiver, t target, id string) {
	i := slices.IndexFunc(m.names, func(n named) bool { return n.id == id })
	if i < 0 {
		t.name = once(plain(t.name), func(s string) bool {
			return slices.ContainsFunc(m.names, func(n named) bool { return n.kind == t.kind && n.name == s })
		})
		m.names = append(m.names, named{t, id})
		i = len(m.names) - 1
		for _, must := range t.must {
			m.todo(t.kind + "/" + t.name + ": " + must)
		}
	}
	t = m.names[i].target
	if slices.ContainsFunc(r.targets, func(o target) bool { return o.kind == t.kind && o.name == t.name }) {
		m.lost(line(fmt.Sprintf("receiver %q named %s/%s twice: it is told once", r.name, t.kind, t.name)))
		return
	}
	r.targets = append(r.targets, t)
}

func (m *migration) todo(what string) {
	if what = line(what); !slices.Contains(m.res.Todo, what) {
		m.res.Todo = append(m.res.Todo, what)
	}
}

// slack says a slack_config as a target; why says why it cannot be.
func (m *migration) slack(c *amconfig.SlackConfig) (t target, id, why string) {
	if strings.Contains(c.Channel, "{{") {
		return t, "", "its channel is a template; Tocsin's channels are written out, one receiver per team"
	}
	token, must, why := m.slackToken(c)
	if why != "" {
		return t, "", why
	}
	m.lost("Slack: title, text, fields, colour, icon and buttons: Tocsin writes the message itself, resolves included (send_resolved)")
	if h := c.HTTPConfig; h != nil && h.ProxyURL.URL != nil {
		m.lost("Slack: proxy_url of a receiver: set HTTPS_PROXY for the process")
	}
	t = target{kind: "slack", name: cmp.Or(c.Channel, "slack"), with: [][2]string{{"token_file", token}, {"channel", c.Channel}}}
	if !channelID(c.Channel) {
		what := "write the ID of channel " + c.Channel
		if c.Channel == "" {
			what, t.with[1][1] = "write the ID of the channel that the incoming webhook belongs to", "#the-channel-of-the-incoming-webhook"
		}
		t.must = append(t.must, what+": open the channel's details in Slack and copy the ID at the end, like C0123ABCD")
	}
	if must != "" {
		t.must = append(t.must, must)
	}
	return t, "slack\x00" + token + "\x00" + strings.TrimPrefix(c.Channel, "#"), ""
}

func channelID(s string) bool {
	const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(s) > 8 && strings.ContainsRune("CGD", rune(s[0])) && strings.Trim(s, upper) == ""
}

// slackToken finds the bot token, or leaves a file for it.
func (m *migration) slackToken(c *amconfig.SlackConfig) (file, must, why string) {
	if c.AppTokenFile != "" {
		return m.referenced(c.AppTokenFile), "", ""
	}
	if c.AppToken != "" {
		return m.secret(m.tokens, "slack.token", string(c.AppToken), string(c.AppToken)), "", ""
	}
	var u *url.URL
	if c.APIURL != nil {
		u = c.APIURL.URL
	}
	if u != nil && !slackHost(u.Hostname()) {
		return "", "", "its api_url is not Slack's own (" + u.Hostname() + "); Tocsin speaks to Slack's API"
	}
	if h := c.HTTPConfig; h != nil && h.Authorization != nil && u != nil && strings.HasPrefix(u.Path, "/api/") {
		if a := h.Authorization; a.CredentialsFile != "" {
			return m.referenced(a.CredentialsFile), "", ""
		} else if a.Credentials != "" {
			return m.secret(m.tokens, "slack.token", string(a.Credentials), string(a.Credentials)), "", ""
		}
	}
	workspace := ""
	if u != nil { // https://hooks.slack.com/services/<workspace>/<app>/<secret>
		if parts := strings.Split(u.Path, "/"); len(parts) > 2 && parts[1] == "services" {
			workspace = parts[2]
		}
	}
	cure := "write a Slack bot token (xoxb-…) into this file, in place of this line: Alertmanager had an incoming webhook, " +
		"Tocsin edits its messages and needs an app with the scopes chat:write and channels:history (groups:history for private channels), invited to the channels"
	known := len(m.secrets)
	file = m.secret(m.tokens, "slack.token", "workspace\x00"+workspace, Unfilled(cure))
	if len(m.secrets) > known { // said once, where the file is named first
		must = "put a bot token (xoxb-…) into " + file + "; Alertmanager had an incoming webhook, which cannot edit messages"
	}
	return file, must, ""
}

func slackHost(host string) bool {
	return host == "slack.com" || strings.HasSuffix(host, ".slack.com") || strings.HasSuffix(host, ".slack-gov.com")
}

// pagerduty says a pagerduty_config as a target; why says why it cannot be.
func (m *migration) pagerduty(of string, c *ampagerduty.PagerdutyConfig) (t target, id, why string) {
	if strings.Contains(string(c.RoutingKey), "{{") {
		return t, "", "its routing_key is a template; Tocsin's keys are files, one receiver per team"
	}
	m.lost("PagerDuty: description, details, links, class, component and group: Tocsin writes the event itself")
	if h := c.HTTPConfig; h != nil && h.ProxyURL.URL != nil {
		m.lost("PagerDuty: proxy_url of a receiver: set HTTPS_PROXY for the process")
	}
	t = target{kind: "pagerduty", name: of}
	name := "pagerduty-" + plain(of) + ".key"
	var file string
	switch {
	case c.RoutingKeyFile != "":
		file = m.referenced(c.RoutingKeyFile)
	case c.RoutingKey != "":
		file = m.secret(m.keys, name, string(c.RoutingKey), string(c.RoutingKey))
	default:
		key := "service\x00" + cmp.Or(c.ServiceKeyFile, string(c.ServiceKey))
		file = m.secret(m.keys, name, key, Unfilled("write the integration key (32 characters) of an Events API v2 integration into this file, in place of this line: "+
			"Alertmanager had a service_key, which is one of the Events API v1; add the integration to the same PagerDuty service"))
		t.must = append(t.must, "put the key of an Events API v2 integration into "+file+"; Alertmanager had a service_key, which is one of the Events API v1")
	}
	t.with = [][2]string{{"routing_key_file", file}}
	if base := eventsBase(c); base != "" {
		t.with = append(t.with, [2]string{"events_url", base})
	}
	return t, "pagerduty\x00" + file + "\x00" + eventsBase(c), ""
}

// eventsBase is the Events API's base address where it is not the usual one.
func eventsBase(c *ampagerduty.PagerdutyConfig) string {
	if c.URL == nil || c.URL.Host == "events.pagerduty.com" {
		return ""
	}
	u := *c.URL.URL
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v2/enqueue")
	return u.String()
}

// referenced is the path of a secret file of Alertmanager's.
func (m *migration) referenced(path string) string {
	path = m.absolute(path)
	m.todo("let Tocsin's user read " + path + ", which Alertmanager reads today")
	return path
}

// absolute is a path of the alertmanager.yml, from its folder.
func (m *migration) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	path = filepath.Join(m.base, path)
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// secret returns the file of a line that is secret.
func (m *migration) secret(known map[string]string, name, id, text string) string {
	return m.hidden(known, name, id, text+"\n")
}

// hidden returns the file of a secret: the one it is in already, or a new one.
func (m *migration) hidden(known map[string]string, name, id, text string) string {
	if file, ok := known[id]; ok {
		return file
	}
	ext := filepath.Ext(name)
	path := filepath.ToSlash(filepath.Join(secretsDir, once(strings.TrimSuffix(name, ext), func(s string) bool {
		return slices.ContainsFunc(m.secrets, func(f File) bool { return filepath.Base(f.Path) == s+ext })
	})+ext))
	known[id] = path
	m.secrets = append(m.secrets, File{Path: filepath.Join(filepath.Dir(m.o.Out), path), Text: text, Mode: secretMode, Secret: true})
	return path
}
