//go:build browser

package web_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	pages "github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// findBrowser returns a browser, $BROWSER first. A machine without one fails the
// test: it was asked for by its build tag.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("BROWSER"), "chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("no Chromium is on PATH: run tools/browser, or set BROWSER")
	return ""
}

// tab is a tab of a headless browser that keeps what it complains about.
type tab struct {
	ctx context.Context
	t   *testing.T

	mu       sync.Mutex
	troubles []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop2 := chromedp.NewContext(ctx)
	t.Cleanup(stop2)
	ctx, stop3 := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stop3)
	b := &tab{ctx: ctx, t: t}
	chromedp.ListenTarget(ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *log.EventEntryAdded:
			b.troubles = append(b.troubles, e.Entry.Text+" "+e.Entry.URL)
		case *runtime.EventExceptionThrown:
			b.troubles = append(b.troubles, e.ExceptionDetails.Error())
		}
	})
	b.do(log.Enable(), emulation.SetEmulatedMedia().WithFeatures(still()))
	return b
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Run(b.ctx, actions...))
}

// still is asked of pages: one that scrolls smoothly moves what is about to be clicked.
func still() []*emulation.MediaFeature {
	return []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}
}

// has waits until the page says something.
func (b *tab) has(text string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var said string
		err := chromedp.Run(b.ctx, chromedp.Evaluate(`document.body.innerText.replace(/\s+/g, " ")`, &said))
		return err == nil && strings.Contains(said, text) // it errs while another page is loaded
	}, 20*time.Second, 20*time.Millisecond, text)
}

// calm says that the browser complained of nothing: no script was refused by
// the policy, none failed, nothing was missing.
func (b *tab) calm() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.troubles)
}

// look sets a screen.
func (b *tab) look(width, height int64, scheme string) {
	b.do(
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2)),
		emulation.SetEmulatedMedia().WithFeatures(append(still(), &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme})), //nolint:misspell // CSS' word
	)
}

// faint lists the texts of the page whose contrast is below WCAG's AA (4.5).
//
//nolint:misspell // CSS' word
const faint = `(() => {
  const rgb = c => c.match(/[\d.]+/g).map(Number);
  const lum = ([r, g, b]) => { const f = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const ground = el => { for (; el; el = el.parentElement) { const c = rgb(getComputedStyle(el).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const out = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    const el = n.parentElement;
    if (!n.data.trim() || !el.checkVisibility() || el.closest(".hide, .skip, .who span, script")) continue;
    const a = lum(rgb(getComputedStyle(el).color)), b = lum(ground(el));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) out.push(n.data.trim().slice(0, 40) + " " + ratio.toFixed(2));
  }
  return out;
})()`

// nameless lists what can be operated and has no name for those who cannot see it,
// and what is too small for a thumb.
const nameless = `[...document.querySelectorAll("button, a, input:not([type=hidden]), select, textarea")].filter(el => el.checkVisibility() && !(
  el.innerText?.trim() || el.labels?.length || el.ariaLabel)).map(el => el.outerHTML).concat(
  [...document.querySelectorAll("button, a.button, input:not([type=hidden]), select")].filter(el => el.checkVisibility() && el.getBoundingClientRect().height < 36).map(el => "small: " + el.outerHTML))`

// seen checks a page on every screen, and takes pictures of it into $SCREENSHOTS.
func (b *tab) seen(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	for _, scheme := range []string{"light", "dark"} {
		for screen, width := range map[string]int64{"phone": 390, "desktop": 1280} {
			b.look(width, 844, scheme)
			var wide bool
			var low, unnamed []string
			var shot []byte
			b.do(
				chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide),
				chromedp.Evaluate(faint, &low), chromedp.Evaluate(nameless, &unnamed), chromedp.FullScreenshot(&shot, 100),
			)
			at := fmt.Sprintf("%s-%s-%s", name, screen, scheme)
			require.False(b.t, wide, "%s is wider than its screen", at)
			require.Empty(b.t, low, at)
			require.Empty(b.t, unnamed, at)
			require.NoError(b.t, os.WriteFile(filepath.Join(dir, at+".png"), shot, 0o600))
		}
	}
}

// drawn is a picture in the place of a chart's.
func drawn(_ pages.Chart, dark bool) ([]byte, error) {
	ink := "#333"
	if dark {
		ink = "#ccc"
	}
	return []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 220"><g fill="none" stroke-width="2"><path stroke="` + ink +
		`" d="M40 10V190H590"/><path stroke="#c8102e" d="M40 180L300 178 320 60 590 50"/><path stroke="#3b82c4" d="M40 182L590 181"/></g></svg>`), nil
}

// scene is a morning on call.
func scene(t *testing.T, s *site) {
	s.server.Draw = drawn
	p := problem("0b5e1c", 12)
	p.Charted, p.Peak.Times = s.now, 1
	p.Context.Changes = []pages.Change{{Kind: "deploy", Title: "v42", Labels: pages.Labels{"service": "checkout", "dc": "dc1"}, At: p.Opened.Add(-35 * time.Second), Source: "webhook/dc1"}}
	p.Context.Queries = []pages.Query{{Source: "main", Text: `sum by (instance) (rate(http_requests_total{service="checkout"}[5m]))`, Took: 180 * time.Millisecond, Series: 112}}
	p.Silences = []pages.Silence{{ID: "4f9f1f6a-9a6b-4a9e", By: "Jane Doe", Until: s.now.Add(time.Hour), Matchers: []string{`alertname="CheckoutErrors"`, `service="checkout"`}}}
	s.save(t, p)
	s.put(t, store.ChartKey(p.ID, 1), pages.Chart{Title: "x"})
	s.put(t, store.ReceiptKey(p.ID, 1, "slack/payments"), pages.Receipt{Target: "slack/payments", State: pages.Sent, First: p.Clock.Decided.Add(420 * time.Millisecond), Link: "https://example.slack.com/archives/C0PAY/p1"})
	s.put(t, store.ReceiptKey(p.ID, 1, "pagerduty/oncall"), pages.Receipt{Target: "pagerduty/oncall", State: pages.Waiting, Error: "post event: status 429"})
	for i, text := range []string{"opened: 12 alerts fire", "asked for context: answered in 0.98 s", "decided: told slack/payments and pagerduty/oncall", "got worse: HostDown is critical too"} {
		s.put(t, store.TimelineKey(p.ID, 1, "pipeline", i), pages.Entry{At: p.Opened.Add(time.Duration(2+i) * time.Second), Room: "pipeline", Kind: "notified", Actor: "alertmanager/dc1", Text: text})
	}
	s.put(t, store.TimelineKey(p.ID, 1, "notify", 1), pages.Entry{At: p.Opened.Add(4 * time.Second), Room: "notify", Kind: "open", Actor: "tocsin", Target: "pagerduty/oncall", Text: "not delivered: status 429, tried again in 2 s", Failed: true})
	for i, severity := range []string{"warning", "info", "error"} {
		o := problem(fmt.Sprintf("0b5e2%d", i), 2)
		o.Clock.Received = o.Clock.Received.Add(-time.Duration(i+1) * time.Hour)
		o.Group.GroupLabels = pages.Labels{"alertname": "DiskFillsUp", "service": "search-with-a-rather-long-name", "datacentre": "eu-central-1"}
		for k, m := range o.Members {
			m.Alert.Labels = pages.Labels{"alertname": "DiskFillsUp", "severity": severity, "instance": k[:8]}
			o.Members[k] = m
		}
		if i == 2 {
			o.Ack = &pages.Ack{By: "Jane Doe", At: s.now}
		}
		s.save(t, o)
	}
	s.save(t, closed(problem("0b5e30", 3), 25*time.Minute))
	s.shown(t, 4)
}

func TestPagesInABrowser(t *testing.T) {
	s := newSite(t, tokens()...)
	scene(t, s)
	b := newTab(t)
	b.look(390, 844, "light")
	b.do(chromedp.Navigate(s.url + "/"))
	b.has("Operator's token")
	b.seen("login")
	b.do(chromedp.SendKeys("#token", "alice-secret\r"))
	b.has("1 critical")
	b.seen("open")
	b.do(chromedp.Navigate(s.url + "/history"))
	b.has("lasted 24 min")
	b.seen("history")
	b.do(chromedp.Navigate(s.url+"/"), chromedp.Click(".row h2 a"))
	b.has("12 of 12 failing share deploy=v42")
	b.do(chromedp.Poll(`document.querySelector("figure img").naturalWidth > 0`, nil))
	b.seen("problem")
	b.do(chromedp.Click(`a[href$="for=1h"]`))
	b.has("every alert that matches")
	b.seen("silence")
	b.do(chromedp.Click(`button[value="silence"]`))
	b.has("Alertmanager is asked for the silence.")
	b.do(chromedp.Click(`button[value="ack"]`))
	b.has("Acknowledged.")
	require.Equal(t, []pages.Verb{pages.SilenceIt, pages.Acknowledge}, s.verbs())
	b.calm()
}

func (s *site) verbs() []pages.Verb {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pages.Verb
	for _, e := range s.events {
		out = append(out, e.Act.Verb)
	}
	return out
}

// A page shows what changes, and takes nothing from under somebody's hands.
func TestAPageIsLive(t *testing.T) {
	s := newSite(t)
	p := problem("p1", 5)
	s.save(t, p)
	s.shown(t, 1)
	b := newTab(t)
	b.do(chromedp.Navigate(s.url + "/pages/p1"))
	b.has("Live")
	b.do(chromedp.Evaluate(`window.mine = true`, nil), chromedp.Click("#alerts summary"), chromedp.SendKeys("#note", "I am wri"))
	p = problem("p1", 6)
	p.Revision, p.Ack = p.Revision+1, &pages.Ack{By: "Jane Doe", At: s.now}
	s.save(t, p)
	b.has("Taken by Jane Doe")
	b.has("6 alerts")
	b.do(chromedp.SendKeys("#note", "ting"))
	var note string
	var same, open bool
	b.do(chromedp.Value("#note", &note), chromedp.Evaluate(`window.mine === true`, &same), chromedp.Evaluate(`document.getElementById("alerts").open`, &open))
	require.Equal(t, "I am writing", note)
	require.True(t, same, "the page was not loaded again")
	require.True(t, open, "what was unfolded stays so")

	b.do(chromedp.Navigate(s.url + "/"))
	b.has("Live")
	s.save(t, problem("p2", 1))
	b.has("2 critical")
	s.save(t, closed(p, time.Hour))
	b.has("1 critical")
	b.calm()
}

// Everything works where no script runs.
func TestPagesWithoutScripts(t *testing.T) {
	s := newSite(t, tokens()...)
	s.save(t, problem("p1", 1))
	s.shown(t, 1)
	b := newTab(t)
	done := func(n int) {
		require.Eventually(t, func() bool { return len(s.verbs()) == n }, 20*time.Second, 10*time.Millisecond)
	}
	b.do(
		emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(s.url+"/pages/p1"),
		chromedp.SendKeys("#token", "alice-secret"), chromedp.Click("button.main"),
		chromedp.WaitVisible("#note"), chromedp.SendKeys("#note", "by hand"), chromedp.Click(".note button"),
	)
	done(1)
	b.do(chromedp.WaitVisible(".done"), chromedp.Click(`button[value="ack"]`))
	done(2)
	b.do(chromedp.WaitVisible(".done"), chromedp.Click(`a[href$="for=morning"]`), chromedp.WaitVisible(`button[value="silence"]`), chromedp.Click(`button[value="silence"]`))
	done(3)
	require.Equal(t, []pages.Verb{pages.Remark, pages.Acknowledge, pages.SilenceIt}, s.verbs())
	b.calm()
}

// What is hostile runs nothing in a real browser either.
func TestHostileTextInABrowser(t *testing.T) {
	s := newSite(t)
	b := newTab(t)
	asked := 0
	chromedp.ListenTarget(b.ctx, func(e any) {
		if _, ok := e.(*page.EventJavascriptDialogOpening); ok {
			b.mu.Lock()
			asked++
			b.mu.Unlock()
		}
	})
	for i, bad := range hostile() {
		id := fmt.Sprintf("p%d", i)
		p, _, _ := everywhere(id, bad)
		s.save(t, p)
		b.do(chromedp.Navigate(s.url+"/pages/"+id), chromedp.WaitReady("#live"))
	}
	s.shown(t, len(hostile()))
	b.do(chromedp.Navigate(s.url+"/"), chromedp.WaitReady("#live"))
	b.has(fmt.Sprintf("%d warning", len(hostile())))
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Zero(t, asked)
	require.Empty(t, b.troubles)
}
