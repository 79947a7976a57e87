package remediate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
)

// check looks at the guards of a policy that is filled.
func (g GuardRules) check(target TargetRule) error {
	errs := []error{
		config.Under("service_types", g.ServiceTypes.check()),
		config.Under("blast_radius", g.BlastRadius.check()),
		config.Under("rate", g.Rate.check()),
		config.Under("concurrency", g.Concurrency.check()),
		within24h("cooldown.after_success", g.Cooldown.Success),
		within24h("cooldown.after_failure", g.Cooldown.Failure),
		within24h("breaker.window", g.Breaker.Window),
	}
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	for i, w := range g.Calendar {
		if _, err := w.span(); err != nil {
			bad(fmt.Sprintf("calendar[%d]", i), "%v", err)
		}
	}
	if g.Zabbix != "" && target.Kind != HostTarget {
		bad("zabbix", "Zabbix knows hosts, not a %s: leave it out", target.Kind)
	}
	names := map[string]bool{}
	for i, q := range g.PreChecks {
		at := fmt.Sprintf("pre_checks[%d]", i)
		errs = append(errs, config.Under(at, q.valid()))
		if names[q.Name] {
			bad(at+".name", "%q stands twice", q.Name)
		}
		names[q.Name] = true
	}
	if g.Proof != nil {
		errs = append(errs, config.Under("proof", cmp.Or(g.Proof.valid(), g.Proof.proves())))
	}
	if g.Attempts.Episode < 1 || g.Attempts.Episode > 2*maxSteps {
		bad("attempts.episode", "write a number between 1 and %d", 2*maxSteps)
	}
	if _, err := parseRate(g.Attempts.Target); err != nil {
		bad("attempts.target", "%v", err)
	}
	if g.Breaker.Failures < 1 || g.Breaker.Failures > 100 {
		bad("breaker.failures", "write a number between 1 and 100")
	}
	return errors.Join(errs...)
}

func (s ServiceTypes) check() error {
	var errs []error
	if s.Label == "" {
		if len(s.Allow)+len(s.Deny) > 0 {
			errs = append(errs, config.Bad("label", "name the label that tells the type"))
		}
		return errors.Join(errs...)
	}
	if !model.UTF8Validation.IsValidLabelName(s.Label) {
		errs = append(errs, config.Bad("label", "%q is no label", s.Label))
	}
	if len(s.Allow) == 0 {
		errs = append(errs, config.Bad("allow", "write what may be touched: what stands nowhere is denied"))
	}
	for i, kind := range s.Allow {
		if slices.Contains(s.Deny, kind) {
			errs = append(errs, config.Bad(fmt.Sprintf("allow[%d]", i), "%q is denied as well: leave it to one of them", kind))
		}
	}
	return errors.Join(errs...)
}

// valid looks at a question of a guard and at what is required of its answer.
func (q PreCheck) valid() error {
	var errs []error
	if plain(q.Name) != nil {
		errs = append(errs, config.Bad("name", "write what it is called in the table of guards"))
	}
	if err := askable(q.PromQL); err != nil {
		errs = append(errs, config.Bad("promql", "%v", err))
	}
	if _, err := parseRequirement(q.Require); err != nil {
		errs = append(errs, config.Bad("require", "%v", err))
	}
	if q.Elsewhere && q.Source == "" {
		errs = append(errs, config.Bad("source", "name the source that measures by itself"))
	}
	return errors.Join(errs...)
}

// proves refuses a proof that asks whether the alert fires.
func (q PreCheck) proves() error {
	posed, err := pose(q.PromQL, Target{Name: "web-1", Pool: "web"})
	if err != nil {
		return config.Bad("promql", "%v", err)
	}
	names, ok := metricsOf(posed)
	if !ok {
		return config.Bad("promql", "name the metrics it reads: else nobody can tell whether it sees more than the alert")
	}
	if slices.Contains(names, "ALERTS") || slices.Contains(names, "ALERTS_FOR_STATE") {
		return config.Bad("promql", "that the alert fires does not prove it: ask for something else")
	}
	return nil
}

func (b BlastRadius) check() error {
	var errs []error
	switch s, err := parseShare(b.MaxUnhealthy); {
	case err != nil:
		errs = append(errs, config.Bad("max_unhealthy", "%v", err))
	case s.percent && s.n > 50:
		errs = append(errs, config.Bad("max_unhealthy", "where more than half of a pool is unwell, the fault is elsewhere: write 50%% or less"))
	case s.n == 0:
		errs = append(errs, config.Bad("max_unhealthy", "%s lets nothing pass", b.MaxUnhealthy))
	}
	if b.MinHealthy < 0 {
		errs = append(errs, config.Bad("min_healthy", "is not negative"))
	}
	if b.AtOnce < 1 || b.AtOnce > MaxTargets {
		errs = append(errs, config.Bad("at_once", "write a number between 1 and %d", MaxTargets))
	}
	return errors.Join(append(errs, within24h("storm_cooldown", b.Cooldown))...)
}

func (r Rates) check() error {
	var errs []error
	for _, one := range []struct{ field, text string }{{"target", r.Target}, {"policy", r.Policy}, {"team", r.Team}, {"global", r.Global}} {
		if _, err := parseRate(one.text); err != nil {
			errs = append(errs, config.Bad(one.field, "%v", err))
		}
	}
	return errors.Join(errs...)
}

func (c Concurrency) check() error {
	var errs []error
	if c.Target != 1 {
		errs = append(errs, config.Bad("target", "one at a time works on a target: leave it out"))
	}
	for _, one := range []struct {
		field string
		n     int
	}{{"pool", c.Pool}, {"policy", c.Policy}, {"global", c.Global}} {
		if one.n < 1 || one.n > 1000 {
			errs = append(errs, config.Bad(one.field, "write a number between 1 and 1000"))
		}
	}
	return errors.Join(errs...)
}
