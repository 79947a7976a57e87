package remediate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/config"
)

// maxSteps and maxVariables bound a ladder and a launch.
const (
	maxSteps     = 10
	maxVariables = 20
)

// checkSteps looks at the ladder of a policy that is filled.
func (p *Policy) checkSteps() error {
	var errs []error
	if len(p.Steps) == 0 {
		errs = append(errs, config.Bad("steps", "write at least one step"))
	}
	if len(p.Steps) > maxSteps {
		errs = append(errs, config.Bad("steps", "%d steps are more than %d", len(p.Steps), maxSteps))
	}
	names := map[string]bool{}
	for i, s := range p.Steps {
		at := fmt.Sprintf("steps[%d]", i)
		errs = append(errs, config.Under(at, p.checkStep(s)))
		errs = append(errs, config.Under(at, p.checkVariables(s)))
		if names[s.Name] {
			errs = append(errs, config.Bad(at+".name", "%q stands twice", s.Name))
		}
		names[s.Name] = true
		if i > 0 && s.Danger.rank() < p.Steps[i-1].Danger.rank() {
			errs = append(errs, config.Bad(at+".danger", "%s comes after %s: begin with the gentlest", s.Danger, p.Steps[i-1].Danger))
		}
	}
	return errors.Join(errs...)
}

func (p *Policy) checkStep(s Step) error {
	errs := []error{
		named("name", s.Name),
		oneOf("kind", s.Kind, []string{"job", "workflow"}),
		oneOf("mode", string(s.Mode), words(modes())),
		oneOf("danger", string(s.Danger), words(dangers())),
		within24h("queue_timeout", s.QueueTimeout),
		within24h("verify.resolved_within", s.Verify.ResolvedWithin),
	}
	if s.Timeout != 0 { // else the template's own
		errs = append(errs, within24h("timeout", s.Timeout))
	}
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if kind, name, ok := strings.Cut(s.Backend, "/"); !ok || kind == "" || name == "" || strings.Contains(name, "/") {
		bad("backend", "%q names no backend: write kind/name, awx/main", s.Backend)
	}
	if plain(s.Template) != nil {
		bad("template", "write the template's name, without template syntax")
	}
	if s.Organization != "" && plain(s.Organization) != nil {
		bad("organization", "write the organization's name, without template syntax")
	}
	if s.Mode.rank() > p.Mode.rank() {
		bad("mode", "%s goes further than the policy, which is %s", s.Mode, p.Mode)
	}
	if s.Danger.rank() > p.Danger.rank() {
		bad("danger", "%s is worse than the policy says, which is %s", s.Danger, p.Danger)
	}
	if s.Mode == Check && s.Kind == "workflow" {
		bad("mode", "a workflow has no check mode: it would change things; write observe or approve")
	}
	if s.Mode == Auto && s.Danger == Destructive {
		bad("mode", "what can destroy never runs by itself: write approve")
	}
	if s.Mode == Auto && s.Danger == Disruptive && !s.Claim {
		bad("claim", "a disruptive step in auto needs the role tocsin_guard in its playbook: write claim: true, or mode: approve")
	}
	if s.Danger.rank() >= Disruptive.rank() && p.Guards.Proof == nil {
		bad("danger", "a %s step needs guards.proof: a question that shows the trouble by other means than the alert", s.Danger)
	}
	if q := s.Verify.PromQL; q != "" {
		if err := askable(q); err != nil {
			bad("verify.promql", "%v", err)
		}
	}
	return errors.Join(errs...)
}

func (p *Policy) checkVariables(s Step) error {
	var errs []error
	if len(s.Variables) > maxVariables {
		errs = append(errs, config.Bad("variables", "%d variables are more than %d", len(s.Variables), maxVariables))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
		at := "variables." + name
		bad := func(format string, args ...any) { errs = append(errs, config.Bad(at, format, args...)) }
		v := s.Variables[name]
		if err := variableName(name); err != nil {
			bad("%q is no name for a variable: %v", name, err)
		}
		if p.Target.Kind != HostTarget && name == p.Target.Variable {
			bad("it holds the target's identity: leave it out")
		}
		switch {
		case (v.Value == "") == (v.Label == ""):
			bad("write either value or label")
		case v.Label == "" && v.Allow != "":
			bad("allow is for a label's value: leave it out")
		case v.Label == "":
			if err := plain(v.Value); err != nil {
				bad("value: %v", err)
			}
		case !model.UTF8Validation.IsValidLabelName(v.Label):
			bad("%q is no label", v.Label)
		default:
			if err := tight(v.Allow, []string{"", "{{a}}", "{%a%}", "a\nb", "\x00", "ansible_connection=local; *"}); err != nil {
				bad("allow: %v", err)
			}
		}
	}
	return errors.Join(errs...)
}
