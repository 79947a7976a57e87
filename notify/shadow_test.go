package notify_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

const (
	slackShadow = "shadow/slack/team"
	pdShadow    = "shadow/pagerduty/team"
)

// darken puts the receiver into the shadow, or out of it, as a reload does.
func (h *house) darken(on bool) {
	h.stop()
	targets := slices.Clone(h.router.Receivers["team"])
	for i, t := range targets {
		targets[i] = t.Real()
		if on {
			targets[i] = t.Real().Shadowed()
		}
	}
	h.router = &notify.Router{First: "team", Receivers: map[string][]notify.Target{"team": targets}}
	h.start()
}

// tells adds to p whom the router has work for, as the pipeline does.
func (h *house) tells(p page.Problem) page.Problem {
	h.put(p)
	for _, op := range h.router.Ops(p) {
		if name := op.Item.Lane[len("deliver/"):]; !slices.Contains(p.Told, name) {
			p.Told = append(slices.Clip(p.Told), name)
		}
	}
	h.idle()
	return p
}

func TestNothingLeavesTheShadow(t *testing.T) {
	h := newHouse(t)
	var requests atomic.Int64
	nowhere := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	sc, pc := slack.Kind(nil).Config().(*slack.Config), pagerduty.Kind().Config().(*pagerduty.Config)
	sc.APIURL, sc.Channel, sc.TokenFile = nowhere+"/api/", "C0PAGES", secretFile(t, "xoxb-1")
	pc.EventsURL, pc.RoutingKeyFile = nowhere, secretFile(t, "0123456789abcdef0123456789abcdef")
	h.router = &notify.Router{First: "team", Receivers: map[string][]notify.Target{"team": {
		notify.Target{Kind: "slack", Name: "team", Notifier: h.open(slack.Kind(nil), sc, time.Now)}.Shadowed(),
		notify.Target{Kind: "pagerduty", Name: "team", Notifier: h.open(pagerduty.Kind(), pc, time.Now)}.Shadowed(),
	}}}
	var observed atomic.Int64
	h.observe = func(string, time.Duration) { observed.Add(1) }
	h.start()

	p := h.tells(problem(id(1)))
	r := h.receipt(p, slackShadow)
	require.Equal(t, page.Sent, r.State)
	require.Equal(t, "C0PAGES", r.Channel)
	require.Equal(t, "38 of 40 failing share deploy=v42 (6 % of healthy do)", r.Said)
	require.WithinDuration(t, time.Now(), r.First, time.Minute)
	require.Equal(t, r.Said, h.receipt(p, pdShadow).Said)

	p.Revision++
	p.Context.Traits[0].Failing.Matched = 39
	p = h.tells(p)
	require.Equal(t, r.Said, h.receipt(p, slackShadow).Said, "the first line is what would have rung")
	p = h.tells(resolve(p))
	require.True(t, h.receipt(p, slackShadow).Resolved)
	require.True(t, h.receipt(p, pdShadow).Resolved)

	over := problem(id(2)) // over before it could be told
	h.stop()
	h.put(over)
	h.put(resolve(over))
	h.start()
	h.idle()
	require.Zero(t, requests.Load())
	require.Zero(t, observed.Load(), "no page was delivered")
	for _, target := range []string{slackTeam, pdTeam} {
		require.Zero(t, h.receipt(p, target).Revision, "what was not sent has no receipt of the target")
	}
	require.Equal(t, 3.0, h.shadowed("slack", "resolve")+h.shadowed("slack", "open"))
	require.Equal(t, 1.0, h.shadowed("pagerduty", "resolve"))
	require.Zero(t, h.count("slack", "open", "sent"))
}

// shadowed reads tocsin_notify_shadow_total.
func (h *house) shadowed(kind, verb string) float64 {
	h.t.Helper()
	return h.counted("tocsin_notify_shadow_total", kind, verb, "sent")
}

func TestLeavingTheShadowMidEpisode(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.darken(true)
	p := h.tells(problem(id(1)))
	require.Empty(t, h.slack.Ledger().Messages)
	require.Equal(t, []string{slackShadow, pdShadow}, p.Told)

	h.darken(false)
	p.Revision++
	p = h.tells(p)
	h.once(p)
	p.Revision++
	p = h.tells(p)
	p = h.tells(resolve(p))
	h.once(p)
	require.Equal(t, "resolved", h.pd.Ledger().Incidents[0].Status)
	require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, "resolved after")
	require.Equal(t, uint64(1), h.receipt(p, slackShadow).Revision, "the shadow's line stays what it was")
}

func TestEnteringTheShadowMidEpisode(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.start()
	p := h.tells(problem(id(1)))
	h.once(p)

	h.darken(true)
	p.Revision++
	p.Context.Traits[0].Failing.Matched = 39
	p = h.tells(p)
	require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, "39 of 40", "an episode that was sent is sent to its end")
	p = h.tells(resolve(p))
	h.once(p)
	require.Equal(t, "resolved", h.pd.Ledger().Incidents[0].Status)
	require.Zero(t, h.receipt(p, slackShadow).Revision)

	next := problem(id(1))
	next.Episode, next.Revision = 2, p.Revision+1
	next = h.tells(next)
	require.Len(t, h.slack.Ledger().Messages, 1, "the next episode is in shadow")
	require.Equal(t, page.Sent, h.receipt(next, slackShadow).State)

	h.darken(false)
	next.Revision++
	next = h.tells(next)
	next = h.tells(resolve(next))
	require.Len(t, h.slack.Ledger().Messages, 2)
	require.Len(t, h.pd.Ledger().Incidents, 2)
	require.Equal(t, "resolved", h.pd.Ledger().Incidents[1].Status)
	require.Equal(t, 1, h.pd.Ledger().Paged[notify.DeliveryID(next.ID, next.Episode, pdTeam)])
}

func TestShadowOf(t *testing.T) {
	a := notify.Target{Kind: "slack", Name: "a"}
	s := a.Shadowed()
	require.Equal(t, "shadow/slack/a", s.String())
	require.Equal(t, []bool{true, false}, []bool{s.InShadow(), a.InShadow()})
	require.Equal(t, []notify.Target{a, a}, []notify.Target{s.Real(), a.Real()})
	name, ok := notify.ShadowOf(s.String())
	require.True(t, ok)
	require.Equal(t, a.String(), name)
	_, keyed := s.Notifier.(interface{ Keyed() })
	require.True(t, keyed, "whoever pages without the ledger finds the shadow, and nobody who sends")
	_, ok = notify.ShadowOf(a.String())
	require.False(t, ok)
	r := notify.Router{Receivers: map[string][]notify.Target{"x": {s}, "y": {a}}}
	require.Equal(t, []notify.Target{s, a}, r.Targets(), "each once, the real one too")
}
