package remediate

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Apps are policies as layers have them for single apps: no less careful in any
// field than the config has them. Nil: they are the same for all.
type Apps struct {
	label   string
	class   func(app string) int
	classes []map[string]*Policy // by class, then by the policy's name
}

// NewApps makes, and validates whole, each policy that a compiled file changes.
// The *config.Invalid errors are about fields of the file.
func NewApps(f *apps.File, policies []*Policy) (*Apps, error) {
	a := &Apps{label: f.Label, class: f.Index()}
	var errs []error
	for i, c := range f.Classes {
		of := map[string]*Policy{}
		for j, s := range c.Settings {
			if s.Policy == "" {
				continue
			}
			at := slices.IndexFunc(policies, func(p *Policy) bool { return p.Name == s.Policy })
			if at < 0 {
				errs = append(errs, config.Bad(apps.At(i, j)+".policy", "%s: there is no policy %q%s", s.At, s.Policy, nearest(s.Policy, policies)))
				continue
			}
			if of[s.Policy] == nil {
				of[s.Policy] = policies[at].Filled()
				of[s.Policy].Layered = nil
			}
			if err := of[s.Policy].take(policies[at], s); err != nil {
				errs = append(errs, config.Bad(apps.At(i, j)+".value", "%s: policy %s: %v", s.At, s.Policy, err))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			of[name].clamp()
			errs = append(errs, of[name].wrongBy(name, i, c.Settings))
		}
		a.classes = append(a.classes, of)
	}
	return a, errors.Join(errs...)
}

func nearest(name string, policies []*Policy) string {
	var names []string
	for _, p := range policies {
		names = append(names, p.Name)
	}
	if best := config.Nearest(name, names); best != "" {
		return fmt.Sprintf("; write %q", best)
	}
	return ""
}

// Policies are those that the file changes.
func (a *Apps) Policies() iter.Seq[*Policy] {
	return func(yield func(*Policy) bool) {
		if a == nil {
			return
		}
		for _, of := range a.classes {
			for _, name := range slices.Sorted(maps.Keys(of)) {
				if !yield(of[name]) {
					return
				}
			}
		}
	}
}

// Of is a policy as it is for what these alerts are about: for the app that
// their label names; for several, what is the most careful in each field; for
// none, as for apps that stand in no class.
func (a *Apps) Of(p *Policy, alerts []page.Alert) *Policy {
	if a == nil || p == nil {
		return p
	}
	if len(alerts) == 0 {
		return a.of(p, "")
	}
	var all []*Policy
	for _, alert := range alerts {
		if q := a.of(p, alert.Labels[a.label]); !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return together(p, all)
}

func (a *Apps) of(p *Policy, app string) *Policy {
	if i := a.class(app); i >= 0 && a.classes[i][p.Name] != nil {
		return a.classes[i][p.Name]
	}
	return p
}

// together is a policy that is in each field the most careful of several. Where
// nobody could approve what is for all of them, or it cannot be meant, it only observes.
func together(p *Policy, all []*Policy) *Policy {
	q := p.Filled()
	q.Layered = nil
	for _, f := range apps.PolicyFields() {
		value := all[0].field(f)
		for _, one := range all[1:] {
			value = f.Kind.Careful(value, one.field(f))
		}
		if value == p.Filled().field(f) {
			continue
		}
		s := apps.Setting{Policy: p.Name, Field: f.Name, Value: value, At: "of several apps"}
		for _, one := range all {
			if i := slices.IndexFunc(one.Layered, func(s apps.Setting) bool { return s.Field == f.Name && s.Value == value }); i >= 0 {
				s.At = one.Layered[i].At + ", the most careful of several apps"
				break
			}
		}
		if err := q.put(f, value); err != nil { // roles that no two of them share
			q.Mode = lower(q.Mode, Observe)
			s = apps.Setting{Policy: p.Name, Field: "mode", Value: string(q.Mode), At: "no role may approve for all of several apps"}
		}
		q.Layered = append(q.Layered, s)
	}
	q.clamp()
	if q.Validate() != nil && q.Mode.rank() > Observe.rank() {
		q.Mode = Observe
		q.Layered = append(q.Layered, apps.Setting{Policy: p.Name, Field: "mode", Value: string(Observe), At: "several apps leave no time to act"})
		q.clamp()
	}
	return q
}

// lower is the mode that goes less far.
func lower(a, b Mode) Mode {
	if a.rank() < b.rank() {
		return a
	}
	return b
}

// take changes a field, unless that would be less careful than base.
func (p *Policy) take(base *Policy, s apps.Setting) error {
	f, ok := apps.Find(apps.PolicyFields(), s.Field)
	if !ok {
		return fmt.Errorf("layers set no field %q", s.Field)
	}
	value, err := f.Kind.Read(s.Value)
	if err != nil {
		return err
	}
	if have := base.Filled().field(f); f.Kind.Careful(value, have) != value {
		return fmt.Errorf("%s %s is less careful than the config, which says %s (%s): layers only hold back", s.Field, value, have, base.Place)
	}
	s.Value = value
	p.Layered = append(p.Layered, s)
	return p.put(f, value)
}

// wrongBy says what is wrong with a policy as a class has it, at the setting it is about.
func (p *Policy) wrongBy(name string, class int, settings []apps.Setting) error {
	var errs []error
	for _, err := range invalids(p.Validate()) {
		at := slices.IndexFunc(settings, func(s apps.Setting) bool { return s.Policy == name && s.Field == err.Field })
		if at < 0 { // another field, which no longer goes with what is set
			at = slices.IndexFunc(settings, func(s apps.Setting) bool { return s.Policy == name })
		}
		errs = append(errs, config.Bad(apps.At(class, at), "%s: policy %s would be wrong: %v", settings[at].At, name, err))
	}
	return errors.Join(errs...)
}

// invalids are the single errors of a validation.
func invalids(err error) []*config.Invalid {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*config.Invalid
		for _, e := range j.Unwrap() {
			out = append(out, invalids(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*config.Invalid](err); ok {
		return []*config.Invalid{e}
	}
	return []*config.Invalid{{Advice: err.Error()}}
}

// clamp lets no step go further than its policy.
func (p *Policy) clamp() {
	for i, s := range p.Steps {
		p.Steps[i].Mode = lower(s.Mode, p.Mode)
	}
}

// slot is where a field of layers stands in a policy.
func (p *Policy) slot(name string) any {
	switch name {
	case "mode":
		return &p.Mode
	case "trigger.firing_for":
		return &p.Trigger.FiringFor
	case "trigger.max_age":
		return &p.Trigger.MaxAge
	case "guards.rate.target":
		return &p.Guards.Rate.Target
	case "guards.cooldown.after_success":
		return &p.Guards.Cooldown.Success
	case "guards.cooldown.after_failure":
		return &p.Guards.Cooldown.Failure
	case "guards.attempts.episode":
		return &p.Guards.Attempts.Episode
	case "guards.attempts.target":
		return &p.Guards.Attempts.Target
	case "stable":
		return &p.Stable
	case "approval.roles":
		return &p.Approval.Roles
	}
	return nil
}

// field is the value of a field as layers write it.
func (p *Policy) field(f apps.Field) string {
	text := ""
	switch v := p.slot(f.Name).(type) {
	case *Mode:
		text = string(*v)
	case *config.Duration:
		text = v.String()
	case *string:
		text = *v
	case *int:
		text = strconv.Itoa(*v)
	case *[]string:
		text = strings.Join(*v, ", ")
	}
	if value, err := f.Kind.Read(text); err == nil {
		return value
	}
	return text
}

// put sets a field to a value that its kind can read.
func (p *Policy) put(f apps.Field, value string) error {
	if _, err := f.Kind.Read(value); err != nil {
		return err
	}
	switch v := p.slot(f.Name).(type) {
	case *Mode:
		*v = Mode(value)
	case *config.Duration:
		d, err := model.ParseDuration(value)
		*v = config.Duration(d)
		return err
	case *string:
		*v = value
	case *int:
		n, err := strconv.Atoi(value)
		*v = n
		return err
	case *[]string:
		*v = apps.Names(value)
	default:
		return fmt.Errorf("a policy has no %s", f.Name)
	}
	return nil
}
