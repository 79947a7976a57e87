package fakeslack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
)

type workspace struct {
	t *testing.T
	*fakeslack.Fake
	url string
	now time.Time
}

func open(t *testing.T, o fakeslack.Options) *workspace {
	w := &workspace{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return w.now }
	w.Fake = fakeslack.New(o)
	srv := httptest.NewServer(w.Fake)
	t.Cleanup(srv.Close)
	t.Cleanup(w.Faults.Clear)
	w.url = srv.URL
	return w
}

// reply is the HTTP side of an answer.
type reply struct {
	status int
	header http.Header
}

type answer struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	Warning  string `json:"warning"`
	TS       string `json:"ts"`
	HasMore  bool   `json:"has_more"`
	Messages []struct {
		TS       string          `json:"ts"`
		ThreadTS string          `json:"thread_ts"`
		Text     string          `json:"text"`
		Metadata json.RawMessage `json:"metadata"`
	} `json:"messages"`
	Metadata struct {
		Messages []string `json:"messages"`
		Cursor   string   `json:"next_cursor"`
	} `json:"response_metadata"`
}

func (w *workspace) send(method, kind, token, body string) (answer, reply) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/api/"+method, strings.NewReader(body))
	require.NoError(w.t, err)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	var a answer
	require.NoError(w.t, json.NewDecoder(res.Body).Decode(&a))
	return a, reply{res.StatusCode, res.Header}
}

func (w *workspace) call(method string, kv ...string) answer {
	w.t.Helper()
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	a, _ := w.send(method, "application/x-www-form-urlencoded", fakeslack.DefaultToken, v.Encode())
	return a
}

func (w *workspace) post(kv ...string) answer {
	w.t.Helper()
	return w.call("chat.postMessage", append([]string{"channel", "C0PAGES"}, kv...)...)
}

func section(n int) string {
	return `{"type":"section","text":{"type":"plain_text","text":"` + strings.Repeat("x", n) + `"}}`
}

func TestErrors(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true, Channels: []fakeslack.Channel{
		{ID: "C0PAGES", Name: "pages"},
		{ID: "C0OLD", Archived: true},
		{ID: "C0NO", NotMember: true},
		{ID: "C0RO", ReadOnly: true},
	}})
	fifty := "[" + strings.Repeat(section(1)+",", 50) + section(1) + "]"
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"channel_not_found", []string{"channel", "C404", "text", "x"}},
		{"is_archived", []string{"channel", "C0OLD", "text", "x"}},
		{"not_in_channel", []string{"channel", "C0NO", "text", "x"}},
		{"restricted_action_read_only_channel", []string{"channel", "C0RO", "text", "x"}},
		{"no_text", nil},
		{"invalid_blocks_format", []string{"blocks", "{"}},
		{"invalid_blocks", []string{"blocks", "[" + section(3001) + "]"}},
		{"invalid_blocks", []string{"blocks", fifty}},
		{"invalid_blocks", []string{"blocks", `[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`}},
		{"invalid_blocks", []string{"blocks", `[{"type":"header","text":{"type":"plain_text","text":"` + strings.Repeat("x", 151) + `"}}]`}},
		{"invalid_blocks", []string{"blocks", `[{"type":"marquee"}]`}},
		{"invalid_blocks", []string{"blocks", `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":""}]}]}]`}},
		{"msg_blocks_too_long", []string{"blocks", "[" + strings.Repeat(section(2900)+",", 3) + section(2900) + "]"}},
		{"metadata_too_large", []string{"text", "x", "metadata", `{"event_type":"e","event_payload":{"id":"` + strings.Repeat("x", 9000) + `"}}`}},
		{"invalid_metadata_format", []string{"text", "x", "metadata", `{}`}},
		{"", []string{"blocks", "[" + section(3000) + "]"}},
		{"", []string{"text", "fine"}},
	} {
		a := w.post(tc.args...)
		require.Equal(t, tc.want, a.Error, tc.args)
		require.Equal(t, tc.want == "", a.OK)
	}
	a := w.post("blocks", "["+section(3001)+"]")
	require.Equal(t, []string{"[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"}, a.Metadata.Messages)
	require.Equal(t, "unknown_method", w.call("chat.sing").Error)
	require.Equal(t, "message_not_found", w.call("chat.update", "channel", "C0PAGES", "ts", "1.2", "text", "x").Error)
}

func TestCredentials(t *testing.T) {
	w := open(t, fakeslack.Options{})
	const form = "application/x-www-form-urlencoded"
	for _, tc := range []struct{ token, kind, body, want string }{
		{"", form, "", "not_authed"},
		{"nope", form, "", "invalid_auth"},
		{fakeslack.DefaultToken, "", "text=x", "missing_post_type"},
		{fakeslack.DefaultToken, form, "%zz", "invalid_form_data"},
		{fakeslack.DefaultToken, "application/json", "{", "invalid_json"},
		{fakeslack.DefaultToken, "application/json", `{"channel":"C0PAGES","text":"x","link_names":true}`, ""},
	} {
		a, _ := w.send("chat.postMessage", tc.kind, tc.token, tc.body)
		require.Equal(t, tc.want, a.Error)
	}
	w.SetScopes("chat:write")
	require.Equal(t, "missing_scope", w.call("conversations.history", "channel", "C0PAGES").Error)
	w.Revoke()
	require.Equal(t, "token_revoked", w.call("auth.test").Error)
	w.Reset()
	require.True(t, w.call("auth.test").OK)
}

func TestEveryMessageHasItsOwnTS(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	seen := map[string]bool{}
	for range 100 {
		seen[w.post("text", "x").TS] = true
	}
	require.Len(t, seen, 100)
}

func TestHistory(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true, ReadLag: 2 * time.Second})
	const meta = `{"event_type":"e","event_payload":{"id":"d1"}}`
	first := w.post("text", "first", "metadata", meta)
	require.Empty(t, w.call("conversations.history", "channel", "C0PAGES").Messages, "inside the lag")
	w.now = w.now.Add(3 * time.Second)
	reply := w.post("text", "reply", "thread_ts", first.TS)
	second := w.post("text", "second")
	w.now = w.now.Add(3 * time.Second)

	a := w.call("conversations.history", "channel", "C0PAGES", "limit", "1")
	require.Equal(t, second.TS, a.Messages[0].TS, "newest first, replies left out")
	require.True(t, a.HasMore)
	a = w.call("conversations.history", "channel", "C0PAGES", "limit", "1", "cursor", a.Metadata.Cursor)
	require.Equal(t, first.TS, a.Messages[0].TS)
	require.Nil(t, a.Messages[0].Metadata)
	require.False(t, a.HasMore)

	a = w.call("conversations.history", "channel", "C0PAGES", "include_all_metadata", "true", "latest", first.TS, "inclusive", "true")
	require.JSONEq(t, meta, string(a.Messages[0].Metadata))
	require.Empty(t, w.call("conversations.history", "channel", "C0PAGES", "latest", first.TS).Messages)
	require.Len(t, w.call("conversations.history", "channel", "C0PAGES", "oldest", first.TS).Messages, 1)

	a = w.call("conversations.replies", "channel", "C0PAGES", "ts", first.TS)
	require.Len(t, a.Messages, 2)
	require.Equal(t, reply.TS, a.Messages[1].TS)
	require.Equal(t, first.TS, a.Messages[1].ThreadTS)
	deeper := w.post("text", "to a reply", "thread_ts", reply.TS)
	require.Equal(t, first.TS, w.thread(deeper.TS), "a reply's ts means its root")
	require.True(t, w.Delete("C0PAGES", first.TS))
	orphan := w.post("text", "late", "thread_ts", first.TS)
	require.Empty(t, w.thread(orphan.TS), "un-threaded when the parent is gone")
}

func (w *workspace) thread(ts string) string {
	for _, m := range w.Ledger().Messages {
		if m.TS == ts {
			return m.ThreadTS
		}
	}
	w.t.Fatalf("no message %s", ts)
	return ""
}

func TestLedgerKeepsTheFirstVersion(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	sent := w.post("text", "first", "blocks", "["+section(3)+"]", "metadata", `{"event_type":"e","event_payload":{"id":"d1"}}`)
	w.now = w.now.Add(time.Minute)
	require.True(t, w.call("chat.update", "channel", "C0PAGES", "ts", sent.TS, "text", "second").OK)
	l := w.Ledger()
	require.Len(t, l.Messages, 1)
	m := l.Messages[0]
	require.Equal(t, map[string]int{"d1": 1}, l.Deliveries)
	require.Equal(t, "xxx", m.First.Visible)
	require.Equal(t, "second", m.Current.Visible, "text without blocks removes the blocks")
	require.Equal(t, time.Minute, m.Current.At.Sub(m.Accepted))

	res, err := http.DefaultTransport.RoundTrip(httpGet(t, w.url+"/_ledger"))
	require.NoError(t, err)
	defer res.Body.Close()
	var overHTTP fakeslack.Ledger
	require.NoError(t, json.NewDecoder(res.Body).Decode(&overHTTP))
	require.Equal(t, l.Deliveries, overHTTP.Deliveries)
}

func TestMentionsAndLinksAreSeen(t *testing.T) {
	mrkdwn := func(s string) []string {
		b, _ := json.Marshal([]any{map[string]any{"type": "section", "text": map[string]any{"type": "mrkdwn", "text": s}}})
		return []string{"text", "t", "parse", "none", "blocks", string(b)}
	}
	for _, tc := range []struct {
		args     []string
		mentions []string
		links    []string
	}{
		{args: []string{"text", "<!channel> <@U1>"}, mentions: []string{"@channel", "@U1"}},
		{args: []string{"text", "&lt;!channel&gt; @here", "parse", "none"}},
		{args: []string{"text", "@here", "link_names", "true"}, mentions: []string{"@here"}},
		{args: mrkdwn("<!subteam^S1|ops> and <https://evil.example|ok>"), mentions: []string{"@ops"}, links: []string{"https://evil.example"}},
		{args: mrkdwn("see https://evil.example/x now"), links: []string{"https://evil.example/x"}},
		{args: mrkdwn("`<!channel>`")},
		{args: []string{"text", "t", "blocks", `[{"type":"section","text":{"type":"plain_text","text":"<!channel> https://x.example"}}]`}},
		{args: []string{"text", "t", "blocks", `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"broadcast","range":"here"},{"type":"text","text":"<!channel>"}]}]}]`}, mentions: []string{"@here"}},
	} {
		w := open(t, fakeslack.Options{})
		require.True(t, w.post(tc.args...).OK)
		v := w.Ledger().Messages[0].Current
		require.ElementsMatch(t, tc.mentions, v.Mentions, tc.args)
		require.ElementsMatch(t, tc.links, v.Links, tc.args)
	}
}

func TestRateLimit(t *testing.T) {
	w := open(t, fakeslack.Options{})
	var refused reply
	for range 6 {
		a, res := w.send("chat.postMessage", "application/json", fakeslack.DefaultToken, `{"channel":"C0PAGES","text":"x"}`)
		if !a.OK {
			refused = res
		}
	}
	require.Equal(t, 429, refused.status)
	require.Equal(t, "5", refused.header.Get("Retry-After"))
	require.Len(t, w.Ledger().Messages, 5)
	w.now = w.now.Add(5 * time.Second)
	require.True(t, w.post("text", "x").OK)
}

func TestLongTextWithoutBlocksIsSplit(t *testing.T) {
	w := open(t, fakeslack.Options{})
	w.post("text", strings.Repeat("x", 4001))
	require.Len(t, w.Ledger().Messages, 2)
	require.Equal(t, "message_truncated", w.post("text", strings.Repeat("x", 40001)).Warning)
}

func httpGet(t *testing.T, url string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return req
}

func TestPageShowsMessagesAndRunsNothing(t *testing.T) {
	w := open(t, fakeslack.Options{})
	sent := w.post("text", "<script>alert(1)</script> <javascript:alert(1)|x>", "attachments",
		`[{"color":"#d00000","blocks":[{"type":"header","text":{"type":"plain_text","text":"38 of 40 <b>"}},{"type":"divider"}]}]`) //nolint:misspell // Slack's word
	w.call("chat.update", "channel", "C0PAGES", "ts", sent.TS, "text", "mended")
	w.post("text", "in thread", "thread_ts", sent.TS)
	res, err := http.DefaultTransport.RoundTrip(httpGet(t, w.url+"/"))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	page := string(b)
	require.Contains(t, page, "38 of 40 &lt;b&gt;")
	require.Contains(t, page, `fill="#d00000"`)
	require.Contains(t, page, "(edited 1×")
	require.Contains(t, page, "1 reply")
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, `href="javascript`)
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
}
