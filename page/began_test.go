package page_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

func TestHeadlineSaysSinceWhen(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC)
	sure := page.Onset{At: at, From: at.Add(-10 * time.Second), To: at.Add(5 * time.Second)}
	deploy := page.Change{Kind: "deploy", Title: "v42", Labels: page.Labels{"service": "checkout", "dc": "dc1"}, At: at.Add(-35 * time.Second)}
	trait := page.Trait{Labels: page.Labels{"deploy": "v42"}, Failing: page.Count{Matched: 38, Total: 40}, Healthy: page.Count{Matched: 6, Total: 100}}
	say := func(change func(*page.Onset)) string {
		o := sure
		change(&o)
		s, ok := strings.CutPrefix(page.Headline(page.Context{Traits: []page.Trait{trait}, Onset: &o}), "38 of 40 failing share deploy=v42 (6 % of healthy do) · ")
		require.True(t, ok)
		return s
	}
	require.Equal(t, "began 12:03:10", say(func(*page.Onset) {}))
	require.Equal(t, "began 12:03:10, 35 s after deploy v42 of checkout (dc1)", say(func(o *page.Onset) { o.After = &deploy }))
	require.Equal(t, "began 12:03:10, 4 min after config x", say(func(o *page.Onset) {
		o.After = &page.Change{Kind: "config", Title: "x", At: at.Add(-4 * time.Minute)}
	}))
	require.Equal(t, "began 12:03:10, with deploy v42", say(func(o *page.Onset) { o.After = &page.Change{Kind: "deploy", Title: "v42", At: at.Add(3 * time.Second)} }))
	require.Equal(t, "began about 12:03, after deploy v42 of checkout (dc1)", say(func(o *page.Onset) { o.From, o.After = at.Add(-5*time.Minute), &deploy }))
	require.Equal(t, "nothing in common: all 9 members fail · began 12:03:10", page.Headline(page.Context{None: true, Failing: 9, Onset: &sure}))
	require.Equal(t, "what they share is not known", page.Headline(page.Context{Onset: &sure}))
	long := page.Change{Kind: strings.Repeat("漢", 500), Title: strings.Repeat("x", 500), Labels: page.Labels{"app": strings.Repeat("y", 500), "zone": strings.Repeat("z", 500)}}
	require.Less(t, len([]rune(long.Words())), 180)
}

func TestAlone(t *testing.T) {
	c := func(o *page.Onset, shares ...page.Share) page.Context {
		return page.Context{Traits: []page.Trait{{Versions: shares}}, Onset: o}
	}
	v42, v41 := page.Share{Value: "v42", Bad: .41}, page.Share{Value: "v41", Bad: .002}
	require.Equal(t, "only the new version: v42 41 %, v41 0.2 %", c(&page.Onset{First: true}, v42, v41).Alone())
	require.Equal(t, "only the new version: v42 41 %, v41 0.2 %", c(&page.Onset{After: &page.Change{Kind: "deploy"}}, v42, v41).Alone())
	require.Equal(t, "only this version: v42 41 %, v41 0.2 %", c(nil, v42, v41).Alone())
	require.Equal(t, "only this version: v42 100 %, v41 0 %, v40 < 0.1 %", c(nil, page.Share{Value: "v42", Bad: 1}, page.Share{Value: "v41"}, page.Share{Value: "v40", Bad: .0002}).Alone())
	require.Empty(t, c(nil, v42, v41, page.Share{Value: "v40", Bad: .2}).Alone(), "another fails too")
	require.Empty(t, c(nil, v42).Alone())
	require.Empty(t, page.Context{}.Alone())
}

func TestImpactInWords(t *testing.T) {
	require.Empty(t, (*page.Impact)(nil).Words())
	require.Empty(t, (&page.Impact{}).Words())
	require.Equal(t, "12 of 40 members fail · 2 of 3 datacentres (a, b)",
		(&page.Impact{Unit: page.Members, Bad: 12, All: 40, Datacentres: []string{"a", "b"}, InDC: page.Count{Matched: 2, Total: 3}}).Words())
	require.Equal(t, "< 1 % of events fail · 25 % of events are inside the trait · 1 of 9 users",
		(&page.Impact{Unit: page.Events, Bad: 1, All: 4000, Inside: .25, Users: page.Count{Matched: 1, Total: 9}}).Words())
}
