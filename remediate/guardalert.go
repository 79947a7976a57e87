package remediate

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/page"
)

// Silence is one that is in force at Alertmanager. Its texts are untrusted.
type Silence struct {
	ID       string
	Matchers labels.Matchers
	By, Why  string
	Until    time.Time
}

// target passes what the page still names: neither an older page's target, nor
// one that no policy's pattern has seen.
type target struct{}

// Name implements Guard.
func (target) Name() string { return "target" }

// Check implements Guard.
func (target) Check(_ context.Context, c Candidate) Verdict {
	alerts := c.concerned()
	switch {
	case Unfit(c.Page) != "":
		return deny("the page is not acted on: %s", Unfit(c.Page))
	case len(alerts) == 0:
		return deny("no alert of the page that fires names this target")
	}
	return pass("the page names it").saw("%s, alerts: %d", c.Target.ID(), len(alerts))
}

// trigger passes what fires long enough to be real, and not so long that a
// person surely has it in hand.
type trigger struct{}

// Name implements Guard.
func (trigger) Name() string { return "trigger" }

// Check implements Guard.
func (trigger) Check(_ context.Context, c Candidate) Verdict {
	rules := c.Policy.Filled().Trigger
	first := began(c)
	if first.IsZero() {
		return blind("nobody says since when it fires")
	}
	// Tocsin's own clock counts where Alertmanager's says that it fires for long
	seen := first
	if c.Page.Clock.Received.After(seen) {
		seen = c.Page.Clock.Received
	}
	age, held := c.Now.Sub(first), c.Now.Sub(seen)
	v := pass("acts after %s, and before %s have passed", rules.FiringFor, rules.MaxAge)
	switch {
	case age > rules.MaxAge.D():
		v = deny("it fires for longer than %s: people have it", rules.MaxAge)
	case held < rules.FiringFor.D():
		v = wait(seen.Add(rules.FiringFor.D()), "it must fire for %s", rules.FiringFor)
	}
	return v.saw("fires for %s", model.Duration(max(0, age.Round(time.Second))))
}

// began is when the first of the target's alerts began: in this episode of the
// problem, or later, where it joined. A beginning that nobody gave, or that is
// yet to come, is the page's own; the zero time if that is not known either.
func began(c Candidate) time.Time {
	own := c.Page.Clock.Started
	if own.IsZero() || own.After(c.Now) {
		own = c.Page.Clock.Received
	}
	var first time.Time
	for _, a := range c.concerned() {
		at := a.StartsAt
		if at.IsZero() || at.After(c.Now) {
			at = own
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// serviceType passes the types of service that a policy may touch.
type serviceType struct{}

// Name implements Guard.
func (serviceType) Name() string { return "service type" }

// Check implements Guard.
func (serviceType) Check(_ context.Context, c Candidate) Verdict {
	rules := c.Policy.Guards.ServiceTypes
	if rules.Label == "" {
		return pass("not asked for")
	}
	kind, err := agreed(c.concerned(), rules.Label)
	switch {
	case err != nil:
		return deny("the type is not known: %v", err)
	case slices.Contains(rules.Deny, kind):
		return deny("this type is never touched").saw("%s", kind)
	case !slices.Contains(rules.Allow, kind):
		return deny("this type is not among those that may be touched").saw("%s", kind)
	}
	return pass("this type may be touched").saw("%s", kind)
}

// fresh passes what still fires, as Alertmanager has it.
type fresh struct{ am Alertmanager }

// Name implements Guard.
func (fresh) Name() string { return "freshness" }

// Check implements Guard.
func (f fresh) Check(ctx context.Context, c Candidate) Verdict {
	if f.am == nil {
		return blind("no Alertmanager can be asked")
	}
	asked := c.concerned()
	if len(asked) == 0 {
		return deny("no alert is about the target")
	}
	active, err := f.am.Active(ctx, c.Page.Cluster, asked)
	switch {
	case err != nil:
		return blind(err.Error())
	case len(active) == 0:
		return deny("none of its alerts is active at Alertmanager: over, silenced or inhibited")
	}
	return pass("Alertmanager has it as active").saw("active alerts: %d of %d", len(active), len(asked))
}

// silences passes what nobody has asked to be quiet about.
type silences struct{ am Alertmanager }

// Name implements Guard.
func (silences) Name() string { return "silences" }

// Check implements Guard.
func (s silences) Check(ctx context.Context, c Candidate) Verdict {
	switch {
	case !c.Policy.Guards.Silences:
		return pass("not asked for")
	case s.am == nil:
		return blind("no Alertmanager can be asked")
	}
	there, err := s.am.Silences(ctx, c.Page.Cluster)
	if err != nil {
		return blind(err.Error())
	}
	for _, silence := range there {
		if slices.ContainsFunc(c.concerned(), func(a page.Alert) bool { return matching(silence.Matchers, a.Labels) }) {
			v := deny("silenced by %s: somebody is at work there", shown(silence.By)).saw("%s", silence.Why)
			v.Until = silence.Until
			return v
		}
	}
	return pass("no silence matches its alerts").saw("silences in force: %d", len(there))
}
