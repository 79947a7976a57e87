package remediate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// downHosts are alerts of the first n hosts of the pool, a minute apart from each other
// by gap.
func downHosts(n int, gap time.Duration) []page.Alert {
	out := make([]page.Alert, n)
	for i := range out {
		out[i] = firing(5*time.Minute+time.Duration(n-i)*gap, "instance", fmt.Sprintf("web-%d:9100", i+1))
	}
	return out
}

// elsewhereDown are alerts of hosts each of which is the only one of its pool.
func elsewhereDown(n int) []page.Alert {
	out := make([]page.Alert, n)
	for i := range out {
		out[i] = firing(5*time.Minute, "instance", fmt.Sprintf("web-%d", 100+i), "cluster", fmt.Sprint("pool-", i))
	}
	return out
}

// undated are alerts that nobody dates.
func undated(alerts []page.Alert) []page.Alert {
	for i := range alerts {
		alerts[i].StartsAt = time.Time{}
	}
	return alerts
}

func TestBlastRadius(t *testing.T) {
	far := 6 * time.Minute
	for name, tc := range map[string]struct {
		size    int
		down    []page.Alert
		beside  []page.Alert // at Alertmanager, not on the page
		change  func(*remediate.BlastRadius)
		storm   time.Duration // before noon
		want    remediate.Outcome
		doubted bool
	}{
		"one of ten":                     {size: 10, down: downHosts(1, far), want: remediate.Pass},
		"two of ten":                     {size: 10, down: downHosts(2, far), want: remediate.Pass},
		"three of ten":                   {size: 10, down: downHosts(3, far), want: remediate.Deny, doubted: true},
		"one of four: 20% rounds down":   {size: 4, down: downHosts(1, far), want: remediate.Deny, doubted: true},
		"one of four, by number":         {size: 4, down: downHosts(1, far), change: func(b *remediate.BlastRadius) { b.MaxUnhealthy = "1" }, want: remediate.Pass},
		"too few are well":               {size: 4, down: downHosts(1, far), change: func(b *remediate.BlastRadius) { b.MaxUnhealthy, b.MinHealthy = "1", 4 }, want: remediate.Deny},
		"two alerts are one host":        {size: 10, down: append(downHosts(2, far), firing(9*time.Minute, "instance", "web-1")), want: remediate.Pass},
		"others are not on the page":     {size: 10, down: downHosts(1, far), beside: downHosts(3, far), want: remediate.Deny, doubted: true},
		"another pool's count not":       {size: 10, down: downHosts(1, far), beside: []page.Alert{firing(0, "instance", "web-8", "cluster", "db"), firing(0, "instance", "web-9", "cluster", "db")}, want: remediate.Pass},
		"infos count not":                {size: 10, down: downHosts(1, far), beside: []page.Alert{firing(0, "instance", "web-8", "severity", "info"), firing(0, "instance", "web-9", "severity", "info")}, want: remediate.Pass},
		"names that are none count":      {size: 10, down: append(downHosts(1, far), firing(30*time.Minute, "instance", "*"), firing(0, "instance", "web-1;rm")), want: remediate.Deny, doubted: true},
		"more than there are":            {size: 2, down: downHosts(3, far), change: func(b *remediate.BlastRadius) { b.MaxUnhealthy = "5" }, want: remediate.Deny, doubted: true},
		"a pool without a size":          {size: 0, down: downHosts(1, far), want: remediate.Blind},
		"many at once of a vast pool":    {size: 1000, down: downHosts(11, time.Second), want: remediate.Deny, doubted: true},
		"many, one after the other":      {size: 1000, down: downHosts(11, time.Minute), want: remediate.Pass},
		"many at once in other pools":    {size: 1000, down: append(elsewhereDown(10), downHosts(1, 0)...), want: remediate.Deny, doubted: true},
		"nobody knows since when":        {size: 1000, down: undated(downHosts(11, time.Minute)), want: remediate.Deny, doubted: true},
		"some at once in other pools":    {size: 1000, down: append(elsewhereDown(9), downHosts(1, 0)...), want: remediate.Pass},
		"some at once of a vast pool":    {size: 1000, down: downHosts(10, time.Second), want: remediate.Pass},
		"it was beyond a moment ago":     {size: 10, down: downHosts(1, far), storm: 14 * time.Minute, want: remediate.Wait},
		"it was beyond a while ago":      {size: 10, down: downHosts(1, far), storm: 15 * time.Minute, want: remediate.Pass},
		"beyond again":                   {size: 10, down: downHosts(3, far), storm: time.Minute, want: remediate.Deny, doubted: true},
		"a share that cannot be read":    {size: 10, down: downHosts(1, far), change: func(b *remediate.BlastRadius) { b.MaxUnhealthy = "some" }, want: remediate.Blind},
		"all of them, says the operator": {size: 10, down: downHosts(8, far), change: func(b *remediate.BlastRadius) { b.MaxUnhealthy = "100%"; b.AtOnce = 100 }, want: remediate.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			am, thanos := newCluster(t, append(tc.beside, tc.down...)...), enrichtest.New(t, fleetOf(tc.size, 0)...)
			w := remediate.World{Alertmanager: remediate.Alertmanagers{"dc1": am.client}, Sources: sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": thanos})}
			p := hostPolicy()
			if tc.change != nil {
				tc.change(&p.Guards.BlastRadius)
			}
			c := candidate(t, p, pageOf(tc.down...))
			if tc.storm != 0 {
				c.Past.Storms = map[string]time.Time{"web": noon().Add(-tc.storm)}
			}
			v := verdictOf(t, w, "blast radius", c)
			require.Equal(t, tc.want, v.Outcome, "%s (%s)", v.Reason, v.Value)
			if tc.doubted {
				require.Equal(t, "web", v.Storm)
				require.Contains(t, v.Reason, "the measurement is doubted, nothing is touched")
			} else {
				require.Empty(t, v.Storm)
			}
		})
	}
}

func TestWhatIsSilencedOrWorkedOnIsUnwellToo(t *testing.T) {
	w, am, thanos, pg := calm(t)
	thanos.Set(fleetOf(10, 0)...)
	c := candidate(t, hostPolicy(), pg)
	am.silenced = []page.Alert{firing(time.Hour, "instance", "web-2:9100")}
	require.Equal(t, remediate.Pass, verdictOf(t, w, "blast radius", c).Outcome, "two of ten")
	c.Past.Dispatches = []remediate.Trace{trace(time.Minute, running, target("web-3"))}
	require.Equal(t, remediate.Deny, verdictOf(t, w, "blast radius", c).Outcome, "three of ten")
	c.Past.Dispatches[0].Pool = "db"
	require.Equal(t, remediate.Pass, verdictOf(t, w, "blast radius", c).Outcome)
	am.status = http.StatusInternalServerError
	require.Equal(t, remediate.Blind, verdictOf(t, w, "blast radius", c).Outcome)
	am.status = 0
	thanos.Misbehave(enrichtest.Trouble{Warning: "store gateway is gone"})
	require.Equal(t, remediate.Blind, verdictOf(t, w, "blast radius", c).Outcome)
	c.Target.Pool = ""
	require.Equal(t, remediate.Blind, verdictOf(t, w, "blast radius", c).Outcome)
}

// That an alert carries a version does not say that the version is bad: only what
// the policy is about counts beside the page.
func TestOtherAlertsAreNoOtherBadDeploys(t *testing.T) {
	pg := deployed("strong", page.Labels{"version": "v42"})
	thanos := enrichtest.New(t, steady(1, 0, "__name__", "requests_total", "service", "a"), steady(1, 0, "__name__", "requests_total", "service", "b"))
	am := newCluster(t, firing(0, "version", "v7"))
	w := remediate.World{Alertmanager: remediate.Alertmanagers{"dc1": am.client}, Sources: sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": thanos})}
	p := servicePolicy()
	p.Guards.BlastRadius.MaxUnhealthy = "1"
	c := candidate(t, p, pg)
	require.Equal(t, remediate.Pass, verdictOf(t, w, "blast radius", c).Outcome)
	am.alerts = []page.Alert{firing(0, "version", "v7", "alertname", "Errors")}
	v := verdictOf(t, w, "blast radius", c)
	require.Equal(t, remediate.Deny, v.Outcome, v.Reason)
	require.Equal(t, "service", v.Storm)
}

// stormed decides for all targets of a page in turn, as an engine does, and
// returns how many were launched, and why the others were not.
func stormed(t testing.TB, p *remediate.Policy, pg page.Page, size float64) (launched int, why map[string]string) {
	t.Helper()
	why = map[string]string{}
	targets, refused := p.Targets(pg)
	for _, r := range refused {
		why[r.Value] = r.Reason
	}
	guards := remediate.Guards(remediate.World{Alertmanager: holding(pg.Alerts), Sources: counting(size)})
	var past remediate.Past
	for _, target := range targets {
		c := remediate.Candidate{Policy: p, Step: p.Steps[0], Attempt: 1, Page: pg, Target: target, Past: past, Now: noon()}
		r := remediate.Decide(t.Context(), guards, c)
		if r.Outcome != remediate.Pass {
			for _, v := range r.Verdicts {
				if v.Outcome != remediate.Pass {
					why[target.Name] += v.Guard + ": " + v.Reason + "; "
				}
			}
			continue
		}
		launched++
		past.Dispatches = append(past.Dispatches, remediate.Trace{
			ID: target.Name, Policy: p.Name, Team: p.Team, Target: target.ID(), Pool: target.Pool, Problem: pg.Problem, Episode: pg.Episode, At: noon(),
		})
	}
	return launched, why
}

// holding is an Alertmanager that holds alerts and no silence.
type holding []page.Alert

func (h holding) Active(_ context.Context, _ string, alerts []page.Alert) ([]page.Alert, error) {
	return alerts, nil
}

func (h holding) Firing(context.Context, string, page.Labels) ([]page.Alert, error) { return h, nil }

func (holding) Silences(context.Context, string) ([]remediate.Silence, error) { return nil, nil }

// counting answers every question with one fresh number.
type counting float64

func (n counting) Ask(_ context.Context, _, promql string, at time.Time) (remediate.Answer, error) {
	if len(promql) > 3 && promql[:4] == "min(" {
		return remediate.Answer{Values: []float64{float64(at.Unix())}}, nil
	}
	return remediate.Answer{Values: []float64{float64(n)}}, nil
}

// Whatever the pool, the caps and the alerts: what is launched at one time stays
// within every cap.
func TestNoCapIsEverExceeded(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 6))
		p := hostPolicy()
		p.Guards.Concurrency = remediate.Concurrency{Target: 1, Pool: 1 + r.IntN(5), Policy: 1 + r.IntN(5), Global: 1 + r.IntN(5)}
		p.Guards.Rate.Policy = fmt.Sprintf("%d/10m", 1+r.IntN(5))
		p.Guards.BlastRadius = remediate.BlastRadius{MaxUnhealthy: fmt.Sprintf("%d%%", 1+r.IntN(50)), MinHealthy: r.IntN(50), AtOnce: 1 + r.IntN(60)}
		p = p.Filled()
		size, down := 1+r.IntN(400), 1+r.IntN(60)
		var alerts []page.Alert
		for i := range down {
			alerts = append(alerts, firing(3*time.Minute+time.Duration(r.IntN(1600))*time.Second, "instance", fmt.Sprintf("web-%d", i)))
		}
		launched, _ := stormed(t, p, pageOf(alerts...), float64(size))
		var n int
		_, err := fmt.Sscanf(p.Guards.Rate.Policy, "%d/10m", &n)
		require.NoError(t, err)
		require.LessOrEqual(t, launched, min(n, p.Guards.Concurrency.Pool, p.Guards.Concurrency.Policy, p.Guards.Concurrency.Global), "seed %d", seed)
		var share int
		_, err = fmt.Sscanf(p.Guards.BlastRadius.MaxUnhealthy, "%d%%", &share)
		require.NoError(t, err)
		if down*100 > share*size || size-down < p.Guards.BlastRadius.MinHealthy {
			require.Zero(t, launched, "seed %d: %d of %d down", seed, down, size)
		}
	}
}
