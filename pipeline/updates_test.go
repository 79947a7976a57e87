package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

// group is a snapshot in which these alerts fire, each written name/severity/pod;
// one that ends in ! has resolved.
func group(second int, alerts ...string) page.Event {
	n := &page.Notification{Cluster: "dc1", Receiver: "team", GroupKey: "g", Status: page.Firing, GroupLabels: page.Labels{"service": "checkout"}}
	for _, text := range alerts {
		text, over := strings.CutSuffix(text, "!")
		f := strings.Split(text, "/")
		a := page.Alert{Status: page.Firing, StartsAt: at(second), Labels: page.Labels{"alertname": f[0], "severity": f[1], "service": "checkout", "pod": f[2]}}
		if over {
			a.Status, a.EndsAt = page.Resolved, at(second)
		}
		a.ID = a.Labels.ID()
		n.Alerts = append(n.Alerts, a)
	}
	return page.Event{Problem: n.ProblemID(), Kind: page.Notified, ID: fmt.Sprint(second), At: at(second), Notification: n}
}

// pods are alerts of one name, for pods from to to.
func pods(name string, from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("%s/warning/web-%d", name, i))
	}
	return out
}

func trait(strength, label, value string, matched int) *page.Context {
	return &page.Context{Traits: []page.Trait{{
		Labels: page.Labels{label: value}, Strength: strength,
		Failing: page.Count{Matched: matched, Total: 40}, Healthy: page.Count{Matched: 6, Total: 100},
	}}}
}

func enriched(second int, c *page.Context) page.Event {
	return page.Event{Kind: page.Enriched, At: at(second), Episode: 1, Context: c}
}

// told is what an event added to the updates: "kind text", with a ! in front of
// what rings.
func told(before, after page.Problem) []string {
	last := 0
	if n := len(before.Updates); n > 0 && before.Episode == after.Episode {
		last = before.Updates[n-1].N
	}
	var out []string
	for _, u := range after.Updates {
		if u.N > last {
			text := string(u.Kind) + " | " + u.Text
			if u.Aloud {
				text = "!" + text
			}
			out = append(out, text)
		}
	}
	return out
}

func TestUpdatesSayWhatChanged(t *testing.T) {
	type step struct {
		event page.Event
		want  []string
	}
	for name, steps := range map[string][]step{
		"members": {
			{group(0, "Slow/warning/web-1"), nil},
			{group(10, pods("Slow", 1, 4)...), []string{"joined | 3 joined: pod=web-2, pod=web-3, pod=web-4"}},
			{group(20, pods("Slow", 1, 4)...), nil},
			{group(70, slices.Concat(pods("Slow", 1, 4), pods("Slow", 11, 17))...), []string{"joined | 7 joined: pod=web-11, pod=web-12, pod=web-13, pod=web-14, pod=web-15 +2 more"}},
			{group(80, slices.Concat([]string{"Slow/warning/web-1!"}, pods("Slow", 2, 4), pods("Slow", 11, 16))...), []string{
				"left | 1 resolved: pod=web-1, 9 still fire", "left | 1 left (silenced, inhibited or expired): pod=web-17, 9 still fire",
			}},
			{group(90, "Slow/warning/web-2"), []string{
				"left | 8 left (silenced, inhibited or expired): " + "X", "better | better: 1 of 11 still fire",
			}},
			{group(720, "Slow/warning/web-2!"), []string{"resolved | resolved after 12 min"}},
			{group(800, "Slow/warning/web-2"), nil},
			{group(810, pods("Slow", 2, 3)...), []string{"joined | 1 joined: pod=web-3"}},
		},
		"alerts of several names are called by them": {
			{group(0, "Slow/warning/web-1"), nil},
			{group(10, "Slow/warning/web-1", "Down/warning/web-1"), []string{"joined | 1 joined: Down"}},
			{group(20, "Slow/warning/web-1", "Down/warning/web-1", "Down/warning/web-2"), []string{"joined | 1 joined: Down pod=web-2"}},
		},
		"a new critical alertname": {
			{group(0, "Slow/warning/web-1"), nil},
			{group(10, "Slow/warning/web-1", "PaymentsDown/critical/web-1"), []string{
				"joined | 1 joined: PaymentsDown", "!worse | worse: PaymentsDown (critical) joined",
			}},
			{group(20, "Slow/warning/web-1", "PaymentsDown/critical/web-1!"), []string{
				"left | 1 resolved: PaymentsDown, 1 still fires", "better | better: critical → warning",
			}},
			{group(30, "Slow/warning/web-1", "PaymentsDown/critical/web-2"), []string{"joined | 1 joined: PaymentsDown pod=web-2"}},
		},
		"a severity that is raised": {
			{group(0, "Slow/warning/web-1"), nil},
			{group(10, "Slow/warning/web-1", "Slow/error/web-2"), []string{"joined | 1 joined: pod=web-2", "!worse | worse: severity warning → error"}},
			{group(20, "Slow/warning/web-1", "Slow/error/web-2", "Slow/critical/web-3"), []string{"joined | 1 joined: pod=web-3", "!worse | worse: severity error → critical"}},
		},
		"another alertname turns critical": {
			{group(0, "Slow/warning/web-1", "Down/critical/web-2"), nil},
			{group(10, "Slow/critical/web-1", "Down/critical/web-2"), []string{
				"joined | 1 joined: Slow pod=web-1", "left | 1 left (silenced, inhibited or expired): Slow pod=web-1, 2 still fire", "!worse | worse: Slow is critical now",
			}},
		},
		"size: the first minute gathers, a doubling by ten rings, once": {
			{group(0, pods("Slow", 1, 1)...), nil},
			{group(50, pods("Slow", 1, 12)...), []string{"joined | 11 joined: X"}},
			{group(61, pods("Slow", 1, 23)...), []string{"joined | 11 joined: X"}},
			{group(70, pods("Slow", 1, 24)...), []string{"joined | 1 joined: pod=web-24", "!worse | worse: 12 → 24 alerts"}},
			{group(80, pods("Slow", 1, 4)...), []string{"left | 20 left (silenced, inhibited or expired): X", "better | better: 4 of 24 still fire"}},
			{group(90, pods("Slow", 1, 30)...), []string{"joined | 26 joined: X"}},
			{group(99, pods("Slow", 1, 61)...), []string{"joined | 31 joined: X", "!worse | worse: 24 → 61 alerts"}},
		},
		"a few more of a few is no jump": {
			{group(0, pods("Slow", 1, 1)...), nil},
			{group(70, pods("Slow", 1, 10)...), []string{"joined | 9 joined: X"}},
		},
		"the first trait completes the page, aloud if it is strong": {
			{group(0, "Slow/warning/web-1"), nil},
			{enriched(9, trait("strong", "deploy", "v42", 38)), []string{"!context | context: 38 of 40 failing share deploy=v42 (6 % of healthy do)"}},
			{enriched(20, trait("strong", "deploy", "v42", 39)), nil},
			{enriched(30, trait("strong", "host", "web-3", 40)), []string{"!worse | worse: 40 of 40 failing share host=web-3 (6 % of healthy do)"}},
			{enriched(40, trait("strong", "deploy", "v42", 38)), []string{"context | context: 38 of 40 failing share deploy=v42 (6 % of healthy do)"}},
		},
		"nothing in common, then a trait": {
			{group(0, "Slow/warning/web-1"), nil},
			{enriched(9, &page.Context{None: true, Failing: 4, Healthy: 6}), []string{"context | context: nothing in common: 4 failing, 6 healthy, no label sets them apart"}},
			{enriched(39, trait("likely", "deploy", "v42", 38)), []string{"context | context: 38 of 40 failing share deploy=v42 (6 % of healthy do)"}},
			{enriched(49, trait("strong", "deploy", "v42", 38)), nil},
			{enriched(59, trait("strong", "host", "web-3", 38)), []string{"!worse | worse: 38 of 40 failing share host=web-3 (6 % of healthy do)"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p page.Problem
			worse := 0
			for _, st := range steps {
				s := pipeline.Advance(p, st.event)
				got := told(p, s.Problem)
				require.Len(t, got, len(st.want), "%v", got)
				for i, want := range st.want {
					if head, ok := strings.CutSuffix(want, "X"); ok {
						require.True(t, strings.HasPrefix(got[i], head), got[i])
					} else {
						require.Equal(t, want, got[i])
					}
					if strings.HasPrefix(want, "!worse") {
						worse++
					}
				}
				p = s.Problem
				require.Equal(t, worse, p.Peak.Times)
			}
		})
	}
}

func TestADateIsSaidOnce(t *testing.T) {
	p := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	p = pipeline.Advance(p, enriched(9, trait("likely", "deploy", "v42", 38))).Problem
	dated := p.Context
	dated.Onset = &page.Onset{At: at(5), From: at(4), To: at(6)}
	s := pipeline.Advance(p, page.Event{Kind: page.Dated, At: at(20), Episode: 1, Context: &dated})
	require.Equal(t, []string{"context | context: 38 of 40 failing share deploy=v42 (6 % of healthy do) · began 00:00:05"}, told(p, s.Problem))
}

// However alerts come and go: N counts without a gap, at most MaxUpdates are
// kept, what rings is never said twice in an episode, an event that changes
// nothing says nothing, Times counts what is worse, arguments stay as they were,
// and no redacted value stands in a text.
func TestUpdatesOfAnyLife(t *testing.T) {
	rules := pipeline.Rules{
		Redact: []string{"user"}, Flapping: pipeline.Flapping{Openings: 3, Within: time.Hour, Quiet: 15 * time.Minute}, SilenceMax: time.Hour,
	}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var p page.Problem
		rung := map[string]bool{}
		second := 0
		for range 120 {
			second += rnd.IntN(90)
			e := anything(rnd, p, second)
			before := ""
			if seed < 4 {
				before = fmt.Sprintf("%+v", p)
			}
			s := rules.Advance(p, e)
			if seed < 4 {
				require.Equal(t, before, fmt.Sprintf("%+v", p), "the argument was changed")
			}
			q := s.Problem
			if q.Episode != p.Episode {
				clear(rung)
			}
			fresh := q.Updates
			if len(p.Updates) > 0 && q.Episode == p.Episode {
				last := p.Updates[len(p.Updates)-1].N
				fresh = slices.DeleteFunc(slices.Clone(q.Updates), func(u page.Update) bool { return u.N <= last })
			}
			require.True(t, s.Changed || len(fresh) == 0, "seed %d: %s", seed, s.Why)
			worse := p.Peak.Times
			if q.Episode != p.Episode {
				worse = 0
			}
			for i, u := range q.Updates {
				require.Equal(t, q.Updates[0].N+i, u.N)
			}
			for _, u := range fresh {
				if u.Kind == page.UpdateWorse {
					worse++
					redacted := strings.Contains(u.Text, page.Redacted) // two values that read alike
					require.False(t, rung[u.Text] && !redacted, "seed %d: said twice: %s", seed, u.Text)
					rung[u.Text] = true
				}
				require.NotContains(t, u.Text, "secret", "seed %d", seed)
				require.NotContains(t, u.Text, "\n")
			}
			require.NotContains(t, s.Why, "secret", "seed %d", seed)
			require.Equal(t, worse, q.Peak.Times, "seed %d", seed)
			require.LessOrEqual(t, len(q.Updates), page.MaxUpdates)
			p = q
		}
	}
}

// anything is a random event that may come to p.
func anything(rnd *rand.Rand, p page.Problem, second int) page.Event {
	secret := func() string { return fmt.Sprintf("secret-%d@example.org", rnd.IntN(4)) }
	e := page.Event{Problem: p.ID, ID: fmt.Sprint(second), At: at(second), Episode: p.Episode}
	switch rnd.IntN(8) {
	case 0:
		e.Kind, e.Context = page.Enriched, trait([]string{"strong", "likely"}[rnd.IntN(2)], "user", secret(), rnd.IntN(40))
		if rnd.IntN(2) == 0 {
			e.Context = trait("strong", "pod", fmt.Sprint("web-", rnd.IntN(9)), rnd.IntN(40))
		}
		if rnd.IntN(3) == 0 {
			e.Context = &page.Context{None: true}
		}
	case 1:
		e.Kind = page.Acted
		e.Act = &page.Act{
			Verb: []page.Verb{page.Acknowledge, page.Unacknowledge, page.NotUseful, page.Remark, page.SilenceIt, page.UnsilenceIt}[rnd.IntN(6)],
			By:   []string{"Jane", "Bob"}[rnd.IntN(2)], Text: "look\nat it", Until: at(second + rnd.IntN(7200)),
		}
	case 2:
		e.Kind, e.Silence = page.Silenced, &page.Silence{ID: fmt.Sprint(rnd.IntN(3)), By: "Jane", Until: at(second + 600)}
		if rnd.IntN(2) == 0 {
			e.Silence.Ended = at(second)
		}
	case 3:
		e.Kind = page.Calmed
	default:
		var alerts []string
		for range rnd.IntN(30) {
			alerts = append(alerts, fmt.Sprintf("%c/%s/web-%d", 'A'+rnd.IntN(3), []string{"warning", "error", "critical"}[rnd.IntN(3)], rnd.IntN(40)))
		}
		e = group(second, alerts...)
		for i, a := range e.Notification.Alerts {
			a.Labels["user"], a.Labels["path"] = secret(), "/home/"+secret()
			a.Labels["path"] = "/home/" + a.Labels["user"]
			a.ID = a.Labels.ID()
			e.Notification.Alerts[i] = a
		}
		e.Notification.GroupLabels["user"] = "secret-0@example.org"
	}
	return e
}
