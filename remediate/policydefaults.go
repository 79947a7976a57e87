package remediate

import (
	"cmp"
	"slices"
	"time"

	"github.com/tocsin/tocsin/config"
)

// HostName is what target.validate can be for the names of hosts.
const HostName = `[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?`

// DefaultPolicy returns what a policy says where it leaves its keys out: it
// observes, and every guard is on.
func DefaultPolicy() *Policy {
	p := &Policy{Mode: Observe, Guards: GuardRules{Silences: true}}
	p.fill()
	return p
}

// Filled returns a copy of p with the safe defaults where it says nothing.
func (p Policy) Filled() *Policy {
	p.Steps = slices.Clone(p.Steps)
	p.fill()
	return &p
}

func (p *Policy) fill() {
	minutes := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Minute) }
	p.Mode = cmp.Or(p.Mode, Observe)
	p.Trigger.FiringFor = cmp.Or(p.Trigger.FiringFor, minutes(3))
	p.Trigger.MaxAge = cmp.Or(p.Trigger.MaxAge, minutes(30))
	p.Stable = cmp.Or(p.Stable, minutes(5))
	p.Approval.Expires = cmp.Or(p.Approval.Expires, minutes(15))
	if len(p.Approval.Roles) == 0 {
		p.Approval.Roles = []string{"operator"}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Kind = cmp.Or(s.Kind, "job")
		s.Mode = cmp.Or(s.Mode, p.Mode)
		s.Danger = cmp.Or(s.Danger, p.Danger)
		s.QueueTimeout = cmp.Or(s.QueueTimeout, minutes(2))
		s.Verify.ResolvedWithin = cmp.Or(s.Verify.ResolvedWithin, minutes(10))
	}
	p.Guards.fill(len(p.Steps), minutes)
}

func (g *GuardRules) fill(steps int, minutes func(int) config.Duration) {
	g.BlastRadius.MaxUnhealthy = cmp.Or(g.BlastRadius.MaxUnhealthy, "20%")
	g.BlastRadius.MinHealthy = cmp.Or(g.BlastRadius.MinHealthy, 1)
	g.BlastRadius.AtOnce = cmp.Or(g.BlastRadius.AtOnce, 10)
	g.BlastRadius.Cooldown = cmp.Or(g.BlastRadius.Cooldown, minutes(15))
	g.Rate.Target = cmp.Or(g.Rate.Target, "1/1h")
	g.Rate.Policy = cmp.Or(g.Rate.Policy, "5/10m")
	g.Rate.Team = cmp.Or(g.Rate.Team, "20/1h")
	g.Rate.Global = cmp.Or(g.Rate.Global, "50/1h")
	g.Concurrency.Target = cmp.Or(g.Concurrency.Target, 1)
	g.Concurrency.Pool = cmp.Or(g.Concurrency.Pool, 1)
	g.Concurrency.Policy = cmp.Or(g.Concurrency.Policy, 3)
	g.Concurrency.Global = cmp.Or(g.Concurrency.Global, 10)
	g.Cooldown.Success = cmp.Or(g.Cooldown.Success, minutes(30))
	g.Cooldown.Failure = cmp.Or(g.Cooldown.Failure, minutes(120))
	g.Attempts.Target = cmp.Or(g.Attempts.Target, "3/24h")
	g.Attempts.Episode = cmp.Or(g.Attempts.Episode, max(2, steps))
	g.Breaker.Failures = cmp.Or(g.Breaker.Failures, 3)
	g.Breaker.Window = cmp.Or(g.Breaker.Window, minutes(60))
}

// ModeOf says how far a step of p may go: as far as both allow, and no further
// than to a person where the target is no host or the step can destroy.
func (p *Policy) ModeOf(s Step) Mode {
	mode := cmp.Or(p.Mode, Observe)
	if s.Mode != "" && s.Mode.rank() < mode.rank() {
		mode = s.Mode
	}
	if mode == Auto && (p.Target.Kind != HostTarget || p.DangerOf(s) == Destructive) {
		mode = Approve
	}
	if mode.rank() == 0 {
		return Off
	}
	return mode
}

// DangerOf says what a step of p can do. A word that is none counts as the worst.
func (p *Policy) DangerOf(s Step) Danger {
	d := cmp.Or(s.Danger, p.Danger)
	if d.rank() < 0 {
		return Destructive
	}
	return d
}

// rank orders modes by how far they go. A word that is none goes nowhere.
func (m Mode) rank() int { return max(0, slices.Index(modes(), m)) }

func modes() []Mode { return []Mode{Off, Observe, Check, Approve, Auto} }

// rank orders classes of danger, the least first; -1 for a word that is none.
func (d Danger) rank() int { return slices.Index(dangers(), d) }

func dangers() []Danger { return []Danger{ReadOnly, Reversible, Disruptive, Destructive} }
