package slack_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// asked is a network that writes down whom it was asked for, and where all
// answer the same.
type asked struct {
	mu     sync.Mutex
	urls   []string
	answer string
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.urls = append(a.urls, r.URL.String())
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.answer)), Header: http.Header{}}, nil
}

func (a *asked) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.urls...)
}

// elsewhere are addresses that a payload or an answer may hold and that lead
// away from Slack.
func elsewhere() []string {
	return []string{
		"https://evil.example/", "http://hooks.slack.com/x", "https://hooks.slack.com@evil.example/", "https://u:p@hooks.slack.com/",
		"https://hooks.slack.com:8443/", "https://xhooks.slack.com/", "https://hooks.slack.com.evil.example/", "//hooks.slack.com/x",
		"http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "hooks.slack.com", "", "https://[::1]/", "%zz", "http://127.0.0.1:2/",
	}
}

// at is a target whose clock stands at now, with a desk.
func at(t *testing.T, now time.Time, network http.RoundTripper, change func(*slack.Config)) (notify.Notifier, *desk) {
	cfg := section(t, "http://127.0.0.1:1", "xoxb-x")
	cfg.SigningSecretFiles = []config.SecretFile{secretFile(t, "secret")}
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	n, err := slack.Kind(dot).New(cfg, notify.Deps{Name: "x", Transport: network, Now: func() time.Time { return now }, Log: silent()})
	require.NoError(t, err)
	p := grouped()
	return n, &desk{
		page: p, receipts: map[string]page.Receipt{"d1": {Delivery: "d1", Problem: p.Problem, Episode: p.Episode, Target: "slack/x"}},
		may: map[string][]page.Verb{"U0ANN": {page.Acknowledge, page.SilenceIt}},
	}
}

func pressed(t *testing.T, n notify.Notifier, d *desk, now time.Time, payload string) {
	t.Helper()
	body := url.Values{"payload": {payload}}.Encode()
	stamp := strconv.FormatInt(now.Unix(), 10)
	w := httptest.NewRecorder()
	n.(notify.Caller).Callback(d).ServeHTTP(w, signed(body, stamp, fakeslack.Sign("secret", stamp, []byte(body))))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
}

func TestAnswersGoToSlackAlone(t *testing.T) {
	now := time.Now()
	for _, address := range elsewhere() {
		net := &asked{answer: "ok"}
		n, d := at(t, now, net, nil)
		quoted, err := json.Marshal(address)
		require.NoError(t, err)
		pressed(t, n, d, now, strings.Replace(goodPayload, `"https://hooks.slack.com/actions/T/1/x"`, string(quoted), 1))
		require.Len(t, d.put(), 1, "the press counts all the same")
		require.Empty(t, net.seen(), address)
	}
	net := &asked{answer: "ok"}
	n, d := at(t, now, net, nil)
	pressed(t, n, d, now, goodPayload)
	require.Eventually(t, func() bool { return len(net.seen()) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "https://hooks.slack.com/actions/T/1/x", net.seen()[0])
}

func TestFilesAndConnectionsGoToSlackAlone(t *testing.T) {
	for _, address := range elsewhere() {
		if address == "https://xhooks.slack.com/" {
			continue // another host of Slack's own domain serves files
		}
		b, err := json.Marshal(map[string]any{"ok": true, "upload_url": address, "file_id": "F1", "url": strings.Replace(address, "http", "ws", 1)})
		require.NoError(t, err)
		net := &asked{answer: string(b)}
		n, d := at(t, time.Now(), net, func(c *slack.Config) { c.AppTokenFile = secretFile(t, "xapp-x") })
		m := notify.Message{Receipt: page.Receipt{Channel: "C1", Ref: "1.2"}}
		err = n.(notify.Charter).Chart(t.Context(), m, chart())
		require.Equal(t, remote.Config, remote.ClassOf(err), address)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		require.NoError(t, n.(notify.Listener).Listen(ctx, d))
		for _, u := range net.seen() {
			require.Contains(t, u, "http://127.0.0.1:1/api/", address)
		}
	}
}

// The morning is the next one where people are, however the clock is set there.
func TestUntilMorning(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	local := func(s string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		require.NoError(t, err)
		return at
	}
	for _, tc := range []struct{ morning, now, want string }{
		{"08:00", "2026-03-01 22:15", "2026-03-02 08:00"},
		{"08:00", "2026-03-01 03:15", "2026-03-01 08:00"},
		{"08:00", "2026-03-01 08:00", "2026-03-02 08:00"},
		{"08:00", "2026-12-31 23:59", "2027-01-01 08:00"},
		{"08:00", "2026-03-28 23:00", "2026-03-29 08:00"}, // an hour is left out that night
		{"08:00", "2026-10-24 23:00", "2026-10-25 08:00"}, // and one comes twice
		{"00:00", "2026-02-28 12:00", "2026-03-01 00:00"},
	} {
		now := local(tc.now)
		n, d := at(t, now, refuse{}, func(c *slack.Config) { c.Morning, c.TimeZone = tc.morning, "Europe/Berlin" })
		pressed(t, n, d, now, strings.Replace(goodPayload, "tocsin_ack", "tocsin_silence_morning", 1))
		require.Len(t, d.put(), 1)
		require.Equal(t, local(tc.want).UTC(), d.put()[0].Act.Until.UTC(), tc.now)
	}
}

// What is no envelope of ours is passed over; what is, is taken behind it.
func TestAConnectionThatTalksNonsense(t *testing.T) {
	acked := make(chan string, 10)
	var srv *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/api/apps.connections.open", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "url": strings.Replace(srv.URL, "http", "ws", 1) + "/link"})
	})
	mux.HandleFunc("/link", func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for _, s := range []string{
			"", "null", "[]", `"x"`, `{"type":7}`, "\xff", `{"type":"hello"}`, `{"type":"disconnect","reason":"warning"}`, `{"type":"interactive"}`,
			`{"type":"events_api","envelope_id":"e1","payload":{}}`,
			`{"type":"interactive","envelope_id":"e2","payload":"no"}`,
			`{"type":"interactive","envelope_id":"e3","payload":` + goodPayload + `}`,
		} {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(s))
		}
		for {
			var in struct {
				ID string `json:"envelope_id"`
			}
			if conn.ReadJSON(&in) != nil {
				return
			}
			acked <- in.ID
		}
	})
	srv = httptest.NewServer(mux)
	defer srv.Close()
	n, d := at(t, time.Now(), &http.Transport{}, func(c *slack.Config) {
		c.APIURL, c.AppTokenFile = srv.URL+"/api/", secretFile(t, "xapp-x")
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.(notify.Listener).Listen(ctx, d) }()
	var got []string
	for range 3 {
		got = append(got, <-acked)
	}
	require.ElementsMatch(t, []string{"e1", "e2", "e3"}, got)
	require.Len(t, d.put(), 1)
	cancel()
	require.NoError(t, <-done)
}
