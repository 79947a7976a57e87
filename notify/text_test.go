package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
)

func compose(p page.Page, change func(*notify.Message)) notify.Text {
	m := notify.Message{Page: p}
	if change != nil {
		change(&m)
	}
	return notify.Compose(m, p.Clock.Started.Add(12*time.Second))
}

func TestComposeFiring(t *testing.T) {
	require.Equal(t, notify.Text{
		Headline: "38 of 40 failing share deploy=v42 (6 % of healthy do)",
		Title:    "CheckoutErrors · cluster=eu, service=checkout (3 alerts)",
		Status:   "firing · critical · 3 alerts",
		Since:    "since 2026-03-01 12:03:10 UTC (12 s ago)",
		Alone:    "only the new version: v42 41 %, v41 0.2 %",
		Events:   "exemplars: 9 of 10 failing carry user=u5 (1 of 12 healthy)",
		Impact:   "12 % of events fail · 25 % of events are inside the trait · 1 of 3 datacentres (dc1) · 8 of 120 users",
		Summary:  "Checkout answers 12 % of requests with 5xx",
		Details:  "The error ratio of checkout is over 5 %.\nCustomers cannot pay.",
		Traits:   []string{"20 of 40 failing share zone=b (25 % of healthy do)"},
		Members:  []string{"instance=web-1:8080", "instance=web-2:8080", "instance=web-3:8080"},
		Clock:    "rule fired → page in 12 s (webhook +0.4 s, on disk +0.4 s, context +1.9 s)",
	}, compose(notifytest.Page(), nil))
}

// What cannot be told apart from the first trait is named, three labels of it, the
// shortest first.
func TestComposeAliases(t *testing.T) {
	p := notifytest.Page()
	require.Empty(t, compose(p, nil).Same)
	p.Traits = slices.Clone(p.Traits)
	p.Traits[0].Also = []page.Label{{Name: "pod", Value: "cart-1\u202e"}, {Name: "b", Value: "2"}, {Name: "c", Value: "3"}, {Name: "d", Value: "4"}}
	require.Equal(t, "the same as b=2, c=3, d=4", compose(p, nil).Same)
	p.Traits[0].Also = p.Traits[0].Also[:1]
	require.Equal(t, "the same as pod=cart-1", compose(p, nil).Same)
	p.Traits = nil
	require.Empty(t, compose(p, nil).Same)
}

func TestComposeHeadlines(t *testing.T) {
	pending, closed, test, self := notifytest.Page(), notifytest.Resolved(), notifytest.Page(), notifytest.Page()
	pending.Headline, pending.Traits = page.Headline(page.Context{Pending: true}), nil
	test.Test = true
	self.Self = true
	bare := notifytest.Resolved()
	bare.Traits = nil
	for want, got := range map[string]string{
		"what they share is not known yet":                                              compose(pending, nil).Headline,
		"resolved after 4m 10s · 38 of 40 failing share deploy=v42 (6 % of healthy do)": notify.Compose(notify.Message{Page: closed}, closed.Clock.Started.Add(time.Hour)).Headline,
		"resolved after 4m 10s":                                                         notify.Compose(notify.Message{Page: bare}, bare.Clock.Started.Add(time.Hour)).Headline,
		"TEST PAGE · 38 of 40 failing share deploy=v42 (6 % of healthy do)":             compose(test, nil).Headline,
		"Tocsin about itself · Checkout answers 12 % of requests with 5xx":              compose(self, nil).Headline,
		"possible repeat · 38 of 40 failing share deploy=v42 (6 % of healthy do)":       compose(notifytest.Page(), func(m *notify.Message) { m.Repeat = true }).Headline,
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, "from 2026-03-01 12:03:10 UTC to 2026-03-01 12:07:20 UTC", notify.Compose(notify.Message{Page: closed}, closed.Clock.Started.Add(time.Hour)).Since)
}

func TestMembersByWhatTellsThemApart(t *testing.T) {
	p := notifytest.Page()
	for i := range 20 {
		l := page.Labels{"alertname": "Other", "severity": "warning", "service": "checkout", "instance": fmt.Sprint("x", i)}
		p.Alerts = append(p.Alerts, page.Alert{ID: l.ID(), Labels: l})
	}
	text := compose(p, nil)
	require.Len(t, text.Members, 10)
	require.Equal(t, 13, text.More)
	require.Equal(t, "alertname=CheckoutErrors, severity=critical, cluster=eu, instance=web-1:8080", text.Members[0])
	require.Equal(t, "alertname=Other, severity=warning, instance=x0", text.Members[3], "cluster is missing here, so it tells them apart")

	one := notifytest.Page()
	one.Alerts = one.Alerts[:1]
	require.Equal(t, []string{"cluster=eu, instance=web-1:8080, service=checkout"}, compose(one, nil).Members)
	one.Alerts = nil
	require.Empty(t, compose(one, nil).Members)
}

func TestClockKeepsTheFirstDelivery(t *testing.T) {
	p := notifytest.Page()
	got := compose(p, func(m *notify.Message) { m.Receipt.First = p.Clock.Started.Add(2500 * time.Millisecond) })
	require.True(t, strings.HasPrefix(got.Clock, "rule fired → page in 2.5 s ("), got.Clock)
	p.Clock = page.Clock{}
	require.Empty(t, compose(p, nil).Clock)
}

func TestLinksAreWebAddresses(t *testing.T) {
	p := notifytest.Page()
	p.Links = []page.Link{
		{Text: "runbook", URL: "https://wiki.example/r"},
		{Text: "bad", URL: "javascript:alert(1)"},
		{Text: "", URL: "http://x.example/"},
		{Text: "long", URL: "https://x.example/" + strings.Repeat("q", 3000)},
	}
	require.Equal(t, []page.Link{{Text: "runbook", URL: "https://wiki.example/r"}, {Text: "link", URL: "http://x.example/"}}, compose(p, nil).Links)
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\tc  d":             "a b c d",
		"\u202eevil\u2066x":      "evilx",
		"z\u200be\u200d\ufeffro": "zero",
		"\x00\x1b[31mred\u0085":  "[31mred",
		"\xff\xfe":               "\ufffd\ufffd",
		"  padded  ":             "padded",
		"0123456789abc":          "012345678…",
		"漢字漢字漢字漢字漢字漢":            "漢字漢字漢字漢字漢…",
		"":                       "",
	} {
		require.Equal(t, want, notify.Clean(in, 10), "%q", in)
	}
	require.Equal(t, "a b\n\nc\nd", notify.CleanLines("a\tb\n\n\n\nc\r\nd\n", 100))
	require.Empty(t, notify.Cut("abc", 0))
}

// Text that needs no cleaning takes a way of its own: both end at the same words.
func TestCleanOfTidyText(t *testing.T) {
	for _, in := range []string{"", "a", " ", "a b", "a  b", " a", "a ", "a b c d e f", "0123456789", "0123456789a", "a\tb", "a~!b", "é", "a\x7fb"} {
		require.Equal(t, notify.Clean("\x00"+in, 10), notify.Clean(in, 10), "%q", in)
		require.Equal(t, notify.CleanLines("\x00"+in, 10), notify.CleanLines(in, 10), "%q", in)
	}
}

func BenchmarkClean(b *testing.B) {
	for name, text := range map[string]string{"tidy": strings.Repeat("instance=web-3.example.org ", 40) + ".", "untidy": strings.Repeat("instance=wéb-3  example\n", 40)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_ = notify.Clean(text, 3000)
			}
		})
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0 s", 400 * time.Millisecond: "0.4 s", 9940 * time.Millisecond: "9.9 s", 35 * time.Second: "35 s",
		250 * time.Second: "4m 10s", 2*time.Hour + 5*time.Minute: "2h 5m", 76 * time.Hour: "3d 4h",
	} {
		require.Equal(t, want, notify.Span(d))
	}
}

func FuzzCompose(f *testing.F) {
	for _, s := range notifytest.Hostile() {
		f.Add(s, 100)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(1, min(n, 5000))
		one, many := notify.Clean(s, n), notify.CleanLines(s, n)
		require.NotContains(t, one, "\n")
		require.Equal(t, notify.Clean("\x00"+s, n), one)
		for _, got := range []string{one, many} {
			require.True(t, utf8.ValidString(got))
			require.LessOrEqual(t, utf8.RuneCountInString(got), n)
			require.Equal(t, -1, strings.IndexFunc(got, func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
			}), "%q", got)
			require.Equal(t, got, notify.CleanLines(got, n), "clean text stays as it is")
		}
		p := notifytest.Infect(notifytest.Page(), s)
		text := notify.Compose(notify.Message{Page: p}, p.Clock.Started)
		require.LessOrEqual(t, utf8.RuneCountInString(text.Headline), 300)
		require.Equal(t, text, notify.Compose(notify.Message{Page: p}, p.Clock.Started))
	})
}
