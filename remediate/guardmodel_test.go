//go:build !race

// As enginewhole_test.go: `make test` runs these without the race detector.

package remediate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
)

// Days in the life of random policies: hosts fail and come back as they like,
// dispatches take as long as they like, and clear their alert or not. Over the
// whole history no rate, no cool-down, no count of dispatches under way was exceeded.
func TestNoHistoryBreaksARule(t *testing.T) {
	launches := 0
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 8))
		p := hostPolicy()
		p.Guards.BlastRadius = remediate.BlastRadius{MaxUnhealthy: "50%", MinHealthy: 1, AtOnce: 100}
		p.Guards.Rate = remediate.Rates{Target: ratePer(r, 3, 4), Policy: ratePer(r, 6, 2), Team: ratePer(r, 9, 3), Global: ratePer(r, 12, 3)}
		p.Guards.Concurrency = remediate.Concurrency{Target: 1, Pool: 1 + r.IntN(3), Policy: 1 + r.IntN(4), Global: 1 + r.IntN(5)}
		p.Guards.Cooldown = remediate.Cooldown{Success: config.Duration(time.Duration(1+r.IntN(60)) * time.Minute), Failure: config.Duration(time.Duration(1+r.IntN(120)) * time.Minute)}
		p.Guards.Attempts = remediate.Attempts{Episode: 1 + r.IntN(3), Target: fmt.Sprintf("%d/24h", 1+r.IntN(8))}
		history := lived(t, r, p.Filled())
		launches += len(history)
		for i, d := range history {
			keepsItsRules(t, p.Filled(), history[:i], d, fmt.Sprintf("seed %d, launch %d", seed, i))
		}
	}
	require.Greater(t, launches, 60)
}

func ratePer(r *rand.Rand, n, hours int) string {
	return fmt.Sprintf("%d/%dm", 1+r.IntN(n), 1+r.IntN(60*hours))
}

// lived is what was launched in two days.
func lived(t *testing.T, r *rand.Rand, p *remediate.Policy) []remediate.Trace {
	var past remediate.Past
	now, episodes := noon(), map[string]int{}
	for now.Before(noon().Add(48 * time.Hour)) {
		now = now.Add(time.Duration(1+r.IntN(300)) * time.Second)
		for i, d := range past.Dispatches { // some end
			if d.Ended.IsZero() && r.IntN(4) == 0 {
				past.Dispatches[i].Ended = now
				past.Dispatches[i].Cleared = r.IntN(2) == 0
				past.Dispatches[i].Failed = !past.Dispatches[i].Cleared
			}
		}
		host := fmt.Sprintf("web-%d", r.IntN(12))
		if r.IntN(3) == 0 {
			episodes[host]++
		}
		a := firing(0, "instance", host, "cluster", fmt.Sprint("pool-", host[len(host)-1:]))
		a.StartsAt = now.Add(-time.Duration(r.IntN(35)) * time.Minute)
		pg := pageOf(a)
		pg.Problem, pg.Episode, pg.Clock.Started, pg.Clock.Received = host, episodes[host], a.StartsAt, a.StartsAt
		c := candidate(t, p, pg)
		c.Now, c.Past = now, past
		if remediate.Decide(t.Context(), remediate.Guards(remediate.World{Alertmanager: holding(pg.Alerts), Sources: counting(20)}), c).Outcome != remediate.Pass {
			continue
		}
		past.Dispatches = append(past.Dispatches, remediate.Trace{
			ID: fmt.Sprint(len(past.Dispatches)), Policy: p.Name, Team: p.Team, Target: c.Target.ID(), Pool: c.Target.Pool,
			Problem: pg.Problem, Episode: pg.Episode, Danger: remediate.Reversible, At: now,
		})
	}
	return past.Dispatches
}

// keepsItsRules looks at one launch and at what was before it.
func keepsItsRules(t *testing.T, p *remediate.Policy, before []remediate.Trace, d remediate.Trace, where string) {
	t.Helper()
	within := func(limit string, counts func(remediate.Trace) bool) {
		var n, minutes int
		if _, err := fmt.Sscanf(limit, "%d/%dm", &n, &minutes); err != nil {
			_, err = fmt.Sscanf(limit, "%d/%dh", &n, &minutes)
			require.NoError(t, err)
			minutes *= 60
		}
		seen := 1
		for _, b := range before {
			if counts(b) && d.At.Sub(b.At) < time.Duration(minutes)*time.Minute {
				seen++
			}
		}
		require.LessOrEqual(t, seen, n, "%s: %s", where, limit)
	}
	ladder := func(b remediate.Trace) bool { return b.Problem == d.Problem && b.Episode == d.Episode }
	same := func(b remediate.Trace) bool { return b.Target == d.Target }
	all := func(remediate.Trace) bool { return true }
	within(p.Guards.Rate.Target, func(b remediate.Trace) bool { return same(b) && !ladder(b) })
	within(p.Guards.Rate.Policy, all)
	within(p.Guards.Rate.Team, all)
	within(p.Guards.Rate.Global, all)
	within(p.Guards.Attempts.Target, same)
	tries, running, inPool := 1, 1, 1
	for _, b := range before {
		open := b.Ended.IsZero() || b.Ended.After(d.At)
		if open {
			running++
			require.NotEqual(t, b.Target, d.Target, where)
		}
		if open && b.Pool == d.Pool {
			inPool++
		}
		if same(b) && ladder(b) {
			tries++
		}
		if same(b) && !ladder(b) && !open {
			after := p.Guards.Cooldown.Failure.D()
			if b.Cleared {
				after = p.Guards.Cooldown.Success.D()
			}
			require.GreaterOrEqual(t, d.At.Sub(b.Ended), after, where)
		}
	}
	require.LessOrEqual(t, tries, p.Guards.Attempts.Episode, where)
	require.LessOrEqual(t, running, min(p.Guards.Concurrency.Policy, p.Guards.Concurrency.Global), where)
	require.LessOrEqual(t, inPool, p.Guards.Concurrency.Pool, where)
}
