package remediate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// atOnce is the span of time in which targets that begin to fail count as
// failing at once.
const atOnce = 5 * time.Minute

// blastRadius passes while little of a pool is unwell. Where much is, the fault
// is elsewhere, or the measurement is at fault: nothing is touched then, and for
// a while after.
type blastRadius struct {
	am      Alertmanager
	sources Sources
}

// Name implements Guard.
func (blastRadius) Name() string { return "blast radius" }

// Check implements Guard.
func (b blastRadius) Check(ctx context.Context, c Candidate) Verdict {
	rules := c.rules().BlastRadius
	if c.Target.Pool == "" {
		return blind("the target's pool is not known")
	}
	unwell, err := b.unwell(ctx, c)
	if n := crowd(unwell); n > rules.AtOnce {
		return doubt(c, "%d targets began to fail within %s, more than %d: the measurement is doubted, nothing is touched", n, "5m", rules.AtOnce).saw("%d unwell", len(unwell))
	}
	if err != nil {
		return blind(err.Error())
	}
	size, err := sampleOf(ctx, b.sources, "", c.Policy.Target.Pool.Size, c)
	if err != nil {
		return blind("the size of the pool is not known: " + err.Error())
	}
	if size < 1 || size != math.Trunc(size) || size > 1e9 {
		return blind("the size of the pool is " + number(size))
	}
	limit, err := parseShare(rules.MaxUnhealthy)
	if err != nil {
		return blind("blast_radius.max_unhealthy: " + err.Error())
	}
	v := b.judge(c, rules, len(unwell), int(size), limit)
	return v.saw("%d of %d unwell in pool %s", len(unwell), int(size), c.Target.Pool)
}

func (b blastRadius) judge(c Candidate, rules BlastRadius, unwell, size int, limit share) Verdict {
	most := limit.of(size)
	switch over, was := c.Past.Storms[c.Target.Pool]; {
	case unwell > size:
		return doubt(c, "more are unwell than the pool has: the measurement is doubted, nothing is touched")
	case unwell > most:
		return doubt(c, "more than %s (%d) of the pool are unwell at once: the measurement is doubted, nothing is touched", rules.MaxUnhealthy, most)
	case size-unwell < rules.MinHealthy:
		return deny("fewer than %d of the pool are well", rules.MinHealthy)
	case was && over.Add(rules.Cooldown.D()).After(c.Now):
		return wait(over.Add(rules.Cooldown.D()), "the pool was beyond its blast radius: it is left alone for %s", rules.Cooldown)
	}
	return pass("at most %s (%d) of the pool may be unwell, and %d must be well", rules.MaxUnhealthy, most, rules.MinHealthy)
}

func doubt(c Candidate, format string, args ...any) Verdict {
	v := deny(format, args...)
	v.Storm = c.Target.Pool
	return v
}

// unwell are the distinct targets of the candidate's pool that something is wrong
// with, and since when: those on the page, those that other alerts at
// Alertmanager name, and those that are worked on. With an error, those that are
// known.
func (b blastRadius) unwell(ctx context.Context, c Candidate) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	note := func(id string, at time.Time) {
		if was, ok := out[id]; !ok || at.Before(was) {
			out[id] = at
		}
	}
	rule := c.Policy.Target
	hits, refused := c.Policy.find(c.Page)
	for _, h := range hits {
		if h.Pool == c.Target.Pool {
			for _, a := range h.alerts {
				note(h.ID(), a.StartsAt)
			}
		}
	}
	for _, r := range refused { // that a name is no name makes nothing well
		note("refused/"+r.Value, c.Page.Clock.Started)
	}
	for _, t := range c.others(func(t Trace) bool { return t.Ended.IsZero() && t.Pool == c.Target.Pool }) {
		note(t.Target, t.At)
	}
	if b.am == nil {
		return out, fmt.Errorf("no Alertmanager can be asked")
	}
	with := page.Labels{}
	if rule.Pool.Label != "" {
		with[rule.Pool.Label] = c.Target.Pool
	}
	firing, err := b.am.Firing(ctx, c.Page.Cluster, with)
	if err != nil {
		return out, err
	}
	name, err := rule.namer()
	if err != nil {
		return out, err
	}
	match, err := compile(c.Policy.Match)
	if err != nil {
		return out, err
	}
	for _, a := range firing {
		value := a.Labels[rule.Label]
		if value == "" || own(a.Name()) || a.Severity() == page.Info {
			continue
		}
		if rule.Trait && !match.holds(a) { // that an alert carries a version does not say that the version is bad
			continue
		}
		if t, err := name(value); err == nil {
			note(t.ID(), a.StartsAt)
		} else {
			note("refused/"+value, a.StartsAt)
		}
	}
	return out, nil
}

// crowd is how many began within atOnce of each other, at most. A beginning that
// is not known fits everywhere.
func crowd(began map[string]time.Time) int {
	var times []time.Time
	unknown := 0
	for _, at := range began {
		if at.IsZero() {
			unknown++
			continue
		}
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	most, first := 0, 0
	for i, at := range times {
		for at.Sub(times[first]) > atOnce {
			first++
		}
		most = max(most, i-first+1)
	}
	return most + unknown
}

// share is a share of a pool, in percent, or a number of its targets.
type share struct {
	n       int
	percent bool
}

func parseShare(text string) (share, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || percent && n > 100 {
		return share{}, fmt.Errorf("%q is neither a share nor a number: write it as 20%% or 3", text)
	}
	return share{int(n), percent}, nil
}

// of is how many of a pool that is, rounded down.
func (s share) of(size int) int {
	if s.percent {
		return size * s.n / 100
	}
	return s.n
}
