package remediate

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
)

// Validate says what is wrong with p, as *config.Invalid errors: what it must
// not mean, and what it cannot mean. Whether its backends and sources are there
// is another question: see Unmet.
func (p *Policy) Validate() error {
	q := p.Filled()
	errs := []error{
		named("name", q.Name),
		named("team", q.Team),
		oneOf("mode", string(q.Mode), words(modes())),
		oneOf("danger", string(q.Danger), words(dangers())),
		q.checkMatch(),
		q.checkTimes(),
		config.Under("target", q.Target.check()),
		config.Under("guards", q.Guards.check(q.Target)),
		q.checkSteps(),
	}
	if q.Mode == Auto && q.Danger == Destructive {
		errs = append(errs, config.Bad("mode", "what can destroy never runs by itself: write approve"))
	}
	if q.Mode == Auto && (q.Target.Kind == ServiceTarget || q.Target.Kind == DatacentreTarget) {
		errs = append(errs, config.Bad("mode", "a %s is never touched without a person: write approve", q.Target.Kind))
	}
	for i, role := range q.Approval.Roles {
		errs = append(errs, named(fmt.Sprintf("approval.roles[%d]", i), role))
	}
	return errors.Join(errs...)
}

// named refuses what cannot stand in a key of the store or in a scope.
func named(field, name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`).MatchString(name) {
		return config.Bad(field, "%q is no name: write up to 63 lower-case letters, digits, and . _ - between them", name)
	}
	return nil
}

func oneOf(field, word string, known []string) error {
	if slices.Contains(known, word) {
		return nil
	}
	if near := config.Nearest(word, known); near != "" {
		return config.Bad(field, "%q is none of %s: write %s", word, strings.Join(known, ", "), near)
	}
	return config.Bad(field, "%q is none of %s", word, strings.Join(known, ", "))
}

func words[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, w := range in {
		out[i] = string(w)
	}
	return out
}

func (p *Policy) checkMatch() error {
	if len(p.Match) == 0 {
		return config.Bad("match", `write which alerts it is about: - alertname="ServiceDown"`)
	}
	var errs []error
	narrow := false
	for i, text := range p.Match {
		at := fmt.Sprintf("match[%d]", i)
		m, err := parse.Matcher(text)
		if err != nil {
			errs = append(errs, config.Bad(at, "%q is no matcher of Alertmanager: %v", text, err))
			continue
		}
		if m.Name == model.AlertNameLabel && own(m.Value) {
			errs = append(errs, config.Bad(at, "Tocsin does not treat its own alarms: a policy about them never acts"))
		}
		narrow = narrow || !m.Matches("")
	}
	if !narrow && len(errs) == 0 {
		errs = append(errs, config.Bad("match", `every alert matches: write one matcher at least that an empty value does not meet, such as alertname="ServiceDown"`))
	}
	return errors.Join(errs...)
}

func (p *Policy) checkTimes() error {
	var errs []error
	if p.Trigger.FiringFor >= p.Trigger.MaxAge {
		errs = append(errs, config.Bad("trigger.max_age", "%s is not longer than firing_for, %s: it would never act", p.Trigger.MaxAge, p.Trigger.FiringFor))
	}
	return errors.Join(append(errs,
		within24h("trigger.firing_for", p.Trigger.FiringFor),
		within24h("trigger.max_age", p.Trigger.MaxAge),
		within24h("stable", p.Stable),
		within24h("approval.expires", p.Approval.Expires),
	)...)
}

func within24h(field string, d config.Duration) error {
	if d.D() < time.Second || d.D() > maxWindow {
		return config.Bad(field, "%s: write something between 1s and 24h", d)
	}
	return nil
}

func (r TargetRule) check() error {
	errs := []error{oneOf("kind", string(r.Kind), words([]TargetKind{HostTarget, ServiceTarget, DatacentreTarget}))}
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if !model.UTF8Validation.IsValidLabelName(r.Label) {
		bad("label", "write the label that names the %s", cmp.Or(string(r.Kind), "target"))
	}
	if r.Pool.Label != "" && !model.UTF8Validation.IsValidLabelName(r.Pool.Label) {
		bad("pool.label", "%q is no label", r.Pool.Label)
	}
	hosts := r.Kind == HostTarget
	hostile := []string{"", "a b", "*", "{{a}}", "!a", "a,b", "a\nb", "~a", "-a"}
	if hosts {
		hostile = append(hostile, "all", "a:b", "a:1", "[::1]", "a[1]", "@a")
	}
	if err := tight(r.Validate, hostile); err != nil {
		bad("validate", "%v", err)
	}
	switch {
	case hosts && r.Inventory == "":
		bad("inventory", "name the inventory in which exactly one enabled host must have that name")
	case hosts && r.Variable != "":
		bad("variable", "a host goes into the limit, not into a variable: leave it out")
	case hosts && plain(r.Inventory) != nil:
		bad("inventory", "write the inventory's name, without template syntax")
	case !hosts && r.Inventory != "":
		bad("inventory", "a %s has the fixed inventory of its template: leave it out", r.Kind)
	}
	if hosts && r.Pool.Label == "" {
		bad("pool.label", "name the label whose value says what the host is one of")
	}
	if !hosts {
		if err := variableName(r.Variable); err != nil {
			bad("variable", "name the variable that holds the identity: %v", err)
		}
	}
	if err := askable(r.Pool.Size); err != nil {
		bad("pool.size", "%v: write a question of one sample, count(up{cluster=$pool})", err)
	}
	return errors.Join(errs...)
}

// tight refuses a pattern that lets through what names nothing.
func tight(pattern string, hostile []string) error {
	re, err := whole(pattern)
	if err != nil {
		return fmt.Errorf("%q is no RE2: %w", pattern, err)
	}
	for _, s := range hostile {
		if re.MatchString(s) {
			return fmt.Errorf("%q lets %q through: write what names look like, [a-z0-9.-]+", pattern, s)
		}
	}
	return nil
}

// askable refuses a question that a guard could never answer.
func askable(text string) error {
	q, err := pose(text, Target{Kind: HostTarget, Name: "web-1", Pool: "web"})
	if err != nil {
		return err
	}
	_, err = freshnesses(q)
	return err
}
