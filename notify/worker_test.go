package notify_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	slackTeam = "slack/team"
	pdTeam    = "pagerduty/team"
)

// once checks the promise: every target shows each problem once.
func (h *house) once(problems ...page.Problem) {
	h.t.Helper()
	seen, paged := h.slack.Ledger().Deliveries, h.pd.Ledger().Paged
	for _, p := range problems {
		require.Equal(h.t, 1, seen[notify.DeliveryID(p.ID, p.Episode, slackTeam)], "Slack, %s", p.ID)
		require.Equal(h.t, 1, paged[notify.DeliveryID(p.ID, p.Episode, pdTeam)], "PagerDuty, %s", p.ID)
	}
	require.Len(h.t, seen, len(problems))
	require.Len(h.t, paged, len(problems))
}

func TestLifeOfAnEpisode(t *testing.T) {
	h := newHouse(t)
	h.targets()
	var observed atomic.Int64
	h.observe = func(stage string, d time.Duration) {
		if stage == "delivered" && d >= 3*time.Second {
			observed.Add(1)
		}
	}
	h.start()
	p := problem(id(1))
	h.put(p)
	h.idle()
	h.once(p)
	first := h.receipt(p, slackTeam)
	require.Equal(t, []page.Labels{{"deploy": "v42"}}, first.Traits)
	require.False(t, first.First.IsZero())
	require.Equal(t, int64(2), observed.Load(), "once per target")

	p.Revision = 2
	p.Context.Traits[0].Failing.Matched = 39
	h.put(p)
	h.idle()
	require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, "39 of 40")
	require.Contains(t, h.slack.Ledger().Messages[0].First.Visible, "38 of 40")

	p = resolve(p)
	h.put(p)
	h.idle()
	h.once(p)
	require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, "resolved after")
	require.Equal(t, "resolved", h.pd.Ledger().Incidents[0].Status)
	require.True(t, h.receipt(p, pdTeam).Resolved)
	require.Equal(t, first.First, h.receipt(p, slackTeam).First)
	require.Equal(t, int64(2), observed.Load())

	again := problem(id(1))
	again.Episode, again.Revision = 2, 4
	h.put(again)
	h.idle()
	require.Len(t, h.slack.Ledger().Messages, 2, "a new episode is a new message")
	require.Len(t, h.pd.Ledger().Incidents, 2)
}

func TestFaultsOfTargets(t *testing.T) {
	for name, faults := range map[string][]fault.Fault{
		"429 with Retry-After":    {{Kind: fault.RateLimit, RetryAfter: 1, Count: 2}},
		"429 without Retry-After": {{Kind: fault.RateLimit, Count: 3}},
		"accept then drop":        {{Kind: fault.Drop, Accept: true, Count: 1}},
		"accept then 502":         {{Kind: fault.HTML, Accept: true, Count: 1}},
		"accept then hang":        {{Kind: fault.Hang, Accept: true, Count: 1}},
		"hang":                    {{Kind: fault.Hang, Count: 1}},
		"truncated answer":        {{Kind: fault.Truncated, Count: 1}},
		"drop":                    {{Kind: fault.Drop, Count: 2}},
		"500, then drop":          {{Kind: fault.Status, Status: 500, Count: 2}, {Kind: fault.Drop, Accept: true, Count: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.targets()
			// Slack's history is asked 2 s after the start at the earliest
			h.timing.Timeout, h.timing.RepeatAfter = 3*time.Second, time.Minute
			require.NoError(t, h.slack.Faults.Set(1, faults...))
			require.NoError(t, h.pd.Faults.Set(1, faults...))
			h.start()
			p := problem(id(1))
			h.put(p)
			h.idle()
			h.once(p)
			p = resolve(p)
			h.put(p)
			h.idle()
			h.once(p)
			require.Equal(t, "resolved", h.pd.Ledger().Incidents[0].Status)
			require.NotContains(t, h.slack.Ledger().Messages[0].Current.Visible, "possible repeat")
		})
	}
}

func TestWhereSlackCannotBeAskedARepeatSaysSo(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.slack.SetScopes("chat:write")
	require.NoError(t, h.slack.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: true, Count: 1}))
	h.start()
	p := problem(id(1))
	h.put(p)
	h.idle()
	m := h.slack.Ledger().Messages
	require.Len(t, m, 2)
	require.NotContains(t, m[0].Current.Text, "possible repeat")
	require.Contains(t, m[1].Current.Text, "possible repeat")
	require.True(t, h.receipt(p, slackTeam).Repeat)
}

func TestAHangingTargetHoldsUpNobody(t *testing.T) {
	h := newHouse(t)
	h.targets()
	require.NoError(t, h.slack.Faults.Set(1, fault.Fault{Kind: fault.Hang}))
	h.start()
	for i := range 5 {
		h.put(problem(id(i)))
	}
	for i := range 5 {
		h.shows(problem(id(i)), pdTeam)
	}
	require.Empty(t, h.slack.Ledger().Messages)
	h.slack.Faults.Clear()
}

func TestRefusedLayoutIsSaidPlainly(t *testing.T) {
	h := newHouse(t)
	h.targets()
	require.NoError(t, h.slack.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 200, Body: `{"ok":false,"error":"invalid_blocks"}`, Count: 1}))
	h.start()
	p := problem(id(1))
	h.put(p)
	h.idle()
	h.once(p)
	m := h.slack.Ledger().Messages[0].Current
	require.Empty(t, m.Blocks)
	require.True(t, strings.HasPrefix(m.Visible, "38 of 40"), m.Visible)
	require.Equal(t, 1.0, h.count("slack", "open", "content"))
}

func TestRefusedTwiceIsGivenUpAloud(t *testing.T) {
	h := newHouse(t)
	h.targets()
	var alarms atomic.Int64
	h.alarm = func(_ context.Context, target string, _ page.Page, err error) {
		if target == slackTeam && strings.Contains(err.Error(), "invalid_blocks") {
			alarms.Add(1)
		}
	}
	require.NoError(t, h.slack.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 200, Body: `{"ok":false,"error":"invalid_blocks"}`}))
	h.start()
	p := problem(id(1))
	h.put(p)
	h.idle()
	require.Equal(t, page.Failed, h.receipt(p, slackTeam).State)
	require.Equal(t, int64(1), alarms.Load())
	require.Contains(t, h.log.String(), "level=ERROR")
}

func TestTargetThatAHumanMends(t *testing.T) {
	h := newHouse(t)
	h.targets()
	var alarms atomic.Int64
	h.alarm = func(context.Context, string, page.Page, error) { alarms.Add(1) }
	h.slack.SetChannel(fakeslack.Channel{ID: "C0PAGES", Archived: true})
	h.start()
	p := problem(id(1))
	h.put(p)
	require.Eventually(t, func() bool {
		return h.count("slack", "open", "config") >= 3
	}, 30*time.Second, time.Millisecond)
	require.Equal(t, int64(1), alarms.Load(), "one alarm, however often it is tried")
	h.slack.SetChannel(fakeslack.Channel{ID: "C0PAGES"})
	h.idle()
	h.once(p)
}

func TestDeletedMessageIsPostedAnew(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.start()
	p := problem(id(1))
	h.put(p)
	h.idle()
	old := h.receipt(p, slackTeam)
	require.True(t, h.slack.Delete(old.Channel, old.Ref))
	p.Revision++
	h.put(p)
	h.idle()
	now := h.receipt(p, slackTeam)
	require.NotEqual(t, old.Ref, now.Ref)
	require.Equal(t, old.First, now.First)
	h.once(p)
}

func TestOlderRevisionIsDropped(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.start()
	p := problem(id(1))
	p.Revision = 5
	h.put(p)
	h.idle()
	requests := h.slack.Ledger().Requests["chat.update"]
	old := problem(id(1))
	old.Revision = 3
	require.NoError(t, h.store.Apply(t.Context(), h.router.Ops(old)...)) // redelivered work of an older revision
	h.idle()
	require.Equal(t, requests, h.slack.Ledger().Requests["chat.update"])
	require.Equal(t, uint64(5), h.receipt(p, slackTeam).Revision)
}

func TestOverBeforeItWasOpened(t *testing.T) {
	h := newHouse(t)
	h.targets()
	p := problem(id(1))
	h.put(p)
	p = resolve(p)
	h.put(p)
	h.start()
	h.idle()
	m := h.slack.Ledger().Messages
	require.Len(t, m, 1)
	require.Contains(t, m[0].First.Visible, "resolved after")
	require.Empty(t, h.pd.Ledger().Incidents)
	require.Zero(t, h.pd.Ledger().Requests)
	r := h.receipt(p, pdTeam)
	require.Equal(t, page.Sent, r.State)
	require.True(t, r.Resolved)
	require.Empty(t, r.Ref)
	require.True(t, r.First.IsZero())
}

// crashing cuts the worker off from the store at the n-th write of a receipt:
// before it (nothing is written any more) or after it.
type crashing struct {
	store.Store
	at    int64
	after bool
	seen  atomic.Int64
	dead  chan struct{}
	once  sync.Once
}

func (c *crashing) Apply(ctx context.Context, ops ...store.Op) error {
	if c.isDead() {
		return store.ErrClosed
	}
	if ops[0].Kind != store.OpPut || c.seen.Add(1) != c.at {
		return c.Store.Apply(ctx, ops...)
	}
	if c.after {
		_ = c.Store.Apply(ctx, ops...)
	}
	c.once.Do(func() { close(c.dead) })
	return store.ErrClosed
}

func (c *crashing) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

func (c *crashing) Take(ctx context.Context, lane string, ttl time.Duration) (store.Lease, error) {
	if c.isDead() {
		return store.Lease{}, store.ErrClosed
	}
	return c.Store.Take(ctx, lane, ttl)
}

// Kill the worker before and after each write: intent and outcome of open,
// update and resolve at both targets are 12 writes.
func TestCrashAtEveryWrite(t *testing.T) {
	for at := int64(1); at <= 12; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d after=%t", at, after), func(t *testing.T) {
				h := newHouse(t)
				h.targets()
				c := &crashing{at: at, after: after, dead: make(chan struct{})}
				h.wrap = func(s store.Store) store.Store { c.Store = s; return c }
				h.start()
				p := problem(id(1))
				steps := []func(){
					func() { h.put(p) },
					func() { p.Revision++; h.put(p) },
					func() { p = resolve(p); h.put(p) },
				}
				crashed := false
				shown := func() bool {
					return h.receipt(p, slackTeam).Revision == p.Revision && h.receipt(p, pdTeam).Revision == p.Revision
				}
				for _, step := range steps {
					step()
					require.Eventually(t, func() bool { return c.isDead() && !crashed || shown() }, 30*time.Second, time.Millisecond)
					if c.isDead() && !crashed {
						crashed = true
						h.restart()
						require.Eventually(t, shown, 30*time.Second, time.Millisecond)
					}
				}
				require.Eventually(t, c.isDead, 30*time.Second, time.Millisecond, "there are 12 writes to die at")
				if !crashed {
					h.restart()
				}
				h.idle()
				h.once(p)
				require.Equal(t, "resolved", h.pd.Ledger().Incidents[0].Status)
				require.LessOrEqual(t, len(h.pd.Ledger().Dropped), 1, "a resolve that is told again changes nothing")
				require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, "resolved")
			})
		}
	}
}

func TestResolveNeverOvertakesItsTrigger(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.targets()
	require.NoError(t, h.pd.Faults.Set(3, fault.Fault{Kind: fault.RateLimit, Probability: .5}))
	h.start()
	var all []page.Problem
	for i := range 20 {
		p := problem(id(i))
		h.put(p)
		all = append(all, p)
	}
	for i := range all {
		h.shows(all[i], slackTeam)
		all[i] = resolve(all[i])
		h.put(all[i])
	}
	h.idle()
	l := h.pd.Ledger()
	require.Empty(t, l.Dropped)
	for _, in := range l.Incidents {
		require.Equal(t, "resolved", in.Status)
		require.Equal(t, 1, in.Notified)
	}
}
