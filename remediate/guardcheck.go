package remediate

import (
	"context"
	"strings"
)

// preChecks passes while the answer to each of the policy's questions holds.
type preChecks struct{ sources Sources }

// Name implements Guard.
func (preChecks) Name() string { return "pre-checks" }

// Check implements Guard.
func (p preChecks) Check(ctx context.Context, c Candidate) Verdict {
	if len(c.Policy.Guards.PreChecks) == 0 {
		return pass("none")
	}
	out := pass("all hold")
	var seen, reasons []string
	for _, q := range c.Policy.Guards.PreChecks {
		v := q.check(ctx, p.sources, c)
		seen = append(seen, v.Value)
		if v.Outcome == Pass {
			continue
		}
		reasons = append(reasons, v.Reason)
		if out.Outcome != Deny {
			out.Outcome = v.Outcome
		}
	}
	if len(reasons) > 0 {
		out.Reason = strings.Join(reasons, "; ")
	}
	return out.saw("%s", strings.Join(seen, ", "))
}

// check asks one question and holds its one sample against what is required.
func (q PreCheck) check(ctx context.Context, sources Sources, c Candidate) Verdict {
	require, err := parseRequirement(q.Require)
	if err != nil {
		return blind(q.Name + ": " + err.Error())
	}
	got, err := sampleOf(ctx, sources, q.Source, q.PromQL, c)
	if err != nil {
		return blind(q.Name+": "+err.Error()).saw("%s: not known", q.Name)
	}
	v := pass("%s must be %s", q.Name, require)
	if !require.holds(got) {
		v.Outcome = Deny
	}
	return v.saw("%s: %s", q.Name, number(got))
}
