package remediate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// says is a guard that says one thing.
type says struct {
	name string
	v    remediate.Verdict
}

func (s says) Name() string { return s.name }

func (s says) Check(context.Context, remediate.Candidate) remediate.Verdict { return s.v }

// Nothing passes but what every guard passes, in whatever words they say it.
func TestNothingPassesWhenAnyGuardDoesNot(t *testing.T) {
	words := []remediate.Outcome{remediate.Pass, remediate.Pass, remediate.Pass, remediate.Pass, remediate.Wait, remediate.Deny, remediate.Blind, "", "PASS", "passed"}
	r := rand.New(rand.NewPCG(3, 6))
	outcomes := map[remediate.Outcome]int{}
	c := remediate.Candidate{Policy: hostPolicy(), Page: pageOf(), Now: noon()}
	for range 3000 {
		var guards []remediate.Guard
		all, waits, others := true, false, false
		var until time.Time
		for i := range r.IntN(6) {
			v := remediate.Verdict{Outcome: words[r.IntN(len(words))], Reason: "x", Guard: "liar", At: noon().Add(time.Hour)}
			if v.Outcome == remediate.Wait {
				v.Until = noon().Add(time.Duration(r.IntN(60)) * time.Minute)
				if v.Until.After(until) {
					until = v.Until
				}
			}
			all = all && v.Outcome == remediate.Pass
			waits = waits || v.Outcome == remediate.Wait
			others = others || (v.Outcome != remediate.Pass && v.Outcome != remediate.Wait)
			guards = append(guards, says{fmt.Sprint("g", i), v})
		}
		got := remediate.Decide(t.Context(), guards, c)
		outcomes[got.Outcome]++
		want := remediate.Deny
		switch {
		case len(guards) == 0:
		case all:
			want = remediate.Pass
		case waits && !others:
			want = remediate.Wait
		}
		require.Equal(t, want, got.Outcome, "%+v", got.Verdicts)
		if want == remediate.Wait {
			require.Equal(t, until, got.Until)
		} else {
			require.Zero(t, got.Until)
		}
		require.Len(t, got.Verdicts, len(guards), "all are asked, whatever the others say")
		for i, v := range got.Verdicts {
			require.Equal(t, fmt.Sprint("g", i), v.Guard)
			require.Equal(t, noon(), v.At)
		}
	}
	require.Greater(t, outcomes[remediate.Pass], 100)
	require.Greater(t, outcomes[remediate.Wait], 100)
	require.Equal(t, remediate.Deny, remediate.Decide(t.Context(), remediate.Guards(remediate.World{}), remediate.Candidate{}).Outcome, "no policy")
}

// acts is a guard that does something.
type acts func(ctx context.Context) remediate.Verdict

func (acts) Name() string { return "acts" }

func (a acts) Check(ctx context.Context, _ remediate.Candidate) remediate.Verdict { return a(ctx) }

func TestAGuardThatBreaksOrHangsIsBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		guards := []remediate.Guard{
			acts(func(context.Context) remediate.Verdict { panic("no such series") }),
			acts(func(ctx context.Context) remediate.Verdict {
				<-ctx.Done()
				return remediate.Verdict{Outcome: remediate.Blind, Reason: ctx.Err().Error()}
			}),
			acts(func(context.Context) remediate.Verdict { // heeds nothing
				<-release
				return remediate.Verdict{Outcome: remediate.Pass}
			}),
			says{"fine", remediate.Verdict{Outcome: remediate.Pass, Reason: "fine"}},
		}
		begun := time.Now()
		r := remediate.Decide(t.Context(), guards, remediate.Candidate{Policy: hostPolicy(), Now: noon()})
		require.Equal(t, remediate.Deny, r.Outcome)
		require.Equal(t, 11*time.Second, time.Since(begun))
		require.Equal(t, "it broke: no such series", r.Verdicts[0].Reason)
		require.Equal(t, remediate.Blind, r.Verdicts[0].Outcome)
		require.Equal(t, "context deadline exceeded", r.Verdicts[1].Reason)
		require.Equal(t, "it did not answer in time", r.Verdicts[2].Reason)
		require.Equal(t, remediate.Blind, r.Verdicts[2].Outcome)
		require.Equal(t, remediate.Pass, r.Verdicts[3].Outcome)
	})
}

// Random policies, pasts and clocks against the real guards: whatever passes
// keeps every rule that can be checked from the outside.
func TestWhatPassesKeepsTheRules(t *testing.T) {
	passed := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 7))
		c, w := randomCandidate(r)
		got := remediate.Decide(t.Context(), remediate.Guards(w), c)
		if got.Outcome != remediate.Pass {
			continue
		}
		passed++
		p := c.Policy.Filled()
		mode, class := p.ModeOf(c.Step), p.DangerOf(c.Step)
		require.NotEqual(t, remediate.Off, mode, seed)
		require.False(t, mode == remediate.Auto && (class == remediate.Destructive || p.Target.Kind != remediate.HostTarget), seed)
		require.False(t, mode == remediate.Auto && class == remediate.Disruptive && !c.Step.Claim, seed)
		require.False(t, (class == remediate.Disruptive || class == remediate.Destructive) && p.Guards.Proof == nil, seed)
		require.Equal(t, page.Open, c.Page.State)
		require.Empty(t, c.Past.Switches, "every random switch is about this policy")
		require.Empty(t, c.Past.Breakers)
		inEpisode := 0
		for _, d := range c.Past.Dispatches {
			if d.ID == c.Dispatch {
				continue
			}
			require.False(t, d.Ended.IsZero() && d.Target == c.Target.ID(), "seed %d: two on one target", seed)
			if d.Policy == p.Name && d.Target == c.Target.ID() && d.Problem == c.Page.Problem && d.Episode == c.Page.Episode && d.Danger != remediate.ReadOnly {
				inEpisode++
			}
		}
		require.Less(t, inEpisode, p.Guards.Attempts.Episode, seed)
		age := c.Now.Sub(c.Page.Alerts[0].StartsAt)
		require.GreaterOrEqual(t, age, p.Trigger.FiringFor.D(), seed)
		require.LessOrEqual(t, age, p.Trigger.MaxAge.D(), seed)
	}
	require.Greater(t, passed, 15, "the generator must let some through")
}

func randomCandidate(r *rand.Rand) (remediate.Candidate, remediate.World) {
	p := hostPolicy()
	mostly := func(n int) bool { return r.IntN(12) >= n }
	pick := func(first remediate.Mode) remediate.Mode {
		if mostly(3) {
			return first
		}
		return []remediate.Mode{remediate.Off, remediate.Observe, remediate.Check, remediate.Approve, remediate.Auto, "", "x"}[r.IntN(7)]
	}
	p.Mode, p.Steps[0].Mode = pick(remediate.Auto), pick(remediate.Auto)
	p.Steps[0].Danger = []remediate.Danger{remediate.ReadOnly, remediate.Reversible, remediate.Disruptive, remediate.Destructive, "", "x"}[r.IntN(6)]
	p.Steps[0].Claim = r.IntN(2) == 0
	if r.IntN(2) == 0 {
		p.Guards.Proof = &remediate.PreCheck{Name: "probe", PromQL: `max(probe{host=$target})`, Require: "== 10"}
	}
	alert := firing(time.Duration(r.IntN(40))*time.Minute, "instance", "web-1")
	pg := pageOf(alert)
	if !mostly(1) {
		pg.State = page.Closed
	}
	c := remediate.Candidate{
		Policy: p, Step: p.Steps[0], Attempt: 1, Page: pg, Now: noon(), Dispatch: "own",
		Target: remediate.Target{Kind: remediate.HostTarget, Name: "web-1", Pool: "web"},
	}
	if !mostly(1) {
		c.Past.Switches = map[string]remediate.Switch{[]string{"global", "team/infra", "policy/restart"}[r.IntN(3)]: {}}
	}
	if !mostly(1) {
		c.Past.Breakers = map[string]remediate.Breaker{"restart": {}}
	}
	for i := range r.IntN(4) {
		d := trace(time.Duration(r.IntN(26*60))*time.Minute, func(d *remediate.Trace) { d.ID = fmt.Sprint(i) })
		for _, change := range []func(*remediate.Trace){failed, running, readOnly, here, elsewhere, func(d *remediate.Trace) { d.ID = "own" }} {
			if !mostly(2) {
				change(&d)
			}
		}
		c.Past.Dispatches = append(c.Past.Dispatches, d)
	}
	return c, remediate.World{Alertmanager: holding(pg.Alerts), Sources: counting(10)}
}
