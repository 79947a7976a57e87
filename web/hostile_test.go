package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// hostile is what somebody who may name a label, or write to a target, can send.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><script src=//evil.example.org></script>`, `'><img src=x onerror=alert(1)>`, `</title><svg onload=alert(1)>`,
		`</textarea><script>alert(1)</script>`, `<!--`, `]]>`, `{{.Visitor.Form}}`, `{{template "foot" .}}`, `${alert(1)}`,
		`javascript:alert(1)`, `JaVaScRiPt:alert(1)`, "java\tscript:alert(1)", `data:text/html,<script>alert(1)</script>`, `vbscript:x`, `//evil.example.org`,
		`https://user:pass@evil.example.org`, `" onmouseover="alert(1)`, `' autofocus onfocus='alert(1)`, "` onclick=alert(1) `", `<a href="javascript:alert(1)">x</a>`,
		`<form action=https://evil.example.org><button>`, `<base href=https://evil.example.org>`, `<meta http-equiv=refresh content=0;url=https://evil.example.org>`,
		`<iframe src=https://evil.example.org>`, `<style>*{display:none}</style>`, `&lt;script&gt;`, `&#60;script&#62;`, `<!channel> <@U123> <https://evil.example.org|ok>`,
		"\u202ekcatta\u202c", "a\u2066b\u2069c", "zero\u200bwidth\u200d\ufeff", "\x00\x07\x1b[31m", "\xff\xfe", "line\u2028break", strings.Repeat("A", 5000), "\U000e0041tag",
	}
}

// everywhere is a problem that says it wherever something from outside stands.
func everywhere(id, bad string) (page.Problem, []page.Receipt, []page.Entry) {
	p := problem(id, 1)
	p.Receiver, p.Cluster = bad, bad
	l := page.Labels{"alertname": bad, "severity": bad, "service": bad, bad: bad}
	a := page.Alert{ID: "a", Status: page.Firing, Labels: l, StartsAt: p.Opened, GeneratorURL: bad, Annotations: page.Labels{
		"summary": bad, "description": bad + " ", "runbook_url": bad, "dashboard_url": bad,
	}}
	b := a
	b.ID, b.Labels = "b", page.Labels{"alertname": bad, "n": "2"}
	p.Members = map[string]page.Member{"a": {Alert: a, Open: true}, "b": {Alert: b, Closed: p.Opened.Add(time.Second)}}
	p.Group.GroupLabels, p.Group.ExternalURL = page.Labels{"alertname": bad, bad: bad}, bad
	change := page.Change{ID: bad, Kind: bad, Title: bad, Link: bad, Source: bad, Labels: page.Labels{"service": bad}, At: p.Opened}
	p.Context = page.Context{
		Failing: 1, Healthy: 1,
		Traits: []page.Trait{{
			Labels: page.Labels{bad: bad}, Failing: page.Count{Matched: 1, Total: 1}, Healthy: page.Count{Total: 1}, Query: bad, Link: bad, Source: bad, Role: bad, Strength: bad,
			Also: []page.Label{{Name: bad, Value: bad}}, Rival: page.Labels{bad: bad}, Rules: []string{bad, bad}, Versions: []page.Share{{Value: bad, Bad: .9}, {Value: bad, Bad: .1}},
		}},
		Queries: []page.Query{{Source: bad, Text: bad, Error: bad}}, Notes: []page.Note{{Text: bad}},
		Onset: &page.Onset{At: p.Opened, From: p.Opened, To: p.Opened, After: &change}, Changes: []page.Change{change},
		Impact:    &page.Impact{Unit: bad, Bad: 1, All: 2, Datacentres: []string{bad}, InDC: page.Count{Matched: 1, Total: 2}},
		Exemplars: &page.Exemplars{Traces: []page.Trace{{ID: bad, Links: []page.Link{{Text: bad, URL: bad}}}}, Carried: []page.Carried{{Label: page.Label{Name: bad, Value: bad}}}},
	}
	p.Ack = &page.Ack{By: bad, Via: bad, At: p.Opened}
	p.Silences = []page.Silence{{ID: bad, By: bad, Until: p.Opened.Add(time.Hour), Matchers: []string{bad}}, {ID: "e", By: bad, Error: bad}}
	p.Updates = []page.Update{{N: 1, Kind: page.UpdateKind(bad), Actor: bad, Text: bad, Link: bad}}
	p.Storm, p.Folded = &page.Storm{Total: 1, Rules: map[string]page.Tally{bad: {Severity: page.Severity(bad), Sample: page.Labels{bad: bad}}}}, bad
	receipts := []page.Receipt{{Target: bad, State: page.DeliveryState(bad), Link: bad, Error: bad, Instead: bad}}
	entries := []page.Entry{{At: p.Opened, Room: bad, Kind: bad, Actor: bad, Text: bad, Target: bad, Event: bad, Evidence: []string{bad, bad}}}
	return p, receipts, entries
}

// harmless checks a page against what may stand in it at all.
func harmless(t *testing.T, g got, bad string) {
	t.Helper()
	tags := map[string]bool{}
	for tag := range strings.FieldsSeq("html head meta title article link script body a header nav img form input span button main footer h1 h2 p section ol ul li time bdi label select option textarea small strong div dl dt dd details summary pre code br figure picture source figcaption table thead tbody tr th td svg rect") {
		tags[tag] = true
	}
	attrs := strings.Fields("lang charset name content rel href src defer type color-scheme class id alt width height method action value data-live data-follow aria-label aria-current aria-hidden role for rows maxlength required autofocus autocomplete placeholder size datetime title tabindex scope hidden open selected viewbox viewBox preserveaspectratio preserveAspectRatio focusable x media srcset") //nolint:misspell // CSS' word
	for n := range g.doc.Descendants() {
		switch n.Type {
		case html.ElementNode:
			require.True(t, tags[n.Data], "<%s> by %q", n.Data, bad)
			for _, a := range n.Attr {
				require.True(t, slices.Contains(attrs, a.Key), "%s=%q on <%s> by %q", a.Key, a.Val, n.Data, bad)
				if slices.Contains([]string{"href", "src", "action", "srcset"}, a.Key) {
					u, err := url.Parse(a.Val)
					require.NoError(t, err)
					ours := u.Scheme == "" && u.Host == "" && (strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "#"))
					linked := n.Data == "a" && a.Key == "href" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https")
					require.True(t, ours || linked, "%s=%q by %q", a.Key, a.Val, bad)
				}
			}
			if n.Data == "script" {
				require.Equal(t, "/static/live.js", attr(n, "src"))
				require.Nil(t, n.FirstChild)
			}
		case html.CommentNode:
			t.Fatalf("a comment %q by %q", n.Data, bad)
		case html.TextNode:
			for _, r := range n.Data {
				require.False(t, unicode.In(r, unicode.Cf, unicode.Co) || unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t', "%U by %q", r, bad)
			}
		default:
		}
	}
	require.Len(t, g.elements("script"), 1)
	require.Equal(t, 1, len(g.elements("title")))
}

// What comes from outside is text, wherever it stands: it makes no element, no
// attribute, no script and no link but http and https.
func TestFaultHostileText(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	for i, bad := range hostile() {
		id := "p" + strings.Repeat("x", i)
		p, receipts, entries := everywhere(id, bad)
		s.save(t, p)
		for _, r := range receipts {
			s.put(t, store.ReceiptKey(id, 1, "x/y"), r)
		}
		for _, e := range entries {
			s.put(t, store.TimelineKey(id, 1, "pipeline", 1), e)
		}
		for _, path := range []string{"/pages/" + id, "/pages/" + id + "/silence?for=1h"} {
			g := b.get(path)
			require.Equal(t, http.StatusOK, g.StatusCode, "%s by %q", path, bad)
			harmless(t, g, bad)
		}
		q := url.QueryEscape(bad)
		for _, path := range []string{
			"/?q=" + q, "/?receiver=" + q + "&severity=" + q, "/?storm=" + q, "/history?q=" + q + "&receiver=" + q,
			"/history?from=" + q + "&to=" + q, "/history?after=" + q, "/history?match=" + q, "/pages/" + url.PathEscape(bad) + "?done=" + q, "/pages/" + id + "?done=" + q,
		} {
			harmless(t, b.get(path), bad)
		}
	}
	s.shown(t, len(hostile()))
	harmless(t, b.get("/"), "all of it")
	harmless(t, b.get("/history"), "all of it")

	closed := newSite(t, tokens()...)
	for _, bad := range hostile() {
		harmless(t, closed.browser(t).get("/login?next="+url.QueryEscape(bad)), bad)
	}
}

// Text shows whole, markup and all: it is not taken away, only made harmless.
func TestHostileTextStaysReadable(t *testing.T) {
	s := newSite(t)
	p := problem("p1", 1)
	p.Context.Notes = []page.Note{{Text: `<b>5 < 6 & "7"</b>`}}
	s.save(t, p)
	require.Contains(t, s.browser(t).get("/pages/p1").text, `<b>5 < 6 & "7"</b>`)
}
