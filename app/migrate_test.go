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
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
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
}

// migrate does what a human does: init, fill in what check says, run.
func migrate(t *testing.T) *migrated {
	t.Helper()
	m := &migrated{
		dir: t.TempDir(), listen: free(t), slack: fakeslack.New(fakeslack.Options{NoRateLimits: true}),
		pagerduty: fakepagerduty.New(fakepagerduty.Options{RoutingKeys: map[string]string{webKey: "web", filesKey: "files", dbKey: "db"}}),
	}
	from, out := filepath.Join(m.dir, "alertmanager.yml"), filepath.Join(m.dir, "tocsin.yml")
	raw, err := os.ReadFile("migrate/testdata/alertmanager.yml")
	require.NoError(t, err)
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
			}
		}
		for _, c := range r.PagerdutyConfigs {
			out = append(out, keys[string(c.RoutingKey)+string(c.ServiceKey)+c.RoutingKeyFile])
		}
	}
	slices.Sort(out)
	return out
}

// stays is what a receiver still sends by itself, as counts by kind.
func stays(rs []amconfig.Receiver) []string {
	out := []string{}
	for _, r := range rs {
		webhooks := 0
		for _, c := range r.WebhookConfigs {
			if !strings.HasSuffix(string(c.URL), "/webhook/alertmanager") {
				webhooks++
			}
		}
		out = append(out, fmt.Sprintf("%s: %d mails, %d webhooks", r.Name, len(r.EmailConfigs), webhooks))
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
	slices.Sort(out)
	return out
}

// The original's route tree says whom an alert reaches. The pair that took over,
// Alertmanager's own route tree over the new file and then Tocsin, reaches the
// same channels and keys, each as often.
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
		{model.LabelSet{"service": "files", "severity": "warning"}, nil},
		{model.LabelSet{"service": "files", "severity": "page"}, []string{filesKey}},
		{model.LabelSet{"service": "database"}, []string{dbKey}},
		{model.LabelSet{"service": "database", "owner": "web"}, []string{"C0000WEB", "C0000WEB", "C0WEBCRIT", webKey}},
		{model.LabelSet{"service": "database", "owner": "files"}, []string{"C0000WEB"}},
		{model.LabelSet{"team": "payments"}, []string{"C0000TEAMS"}},
		{model.LabelSet{"alertname": "Watchdog"}, nil},
	} {
		if tc.alert["alertname"] == "" {
			tc.alert["alertname"] = model.LabelValue(fmt.Sprintf("Alert%02d", total))
		}
		total++
		want := m.told(tc.alert)
		slices.Sort(tc.told)
		require.ElementsMatch(t, tc.told, want, "the original, %s", tc.alert)
		require.Equal(t, stays(receivers(m.was, tc.alert)), stays(receivers(m.is, tc.alert)), "%s", tc.alert)
		m.send(t, tc.alert)
		require.Eventually(t, func() bool { return len(m.shown(tc.alert)) >= len(want) }, 20*time.Second, 10*time.Millisecond,
			"%s: want %v", tc.alert, want)
		require.Equal(t, want, m.shown(tc.alert), "%s", tc.alert)
	}
	require.Len(t, m.slack.Ledger().Roots(), 9, "nothing beside")
	require.Len(t, m.pagerduty.Ledger().Incidents, 4)
}
