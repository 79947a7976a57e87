package remediate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/page"
)

// Variables builds those of a launch: the step's constants, the values of labels
// that all alerts of the target agree on and that match, and, of a service or
// datacentre, its identity. There is nothing else in it.
func (p *Policy) Variables(s Step, pg page.Page, t Target) (map[string]any, error) {
	alerts := p.AlertsOf(pg, t)
	if len(alerts) == 0 {
		return nil, fmt.Errorf("target %s is not on the page", t.Name)
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
		v, err := s.Variables[name].of(alerts)
		if err == nil {
			err = variableName(name)
		}
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		out[name] = v
	}
	if t.Kind != HostTarget {
		name := p.Target.Variable
		if err := variableName(name); err != nil {
			return nil, fmt.Errorf("target.variable: %w", err)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("variable %s stands twice", name)
		}
		out[name] = t.Value
	}
	return out, nil
}

func (v StepVariable) of(alerts []page.Alert) (string, error) {
	if v.Label == "" {
		return v.Value, plain(v.Value)
	}
	value, err := agreed(alerts, v.Label)
	if err != nil {
		return "", err
	}
	if err := plain(value); err != nil {
		return "", err
	}
	allow, err := whole(v.Allow)
	switch {
	case err != nil:
		return "", fmt.Errorf("allow: %w", err)
	case strings.HasPrefix(strings.ToLower(value), "ansible_"):
		return "", errors.New("it is a name of Ansible's own")
	case !allow.MatchString(value):
		return "", fmt.Errorf("label %s does not match what is allowed", v.Label)
	}
	return value, nil
}

// variableName refuses names that Ansible reads itself, and those that belong
// to the dispatch.
func variableName(name string) error {
	switch {
	case !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`).MatchString(name):
		return errors.New("write it in letters, digits and _, at most 64")
	case strings.HasPrefix(strings.ToLower(name), "ansible_"), strings.HasPrefix(strings.ToLower(name), "awx_"), strings.HasPrefix(strings.ToLower(name), "tower_"):
		return errors.New("it is a name of Ansible's own: it could change how hosts are reached")
	case slices.Contains([]string{"tocsin", "hosts", "groups", "group_names", "hostvars", "inventory_hostname", "play_hosts", "vars", "omit", "environment", "become"}, strings.ToLower(name)):
		return errors.New("it has a meaning already")
	}
	return nil
}
