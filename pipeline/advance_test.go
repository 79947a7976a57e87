package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

// story tells a problem's life as lines of `<seconds> <snapshot> -> <decision>`,
// where a snapshot lists alerts: a+ fires, a- is resolved, a+@10 fires since
// second 10, a-@10:20 is one that resolved at 20 (else now), and `~` in front
// marks a truncated snapshot.
func TestProblemLife(t *testing.T) {
	for name, lines := range map[string]string{
		"one alert fires, repeats and resolves": `
			0   a+   -> opened
			60  a+   -> repeated
			120 a-   -> closed
			180 a-   -> nothing`,
		"members come and go": `
			0   a+       -> opened
			10  a+ b+    -> changed
			20  a+ b+ c+ -> changed
			30  a- b+ c+ -> changed
			40  b- c-    -> closed`,
		"an alert that is missing from a whole snapshot has left": `
			0   a+ b+ -> opened
			10  a+    -> changed
			20  a-    -> closed`,
		"absence from a truncated snapshot proves nothing": `
			0   a+ b+ -> opened
			10  ~a+   -> repeated
			20  a- b- -> closed`,
		"the resolve of an alert nobody saw firing pages nobody": `
			0   a-   -> nothing
			90  a+   -> opened`,
		"a late firing of the slower peer is held, a new one pages": `
			0   a+@0   -> opened
			30  a-     -> closed
			33  a+@0   -> held
			45  a+@40  -> opened`,
		"a late firing beyond the window is believed": `
			0   a+@0  -> opened
			30  a-    -> closed
			95  a+@0  -> opened`,
		"a firing that precedes its own known resolve is held, others open": `
			0  a-@0       -> nothing
			5  a+@0       -> held
			6  a+@0 b+@0  -> opened`,
		"a silenced alert that comes back is not an echo": `
			0   a+@0 b+@0 -> opened
			10  b+@0      -> changed
			20  a+@0 b+@0 -> changed`,
		"a silenced alert that resolved is an echo when it comes back": `
			0   a+@0 b+@0 -> opened
			10  b+@0      -> changed
			20  a-@0 b-@0 -> closed
			26  a+@0 b+@0 -> held
			28  a+@25     -> opened`,
		"a late resolve of the slower peer does not end what fired since": `
			0   a+@0    -> opened
			30  a-@0    -> closed
			45  a+@40   -> opened
			50  a-@0:30 -> repeated
			60  a-@40   -> closed`,
	} {
		t.Run(name, func(t *testing.T) {
			var p page.Problem
			for line := range strings.Lines(strings.TrimSpace(lines)) {
				left, want, _ := strings.Cut(strings.TrimSpace(line), "->")
				e := snapshot(t, left)
				s := pipeline.Advance(p, e)
				require.True(t, strings.HasPrefix(s.Why, strings.TrimSpace(want)), "%s: %s", line, s.Why)
				require.Equal(t, s.Changed, s.Problem.Revision == p.Revision+1, "the revision grows exactly with a change")
				p = s.Problem
			}
		})
	}
}

// at counts seconds from where the clock of synctest starts.
func at(second int) time.Time {
	return time.Date(2000, 1, 1, 0, 0, second, 0, time.UTC)
}

func snapshot(t *testing.T, text string) page.Event {
	t.Helper()
	fields := strings.Fields(text)
	var second int
	_, err := fmt.Sscan(fields[0], &second)
	require.NoError(t, err)
	n := &page.Notification{Cluster: "dc1", Receiver: "team", GroupKey: "g", Status: page.Firing}
	for _, f := range fields[1:] {
		if rest, ok := strings.CutPrefix(f, "~"); ok {
			n.Truncated, f = 3, rest
		}
		f, since, dated := strings.Cut(f, "@")
		since, until, ended := strings.Cut(since, ":")
		a := page.Alert{Status: page.Firing, Labels: page.Labels{"alertname": f[:1]}, StartsAt: at(0)}
		if dated {
			var s int
			_, err := fmt.Sscan(since, &s)
			require.NoError(t, err)
			a.StartsAt = at(s)
		}
		if strings.HasSuffix(f, "-") {
			a.Status, a.EndsAt = page.Resolved, at(second)
			if ended {
				var s int
				_, err := fmt.Sscan(until, &s)
				require.NoError(t, err)
				a.EndsAt = at(s)
			}
		}
		a.ID = a.Labels.ID()
		n.Alerts = append(n.Alerts, a)
	}
	return page.Event{Problem: n.ProblemID(), Kind: page.Notified, ID: text, At: at(second), Notification: n}
}

func TestRecheckOpensWhatAlertmanagerConfirms(t *testing.T) {
	p := pipeline.Advance(page.Problem{}, snapshot(t, "0 a+@0")).Problem
	p = pipeline.Advance(p, snapshot(t, "30 a-@0")).Problem
	held := pipeline.Advance(p, snapshot(t, "33 a+@0"))
	require.Len(t, held.Held, 1)
	require.False(t, held.Changed)

	e := snapshot(t, "43 a+@0")
	e.Kind = page.Recheck
	s := pipeline.Advance(held.Problem, e)
	require.True(t, s.Opened)
	require.Equal(t, 2, s.Problem.Episode)
}

func TestContextIsTakenBackForBetterOnly(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, snapshot(t, "0 a+")).Problem
	v42 := page.Context{Traits: []page.Trait{{Labels: page.Labels{"deploy": "v42"}, Failing: page.Count{Matched: 3, Total: 4}}}}
	web3 := page.Context{Traits: []page.Trait{{Labels: page.Labels{"host": "web-3"}}}}
	none := page.Context{None: true}
	sampled, none2 := v42, none
	sampled.Exemplars, none2.Exemplars = &page.Exemplars{Failing: 9}, &page.Exemplars{Failing: 9}
	unknown := page.Context{Notes: []page.Note{{Text: "no answer from main"}}}

	for _, tc := range []struct {
		name     string
		old, now page.Context
		want     bool
	}{
		{"a trait for nothing known", page.Context{Pending: true}, v42, true},
		{"a trait for nothing in common", none, v42, true},
		{"another trait", v42, web3, true},
		{"the same trait again", v42, v42, false},
		{"what its events carry", v42, sampled, true},
		{"what the events of nothing in common carry", none, none2, true},
		{"no events any more", sampled, v42, false},
		{"nothing in common does not take back a trait", v42, none, false},
		{"silence does not take back a trait", v42, unknown, false},
		{"silence does not take back an answer", none, unknown, false},
		{"the reason why nothing is known", page.Context{Pending: true}, unknown, true},
		{"the same reason again", unknown, unknown, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := open
			p.Context = tc.old
			s := pipeline.Advance(p, page.Event{Kind: page.Enriched, Problem: p.ID, Episode: p.Episode, Context: &tc.now, At: at(9)})
			require.Equal(t, tc.want, s.Changed, s.Why)
		})
	}
	t.Run("context of another episode", func(t *testing.T) {
		s := pipeline.Advance(open, page.Event{Kind: page.Enriched, Problem: open.ID, Episode: 7, Context: &v42})
		require.False(t, s.Changed)
	})
}

// Two Alertmanager peers tell the same story, each webhook delayed or doubled
// at random: however they interleave within the echo window, the problem opens once.
func TestPeersThatRepeatEachOtherOpenOneEpisode(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		told := []string{"%d a+@0", "%d a+@0 b+@4", "%d a+@0 b+@4", "%d a-@0 b-@4"}
		opened := 0
		var p page.Problem
		second := 5
		for i, line := range told {
			for range 1 + rnd.IntN(3) { // this peer, that peer, a retry
				second += rnd.IntN(4)
				s := pipeline.Advance(p, snapshot(t, fmt.Sprintf(line, second)))
				p = s.Problem
				if s.Opened {
					opened++
				}
			}
			if i == len(told)-1 { // the slow peer's firing after the resolve
				s := pipeline.Advance(p, snapshot(t, fmt.Sprintf("%d a+@0 b+@4", second+rnd.IntN(15))))
				require.False(t, s.Opened, "seed %d: an echo opened an episode: %s", seed, s.Why)
			}
		}
		require.Equal(t, 1, opened, "seed %d", seed)
		require.Equal(t, page.Closed, p.State)
	}
}
