package page_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

func TestNamesTellAlertsApart(t *testing.T) {
	of := func(sets ...page.Labels) []page.Alert {
		var out []page.Alert
		for _, l := range sets {
			out = append(out, page.Alert{Labels: l})
		}
		return out
	}
	for name, tc := range map[string]struct {
		all  []page.Alert
		want string
	}{
		"one":                      {of(page.Labels{"alertname": "Down", "pod": "a"}), "Down"},
		"without a name":           {of(page.Labels{}), "alert without a name"},
		"one label is enough":      {of(page.Labels{"pod": "a", "uid": "1", "zone": "x"}, page.Labels{"pod": "b", "uid": "2", "zone": "x"}), "pod=a, pod=b"},
		"two are needed":           {of(page.Labels{"pod": "a", "zone": "x"}, page.Labels{"pod": "a", "zone": "y"}, page.Labels{"pod": "b", "zone": "x"}), "pod=a zone=x, pod=a zone=y, pod=b zone=x"},
		"one lacks the label":      {of(page.Labels{"alertname": "Down", "pod": "a"}, page.Labels{"alertname": "Down"}), "pod=a, Down"},
		"severity tells nothing":   {of(page.Labels{"alertname": "Down", "severity": "critical"}, page.Labels{"alertname": "Down", "severity": "warning"}), "Down, Down"},
		"long values are cut":      {of(page.Labels{"pod": strings.Repeat("a", 50)}, page.Labels{"pod": "b"}), "pod=" + strings.Repeat("a", 39) + "…, pod=b"},
		"names first, where mixed": {of(page.Labels{"alertname": "Down", "pod": "a"}, page.Labels{"alertname": "Slow", "pod": "b"}), "Down, Slow"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, page.Names(tc.all, tc.all)) })
	}
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a b c", page.OneLine(" a\n\tb\x00\u0085c "))
	require.Len(t, []rune(page.OneLine(strings.Repeat("ä", 1000))), 400)
	require.Equal(t, "a�", page.OneLine("a\xff"))
}

func TestSpanAndMoment(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 40 * time.Second: "40 s", 12 * time.Minute: "12 min", 3 * time.Hour: "3 h", 185 * time.Minute: "3 h 5 min", 50 * time.Hour: "2 d",
	} {
		require.Equal(t, want, page.Span(d))
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	require.Equal(t, "13:00 UTC", page.Moment(now.Add(time.Hour), now))
	require.Equal(t, "2 Mar 07:00 UTC", page.Moment(now.Add(19*time.Hour), now))
	require.Equal(t, "1 Mar 12:00 UTC", page.Moment(now, now.AddDate(1, 0, 0)))
}
