package remediate

import (
	"fmt"
	"slices"
)

// Configured is what there is for policies to name.
type Configured struct {
	Backends []string // kind/name
	Sources  []string // the first is asked where none is named
	Zabbix   []string
	Roles    []string // that somebody has
}

// Unmet says what p names that is not there: reasons why it is not ready, for
// `tocsin check`. Whether its templates are as it means them, its backends say.
func (p *Policy) Unmet(have Configured) []string {
	var out []string
	need := func(known []string, name, format string, args ...any) {
		if !slices.Contains(known, name) {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for _, s := range p.Steps {
		need(have.Backends, s.Backend, "step %s: no backend %q is configured", s.Name, s.Backend)
	}
	if len(have.Sources) == 0 {
		out = append(out, "no source is configured: the size of a pool is asked of one")
	}
	questions := slices.Clone(p.Guards.PreChecks)
	if p.Guards.Proof != nil {
		questions = append(questions, *p.Guards.Proof)
	}
	for _, q := range questions {
		if q.Source != "" {
			need(have.Sources, q.Source, "%s: no source %q is configured", q.Name, q.Source)
		}
	}
	if p.Guards.Zabbix != "" {
		need(have.Zabbix, p.Guards.Zabbix, "no Zabbix %q is configured", p.Guards.Zabbix)
	}
	asks := slices.ContainsFunc(p.Steps, func(s Step) bool { return p.ModeOf(s) == Approve })
	for _, role := range p.Approval.Roles {
		if asks {
			need(have.Roles, role, "nobody has the role %q, so nobody of it could approve: name people with it", role)
		}
	}
	return out
}
