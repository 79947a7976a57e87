package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/fakesmtp"
)

// The keys of the original, by hand where it had those of Events API v1.
const (
	webKey   = "0123456789abcdef0123456789abcdef"
	filesKey = "11111111111111111111111111111111"
	dbKey    = "22222222222222222222222222222222"
)

// migrated is the pair that took over from an alertmanager.yml, with Tocsin
// running on it.
type migrated struct {
	dir, listen string
	was, is     *amconfig.Config
	slack       *fakeslack.Fake
	pagerduty   *fakepagerduty.Fake
	mail        *fakesmtp.Server
	hooks       *hooks // webhooks, and what Alertmanager's own Slack notifier says
}

// hooks keeps what was posted to it.
type hooks struct {
	*httptest.Server

	mu    sync.Mutex
	posts []hook
}

// hook is a webhook of Alertmanager's, or an incoming webhook of Slack's.
type hook struct {
	path, body string
	Receiver   string
	Channel    string
	Alerts     []struct{ Labels model.LabelSet }
}

func newHooks(t *testing.T) *hooks {
	t.Helper()
	h := &hooks{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		post := hook{path: r.URL.Path, body: string(raw)}
		if err != nil || json.Unmarshal(raw, &post) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.posts = append(h.posts, post)
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) got() []hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.posts)
}

// migrate does what a human does: init, fill in what check says, run.
func migrate(t *testing.T) *migrated {
	t.Helper()
	m := &migrated{
		dir: t.TempDir(), listen: free(t), slack: fakeslack.New(fakeslack.Options{NoRateLimits: true}),
		pagerduty: fakepagerduty.New(fakepagerduty.Options{RoutingKeys: map[string]string{webKey: "web", filesKey: "files", dbKey: "db"}}),
	}
	m.hooks = newHooks(t)
	var err error
	m.mail, err = fakesmtp.New(t.Context(), fakesmtp.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.mail.Close() })
	from, out := filepath.Join(m.dir, "alertmanager.yml"), filepath.Join(m.dir, "tocsin.yml")
	raw, err := os.ReadFile("migrate/testdata/alertmanager.yml")
	require.NoError(t, err)
	raw = []byte(strings.NewReplacer("mail.example.org:587", m.mail.Addr()+"\n  smtp_require_tls: false",
		"http://ticket.example.org", m.hooks.URL, "https://chat.example.org", m.hooks.URL).Replace(string(raw)))
	require.NoError(t, os.WriteFile(from, raw, 0o600))
	require.NoError(t, app.Init(io.Discard, app.InitOptions{From: from, Out: out, Cluster: "main", URL: "http://" + m.listen}))
	check := func() error {
		return app.Check(t.Context(), io.Discard, app.CheckOptions{ConfigFile: out})
	}
	require.ErrorContains(t, check(), `"#web" is not a channel ID: open the channel's details in Slack`)

	slackAt, pagerdutyAt := httptest.NewServer(m.slack), httptest.NewServer(m.pagerduty)
	t.Cleanup(slackAt.Close)
	t.Cleanup(pagerdutyAt.Close)
	raw, err = os.ReadFile(out)
	require.NoError(t, err)
	text := regexp.MustCompile(`channel: "#(\w+)"`).ReplaceAllStringFunc(string(raw), func(s string) string {
		return "channel: " + idOf(strings.Trim(strings.TrimPrefix(s, "channel: "), `"`))
	})
	require.NoError(t, os.WriteFile(out, []byte(text), 0o600))
	require.ErrorContains(t, check(), "secrets/slack.token still is to be filled in: write a Slack bot token (xoxb-…)")
	require.ErrorContains(t, check(), "secrets/pagerduty-files-pager.key still is to be filled in: write the integration key")
	for name, secret := range map[string]string{
		"secrets/slack.token": fakeslack.DefaultToken, "secrets/pagerduty-files-pager.key": filesKey, "pd-db.key": dbKey,
		"secrets/slack_api_url.secret": m.hooks.URL + "/incoming",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(m.dir, name), []byte(secret), 0o600))
	}
	require.NoError(t, check())

	// the fakes in the place of the services
	text = regexp.MustCompile(`(channel: \w+)}`).ReplaceAllString(text, `$1, api_url: "`+slackAt.URL+`/api/"}`)
	text = regexp.MustCompile(`, events_url: "[^"]+"`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`(routing_key_file: [^,}]+)}`).ReplaceAllString(text, `$1, events_url: "`+pagerdutyAt.URL+`"}`)
	text = strings.Replace(text, "listen: 127.0.0.1:9096", "listen: "+free(t), 1)
	text = strings.Replace(text, "path: data", "path: "+m.dir+"/data", 1)
	require.NoError(t, os.WriteFile(out, []byte(text), 0o600))
	m.was, err = amconfig.LoadFile(from)
	require.NoError(t, err)
	m.is, err = amconfig.LoadFile(filepath.Join(m.dir, "alertmanager.tocsin.yml"))
	require.NoError(t, err)
	m.run(t, out)
	return m
}

// idOf is the ID of a channel, "" for one that Tocsin does not take over.
func idOf(name string) string {
	switch {
	case strings.Contains(name, "{{"):
		return ""
	case strings.HasPrefix(name, "#"):
		return "C0000" + strings.ToUpper(name[1:])
	default:
		return name
	}
}

func (m *migrated) run(t *testing.T, config string) {
	t.Helper()
	for _, r := range m.was.Receivers {
		for _, c := range r.SlackConfigs {
			m.slack.SetChannel(fakeslack.Channel{ID: idOf(c.Channel)})
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, log := make(chan error, 1), &bytes.Buffer{}
	go func() {
		done <- app.Run(ctx, app.Options{ConfigFile: config, Version: "test", Log: slog.New(slog.NewTextHandler(log, nil))})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done, log) })
	require.Eventually(t, func() bool {
		res, err := (&http.Client{Timeout: time.Second}).Get("http://" + m.listen + "/-/ready")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond)
}

// receivers is whom Alertmanager's own route tree tells of an alert.
func receivers(c *amconfig.Config, alert model.LabelSet) []amconfig.Receiver {
	var out []amconfig.Receiver
	for _, r := range dispatch.NewRoute(c.Route, nil).Match(alert) {
		i := slices.IndexFunc(c.Receivers, func(rcv amconfig.Receiver) bool { return rcv.Name == r.RouteOpts.Receiver })
		out = append(out, c.Receivers[i])
	}
	return out
}

// told is where the original sends an alert that Tocsin took over, and how often.
func (m *migrated) told(alert model.LabelSet) []string {
	keys := map[string]string{webKey: webKey, "fedcba9876543210fedcba9876543210": filesKey, "pd-db.key": dbKey}
	out := []string{}
	for _, r := range receivers(m.was, alert) {
		for _, c := range r.SlackConfigs {
			if id := idOf(c.Channel); id != "" && c.APIURL.Host == "hooks.slack.com" {
				out = append(out, id)
			} else {
				out = append(out, "chat "+strings.ReplaceAll(c.Channel, "{{ .CommonLabels.team }}", string(alert["team"])))
			}
		}
		for _, c := range r.PagerdutyConfigs {
			out = append(out, keys[string(c.RoutingKey)+string(c.ServiceKey)+c.RoutingKeyFile])
		}
		for _, c := range r.EmailConfigs {
			out = append(out, "mail "+c.To)
		}
		for _, c := range r.WebhookConfigs {
			if strings.HasPrefix(string(c.URL), m.hooks.URL) {
				out = append(out, "hook "+r.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// stays is what receivers still send by themselves.
func stays(rs []amconfig.Receiver) []string {
	out := []string{}
	for _, r := range rs {
		for range len(r.SlackConfigs) + len(r.PagerdutyConfigs) + len(r.EmailConfigs) {
			out = append(out, r.Name)
		}
		for _, c := range r.WebhookConfigs {
			if !strings.HasSuffix(string(c.URL), "/webhook/alertmanager") {
				out = append(out, string(c.URL))
			}
		}
	}
	return out
}

// send notifies as Alertmanager would, by the migrated config.
func (m *migrated) send(t *testing.T, alert model.LabelSet) {
	t.Helper()
	for _, r := range receivers(m.is, alert) {
		for _, c := range r.WebhookConfigs {
			if !strings.HasSuffix(string(c.URL), "/webhook/alertmanager") {
				continue
			}
			require.True(t, c.SendResolved())
			require.Zero(t, c.MaxAlerts)
			token, err := os.ReadFile(c.HTTPConfig.Authorization.CredentialsFile)
			require.NoError(t, err)
			labels, err := json.Marshal(alert)
			require.NoError(t, err)
			body := fmt.Sprintf(`{"version": "4", "receiver": %q, "status": "firing", "groupKey": %q, "alerts": [{"status": "firing", "labels": %s, "startsAt": %q}]}`,
				r.Name, alert.String(), labels, time.Now().UTC().Format(time.RFC3339))
			req, err := http.NewRequest(http.MethodPost, string(c.URL), strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
			res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, http.StatusAccepted, res.StatusCode)
		}
	}
}

// shown is where the alert shows by now, and how often.
func (m *migrated) shown(alert model.LabelSet) []string {
	out := []string{}
	name := string(alert["alertname"])
	for _, msg := range m.slack.Ledger().Roots() {
		if strings.Contains(msg.Current.Visible, name) {
			out = append(out, msg.Channel)
		}
	}
	for _, in := range m.pagerduty.Ledger().Incidents {
		if strings.Contains(in.Title+string(in.Details), name) {
			out = append(out, in.RoutingKey)
		}
	}
	for _, mail := range m.mail.Mails() {
		if strings.Contains(mail.Header.Get("Subject")+mail.Body, name) {
			out = append(out, "mail "+strings.Join(mail.To, ","))
		}
	}
	for _, h := range m.hooks.got() {
		switch {
		case h.Channel != "" && strings.Contains(h.body, name):
			out = append(out, "chat "+h.Channel)
		case len(h.Alerts) == 1 && h.Alerts[0].Labels.Equal(alert): // the same alert, label by label
			out = append(out, "hook "+h.Receiver)
		}
	}
	slices.Sort(out)
	return out
}

// The original's route tree says whom an alert reaches. The pair that took over,
// Alertmanager's own route tree over the new file and then Tocsin, reaches the
// same channels, keys, mailboxes and webhooks, each as often. What Tocsin has no
// kind for is told by Alertmanager's own notifiers.
func TestMigratedConfigPagesTheSameReceivers(t *testing.T) {
	m := migrate(t)
	total := 0
	for _, tc := range []struct {
		alert model.LabelSet
		told  []string // said here too, so that a test of nothing cannot pass
	}{
		{model.LabelSet{"service": "nowhere"}, []string{"C0000ALERTS"}},
		{model.LabelSet{"service": "shop", "severity": "warning", "environment": "production"}, []string{"C0000WEB"}},
		{model.LabelSet{"service": "shop", "severity": "warning", "environment": "test"}, nil},
		{model.LabelSet{"service": "basket", "severity": "critical"}, []string{"C0000WEB", "C0WEBCRIT", webKey}},
		{model.LabelSet{"service": "files", "severity": "warning"}, []string{"mail files@example.org"}},
		{model.LabelSet{"service": "files", "severity": "page"}, []string{filesKey, "mail files-critical@example.org", "hook files-pager"}},
		{model.LabelSet{"service": "database"}, []string{dbKey}},
		{model.LabelSet{"service": "database", "owner": "web"}, []string{"C0000WEB", "C0000WEB", "C0WEBCRIT", webKey}},
		{model.LabelSet{"service": "database", "owner": "files"}, []string{"C0000WEB"}},
		{model.LabelSet{"team": "payments"}, []string{"C0000TEAMS", "chat #payments", "chat #teams"}},
		{model.LabelSet{"alertname": "Watchdog"}, nil},
	} {
		if tc.alert["alertname"] == "" {
			tc.alert["alertname"] = model.LabelValue(fmt.Sprintf("Alert%02d", total))
		}
		total++
		want := m.told(tc.alert)
		slices.Sort(tc.told)
		require.ElementsMatch(t, tc.told, want, "the original, %s", tc.alert)
		if tc.alert["alertname"] == "Watchdog" {
			require.Equal(t, []string{"https://dead-man.example.org/ping/dead-man-secret"}, stays(receivers(m.is, tc.alert)))
		} else {
			require.Empty(t, stays(receivers(m.is, tc.alert)), "%s", tc.alert)
		}
		m.send(t, tc.alert)
		require.Eventually(t, func() bool { return len(m.shown(tc.alert)) >= len(want) }, 20*time.Second, 10*time.Millisecond,
			"%s: want %v", tc.alert, want)
		require.Equal(t, want, m.shown(tc.alert), "%s", tc.alert)
	}
	require.Len(t, m.slack.Ledger().Roots(), 9, "nothing beside")
	require.Len(t, m.pagerduty.Ledger().Incidents, 4)
	require.Len(t, m.mail.Mails(), 2)
	require.Len(t, m.hooks.got(), 3)
}
