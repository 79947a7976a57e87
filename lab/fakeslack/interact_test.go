package fakeslack_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
)

const twoButtons = `[{"type":"actions","elements":[
	{"type":"button","action_id":"ack","value":"d1","text":{"type":"plain_text","text":"Acknowledge"}},
	{"type":"button","action_id":"silence","value":"d1","text":{"type":"plain_text","text":"Silence"},"confirm":{
		"title":{"type":"plain_text","text":"Sure?"},"text":{"type":"plain_text","text":"service=checkout"},
		"confirm":{"type":"plain_text","text":"Yes"},"deny":{"type":"plain_text","text":"No"}}}]}]`

// listener is an app's request URL.
type listener struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	url      string
}

func listen(t *testing.T) *listener {
	l := &listener{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests, l.bodies = append(l.requests, r), append(l.bodies, string(b))
	}))
	t.Cleanup(srv.Close)
	l.url = srv.URL
	return l
}

// seen returns the bodies that came, and forgets them.
func (l *listener) seen() ([]*http.Request, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.requests, l.bodies = nil, nil }()
	return l.requests, l.bodies
}

func TestAPressIsSignedAsSlackDoes(t *testing.T) {
	l := listen(t)
	w := open(t, fakeslack.Options{NoRateLimits: true, Interactivity: l.url})
	m := w.post("text", "x", "blocks", twoButtons)
	out, err := w.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: m.TS, ActionID: "ack", User: "U0ANN"})
	require.NoError(t, err)
	require.Equal(t, "http", out.Via)
	require.True(t, out.InTime)
	requests, bodies := l.seen()
	r := requests[0]
	require.Equal(t, fakeslack.Sign(fakeslack.DefaultSigningSecret, r.Header.Get("X-Slack-Request-Timestamp"), []byte(bodies[0])), r.Header.Get("X-Slack-Signature"))
	v, err := url.ParseQuery(bodies[0])
	require.NoError(t, err)
	for _, want := range []string{`"type":"block_actions"`, `"action_id":"ack"`, `"value":"d1"`, `"message_ts":"` + m.TS + `"`, `"id":"U0ANN"`, `"response_url":"` + w.url} {
		require.Contains(t, v.Get("payload"), want)
	}
	for _, p := range []fakeslack.Press{
		{Channel: "C0PAGES", TS: m.TS, ActionID: "nothing", User: "U0ANN"},
		{Channel: "C0PAGES", TS: "1.2", ActionID: "ack", User: "U0ANN"},
		{Channel: "C0PAGES", TS: m.TS, ActionID: "ack", User: "U404"},
	} {
		_, err := w.Press(t.Context(), p)
		require.Error(t, err)
	}
	require.Len(t, w.Ledger().Pressed, 1)
}

func TestVariants(t *testing.T) {
	l := listen(t)
	w := open(t, fakeslack.Options{NoRateLimits: true, Interactivity: l.url})
	m := w.post("text", "x", "blocks", twoButtons)
	good := func(r *http.Request, body string) bool {
		return r.Header.Get("X-Slack-Signature") == fakeslack.Sign(fakeslack.DefaultSigningSecret, r.Header.Get("X-Slack-Request-Timestamp"), []byte(body))
	}
	for variant, signed := range map[fakeslack.Variant]bool{
		fakeslack.Good: true, fakeslack.Unsigned: false, fakeslack.BadSignature: false, fakeslack.Stale: true,
		fakeslack.Early: true, fakeslack.Tampered: false, fakeslack.Query: true, fakeslack.Replayed: true,
	} {
		_, err := w.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: m.TS, ActionID: "ack", User: "U0ANN", Variant: variant})
		require.NoError(t, err)
		requests, bodies := l.seen()
		require.Equal(t, signed, good(requests[0], bodies[0]), variant)
		require.Equal(t, variant == fakeslack.Query, bodies[0] == "", variant)
		if variant == fakeslack.Replayed {
			require.Equal(t, bodies[0], bodies[1])
		}
	}
}

func TestAResponseURLIsGoodForFiveUses(t *testing.T) {
	l := listen(t)
	w := open(t, fakeslack.Options{NoRateLimits: true, Interactivity: l.url})
	m := w.post("text", "x", "blocks", twoButtons)
	_, err := w.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: m.TS, ActionID: "ack", User: "U0ANN"})
	require.NoError(t, err)
	_, bodies := l.seen()
	v, err := url.ParseQuery(bodies[0])
	require.NoError(t, err)
	_, rest, _ := strings.Cut(v.Get("payload"), `"response_url":"`)
	hook, _, _ := strings.Cut(rest, `"`)
	for i := range 6 {
		status := w.put(hook, []byte(`{"response_type":"ephemeral","text":"done"}`))
		require.Equal(t, i < 5, status == http.StatusOK, status)
	}
	whispers := w.Ledger().Whispers
	require.Len(t, whispers, 5)
	require.Equal(t, "U0ANN", whispers[0].User)
	require.Equal(t, "done", whispers[0].Text)
}

func TestAPersonPressesOnThePage(t *testing.T) {
	l := listen(t)
	w := open(t, fakeslack.Options{NoRateLimits: true})
	w.SetApp(l.url, "")
	m := w.post("text", "x", "attachments", `[{"blocks":`+twoButtons+`}]`)
	form := url.Values{"channel": {"C0PAGES"}, "ts": {m.TS}, "action_id": {"silence"}, "user": {"U0ANN"}}
	press := func() (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/_press", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(b)
	}
	status, dialogue := press()
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, dialogue, "service=checkout")
	_, bodies := l.seen()
	require.Empty(t, bodies, "asked first")
	form.Set("confirmed", "1")
	status, _ = press()
	require.Equal(t, http.StatusSeeOther, status)
	_, bodies = l.seen()
	require.Len(t, bodies, 1)
	require.Contains(t, bodies[0], "message_attachment")
	res, err := http.DefaultTransport.RoundTrip(httpGet(t, w.url+"/?user=U0BOB"))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(b), `<button class="button " name="action_id" value="ack">Acknowledge</button>`)
	require.Contains(t, string(b), `name="user" value="U0BOB"`)
}

func (w *workspace) connect() *websocket.Conn {
	w.t.Helper()
	a := w.ask(fakeslack.DefaultAppToken, "apps.connections.open")
	require.Equal(w.t, true, a["ok"], a)
	conn, res, err := websocket.DefaultDialer.DialContext(w.t.Context(), a["url"].(string), nil)
	require.NoError(w.t, err)
	_ = res.Body.Close()
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func read(t *testing.T, conn *websocket.Conn) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, conn.ReadJSON(&out))
	return out
}

func TestSocketMode(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	require.Equal(t, "not_allowed_token_type", w.ask(fakeslack.DefaultToken, "apps.connections.open")["error"])
	require.Equal(t, "not_allowed_token_type", w.ask(fakeslack.DefaultAppToken, "chat.postMessage")["error"])
	conn := w.connect()
	require.Equal(t, "hello", read(t, conn)["type"])
	m := w.post("text", "x", "blocks", twoButtons)
	go func() {
		var in map[string]any
		if conn.ReadJSON(&in) == nil {
			_ = conn.WriteJSON(map[string]any{"envelope_id": in["envelope_id"]})
		}
	}()
	out, err := w.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: m.TS, ActionID: "ack", User: "U0ANN"})
	require.NoError(t, err)
	require.Equal(t, "socket", out.Via)
	require.True(t, out.InTime, out.Error)
	w.Refresh()
	require.Equal(t, "refresh_requested", read(t, conn)["reason"])
	_, _, err = conn.ReadMessage()
	require.Error(t, err)

	for range 10 {
		require.Equal(t, "hello", read(t, w.connect())["type"])
	}
	require.Equal(t, 10, w.Connections())
	require.Equal(t, "too_many_websockets", read(t, w.connect())["reason"])
	w.Cut()
	require.Zero(t, w.Connections())
}
