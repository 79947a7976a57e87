package remediate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// killSwitch passes while nobody has frozen all, the team's or this policy.
type killSwitch struct{ file string }

// Name implements Guard.
func (killSwitch) Name() string { return "kill switch" }

// Check implements Guard.
func (k killSwitch) Check(_ context.Context, c Candidate) Verdict {
	for _, scope := range []string{"global", "team/" + c.Policy.Team, "policy/" + c.Policy.Name} {
		if s, ok := c.Past.Switches[scope]; ok {
			return deny("%s is frozen since %s by %s", scope, s.At.UTC().Format(time.RFC3339), shown(s.By)).saw("%s", s.Why)
		}
	}
	if k.file == "" {
		return pass("nothing is frozen")
	}
	f, err := os.Open(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return pass("nothing is frozen, and there is no file %s", k.file)
	}
	if err != nil {
		return blind("look for the file of the kill switch: " + err.Error())
	}
	defer f.Close()
	why, _ := io.ReadAll(io.LimitReader(f, maxShown)) // that it is there is enough
	return deny("the file %s is there", k.file).saw("%s", why)
}

// danger holds what a step can do against how far it may go.
type danger struct{}

// Name implements Guard.
func (danger) Name() string { return "danger" }

// Check implements Guard.
func (danger) Check(_ context.Context, c Candidate) Verdict {
	class, mode := c.Policy.DangerOf(c.Step), c.Policy.ModeOf(c.Step)
	asked := min(c.Policy.Mode.rank(), cmp.Or(c.Step.Mode, c.Policy.Mode).rank())
	v := pass("%s in mode %s", class, mode)
	switch {
	case mode == Off:
		v = deny("the policy or its step is off")
	case c.Target.Kind != c.Policy.Target.Kind:
		v = deny("the policy acts on a %s", c.Policy.Target.Kind)
	case mode == Check && c.Step.Kind == "workflow":
		v = deny("a workflow has no check mode: it would change things")
	case class == Destructive && asked == Auto.rank():
		v = deny("what can destroy never runs by itself: write mode approve")
	case c.Target.Kind != HostTarget && asked == Auto.rank():
		v = deny("a %s is never touched without a person: write mode approve", c.Target.Kind)
	case class == Disruptive && mode == Auto && !c.Step.Claim:
		v = deny("a disruptive step in auto needs the claim in its playbook (claim: true)")
	}
	return v.saw("%s", class)
}

// breaker passes while the policy's breaker is closed.
type breaker struct{}

// Name implements Guard.
func (breaker) Name() string { return "breaker" }

// Check implements Guard.
func (breaker) Check(_ context.Context, c Candidate) Verdict {
	if b, open := c.Past.Breakers[c.Policy.Name]; open {
		return deny("the breaker is open since %s: a person resets it", b.At.UTC().Format(time.RFC3339)).saw("%s", b.Why)
	}
	return pass("the breaker is closed")
}

// others are the dispatches that were claimed, without the candidate's own.
func (c Candidate) others(which func(Trace) bool) []Trace {
	var out []Trace
	for _, t := range c.Past.Dispatches {
		if (c.Dispatch == "" || t.ID != c.Dispatch) && which(t) {
			out = append(out, t)
		}
	}
	return out
}

// ladder reports whether a dispatch is of the same ladder, in the same episode.
func (c Candidate) ladder(t Trace) bool {
	return t.Policy == c.Policy.Name && t.Target == c.Target.ID() && t.Problem == c.Page.Problem && t.Episode == c.Page.Episode
}

// attempts bounds how often it is tried.
type attempts struct{}

// Name implements Guard.
func (attempts) Name() string { return "attempts" }

// Check implements Guard.
func (attempts) Check(_ context.Context, c Candidate) Verdict {
	rules := c.rules().Attempts
	daily, err := parseRate(rules.Target)
	if err != nil {
		return blind("attempts.target: " + err.Error())
	}
	episode := c.others(func(t Trace) bool { return t.Danger != ReadOnly && c.ladder(t) })
	ever := c.others(func(t Trace) bool {
		return t.Danger != ReadOnly && t.Target == c.Target.ID() && daily.holds(t.At, c.Now)
	})
	v := pass("at most %d in an episode, %s of a target", rules.Episode, daily)
	switch {
	case len(episode) >= rules.Episode:
		v = deny("tried %d times in this episode, at most %d: people are needed", len(episode), rules.Episode)
	case len(ever) >= daily.n:
		v = deny("tried %d times on this target, at most %s: people are needed", len(ever), daily)
	}
	return v.saw("%d in this episode, %d on this target", len(episode), len(ever))
}

// flapWindow and maxEpisodes bound how often a target may fail before machines
// keep off: mending it again and again hides what is wrong with it.
const (
	flapWindow  = 6 * time.Hour
	maxEpisodes = 3
)

// flapping keeps off a target that fails again and again.
type flapping struct{}

// Name implements Guard.
func (flapping) Name() string { return "flapping" }

// Check implements Guard.
func (flapping) Check(_ context.Context, c Candidate) Verdict {
	since := c.Now.Add(-flapWindow)
	seen := 0
	for _, at := range c.Past.Episodes[c.Target.ID()] {
		if at.After(since) {
			seen++
		}
	}
	type episode struct {
		problem string
		n       int
	}
	tried := map[episode]bool{{c.Page.Problem, c.Page.Episode}: true}
	for _, t := range c.Past.Dispatches {
		if t.Target == c.Target.ID() && t.At.After(since) {
			tried[episode{t.Problem, t.Episode}] = true
		}
	}
	n := max(seen, len(tried)) + c.Page.Flapping
	v := pass("at most %d episodes in 6h", maxEpisodes)
	if n > maxEpisodes {
		v = deny("it failed %d times in 6h, at most %d: mending it again would hide what is wrong", n, maxEpisodes)
	}
	return v.saw("episodes: %d", n)
}

// cooldown leaves a target alone for a while once something was done to it.
type cooldown struct{}

// Name implements Guard.
func (cooldown) Name() string { return "cool-down" }

// Check implements Guard.
func (cooldown) Check(_ context.Context, c Candidate) Verdict {
	rules := c.rules().Cooldown
	var until time.Time
	for _, t := range c.others(func(t Trace) bool {
		return t.Target == c.Target.ID() && !t.Ended.IsZero() && t.Danger != ReadOnly && !c.ladder(t)
	}) {
		after := rules.Failure
		if t.Cleared && !t.Failed {
			after = rules.Success
		}
		if end := t.Ended.Add(after.D()); end.After(until) {
			until = end
		}
	}
	if until.After(c.Now) {
		return wait(until, "left alone for %s after a success and %s after a failure", rules.Success, rules.Failure)
	}
	return pass("left alone for %s after a success and %s after a failure", rules.Success, rules.Failure)
}

// again is how soon one asks again whether another dispatch has ended.
const again = 30 * time.Second

// concurrency bounds dispatches under way.
type concurrency struct{}

// Name implements Guard.
func (concurrency) Name() string { return "concurrency" }

// Check implements Guard.
func (concurrency) Check(_ context.Context, c Candidate) Verdict {
	rules := c.rules().Concurrency
	running := c.others(func(t Trace) bool { return t.Ended.IsZero() })
	var onTarget, inPool, ofPolicy int
	for _, t := range running {
		if t.Target == c.Target.ID() {
			onTarget++
		}
		if t.Pool == c.Target.Pool {
			inPool++
		}
		if t.Policy == c.Policy.Name {
			ofPolicy++
		}
	}
	v := pass("at most 1 on a target, %d in a pool, %d of a policy, %d in all", rules.Pool, rules.Policy, rules.Global)
	if onTarget >= 1 || inPool >= rules.Pool || ofPolicy >= rules.Policy || len(running) >= rules.Global {
		v.Outcome, v.Until = Wait, c.Now.Add(again)
	}
	return v.saw("under way: %d on the target, %d in the pool, %d of the policy, %d in all", onTarget, inPool, ofPolicy, len(running))
}

// rate bounds launches over time.
type rate struct{}

// Name implements Guard.
func (rate) Name() string { return "rate" }

// Check implements Guard.
func (rate) Check(_ context.Context, c Candidate) Verdict {
	rules := c.rules().Rate
	out := pass("at most %s on a target, %s of a policy, %s of a team, %s in all", rules.Target, rules.Policy, rules.Team, rules.Global)
	var seen []string
	for _, r := range []struct {
		what, limit string
		counts      func(Trace) bool
	}{
		{"on the target", rules.Target, func(t Trace) bool {
			return t.Target == c.Target.ID() && t.Danger != ReadOnly && !c.ladder(t)
		}},
		{"of the policy", rules.Policy, func(t Trace) bool { return t.Policy == c.Policy.Name }},
		{"of the team", rules.Team, func(t Trace) bool { return t.Team == c.Policy.Team }},
		{"in all", rules.Global, func(Trace) bool { return true }},
	} {
		limit, err := parseRate(r.limit)
		if err != nil {
			return blind("rate: " + err.Error())
		}
		within := c.others(func(t Trace) bool { return r.counts(t) && limit.holds(t.At, c.Now) })
		seen = append(seen, fmt.Sprintf("%d %s", len(within), r.what))
		if len(within) < limit.n {
			continue
		}
		out.Outcome = Wait
		if until := limit.frees(within); until.After(out.Until) {
			out.Until = until
		}
	}
	return out.saw("%s", strings.Join(seen, ", "))
}

// perTime is a number in a span of time: 5/10m.
type perTime struct {
	n   int
	per time.Duration
}

// maxWindow is how far back the past is known.
const maxWindow = 24 * time.Hour

func parseRate(text string) (perTime, error) {
	left, right, ok := strings.Cut(text, "/")
	n, err := strconv.ParseUint(left, 10, 16)
	per, perr := model.ParseDuration(right)
	if !ok || err != nil || perr != nil || n == 0 || per <= 0 || time.Duration(per) > maxWindow {
		return perTime{}, fmt.Errorf("%q is no rate: write it as 5/10m, over 24h at most", text)
	}
	return perTime{int(n), time.Duration(per)}, nil
}

// holds reports whether a time lies in the window that ends now. One that is yet
// to come is another clock's, and does.
func (p perTime) holds(at, now time.Time) bool { return at.After(now.Add(-p.per)) }

// frees is when fewer than n of the traces will lie in the window.
func (p perTime) frees(within []Trace) time.Time {
	times := make([]time.Time, len(within))
	for i, t := range within {
		times[i] = t.At
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[len(times)-p.n].Add(p.per)
}

// String writes the rate.
func (p perTime) String() string { return fmt.Sprintf("%d/%s", p.n, model.Duration(p.per)) }
