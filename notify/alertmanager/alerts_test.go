package alertmanager_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// webhookMessage is what Alertmanager's webhook notifier posts, version 4.
type webhookMessage struct {
	*template.Data
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
}

func webhooks(t *testing.T, s *service) []webhookMessage {
	t.Helper()
	var out []webhookMessage
	for _, r := range s.posts() {
		var m webhookMessage
		require.NoError(t, json.Unmarshal([]byte(r.Body), &m))
		out = append(out, m)
	}
	return out
}

func TestWebhookEndToEnd(t *testing.T) {
	s := newService(t)
	n := kind(t, "webhook", s)
	p := grouped(notifytest.Page())
	p.Alerts[0].Annotations = page.Labels{"summary": "two\nlines", "tocsin_headline": "forged"}
	p.Alerts[0].GeneratorURL = "javascript:alert(1)"
	p.Alerts[1].GeneratorURL = "https://prometheus.example.org/graph?g0.expr=up"
	p.Resolved = []page.Alert{{Labels: page.Labels{"alertname": "CheckoutErrors", "instance": "web-9"}, StartsAt: p.Clock.Started, EndsAt: p.Clock.Started.Add(time.Minute)}}
	r, err := n.Notify(t.Context(), open(p))
	require.NoError(t, err)
	_, err = n.Notify(t.Context(), message(grouped(notifytest.Resolved()), notify.VerbResolve, r))
	require.NoError(t, err)

	got := webhooks(t, s)
	require.Len(t, got, 2)
	m := got[0]
	require.Equal(t, "4", m.Version)
	require.Equal(t, p.Problem, m.GroupKey)
	require.Equal(t, "firing", m.Status)
	require.Equal(t, template.KV{"cluster": "eu", "service": "checkout"}, m.GroupLabels)
	require.Equal(t, "first notification", m.NotificationReason)
	require.Equal(t, "https://tocsin.example.org", m.ExternalURL)
	require.Len(t, m.Alerts, 4)
	require.Len(t, m.Alerts.Firing(), 3)
	require.Equal(t, "two\nlines", m.Alerts[0].Annotations["summary"])
	require.Equal(t, p.Headline, m.CommonAnnotations["tocsin_headline"], "nobody else speaks in our name")
	require.Empty(t, m.Alerts[0].GeneratorURL)
	require.Equal(t, p.Alerts[1].GeneratorURL, m.Alerts[1].GeneratorURL)
	require.Equal(t, "resolved", got[1].Status)
	require.Len(t, got[1].Alerts.Resolved(), 3)
	require.False(t, got[1].Alerts[0].EndsAt.IsZero())
	require.Equal(t, "all alerts resolved", got[1].NotificationReason)
}

// docs/targets.md says which annotations there are; templates lean on them.
func TestFactsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/targets.md")
	require.NoError(t, err)
	names, docs := alertmanager.Facts()
	var rows strings.Builder
	for i, name := range names {
		fmt.Fprintf(&rows, "| `%s` | %s |\n", name, docs[i])
	}
	require.Contains(t, string(doc), rows.String())

	s := newService(t)
	p := notifytest.Page()
	p.Test, p.Notes, p.Links = true, []page.Note{{Text: "main answered in part"}}, []page.Link{{Text: "runbook", URL: "https://wiki.example.org/"}}
	m := open(p)
	m.Owner, m.Verb = notify.Owner{Name: "payments"}, notify.VerbFollow
	m.Updates = []page.Update{{N: 1, Kind: page.UpdateWorse, Text: "42 alerts now", Aloud: true}}
	m.Text = notify.Compose(m, time.Now())
	m.Text.Alone, m.Text.Same = "only the new version", "the same as pod=cart-1"
	m.Receipt.Ref = "webhook[0]"
	_, err = kind(t, "webhook", s).(notify.Follower).Follow(t.Context(), m)
	require.NoError(t, err)
	got := webhooks(t, s)
	require.Len(t, got, 1)
	for _, name := range names {
		require.NotEmpty(t, got[0].CommonAnnotations[name], name)
	}
}

func TestFollow(t *testing.T) {
	worse := page.Update{N: 3, Kind: page.UpdateWorse, Text: "42 alerts now"}
	joined := page.Update{N: 4, Kind: page.UpdateJoined, Text: "2 joined"}
	late := page.Update{N: 5, Kind: page.UpdateContext, Text: "38 of 40 share deploy=v42", Aloud: true}
	left := page.Update{N: 6, Kind: page.UpdateLeft, Text: "1 left"}
	for name, tc := range map[string]struct {
		follow  string
		updates []page.Update
		rings   int
	}{
		"worse":                  {"worse", []page.Update{worse, left}, 1},
		"a strong trait is late": {"worse", []page.Update{late}, 1},
		"joined":                 {"worse", []page.Update{joined, left}, 0},
		"joined, asked for":      {"joined", []page.Update{joined}, 1},
		"never":                  {"never", []page.Update{worse, joined, late}, 0},
		"nothing":                {"worse", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			n := build(t, decode(t, write(t, s.URL, two+"follow: "+tc.follow+"\n")))
			m := message(notifytest.Page(), notify.VerbFollow, page.Receipt{Delivery: "d", Ref: "webhook[0]", Followed: 2})
			m.Updates = tc.updates
			r, err := n.(notify.Follower).Follow(t.Context(), m)
			require.NoError(t, err)
			require.Equal(t, "webhook[0]", r.Ref, "who was not told of the page is not told of its course")
			require.Len(t, s.posts(), tc.rings)
			if k := len(tc.updates); k > 0 {
				require.Equal(t, tc.updates[k-1].N, r.Followed)
			}
			if tc.rings > 0 {
				require.Contains(t, webhooks(t, s)[0].CommonAnnotations["tocsin_update"], tc.updates[0].Text)
			}
		})
	}
	s := newService(t)
	n := kind(t, "webhook", s).(notify.Follower)
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.RateLimit}))
	m := message(notifytest.Page(), notify.VerbFollow, page.Receipt{Delivery: "d", Ref: "webhook[0]"})
	m.Updates = []page.Update{worse}
	r, err := n.Follow(t.Context(), m)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Zero(t, r.Followed)
}

// leaves returns all text that a request shows, decoded.
func leaves(t *testing.T, r request) []string {
	t.Helper()
	var v any
	if json.Unmarshal([]byte(r.Body), &v) != nil {
		q, err := url.ParseQuery(r.Body + "&" + r.Query)
		require.NoError(t, err)
		v = map[string][]string(q)
	}
	var out []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for k, x := range v {
				out = append(out, k)
				walk(x)
			}
		case map[string][]string:
			for _, x := range v {
				out = append(out, x...)
			}
		}
	}
	walk(v)
	return out
}

// No label mentions anybody, hides its address behind words, or is read as what
// it is not, through any integration.
func TestFaultHostileText(t *testing.T) {
	machine := regexp.MustCompile(`^(incidentio|opsgenie|pagerduty|pushover|sns|victorops|webhook)$`)
	mention := regexp.MustCompile(`<[!@#~^]|<(https?|mailto):|(^|[^\pL\pN_])@[\pL\pN_{]|\]\(|\[[~^@]|\|https?:|<at>|<(script|img)`)
	corpus := append(notifytest.Hostile(), "<at>everyone</at>", "[click](https://evil.example)", "[~admin] [click|https://evil.example]",
		"@@here", ".@all,@here", "<@personEmail:a@b.example>", "<https://evil.example|x>", "[x]( https://evil.example )")
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		n := kind(t, name, s)
		for _, text := range corpus {
			p := notifytest.Infect(notifytest.Page(), text)
			p.GroupLabels = page.Labels{"service": text, text: text}
			for _, plain := range []bool{false, true} {
				m := open(p)
				m.Plain = plain
				_, err := n.Notify(t.Context(), m)
				if name == "webex" && !plain && err != nil { // it panics where it cuts such a text
					require.Equal(t, remote.Content, remote.ClassOf(err))
					continue
				}
				require.NoError(t, err, "%.80q", text)
			}
		}
		for _, r := range s.posts() {
			for _, leaf := range leaves(t, r) {
				require.NotRegexp(t, `[\x{202a}-\x{202e}\x{2066}-\x{2069}\x{200b}\x{feff}\x00-\x08\x1b]`, leaf)
				require.NotContains(t, leaf, "javascript:alert(1)\"")
				if name == "slack" { // it reads markup in angle brackets only
					require.NotRegexp(t, `<[!@#]|<(https?|mailto):`, leaf)
				} else if !machine.MatchString(name) && leaf != "@context" && leaf != "@type" {
					leaf = strings.ReplaceAll(leaf, "https://tocsin.example.org/#/alerts?receiver=", "")
					require.NotRegexp(t, mention, leaf)
				}
			}
			if name == "discord" {
				require.Contains(t, r.Body, `"allowed_mentions":{"parse":[]}`)
			}
		}
	})
}

func TestRedirectsStayWithTheirHost(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	var elsewhere bool
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case elsewhere:
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case r.URL.Path != "/moved":
			http.Redirect(w, r, srv.URL+"/moved", http.StatusTemporaryRedirect)
		default:
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}))
	defer srv.Close()
	n := build(t, section(t, "webhook", srv.URL))
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.NoError(t, err, "on one host it is followed")
	elsewhere = true
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Config, remote.ClassOf(err), "%v", err)
	require.False(t, asked)
}

// Telegram's notifier dereferences what an answer may lack.
func TestAPanicIsADoubt(t *testing.T) {
	s := newService(t)
	n := kind(t, "telegram", s)
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 200, Body: `{"ok":true,"result":{"message_id":1}}`, Count: 1}))
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Unknown, remote.ClassOf(err), "%v", err)
	require.ErrorContains(t, err, "panic")
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.NoError(t, err, "its slot is free again")
}

// A success whose body says no is a refusal.
func TestRefusedWithStatus200(t *testing.T) {
	for _, tc := range []struct {
		kind, body string
		want       remote.Class
	}{
		{"slack", `{"ok":false,"error":"channel_not_found"}`, remote.Config},
		{"slack", `{"ok":false,"error":"ratelimited"}`, remote.NotSent},
		{"slack", `{"ok":false,"error":"invalid_blocks"}`, remote.Content},
		{"rocketchat", `{"success":false,"error":"error-room-not-found"}`, remote.Config},
		{"rocketchat", `{"success":false,"error":"error-too-many-requests"}`, remote.NotSent},
		{"wechat", `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest"}`, remote.Config},
		{"opsgenie", `<html>proxy</html>`, remote.Unknown},
		{"telegram", `<html>proxy</html>`, remote.Unknown},
	} {
		s := newService(t)
		n := kind(t, tc.kind, s)
		f := fault.Fault{Kind: fault.Status, Status: 200, Body: tc.body}
		if tc.kind == "wechat" {
			f.Path = "/send"
		}
		require.NoError(t, s.Faults.Set(1, f))
		_, err := n.Notify(t.Context(), open(notifytest.Page()))
		require.Equal(t, tc.want, remote.ClassOf(err), "%s %s: %v", tc.kind, tc.body, err)
	}
}

// Many calls leave neither goroutines nor connections behind, though two of
// the notifiers never close an answer.
func TestNothingIsLeft(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		n := kind(t, name, s)
		_, err := n.Notify(t.Context(), open(notifytest.Page()))
		require.NoError(t, err)
		before := runtime.NumGoroutine()
		for range 20 {
			_, err := n.Notify(t.Context(), open(notifytest.Page()))
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+4 }, 20*time.Second, 10*time.Millisecond)
	})
}

// What templates are fed with, case by case.
func TestGolden(t *testing.T) {
	notifytest.Golden(t, kind(t, "webhook", newService(t)))
}
