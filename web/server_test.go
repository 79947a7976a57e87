package web_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

// site is the pages behind a real listener.
type site struct {
	*world
	url     string
	server  *web.Server
	who     web.Operators
	closing func()
}

func tokens() []web.Operator {
	return []web.Operator{
		{Name: "alice", Acts: true, Hash: sha256.Sum256([]byte("alice-secret"))},
		{Name: "eve", Hash: sha256.Sum256([]byte("eve-secret"))},
	}
}

func newSite(tb testing.TB, operators ...web.Operator) *site {
	tb.Helper()
	s := &site{world: newWorld(tb), who: web.Operators{Tokens: operators}}
	closing := make(chan struct{})
	s.closing = sync.OnceFunc(func() { close(closing) })
	s.server = &web.Server{
		Archive: s.archive, Board: s.board, Acts: s.acts, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now },
		Operators: func() web.Operators { return s.who }, Metrics: web.NewMetrics(nil), Closing: closing,
		Owner: func(page.Page) string { return "team payments" },
		Draw: func(c page.Chart, _ bool) ([]byte, error) {
			return []byte(`<svg xmlns="http://www.w3.org/2000/svg"><title>` + c.Title + `</title></svg>`), nil
		},
	}
	mux := http.NewServeMux()
	require.NoError(tb, s.server.Routes(mux))
	srv := httptest.NewServer(mux)
	s.url = srv.URL
	tb.Cleanup(srv.Close)
	tb.Cleanup(s.closing)
	return s
}

// browser is one person's.
type browser struct {
	tb   testing.TB
	site *site
	http *http.Client
}

func (s *site) browser(tb testing.TB) *browser {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(tb, err)
	return &browser{tb, s, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

// got is an answer with its page taken apart.
type got struct {
	*http.Response
	path string // after redirects
	text string // what stands in the page
	raw  string
	doc  *html.Node
}

func (b *browser) do(r *http.Request) got {
	b.tb.Helper()
	res, err := b.http.Do(r)
	require.NoError(b.tb, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(b.tb, err)
	doc, err := html.Parse(strings.NewReader(string(raw)))
	require.NoError(b.tb, err)
	g := got{Response: res, path: res.Request.URL.RequestURI(), raw: string(raw), doc: doc}
	var text strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data + " ")
		}
	}
	g.text = strings.Join(strings.Fields(text.String()), " ")
	return g
}

func (b *browser) get(path string) got {
	b.tb.Helper()
	r, err := http.NewRequestWithContext(b.tb.Context(), http.MethodGet, b.site.url+path, http.NoBody)
	require.NoError(b.tb, err)
	return b.do(r)
}

func (b *browser) post(path string, form url.Values) got {
	b.tb.Helper()
	r, err := http.NewRequestWithContext(b.tb.Context(), http.MethodPost, b.site.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.tb, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// elements returns those of a tag.
func (g got) elements(tag string) []*html.Node {
	var out []*html.Node
	for n := range g.doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == tag {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// form returns the fields of the form that has a button, or a field, of a value.
func (g got) form(tb testing.TB, value string) (action string, fields url.Values) {
	tb.Helper()
	for _, f := range g.elements("form") {
		fields, is := url.Values{}, false
		for n := range f.Descendants() {
			if n.Type != html.ElementNode || n.Data != "input" && n.Data != "button" {
				continue
			}
			if attr(n, "value") == value {
				is = true
			} else if n.Data == "button" {
				continue
			}
			if attr(n, "name") != "" {
				fields.Set(attr(n, "name"), attr(n, "value"))
			}
		}
		if is {
			return attr(f, "action"), fields
		}
	}
	tb.Fatalf("no form has %q", value)
	return "", nil
}

// press posts the form that has a button of that value.
func (b *browser) press(g got, value string, more ...string) got {
	b.tb.Helper()
	action, fields := g.form(b.tb, value)
	for i := 0; i < len(more); i += 2 {
		fields.Set(more[i], more[i+1])
	}
	return b.post(action, fields)
}

func (b *browser) login(token string) got {
	b.tb.Helper()
	_, fields := b.get("/login").form(b.tb, "/")
	fields.Set("token", token)
	return b.post("/login", fields)
}

func TestOpenWhereThereAreNoTokens(t *testing.T) {
	s := newSite(t)
	s.save(t, problem("p1", 2))
	s.save(t, problem("p2", 1))
	s.shown(t, 2)
	b := s.browser(t)
	g := b.get("/")
	require.Equal(t, http.StatusOK, g.StatusCode)
	require.Contains(t, g.text, "2 critical")
	require.Contains(t, g.text, "2 of 2 failing share deploy=v42 (6 % of healthy do)")
	require.NotContains(t, g.text, "Sign out")
	require.Equal(t, "/", b.get("/login").path, "nobody has to sign in")
	require.Contains(t, b.get("/?q=instance%3Dweb-01").text, "1 critical")
	require.Contains(t, b.get("/?q=none").text, "Nothing of what is open is like that.")
	require.Contains(t, b.get("/?severity=warning").text, "Nothing of what is open is like that.")
	require.Equal(t, http.StatusNotFound, b.get("/nowhere").StatusCode)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, http.NoBody)
	require.NoError(t, err)
	r.Host = "evil.example.org" // a name that leads to 127.0.0.1
	require.Equal(t, http.StatusForbidden, b.do(r).StatusCode)
	s.who.Host = "tocsin.example.org"
	r.Host = s.who.Host
	require.Equal(t, http.StatusOK, b.do(r).StatusCode)
}

func TestAProblemsPage(t *testing.T) {
	s := newSite(t)
	p := problem("p1", 2)
	p.Ack, p.Charted, p.Flapping = &page.Ack{By: "Jane Doe", Via: "slack/payments", At: s.now}, s.now, 3
	p.Silences = []page.Silence{{ID: "s-1", By: "Jane Doe", At: s.now, Until: s.now.Add(time.Hour), Matchers: []string{`service="checkout"`}}, {By: "Bob", Error: "status 403"}}
	s.save(t, p)
	s.put(t, store.ReceiptKey("p1", 1, "slack/payments"), page.Receipt{Target: "slack/payments", State: page.Sent, First: p.Clock.Started.Add(4 * time.Second), Link: "https://x.slack.com/archives/C/p1"})
	s.put(t, store.ReceiptKey("p1", 1, "pagerduty/oncall"), page.Receipt{Target: "pagerduty/oncall", State: page.Failed, Error: "status 400: no such key"})
	for i, room := range []string{"pipeline", "notify"} {
		s.put(t, store.TimelineKey("p1", 1, room, 1), page.Entry{At: s.now.Add(time.Duration(i) * time.Second), Room: room, Kind: "notified", Actor: "alertmanager/dc1", Text: "opened by " + room})
	}
	s.put(t, store.ChartKey("p1", 1), page.Chart{Title: "CheckoutErrors"})
	g := s.browser(t).get("/pages/p1")
	require.Equal(t, http.StatusOK, g.StatusCode, g.text)
	for _, want := range []string{
		"critical acknowledged flapping ×3", "CheckoutErrors · service=checkout (2 alerts)", "2 of 2 failing share deploy=v42", "Taken by Jane Doe at 12:03:45 in slack/payments",
		"12 % of events fail", "Owner team payments", "until 2026-03-01 13:03:45 UTC, by Jane Doe", `service="checkout"`, "does not stand: status 403",
		"More than 5 % of requests fail.", "Badness 97 % of it inside", "Same as version=42", "Or pod=checkout-7f9 , which cannot be told apart",
		`sum(rate(http_requests_total{deploy="v42"}[5m]))`, "webhook received 12:03:12 2.0 s", "on disk 12:03:12 4 ms", "delivered 12:03:14 990 ms",
		"slack/payments sent first told 12:03:14", "pagerduty/oncall failed", "status 400: no such key", "opened by pipeline", "instance=web-01:9090",
	} {
		require.Contains(t, g.text, want)
	}
	require.Less(t, strings.Index(g.text, "opened by notify"), strings.Index(g.text, "opened by pipeline"), "newest first")
	require.Contains(t, g.raw, `href="https://runbooks.example.org/CheckoutErrors" rel="noopener noreferrer"`)
	require.Len(t, g.elements("picture"), 1)
	b := s.browser(t)
	c := b.get("/pages/p1/chart.svg?episode=1&dark=1")
	require.Equal(t, "image/svg+xml", c.Header.Get("Content-Type"))
	require.Contains(t, c.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, http.StatusNotFound, b.get("/pages/none").StatusCode)
	require.Equal(t, http.StatusNotFound, b.get("/pages/p1?episode=7").StatusCode)
	require.Equal(t, http.StatusBadRequest, b.get("/pages/p1?episode=x").StatusCode)
	s.server.Draw = nil
	require.Empty(t, b.get("/pages/p1").elements("picture"))
	require.Equal(t, http.StatusNotFound, b.get("/pages/p1/chart.svg").StatusCode)
}

func TestAnEpisodeOfBefore(t *testing.T) {
	s := newSite(t)
	s.save(t, closed(problem("p1", 3), time.Hour))
	next := problem("p1", 1)
	next.Episode = 2
	s.save(t, next)
	b := s.browser(t)
	g := b.get("/pages/p1?episode=1")
	require.Contains(t, g.text, "This is episode 1, which is over.")
	require.Contains(t, g.text, "3 alerts")
	require.NotContains(t, g.raw, `value="ack"`)
	require.Contains(t, b.get("/pages/p1").raw, `value="ack"`)
	require.Contains(t, g.text, "lasted 59 min")
}

// A storm stands for the problems that it tells of.
func TestAStorm(t *testing.T) {
	s := newSite(t)
	storm := problem("storm", 1)
	storm.Storm = &page.Storm{Total: 300, Open: 2, Rules: map[string]page.Tally{"DiskFull": {Severity: page.Warning, Total: 290}, "HostDown": {Severity: page.Critical, Total: 10, Open: 2}}}
	s.save(t, storm)
	for _, id := range []string{"a", "b"} {
		p := problem(id, 1)
		p.Folded = "storm"
		s.save(t, p)
	}
	s.shown(t, 3)
	b := s.browser(t)
	g := b.get("/")
	require.Contains(t, g.text, "1 critical · 2 more told by storms")
	require.Contains(t, g.text, "storm of 300")
	require.Contains(t, b.get("/?storm=storm").text, "2 critical")
	require.Contains(t, b.get("/?q=checkout").text, "3 critical", "what is looked for is shown")
	g = b.get("/pages/storm")
	require.Contains(t, g.text, "HostDown critical 10 2 DiskFull warning 290 0")
	require.Contains(t, b.get("/pages/a").raw, `<a href="/pages/storm">a storm`)
	s.save(t, closed(storm, time.Hour))
	s.shown(t, 2)
	require.Contains(t, b.get("/").text, "2 critical", "nobody else speaks for them any more")
}

func TestSigningIn(t *testing.T) {
	s := newSite(t, tokens()...)
	s.save(t, problem("p1", 1))
	b := s.browser(t)
	g := b.get("/pages/p1?episode=1")
	require.Equal(t, "/login?next=%2Fpages%2Fp1%3Fepisode%3D1", g.path)
	_, fields := g.form(t, "/pages/p1?episode=1")
	fields.Set("token", "wrong")
	g = b.post("/login", fields)
	require.Equal(t, http.StatusUnauthorized, g.StatusCode)
	require.Contains(t, g.text, "No operator has this token.")
	fields.Set("token", " alice-secret\n")
	g = b.post("/login", fields)
	require.Equal(t, "/pages/p1?episode=1", g.path)
	require.Contains(t, g.text, "alice Sign out")

	at, err := url.Parse(s.url)
	require.NoError(t, err)
	var session *http.Cookie
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	_, fields = b.get("/login").form(t, "/")
	fields.Set("token", "alice-secret")
	for _, c := range b.post("/login", fields).Cookies() {
		session = c
	}
	require.NotNil(t, session)
	require.True(t, session.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, session.SameSite)
	require.False(t, session.Secure, "it came by plain HTTP")
	require.Equal(t, 12*60*60, session.MaxAge)

	with := func(value string) int {
		other := s.browser(t)
		other.http.CheckRedirect = b.http.CheckRedirect
		other.http.Jar.SetCookies(at, []*http.Cookie{{Name: "tocsin_session", Value: value}})
		return other.get("/").StatusCode
	}
	require.Equal(t, http.StatusOK, with(session.Value))
	parts := strings.Split(session.Value, ".")
	for _, forged := range []string{
		"", ".", "...", session.Value + "x", session.Value[1:], strings.Repeat("x", 2000),
		strings.Join([]string{parts[0], "9999999999", parts[2], parts[3]}, "."),
		strings.Join([]string{"ZXZl", parts[1], parts[2], parts[3]}, "."), // eve
		strings.Join([]string{"bm9ib2R5", parts[1], parts[2], parts[3]}, "."),
	} {
		require.Equal(t, http.StatusSeeOther, with(forged), forged)
	}
	before := s.who.Tokens
	s.who.Tokens = []web.Operator{{Name: "alice", Acts: true, Hash: sha256.Sum256([]byte("another"))}}
	require.Equal(t, http.StatusSeeOther, with(session.Value), "a token that is rotated ends its sessions")
	s.who.Tokens = before
	require.Equal(t, http.StatusOK, with(session.Value))
	s.now = s.now.Add(12 * time.Hour)
	require.Equal(t, http.StatusSeeOther, with(session.Value), "it has ended")
}

func TestSigningOut(t *testing.T) {
	s := newSite(t, tokens()...)
	b := s.browser(t)
	g := b.login("eve-secret")
	require.Contains(t, g.text, "eve (viewer) Sign out")
	require.Equal(t, http.StatusForbidden, b.post("/logout", url.Values{"form": {"forged"}}).StatusCode)
	require.Equal(t, "/", b.get("/").path)
	action, fields := "", url.Values(nil)
	for _, f := range g.elements("form") {
		if attr(f, "action") == "/logout" {
			action, fields = "/logout", url.Values{}
			for n := range f.Descendants() {
				if n.Data == "input" {
					fields.Set(attr(n, "name"), attr(n, "value"))
				}
			}
		}
	}
	require.Equal(t, "/login", b.post(action, fields).path)
	require.Equal(t, "/login?next=%2F", b.get("/").path)
}

func TestWrongTokensHaveToWait(t *testing.T) {
	s := newSite(t, tokens()...)
	b := s.browser(t)
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, b.login("wrong").StatusCode)
	}
	g := b.login("alice-secret")
	require.Equal(t, http.StatusTooManyRequests, g.StatusCode)
	require.Equal(t, "60", g.Header.Get("Retry-After"))
	s.now = s.now.Add(time.Minute)
	require.Equal(t, http.StatusOK, b.login("alice-secret").StatusCode)
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	s := newSite(t, tokens()...)
	for _, next := range []string{"https://evil.example.org", "//evil.example.org", `/\evil.example.org`, "javascript:alert(1)", "/\t/evil.example.org", "evil"} {
		b := s.browser(t)
		_, fields := b.get("/login?next="+url.QueryEscape(next)).form(t, "/")
		fields.Set("token", "alice-secret")
		fields.Set("next", next)
		require.Equal(t, "/", b.post("/login", fields).path, next)
	}
}

func TestButtons(t *testing.T) {
	s := newSite(t, tokens()...)
	p := problem("p1", 1)
	p.Silences = []page.Silence{{ID: "s-1", By: "Jane", Until: s.now.Add(time.Hour)}}
	s.save(t, p)
	b := s.browser(t)
	b.login("alice-secret")
	g := b.get("/pages/p1")
	did := func() page.Event {
		require.Len(t, s.events, 1)
		e := s.events[0]
		s.events = nil
		require.Equal(t, "operator/alice", e.Actor)
		require.Equal(t, "p1", e.Problem)
		return e
	}
	for verb, says := range map[string]string{"ack": "Acknowledged.", "useless": "Counted as not useful.", "unsilence": "Alertmanager is asked to end the silence."} {
		after := b.press(g, verb)
		require.Equal(t, "/pages/p1?done="+verb, after.path)
		require.Contains(t, after.text, says)
		require.Equal(t, page.Verb(verb), did().Act.Verb)
	}
	b.press(g, "ack")
	first := did().ID
	b.press(g, "ack")
	require.Equal(t, first, did().ID, "pressed twice, a button does one thing")

	b.press(g, "note", "text", "looking at it")
	require.Equal(t, "looking at it", did().Act.Text)
	require.Equal(t, http.StatusBadRequest, b.press(g, "note", "text", " ").StatusCode)
	require.Equal(t, http.StatusConflict, b.press(g, "ack", "episode", "9").StatusCode)

	for length, until := range map[string]time.Time{"1h": s.now.Add(time.Hour), "morning": web.Morning(s.now)} {
		confirm := b.get("/pages/p1/silence?for=" + length)
		require.Contains(t, confirm.text, `alertname="CheckoutErrors" service="checkout"`)
		require.Contains(t, confirm.text, until.UTC().Format("2006-01-02 15:04:05"))
		require.Empty(t, s.events, "looking silences nothing")
		b.press(confirm, "silence")
		require.Equal(t, until, did().Act.Until)
	}
	require.Equal(t, http.StatusBadRequest, b.get("/pages/p1/silence?for=ever").StatusCode)
	require.Equal(t, http.StatusNotFound, b.get("/pages/none/silence?for=1h").StatusCode)
	require.Empty(t, s.events)
	s.sick = ErrSick
	require.Equal(t, http.StatusServiceUnavailable, b.press(g, "ack").StatusCode)
}

func TestForgedFormsAreRefused(t *testing.T) {
	for name, operators := range map[string][]web.Operator{"signed in": tokens(), "without tokens": nil} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, operators...)
			s.save(t, problem("p1", 1))
			b, other := s.browser(t), s.browser(t)
			if len(operators) > 0 {
				b.login("alice-secret")
				other.login("alice-secret")
			}
			_, theirs := other.get("/pages/p1").form(t, "ack")
			_, mine := b.get("/pages/p1").form(t, "ack")
			for _, token := range []string{"", "forged", theirs.Get("form")} {
				fields := url.Values{"verb": {"ack"}, "form": {token}, "episode": {"1"}}
				require.Equal(t, http.StatusForbidden, b.post("/pages/p1/acts", fields).StatusCode, token)
			}
			require.Equal(t, http.StatusForbidden, s.browser(t).post("/login", url.Values{"token": {"alice-secret"}, "form": {"forged"}}).StatusCode)
			require.Empty(t, s.events)
			require.Equal(t, http.StatusOK, b.post("/pages/p1/acts", mine).StatusCode)
			require.Len(t, s.events, 1)
		})
	}
}

func TestViewersLook(t *testing.T) {
	s := newSite(t, tokens()...)
	s.save(t, problem("p1", 1))
	b := s.browser(t)
	b.login("eve-secret")
	g := b.get("/pages/p1")
	require.Equal(t, http.StatusOK, g.StatusCode)
	require.NotContains(t, g.raw, "/acts")
	require.NotContains(t, g.raw, "<textarea")
	var form string
	for _, n := range g.elements("input") {
		if attr(n, "name") == "form" {
			form = attr(n, "value")
		}
	}
	require.NotEmpty(t, form)
	refused := b.post("/pages/p1/acts", url.Values{"verb": {"ack"}, "form": {form}})
	require.Equal(t, http.StatusForbidden, refused.StatusCode)
	require.Contains(t, refused.text, "eve may look, not act")
	require.Equal(t, http.StatusForbidden, b.get("/pages/p1/silence?for=1h").StatusCode)
	require.Empty(t, s.events)

	nobody := s.browser(t)
	require.Equal(t, http.StatusUnauthorized, nobody.post("/pages/p1/acts", url.Values{"verb": {"ack"}}).StatusCode)
	require.Equal(t, http.StatusUnauthorized, nobody.get("/events").StatusCode)
}

func TestEveryAnswerIsArmoured(t *testing.T) {
	s := newSite(t, tokens()...)
	s.save(t, problem("p1", 1))
	b := s.browser(t)
	for _, signedIn := range []bool{false, true} {
		if signedIn {
			b.login("alice-secret")
		}
		for _, path := range []string{"/", "/pages/p1", "/pages/none", "/pages/p1/silence?for=1h", "/pages/p1/chart.svg", "/history", "/history?limit=x", "/login", "/static/tocsin.css", "/static/live.js", "/static/none"} {
			g := b.get(path)
			h := g.Header
			policy := h.Get("Content-Security-Policy")
			require.Contains(t, policy, "frame-ancestors 'none'", path)
			require.NotContains(t, policy, "unsafe", path)
			require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
			require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), path)
			require.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
			for _, script := range g.elements("script") {
				require.Equal(t, "/static/live.js", attr(script, "src"), path)
				require.Nil(t, script.FirstChild, path)
			}
			require.Empty(t, g.elements("style"), path)
		}
	}
}

// line reads the next line of a stream that is not empty.
func line(tb testing.TB, r *bufio.Reader) string {
	tb.Helper()
	for {
		s, err := r.ReadString('\n')
		require.NoError(tb, err)
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
}

func TestLivePages(t *testing.T) {
	s := newSite(t)
	s.save(t, problem("p1", 1))
	s.save(t, problem("p2", 1))
	s.shown(t, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/events?problem=p1", http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := bufio.NewReader(res.Body)
	require.Equal(t, "retry: 3000", line(t, lines))
	require.Equal(t, "event: hello", line(t, lines))
	require.Equal(t, "data: 1", line(t, lines))
	p := problem("p1", 2)
	p.Revision++
	s.save(t, p)
	require.Equal(t, "event: changed", line(t, lines))

	b := s.browser(t)
	part, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/pages/p1", http.NoBody)
	require.NoError(t, err)
	part.Header.Set("X-Tocsin-Part", "1")
	g := b.do(part)
	require.Contains(t, g.text, "2 of 2 failing share")
	require.NotContains(t, g.raw, "<html")
	require.NotEmpty(t, g.elements("section"))

	s.closing()
	require.Equal(t, "data: 1", line(t, lines))
	_, err = lines.ReadString('x')
	require.ErrorIs(t, err, io.EOF, "a live page does not hold up the end")
}

// A live page outlives the time that a listener gives a request to be read.
func TestALivePageOutlivesTheReadTimeout(t *testing.T) {
	s := newSite(t)
	s.save(t, problem("p1", 1))
	s.shown(t, 1)
	mux := http.NewServeMux()
	require.NoError(t, s.server.Routes(mux))
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ReadTimeout = 200 * time.Millisecond
	srv.Start()
	defer srv.Close()
	defer s.closing()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/events", http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for line(t, lines) != "data: 1" {
	}
	<-time.After(500 * time.Millisecond)
	s.save(t, problem("p2", 1))
	require.Equal(t, "event: changed", line(t, lines))
}

// Live pages are bounded; who finds no place may come again.
func TestLivePagesAreBounded(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	require.NoError(t, s.server.Routes(mux))
	ask := func(ctx context.Context) int {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	var open sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 512 { // who is refused for one that only looked comes again
		open.Go(func() {
			for ask(ctx) == http.StatusServiceUnavailable && ctx.Err() == nil {
				runtime.Gosched()
			}
		})
	}
	require.Eventually(t, func() bool { return ask(gone) == http.StatusServiceUnavailable }, 20*time.Second, time.Millisecond)
	stop()
	open.Wait()
	require.Equal(t, http.StatusOK, ask(gone))
}

// What may not be shown stands in no timeline and on no chart.
func TestTimelinesAndChartsAreRedacted(t *testing.T) {
	w := newWorld(t)
	p := problem("p1", 1)
	for k, m := range p.Members {
		m.Alert.Labels["user"] = "a.smith@example.org"
		p.Members[k] = m
	}
	w.hidden = []string{"user"}
	w.save(t, p)
	const said = "user=a.smith@example.org is slow"
	w.put(t, store.TimelineKey("p1", 1, "pipeline", 1), page.Entry{Text: said, Evidence: []string{said, "x"}})
	w.put(t, store.TimelineKey("p1", 1, "remediate", 1), page.Entry{At: w.now, Text: "y"})
	w.put(t, store.ChartKey("p1", 1), page.Chart{Title: said, Expr: said, Failing: []page.Line{{Name: said}}, Marks: []page.Mark{{Text: said}}})
	entries, err := w.archive.Timeline(t.Context(), "p1", 0)
	require.NoError(t, err)
	const hidden = "user=<redacted> is slow"
	require.Equal(t, hidden, entries[0].Text)
	require.Equal(t, []string{hidden, "x"}, entries[0].Evidence)
	require.Equal(t, "y", entries[1].Text)
	require.Empty(t, entries[1].Evidence)
	c, err := w.archive.Chart(t.Context(), "p1", 1)
	require.NoError(t, err)
	require.Equal(t, []string{hidden, hidden, hidden, hidden}, []string{c.Title, c.Expr, c.Failing[0].Name, c.Marks[0].Text})
}

func TestHistoryPage(t *testing.T) {
	s := newSite(t)
	history(t, s.world, 120)
	b := s.browser(t)
	require.Eventually(t, func() bool { return len(b.get("/history?q=p00059&limit=50").elements("h2")) == 2 }, 20*time.Second, 10*time.Millisecond)
	g, seen := b.get("/history?q=checkout"), 0
	for {
		seen += len(g.elements("h2"))
		next := ""
		for _, a := range g.elements("a") {
			if attr(a, "class") == "button" {
				next = attr(a, "href")
			}
		}
		if next == "" {
			break
		}
		require.Contains(t, next, "q=checkout")
		g = b.get(next)
	}
	require.Equal(t, 120, seen)
	g = b.get("/history?q=n119&from=2026-03-01")
	require.Len(t, g.elements("h2"), 1)
	require.Contains(t, g.raw, `href="/pages/p00059?episode=2"`)
	require.Len(t, b.get("/history?q=n119&from=2026-03-01&to=2026-03-01").elements("h2"), 1, "to the end of that day")
	require.Empty(t, b.get("/history?q=n119&from=2026-03-02").elements("h2"))
	require.Empty(t, b.get("/history?q=n119&to=2026-02-28").elements("h2"))
	g = b.get("/history?limit=x")
	require.Equal(t, http.StatusBadRequest, g.StatusCode)
	require.Contains(t, g.text, "limit: write a number")
	require.Contains(t, b.get("/history?q=nothing").text, "Nothing like that is kept.")
}

// What machines ask for can be decided on the page, by whom may act, while it is asked.
func TestApprovals(t *testing.T) {
	s := newSite(t, tokens()...)
	p := problem("p1", 2)
	p.Runs = []page.Run{
		{Dispatch: "06fx2k0000000000000000000a", Policy: "restart", Text: "waits <b>for</b> approval", State: "awaiting", At: s.now, Asks: s.now.Add(time.Minute), N: 1},
		{Dispatch: "06fx2k0000000000000000000b", Policy: "restart", Text: "verified", State: "cleared", At: s.now, N: 2, Over: true, Link: "https://awx.example.org/#/jobs/1"},
	}
	s.save(t, p)
	b := s.browser(t)
	b.login("alice-secret")
	g := b.get("/pages/p1")
	require.Contains(t, g.text, "waits <b>for</b> approval")
	require.Contains(t, g.raw, `href="https://awx.example.org/#/jobs/1"`)
	require.Equal(t, 1, strings.Count(g.raw, `value="approve"`))
	after := b.press(g, "approve", "dispatch", p.Runs[0].Dispatch)
	require.Contains(t, after.text, "Your approval is handed in.")
	require.Len(t, s.events, 1)
	require.Equal(t, page.Act{Verb: page.ApproveIt, By: "operator alice", Dispatch: p.Runs[0].Dispatch}, *s.events[0].Act)
	require.Equal(t, http.StatusConflict, b.press(g, "approve", "dispatch", p.Runs[1].Dispatch).StatusCode, "nobody asks for it")
}
