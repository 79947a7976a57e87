package remediate

import (
	"context"
	"errors"
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
	everywhere, pool := onPage(c)
	err := b.beside(ctx, c, pool)
	if n := max(crowd(everywhere), crowd(pool)); n > rules.AtOnce {
		return doubt(c, "%d targets began to fail within %s, more than %d: the measurement is doubted, nothing is touched", n, "5m", rules.AtOnce).saw("%d on the page, %d in pool %s", len(everywhere), len(pool), c.Target.Pool)
	}
	if err != nil {
		return blind(err.Error())
	}
	size, err := sampleOf(ctx, b.sources, "", c.Policy.Target.Pool.Size, c)
	if until := c.cooling(); err != nil && until.After(c.Now) {
		return wait(until, coolingWords, rules.Cooldown)
	}
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
	v := b.judge(c, rules, len(pool), int(size), limit)
	return v.saw("%d of %d unwell in pool %s", len(pool), int(size), c.Target.Pool)
}

func (b blastRadius) judge(c Candidate, rules BlastRadius, unwell, size int, limit share) Verdict {
	most := limit.of(size)
	switch until := c.cooling(); {
	case unwell > size:
		return doubt(c, "more are unwell than the pool has: the measurement is doubted, nothing is touched")
	case unwell > most:
		return doubt(c, "more than %s (%d) of the pool are unwell at once: the measurement is doubted, nothing is touched", rules.MaxUnhealthy, most)
	case size-unwell < rules.MinHealthy:
		return deny("fewer than %d of the pool are well", rules.MinHealthy)
	case until.After(c.Now):
		return wait(until, coolingWords, rules.Cooldown)
	}
	return pass("at most %s (%d) of the pool may be unwell, and %d must be well", rules.MaxUnhealthy, most, rules.MinHealthy)
}

const coolingWords = "the pool was beyond its blast radius: it is left alone for %s"

// cooling is until when the pool is left alone after a storm; the zero time if it
// had none.
func (c Candidate) cooling() time.Time {
	over, was := c.Past.Storms[c.Target.Pool]
	if !was {
		return time.Time{}
	}
	return over.Add(c.rules().BlastRadius.Cooldown.D())
}

func doubt(c Candidate, format string, args ...any) Verdict {
	v := deny(format, args...)
	v.Storm = c.Target.Pool
	return v
}

// unwell are distinct targets that something is wrong with, by their ID, and
// since when.
type unwell map[string]time.Time

func (u unwell) note(id string, at time.Time) {
	if was, ok := u[id]; !ok || at.Before(was) {
		u[id] = at
	}
}

// onPage are the targets on the page, in whatever pool, and those of them that
// are in the candidate's. A name that is none makes nothing well: it counts in both.
func onPage(c Candidate) (all, pool unwell) {
	all, pool = unwell{}, unwell{}
	hits, refused := c.Policy.find(c.Page)
	for _, h := range hits {
		for _, a := range h.alerts {
			all.note(h.ID(), a.StartsAt)
			if h.Pool == c.Target.Pool {
				pool.note(h.ID(), a.StartsAt)
			}
		}
	}
	for _, r := range refused {
		all.note(nameless+r.Value, c.Page.Clock.Started)
		pool.note(nameless+r.Value, c.Page.Clock.Started)
	}
	return all, pool
}

// nameless begins the ID of what has no name.
const nameless = "nameless/"

// beside adds the targets of the candidate's pool that other alerts at
// Alertmanager name, and those that are worked on.
func (b blastRadius) beside(ctx context.Context, c Candidate, pool unwell) error {
	for _, t := range c.others(func(t Trace) bool { return t.Ended.IsZero() && t.Pool == c.Target.Pool }) {
		pool.note(t.Target, t.At)
	}
	rule := c.Policy.Target
	if b.am == nil {
		return errors.New("no Alertmanager can be asked")
	}
	with := page.Labels{}
	if rule.Pool.Label != "" {
		with[rule.Pool.Label] = c.Target.Pool
	}
	firing, err := b.am.Firing(ctx, c.Page.Cluster, with)
	if err != nil {
		return err
	}
	name, err := rule.namer()
	if err != nil {
		return err
	}
	match, err := compile(c.Policy.Match)
	if err != nil {
		return err
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
			pool.note(t.ID(), a.StartsAt)
		} else {
			pool.note(nameless+value, a.StartsAt)
		}
	}
	return nil
}

// crowd is how many began within atOnce of each other, at most. A beginning that
// is not known fits everywhere.
func crowd(began unwell) int {
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
