package remediate

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// guardTime is how long one guard may take. One that takes longer is blind.
const guardTime = 10 * time.Second

// World is what guards ask. What is nil cannot be asked: the guards that need it
// are blind.
type World struct {
	KillFile     string // while this file exists nothing is started; "": there is none
	Alertmanager Alertmanager
	Sources      Sources
	Zabbix       map[string]Maintenance // by name
}

// Alertmanager is what guards ask of the cluster that sent the page.
type Alertmanager interface {
	// Active returns those of the alerts that are active: neither over, nor
	// silenced, nor inhibited.
	Active(ctx context.Context, cluster string, alerts []page.Alert) ([]page.Alert, error)
	// Firing returns all alerts that have not resolved and carry these labels,
	// silenced and inhibited ones too.
	Firing(ctx context.Context, cluster string, with page.Labels) ([]page.Alert, error)
	// Silences returns the silences that are in force.
	Silences(ctx context.Context, cluster string) ([]Silence, error)
}

// Guards returns every guard in the order in which they are asked and shown:
// those that only think come first.
func Guards(w World) []Guard {
	return []Guard{
		killSwitch{file: w.KillFile},
		danger{},
		target{},
		trigger{},
		breaker{},
		attempts{},
		flapping{},
		cooldown{},
		concurrency{},
		rate{},
		serviceType{},
		calendar{},
		fresh{w.Alertmanager},
		silences{w.Alertmanager},
		zabbix{w.Zabbix},
		blastRadius{w.Alertmanager, w.Sources},
		preChecks{w.Sources},
		proof{w.Sources},
	}
}

// Ruling is what all guards together say.
type Ruling struct {
	Outcome  Outcome   `json:"outcome"` // Pass, Wait or Deny
	Until    time.Time `json:"until,omitzero"`
	Storm    string    `json:"storm,omitempty"` // a pool that is beyond its blast radius
	Verdicts []Verdict `json:"verdicts"`
}

// Decide asks every guard, whatever the others say, and passes only what all of
// them pass. Guards that ask elsewhere do so at the same time.
func Decide(ctx context.Context, guards []Guard, c Candidate) Ruling {
	if c.Policy == nil {
		return Ruling{Outcome: Deny}
	}
	c.Policy = c.Policy.Filled()
	c.alerts = c.Policy.AlertsOf(c.Page, c.Target)
	answers := make([]chan Verdict, len(guards))
	for i, g := range guards {
		answers[i] = make(chan Verdict, 1)
		go func() { answers[i] <- check(ctx, g, c) }()
	}
	verdicts := make([]Verdict, len(guards))
	late, cancel := context.WithTimeout(ctx, guardTime+time.Second) // one that does not heed its context
	defer cancel()
	for i, g := range guards {
		verdicts[i] = answer(late, answers[i])
		verdicts[i].Guard, verdicts[i].At = g.Name(), c.Now
	}
	return Rule(verdicts)
}

// answer is what a guard says before it is too late. One that has answered is
// heard, also where another has used up the time.
func answer(late context.Context, from <-chan Verdict) Verdict {
	select {
	case v := <-from:
		return v
	case <-late.Done():
	}
	select {
	case v := <-from:
		return v
	default:
		return blind("it did not answer in time")
	}
}

// check asks one guard. A guard that breaks must not take the pager with it.
func check(ctx context.Context, g Guard, c Candidate) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = blind(fmt.Sprintf("it broke: %v", r))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, guardTime)
	defer cancel()
	return g.Check(ctx, c)
}

// Rule sums up verdicts: Pass if there are some and all pass, Wait if the others
// wait, and until the last of them; else Deny.
func Rule(verdicts []Verdict) Ruling {
	r := Ruling{Outcome: Pass, Verdicts: verdicts}
	if len(verdicts) == 0 {
		r.Outcome = Deny
	}
	for _, v := range verdicts {
		r.Storm = cmp.Or(r.Storm, v.Storm)
		switch {
		case v.Outcome == Pass:
		case v.Outcome == Wait && r.Outcome != Deny:
			r.Outcome = Wait
			if v.Until.After(r.Until) {
				r.Until = v.Until
			}
		default:
			r.Outcome, r.Until = Deny, time.Time{}
		}
		if r.Outcome == Deny {
			r.Until = time.Time{}
		}
	}
	return r
}

// concerned are the alerts of the page that are about the target.
func (c Candidate) concerned() []page.Alert {
	if c.alerts != nil {
		return c.alerts
	}
	return c.Policy.AlertsOf(c.Page, c.Target)
}

// rules are those of the policy, with the defaults where it says nothing.
func (c Candidate) rules() GuardRules { return c.Policy.Filled().Guards }

func pass(format string, args ...any) Verdict {
	return Verdict{Outcome: Pass, Reason: fmt.Sprintf(format, args...)}
}

func deny(format string, args ...any) Verdict {
	return Verdict{Outcome: Deny, Reason: fmt.Sprintf(format, args...)}
}

func wait(until time.Time, format string, args ...any) Verdict {
	return Verdict{Outcome: Wait, Until: until, Reason: fmt.Sprintf(format, args...)}
}

func blind(reason string) Verdict { return Verdict{Outcome: Blind, Reason: shown(reason)} }

// saw adds what was seen.
func (v Verdict) saw(format string, args ...any) Verdict {
	v.Value = shown(fmt.Sprintf(format, args...))
	return v
}

// maxShown bounds what a verdict quotes from outside, in characters.
const maxShown = 300

// shown makes one short line of a text from outside.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if hidden(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return s
}
