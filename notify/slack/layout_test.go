package slack_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

func open(t testing.TB, apiURL string, cfg *slack.Config) notify.Notifier {
	t.Helper()
	if apiURL != "" {
		cfg.APIURL = apiURL + "/api/"
	}
	n, err := slack.Kind(nil).New(cfg, notify.Deps{Name: "test", Transport: &http.Transport{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	require.NoError(t, err)
	return n
}

func TestGolden(t *testing.T) {
	notifytest.Golden(t, open(t, "", section(t, "http://127.0.0.1:1", "xoxb-x")))
}

// The arguments that keep Slack from guessing, on post and on edit.
func TestEveryCallSaysWhatSlackMustNotDo(t *testing.T) {
	n := open(t, "", section(t, "http://127.0.0.1:1", "xoxb-x"))
	for _, verb := range []notify.Verb{notify.VerbOpen, notify.VerbUpdate, notify.VerbResolve} {
		for _, plain := range []bool{false, true} {
			m := notifytest.Message(notifytest.Page(), verb, page.Receipt{Delivery: "d", Ref: "1.2", Channel: "C1"})
			m.Plain = plain
			b, err := n.(notify.Renderer).Render(m)
			require.NoError(t, err)
			var got map[string]any
			require.NoError(t, json.Unmarshal(b, &got))
			for name, want := range map[string]any{
				"parse": "none", "link_names": "false", "unfurl_links": "false", "unfurl_media": "false", "mrkdwn": "false",
				"metadata": map[string]any{"event_type": "tocsin_delivery", "event_payload": map[string]any{"id": "d"}},
			} {
				require.Equal(t, want, got[name], name)
			}
			require.True(t, strings.HasPrefix(got["text"].(string), "38 of 40 failing share"))
			require.Contains(t, got, "blocks", "an edit that leaves them out keeps the old ones")
			require.NotContains(t, string(b), "xoxb-x")
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		change func(*slack.Config)
		want   string
	}{
		{func(c *slack.Config) { c.Channel = "#ops" }, "channel"},
		{func(c *slack.Config) { c.Channel = "" }, "channel"},
		{func(c *slack.Config) { c.TokenFile = "" }, "token_file"},
		{func(c *slack.Config) { c.APIURL = "slack" }, "api_url"},
		{func(c *slack.Config) { c.Morning = "8 am" }, "morning"},
		{func(c *slack.Config) { c.Morning = "24:00" }, "morning"},
		{func(c *slack.Config) { c.TimeZone = "Berlin" }, "time_zone"},
		{func(c *slack.Config) { c.TimeZone = "Local" }, "time_zone"},
		{func(c *slack.Config) { c.SigningSecretFiles = make([]config.SecretFile, 3) }, "signing_secret_files"},
	} {
		c := section(t, "http://127.0.0.1:1", "x")
		tc.change(c)
		require.ErrorContains(t, c.Validate(), tc.want)
	}
	c := section(t, "http://127.0.0.1:1", "x")
	c.TokenFile = "/nowhere"
	_, err := slack.Kind(nil).New(c, notify.Deps{Now: time.Now})
	require.ErrorContains(t, err, "token_file")
	for want, change := range map[string]func(*slack.Config){
		"signing_secret_files": func(c *slack.Config) { c.SigningSecretFiles = []config.SecretFile{"/nowhere"} },
		"app_token_file":       func(c *slack.Config) { c.AppTokenFile = "/nowhere" },
		"begins with xapp-":    func(c *slack.Config) { c.AppTokenFile = c.TokenFile },
	} {
		c := section(t, "http://127.0.0.1:1", "xoxb-secret")
		change(c)
		_, err := slack.Kind(nil).New(c, notify.Deps{Now: time.Now})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "xoxb-secret")
	}
}

// The history is paged through, and a message that is not there yet is waited for.
func TestFindPagesThroughTheHistoryAfterItsLag(t *testing.T) {
	t.Parallel()
	fake := fakeslack.New(fakeslack.Options{NoRateLimits: true, ReadLag: time.Second})
	srv := httptest.NewServer(fake)
	defer srv.Close()
	n := open(t, "", section(t, srv.URL, fakeslack.DefaultToken))
	m := notifytest.Message(notifytest.Page(), notify.VerbOpen, page.Receipt{})
	m.Receipt.Since, m.Receipt.At = time.Now(), time.Now()
	sent, err := n.Notify(t.Context(), m)
	require.NoError(t, err)
	for range 250 { // others talk on
		form := url.Values{"channel": {"C0PAGES"}, "text": {"x"}, "token": {fakeslack.DefaultToken}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/api/chat.postMessage", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	r, found, err := n.(notify.Finder).Find(t.Context(), m)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, sent.Ref, r.Ref)
	require.Equal(t, 2, fake.Ledger().Requests["conversations.history"])

	other := notifytest.Message(notifytest.Page(), notify.VerbOpen, page.Receipt{})
	other.Receipt.Delivery = "another"
	_, found, err = n.(notify.Finder).Find(t.Context(), other)
	require.NoError(t, err)
	require.False(t, found)
}

// A program that starts anew with its clock set ahead takes the message of a
// moment ago for an old one; it waits for the history all the same.
func TestFindWaitsAlthoughTheClockWasSetAhead(t *testing.T) {
	t.Parallel()
	fake := fakeslack.New(fakeslack.Options{NoRateLimits: true, ReadLag: time.Second})
	srv := httptest.NewServer(fake)
	defer srv.Close()
	m := notifytest.Message(notifytest.Page(), notify.VerbOpen, page.Receipt{})
	_, err := open(t, "", section(t, srv.URL, fakeslack.DefaultToken)).Notify(t.Context(), m)
	require.NoError(t, err)
	m.Receipt.Since, m.Receipt.At = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)
	_, found, err := open(t, "", section(t, srv.URL, fakeslack.DefaultToken)).(notify.Finder).Find(t.Context(), m)
	require.NoError(t, err)
	require.True(t, found)
}

// Whatever a label says, Slack takes the message, nobody is pinged and nothing links.
func FuzzSlackRendering(f *testing.F) {
	for _, s := range notifytest.Hostile() {
		f.Add(s)
	}
	fake := fakeslack.New(fakeslack.Options{NoRateLimits: true})
	srv := httptest.NewServer(fake)
	f.Cleanup(srv.Close)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, s string) {
		fake.Reset()
		cfg := slack.Kind(nil).Config().(*slack.Config)
		cfg.Channel, cfg.TokenFile = "C0PAGES", tokenIn(t, dir)
		n := open(t, srv.URL, cfg)
		for _, plain := range []bool{false, true} {
			p := notifytest.Infect(notifytest.Page(), s)
			p.Links = nil
			m := notifytest.Message(p, notify.VerbOpen, page.Receipt{})
			m.Plain = plain
			_, err := n.Notify(t.Context(), m)
			require.NoError(t, err)
		}
		messages := fake.Ledger().Messages
		require.Len(t, messages, 2, "not split, not lost")
		for _, m := range messages {
			require.Empty(t, m.Current.Mentions)
			require.Empty(t, m.Current.Links)
			require.True(t, strings.HasPrefix(m.Current.Visible, "x"), "%q", m.Current.Visible)
		}
	})
}

// Only a handle of the config becomes a mention; a label that looks like one is text.
func TestAMentionComesFromTheConfigAlone(t *testing.T) {
	n := open(t, "", section(t, "http://127.0.0.1:1", "xoxb-x"))
	render := func(o notify.Owner) string {
		m := notifytest.Message(notifytest.Page(), notify.VerbOpen, page.Receipt{})
		m.Owner = o
		m.Text = notify.Compose(m, time.Now())
		b, err := n.(notify.Renderer).Render(m)
		require.NoError(t, err)
		return string(b)
	}
	group := render(notify.Owner{Name: "payments", Slack: "S0PAY"})
	require.Contains(t, group, `{"type":"usergroup","usergroup_id":"S0PAY"}`)
	require.Contains(t, group, `"text":"owner: payments "`)
	require.Contains(t, render(notify.Owner{Name: "ann", Slack: "U0ANN"}), `{"type":"user","user_id":"U0ANN"}`)
	for _, label := range append(notifytest.Hostile(), "S0PAY", "<!subteam^S0PAY>", "@channel") {
		got := render(notify.Owner{Name: label})
		require.NotContains(t, got, `"type":"user`)
		require.NotContains(t, got, `"type":"broadcast"`)
	}
}
