package remediate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

// trace is a dispatch of the policy on the target in another episode, that was
// claimed ago before noon and took a minute.
func trace(ago time.Duration, change ...func(*remediate.Trace)) remediate.Trace {
	t := remediate.Trace{
		ID: fmt.Sprintf("d-%s", ago), Policy: "restart", Team: "infra", Target: "host/web-1", Pool: "web",
		Problem: "p0", Episode: 7, Danger: remediate.Reversible, At: noon().Add(-ago), Ended: noon().Add(time.Minute - ago), Cleared: true,
	}
	for _, c := range change {
		c(&t)
	}
	return t
}

func failed(t *remediate.Trace)   { t.Cleared, t.Failed = false, true }
func running(t *remediate.Trace)  { t.Ended, t.Cleared = time.Time{}, false }
func readOnly(t *remediate.Trace) { t.Danger = remediate.ReadOnly }
func here(t *remediate.Trace)     { t.Problem, t.Episode = "p1", 1 } // the page's own episode
func elsewhere(t *remediate.Trace) {
	t.Target, t.Pool, t.Policy, t.Team = "host/db-9", "db", "other", "dba"
}

func target(name string) func(*remediate.Trace) {
	return func(t *remediate.Trace) { t.Target = "host/" + name }
}

func TestGuardsThatRemember(t *testing.T) {
	_, _, _, pg := calm(t)
	day := 24 * time.Hour
	for _, tc := range []struct {
		guard, name string
		past        []remediate.Trace
		want        remediate.Outcome
		until       time.Duration // after noon
	}{
		{"attempts", "none", nil, remediate.Pass, 0},
		{"attempts", "one in this episode", []remediate.Trace{trace(5*time.Minute, here)}, remediate.Pass, 0},
		{"attempts", "two in this episode", []remediate.Trace{trace(5*time.Minute, here), trace(9*time.Minute, here)}, remediate.Deny, 0},
		{"attempts", "looking does not count", []remediate.Trace{trace(5*time.Minute, here, readOnly), trace(9*time.Minute, here)}, remediate.Pass, 0},
		{"attempts", "two in this episode on another host", []remediate.Trace{trace(5*time.Minute, here, target("web-2")), trace(9*time.Minute, here, target("web-2"))}, remediate.Pass, 0},
		{"attempts", "three in a day", []remediate.Trace{trace(time.Hour), trace(9 * time.Hour), trace(23 * time.Hour)}, remediate.Deny, 0},
		{"attempts", "three in more than a day", []remediate.Trace{trace(time.Hour), trace(9 * time.Hour), trace(day)}, remediate.Pass, 0},
		{"attempts", "three by another policy", []remediate.Trace{trace(1*time.Hour, func(t *remediate.Trace) { t.Policy = "x" }), trace(2*time.Hour, func(t *remediate.Trace) { t.Policy = "x" }), trace(3*time.Hour, func(t *remediate.Trace) { t.Policy = "x" })}, remediate.Deny, 0},

		{"cool-down", "none", nil, remediate.Pass, 0},
		{"cool-down", "a success, 29m after its end", []remediate.Trace{trace(30 * time.Minute)}, remediate.Wait, time.Minute},
		{"cool-down", "a success, 30m after its end", []remediate.Trace{trace(31 * time.Minute)}, remediate.Pass, 0},
		{"cool-down", "a failure, 119m after its end", []remediate.Trace{trace(2*time.Hour, failed)}, remediate.Wait, time.Minute},
		{"cool-down", "neither cleared nor failed", []remediate.Trace{trace(2*time.Hour, func(t *remediate.Trace) { t.Cleared = false })}, remediate.Wait, time.Minute},
		{"cool-down", "the longest counts", []remediate.Trace{trace(time.Hour, failed), trace(10 * time.Minute)}, remediate.Wait, time.Hour + time.Minute},
		{"cool-down", "the ladder goes on", []remediate.Trace{trace(5*time.Minute, here, failed)}, remediate.Pass, 0},
		{"cool-down", "of another policy's", []remediate.Trace{trace(5*time.Minute, here, func(t *remediate.Trace) { t.Policy = "x" })}, remediate.Wait, 26 * time.Minute},
		{"cool-down", "looking leaves none", []remediate.Trace{trace(5*time.Minute, readOnly)}, remediate.Pass, 0},
		{"cool-down", "it still runs: from its completion", []remediate.Trace{trace(5*time.Minute, running)}, remediate.Pass, 0},

		{"concurrency", "none", nil, remediate.Pass, 0},
		{"concurrency", "ended", []remediate.Trace{trace(time.Minute), trace(2 * time.Minute), trace(3 * time.Minute), trace(4 * time.Minute)}, remediate.Pass, 0},
		{"concurrency", "on the target, from another pool", []remediate.Trace{trace(time.Minute, running, func(t *remediate.Trace) { t.Pool = "x" })}, remediate.Wait, 30 * time.Second},
		{"concurrency", "in the pool", []remediate.Trace{trace(time.Minute, running, target("web-2"))}, remediate.Wait, 30 * time.Second},
		{"concurrency", "elsewhere", []remediate.Trace{trace(time.Minute, running, elsewhere)}, remediate.Pass, 0},
		{"concurrency", "of the policy, in other pools", []remediate.Trace{
			trace(time.Minute, running, elsewhere, func(t *remediate.Trace) { t.Policy = "restart" }),
			trace(2*time.Minute, running, elsewhere, func(t *remediate.Trace) { t.Policy = "restart" }),
			trace(3*time.Minute, running, elsewhere, func(t *remediate.Trace) { t.Policy = "restart" }),
		}, remediate.Wait, 30 * time.Second},
		{"concurrency", "in all", many(10, func(i int) remediate.Trace { return trace(time.Duration(i)*time.Minute, running, elsewhere) }), remediate.Wait, 30 * time.Second},
		{"concurrency", "nine in all", many(9, func(i int) remediate.Trace { return trace(time.Duration(i)*time.Minute, running, elsewhere) }), remediate.Pass, 0},

		{"rate", "none", nil, remediate.Pass, 0},
		{"rate", "one on the target within 1h", []remediate.Trace{trace(50 * time.Minute)}, remediate.Wait, 10 * time.Minute},
		{"rate", "one on the target 1h ago", []remediate.Trace{trace(time.Hour)}, remediate.Pass, 0},
		{"rate", "looking does not count for the target", []remediate.Trace{trace(50*time.Minute, readOnly)}, remediate.Pass, 0},
		{"rate", "the same problem, an episode earlier", []remediate.Trace{trace(50*time.Minute, here, func(t *remediate.Trace) { t.Episode = 0 })}, remediate.Wait, 10 * time.Minute},
		{"rate", "the ladder goes on", []remediate.Trace{trace(5*time.Minute, here)}, remediate.Pass, 0},
		{"rate", "five of the policy within 10m", many(5, func(i int) remediate.Trace {
			return trace(time.Duration(i+1)*time.Minute, target(fmt.Sprint("web-2", i)))
		}), remediate.Wait, 5 * time.Minute},
		{"rate", "seven of the policy within 10m", many(7, func(i int) remediate.Trace {
			return trace(time.Duration(i+1)*time.Minute, target(fmt.Sprint("web-2", i)))
		}), remediate.Wait, 5 * time.Minute},
		{"rate", "four of the policy within 10m", many(4, func(i int) remediate.Trace {
			return trace(time.Duration(i+1)*time.Minute, target(fmt.Sprint("web-2", i)))
		}), remediate.Pass, 0},
		{"rate", "twenty of the team within 1h", many(20, func(i int) remediate.Trace {
			return trace(time.Duration(i+20)*time.Minute, elsewhere, func(t *remediate.Trace) { t.Team = "infra" })
		}), remediate.Wait, 21 * time.Minute},
		{"rate", "fifty in all within 1h", many(50, func(i int) remediate.Trace { return trace(time.Duration(i+1)*time.Minute, elsewhere) }), remediate.Wait, 10 * time.Minute},
		{"rate", "one that another clock dates after now", []remediate.Trace{trace(-time.Minute)}, remediate.Wait, 61 * time.Minute},

		{"flapping", "none", nil, remediate.Pass, 0},
		{"flapping", "two earlier episodes", []remediate.Trace{trace(time.Hour), trace(2*time.Hour, func(t *remediate.Trace) { t.Episode = 6 })}, remediate.Pass, 0},
		{"flapping", "three earlier episodes", many(3, func(i int) remediate.Trace {
			return trace(time.Duration(i+1)*time.Hour, func(t *remediate.Trace) { t.Episode = i })
		}), remediate.Deny, 0},
		{"flapping", "four dispatches in one episode", many(4, func(i int) remediate.Trace { return trace(time.Duration(i+1) * time.Hour) }), remediate.Pass, 0},
		{"flapping", "three earlier episodes in more than 6h", many(3, func(i int) remediate.Trace {
			return trace(time.Duration(2*i+2)*time.Hour, func(t *remediate.Trace) { t.Episode = i })
		}), remediate.Pass, 0},
	} {
		t.Run(tc.guard+": "+tc.name, func(t *testing.T) {
			c := candidate(t, hostPolicy(), pg)
			c.Past.Dispatches = tc.past
			v := verdictOf(t, remediate.World{}, tc.guard, c)
			require.Equal(t, tc.want, v.Outcome, "%s (%s)", v.Reason, v.Value)
			if tc.want == remediate.Wait {
				require.Equal(t, noon().Add(tc.until), v.Until)
			}
			if len(tc.past) == 0 {
				return
			}
			// what it was claimed for does not stand in its own way
			own := tc.past[0]
			own.ID = "own"
			c.Past.Dispatches = []remediate.Trace{own}
			c.Dispatch = "own"
			if tc.guard != "flapping" {
				require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, tc.guard, c).Outcome)
			}
		})
	}
}

func many(n int, of func(i int) remediate.Trace) []remediate.Trace {
	out := make([]remediate.Trace, n)
	for i := range out {
		out[i] = of(i)
	}
	return out
}

func TestFlappingCountsEpisodesInWhichNothingWasDone(t *testing.T) {
	_, _, _, pg := calm(t)
	c := candidate(t, hostPolicy(), pg)
	c.Past.Episodes = map[string][]time.Time{"host/web-1": {noon().Add(-7 * time.Hour), noon().Add(-5 * time.Hour), noon().Add(-time.Hour), noon()}}
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "flapping", c).Outcome)
	c.Page.Flapping = 1 // it came back once within this episode
	require.Equal(t, remediate.Deny, verdictOf(t, remediate.World{}, "flapping", c).Outcome)
	c.Page.Flapping, c.Target.Name = 0, "web-2"
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "flapping", c).Outcome)
}

func TestBreaker(t *testing.T) {
	_, _, _, pg := calm(t)
	c := candidate(t, hostPolicy(), pg)
	c.Past.Breakers = map[string]remediate.Breaker{"other": {At: noon()}}
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "breaker", c).Outcome)
	c.Past.Breakers["restart"] = remediate.Breaker{At: noon().Add(-time.Hour), Why: "3 of 3 failed"}
	v := verdictOf(t, remediate.World{}, "breaker", c)
	require.Equal(t, remediate.Deny, v.Outcome)
	require.Equal(t, "3 of 3 failed", v.Value)
}

func TestARateThatCannotBeReadIsBlind(t *testing.T) {
	_, _, _, pg := calm(t)
	for _, text := range []string{"5", "0/1h", "5/", "/1h", "-1/1h", "1/25h", "1/0s", "1.5/1h", "1/1h/1h", "∞/1h"} {
		p := hostPolicy()
		p.Guards.Rate.Policy, p.Guards.Attempts.Target = text, text
		require.Equal(t, remediate.Blind, verdictOf(t, remediate.World{}, "rate", candidate(t, p, pg)).Outcome, text)
		require.Equal(t, remediate.Blind, verdictOf(t, remediate.World{}, "attempts", candidate(t, p, pg)).Outcome, text)
	}
}
