package notify_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

func TestRouterChoosesTargets(t *testing.T) {
	slackA, slackB := notify.Target{Kind: "slack", Name: "a"}, notify.Target{Kind: "slack", Name: "b"}
	pd, ops := notify.Target{Kind: "pagerduty", Name: "a"}, notify.Target{Kind: "pagerduty", Name: "ops"}
	receivers := map[string][]notify.Target{"team-a": {slackA, pd}, `team\-b`: {slackB}, "b.c": {slackB, slackB}}
	for _, tc := range []struct {
		name       string
		receiver   string
		self       bool
		noResort   bool
		lanes      []string
		withRemark bool
	}{
		{name: "named", receiver: "team-a", lanes: []string{"deliver/slack/a", "deliver/pagerduty/a"}},
		{name: "quoted by Alertmanager", receiver: `team\-a`, lanes: []string{"deliver/slack/a", "deliver/pagerduty/a"}},
		{name: "exact before unquoted", receiver: `team\-b`, lanes: []string{"deliver/slack/b"}},
		{name: "quoted meta", receiver: regexp.QuoteMeta("b.c"), lanes: []string{"deliver/slack/b", "deliver/slack/b"}},
		{name: "unknown", receiver: "nobody", lanes: []string{"deliver/pagerduty/ops"}, withRemark: true},
		{name: "unknown, no last resort", receiver: "nobody", noResort: true, lanes: []string{"deliver/slack/a", "deliver/pagerduty/a"}, withRemark: true},
		{name: "self", receiver: "tocsin", self: true, lanes: []string{"deliver/pagerduty/ops"}},
		{name: "self of a receiver", receiver: "team-a", self: true, lanes: []string{"deliver/pagerduty/ops"}},
		{name: "self of a receiver, no last resort", receiver: `team\-b`, self: true, noResort: true, lanes: []string{"deliver/slack/b"}},
		{name: "self, no last resort", receiver: "tocsin", self: true, noResort: true, lanes: []string{"deliver/slack/a", "deliver/pagerduty/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &notify.Router{Receivers: receivers, First: "team-a", LastResort: []notify.Target{ops}}
			if tc.noResort {
				r.LastResort = nil
			}
			p := problem(id(1))
			p.Receiver, p.Self = tc.receiver, tc.self
			got := r.Ops(p)
			var lanes []string
			for _, op := range got {
				require.Equal(t, store.OpEnqueue, op.Kind)
				require.Equal(t, id(1)+"/1/1", op.Item.ID)
				if op.Item.Lane == store.LaneOverdue {
					require.Equal(t, p.Updated.Add(notify.DefaultPatience), op.Item.Due)
					continue
				}
				require.Equal(t, id(1), op.Item.Key)
				lanes = append(lanes, op.Item.Lane)
				if tc.withRemark {
					require.Contains(t, string(op.Item.Value), `receiver \"nobody\" is not configured`)
				} else {
					require.NotContains(t, string(op.Item.Value), "note")
				}
			}
			require.Equal(t, tc.lanes, lanes)
			require.Equal(t, got, r.Ops(p), "the same revision is the same work")
		})
	}
}

// Who was told of an episode hears its end, also when a reload has sent its
// receiver elsewhere; who is gone from the config cannot.
func TestRouterKeepsThoseWhoWereTold(t *testing.T) {
	a, b, ops := notify.Target{Kind: "slack", Name: "a"}, notify.Target{Kind: "slack", Name: "b"}, notify.Target{Kind: "pagerduty", Name: "ops"}
	r := &notify.Router{Receivers: map[string][]notify.Target{"new-name": {a, b}}, First: "new-name", LastResort: []notify.Target{ops}}
	p := problem(id(1))
	p.Receiver, p.Told = "old-name", []string{"pagerduty/ops", "slack/a", "slack/gone"}
	var lanes []string
	for _, op := range r.Ops(p) {
		lanes = append(lanes, op.Item.Lane)
	}
	require.Equal(t, []string{"deliver/pagerduty/ops", "deliver/slack/a"}, lanes)
	require.Equal(t, []notify.Target{a, b}, r.Receivers["new-name"], "the route itself is left as it is")
}

func TestPriorityFollowsSeverity(t *testing.T) {
	r := &notify.Router{Receivers: map[string][]notify.Target{"team": {{Kind: "slack", Name: "a"}}}}
	edit := func(p page.Problem) page.Problem {
		p.Told = []string{"slack/a"}
		return p
	}
	var got []int
	for _, p := range []page.Problem{problem(id(1)), warning(problem(id(1))), edit(problem(id(1))), edit(warning(problem(id(1))))} {
		got = append(got, r.Ops(p)[0].Item.Priority)
	}
	require.Equal(t, []int{7, 5, 3, 1}, got, "what is new goes first, be it less severe")
}

func TestTargetsOnce(t *testing.T) {
	a, b, c := notify.Target{Kind: "slack", Name: "a"}, notify.Target{Kind: "slack", Name: "b"}, notify.Target{Kind: "pagerduty", Name: "a"}
	r := &notify.Router{Receivers: map[string][]notify.Target{"x": {b, a}, "y": {a, c}}, LastResort: []notify.Target{c}}
	require.Equal(t, []notify.Target{c, a, b}, r.Targets())
}

func TestUnknownReceiverIsNamedOnThePage(t *testing.T) {
	h := newHouse(t)
	h.targets()
	h.router.LastResort = h.router.Receivers["team"][:1]
	h.start()
	p := problem(id(1))
	p.Receiver = "nobody"
	h.put(p)
	h.idle()
	require.Contains(t, h.slack.Ledger().Messages[0].Current.Visible, `receiver "nobody" is not configured`)
}
