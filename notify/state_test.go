package notify_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

func TestTheStatusSaysWhatBecameOfIt(t *testing.T) {
	now := notifytest.Page().Clock.Started.Add(time.Minute) // 12:04:10
	for name, tc := range map[string]struct {
		set  func(*notify.Message)
		want string
	}{
		"nothing":        {func(*notify.Message) {}, "firing · critical · 3 alerts"},
		"acknowledged":   {func(m *notify.Message) { m.Page.Ack = &page.Ack{By: "Jane Doe"} }, "firing · critical · 3 alerts · acknowledged by Jane Doe"},
		"by nobody":      {func(m *notify.Message) { m.Page.Ack = &page.Ack{By: "\u202e"} }, "firing · critical · 3 alerts · acknowledged by somebody"},
		"worse":          {func(m *notify.Message) { m.Page.Worse = 2 }, "firing · critical · 3 alerts · got worse twice"},
		"flapping":       {func(m *notify.Message) { m.Page.Flapping = 3 }, "firing · critical · 3 alerts · came back 3 times"},
		"elsewhere":      {func(m *notify.Message) { m.Also = []string{"pagerduty/ops"} }, "firing · critical · 3 alerts · also sent to pagerduty/ops"},
		"silenced today": {func(m *notify.Message) { m.Page.Silences = []page.Silence{{By: "Jane", Until: now.Add(time.Hour)}} }, "firing · critical · 3 alerts · silenced until 13:04 UTC by Jane"},
		"silenced long": {func(m *notify.Message) {
			m.Page.Silences = []page.Silence{{By: "Jane", Until: now.Add(24 * time.Hour)}}
		}, "firing · critical · 3 alerts · silenced until 2026-03-02 12:04 UTC by Jane"},
		"no longer": {func(m *notify.Message) {
			m.Page.Silences = []page.Silence{{By: "a", Until: now.Add(-time.Second)}, {By: "b", Until: now.Add(time.Hour), Ended: now}, {By: "c", Until: now.Add(time.Hour), Error: "no"}}
		}, "firing · critical · 3 alerts"},
		"a storm": {func(m *notify.Message) { m.Page.Storm = &page.Storm{Total: 120, Open: 80, Calmed: true} }, "firing · critical · 3 alerts · storm of 120 problems, 80 open · calmed"},
	} {
		t.Run(name, func(t *testing.T) {
			m := notify.Message{Verb: notify.VerbUpdate, Page: notifytest.Page()}
			tc.set(&m)
			require.Equal(t, tc.want, notify.Compose(m, now).Status)
		})
	}
}

func TestAStormListsItsRules(t *testing.T) {
	p := notifytest.Page()
	p.Storm = &page.Storm{Total: 60, Open: 50, Rules: map[string]page.Tally{
		"Slow":   {Severity: page.Warning, Total: 40, Open: 39},
		"Down":   {Severity: page.Critical, Total: 1, Open: 1, Sample: page.Labels{"service": "checkout"}},
		"":       {Severity: page.Info, Total: 9, Open: 9},
		"Errors": {Severity: page.Critical, Total: 10, Open: 1},
	}}
	got := notify.Compose(notify.Message{Page: p}, time.Now())
	require.Equal(t, []string{
		"Errors: 10 problems, 1 open, critical",
		"Down: 1 problem, 1 open, critical, such as service=checkout",
		"Slow: 40 problems, 39 open, warning",
		"other rules: 9 problems, 9 open, info",
	}, got.Members)
	require.Zero(t, got.More)
	for _, text := range notifytest.Hostile() {
		for i := range 30 {
			p.Storm.Rules[strings.Repeat("r", i)+text] = page.Tally{Sample: page.Labels{text: text}, Severity: page.Severity(text)}
		}
	}
	got = notify.Compose(notify.Message{Page: p}, time.Now())
	require.Len(t, got.Members, 10)
	require.Equal(t, len(p.Storm.Rules)-10, got.More)
	for _, line := range got.Members {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 200)
	}
}

func TestUpdateLine(t *testing.T) {
	require.Equal(t, "2 alerts joined", notify.UpdateLine(page.Update{Text: "2 alerts joined"}))
	require.Equal(t, "acknowledged by Jane", notify.UpdateLine(page.Update{Text: "acknowledged by Jane", Actor: "Jane"}))
	require.Equal(t, "look at the proxy · Jane", notify.UpdateLine(page.Update{Text: "look at the\nproxy", Actor: "Jane"}))
	for _, text := range append(notifytest.Hostile(), strings.Repeat("漢", 5000)) {
		line := notify.UpdateLine(page.Update{Text: text, Actor: text})
		require.LessOrEqual(t, utf8.RuneCountInString(line), 200, "%q", text)
		require.NotContains(t, line, "\u202e")
		require.NotContains(t, line, "\n")
		require.True(t, utf8.ValidString(line))
	}
}

// A status never grows beyond its budget.
func TestAStatusIsCut(t *testing.T) {
	m := notify.Message{Page: notifytest.Page()}
	for range 100 {
		m.Page.Silences = append(m.Page.Silences, page.Silence{By: strings.Repeat("j", 100), Until: time.Now().Add(time.Hour)})
	}
	require.LessOrEqual(t, utf8.RuneCountInString(notify.Compose(m, time.Now()).Status), 300)
}

// What a storm tells of has no work of its own, but for those who were told before.
func TestAFoldedProblemHasNoWork(t *testing.T) {
	x := notify.Target{Kind: "scripted", Name: "x", Notifier: &scripted{}}
	y := notify.Target{Kind: "scripted", Name: "y", Notifier: &scripted{}}
	r := &notify.Router{Receivers: map[string][]notify.Target{"team": {x, y}}}
	p := problem(id(1))
	p.Folded = "storm"
	require.Empty(t, r.Ops(p))
	p.Told = []string{"scripted/y"}
	ops := r.Ops(p)
	require.Len(t, ops, 1)
	require.Equal(t, store.LaneDeliver+"scripted/y", ops[0].Item.Lane)
}
