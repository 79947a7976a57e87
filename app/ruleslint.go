package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/rules/lint"
)

// RulesLintOptions choose what `tocsin rules lint` looks at.
type RulesLintOptions struct {
	Paths        []string // files, patterns, folders of rule files, trees
	Only         map[string]string
	ConfigFile   string                     // Tocsin's: roles and policies; "" takes the default roles
	Prometheus   string                     // prometheus.yml or an address; "": intervals are not known
	Alertmanager string                     // alertmanager.yml or an address; "": group_wait is not counted
	TokenFile    config.SecretFile          // bearer token for the servers that are asked
	Budgets      map[string]config.Duration // by severity, for time to notify
	Since        string                     // a revision of git: only rules that changed since
	FailOn       string                     // error or warning
	Output       string                     // text, json or github
	Colour       bool
}

// ErrLint says that findings are at least as grave as the command was told to
// heed.
var ErrLint = errors.New("rules have findings")

// LintReport is what `tocsin rules lint -o json` prints.
type LintReport struct {
	Findings   []lint.Finding        `json:"findings"`
	Rules      int                   `json:"rules"`
	Files      int                   `json:"files"`
	PassedOver []string              `json:"passed_over,omitempty"` // files of folders that hold no rules
	Count      map[lint.Severity]int `json:"count"`
}

// RulesLint tells authors of rules what to mend. Its error is that of what
// cannot be read, or ErrLint.
func RulesLint(ctx context.Context, w io.Writer, o RulesLintOptions) error {
	x, err := LintRules(ctx, o)
	if err != nil {
		return err
	}
	switch o.Output {
	case "json":
		err = printJSON(w, x)
	case "github":
		err = x.github(w)
	default:
		err = x.text(w, o.Colour)
	}
	if err != nil {
		return err
	}
	grave := 0
	for _, f := range x.Findings {
		if f.Severity.Reaches(lint.Severity(o.FailOn)) {
			grave++
		}
	}
	if grave > 0 {
		return fmt.Errorf("%w: %d of severity %s or above", ErrLint, grave, o.FailOn)
	}
	return nil
}

// LintRules reads and judges.
func LintRules(ctx context.Context, o RulesLintOptions) (*LintReport, error) {
	b, err := readLintable(o.Paths, o.Only)
	if err != nil {
		return nil, err
	}
	options := lint.Options{Texts: b.texts, Roles: DefaultConfig().Traits.Roles}
	if o.ConfigFile != "" {
		plan, err := load(o.ConfigFile)
		if err != nil {
			return nil, err
		}
		options.Roles = plan.Traits.Roles
		if options.Remedies, err = remedied(plan.policies); err != nil {
			return nil, err
		}
	}
	if o.Since != "" {
		old, err := b.since(ctx, o)
		if err != nil {
			return nil, err
		}
		options.Changed, options.Same = old.changed, old.same
	}
	late, err := b.latency(ctx, o, &options)
	if err != nil {
		return nil, err
	}
	told, err := b.ask(ctx, o, options)
	if err != nil {
		return nil, err
	}
	return b.report(lint.Run(b.sources, options, append(late, told...)...)), ctx.Err()
}

func (b *lintable) report(found []lint.Finding) *LintReport {
	x := &LintReport{
		Findings: found, Files: len(b.texts), PassedOver: b.passed,
		Count: map[lint.Severity]int{lint.Error: 0, lint.Warning: 0, lint.Info: 0},
	}
	if x.Findings == nil {
		x.Findings = []lint.Finding{} // [] and not null
	}
	for _, f := range found {
		x.Count[f.Severity]++
	}
	for _, s := range b.sources {
		for _, g := range s.Groups {
			x.Rules += len(g.Rules)
		}
	}
	return x
}

// remedied are the policies as the linter asks them. Which labels series add is
// not known: a matcher of one that the rule does not set may hold, but one of
// those that it sets must.
func remedied(policies []*remediate.Policy) ([]lint.Remedy, error) {
	var out []lint.Remedy
	for _, p := range policies {
		if p.Mode == remediate.Off {
			continue
		}
		r := lint.Remedy{Policy: p.Name, Label: p.Target.Label}
		if p.Target.Trait {
			r.Label = "" // the page's first trait names the target
		}
		var holds []func(map[string]string) (known, ok bool)
		for _, text := range p.Match {
			m, err := parse.Matcher(text)
			if err != nil {
				return nil, &config.Mistake{File: p.Place, Text: err.Error()}
			}
			holds = append(holds, func(set map[string]string) (bool, bool) {
				v, known := set[m.Name]
				return known && !strings.Contains(v, "{{"), m.Matches(v)
			})
		}
		r.Matches = func(set map[string]string) bool {
			sure := false
			refused := slices.ContainsFunc(holds, func(h func(map[string]string) (bool, bool)) bool {
				known, ok := h(set)
				sure = sure || known && ok
				return known && !ok
			})
			return sure && !refused
		}
		out = append(out, r)
	}
	return out, nil
}
