package awx

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

// launchForm is what a template says of its launch.
type launchForm struct {
	AskLimit       *bool    `json:"ask_limit_on_launch"`
	AskVariables   bool     `json:"ask_variables_on_launch"`
	AskJobType     bool     `json:"ask_job_type_on_launch"`
	AskTimeout     bool     `json:"ask_timeout_on_launch"`
	AskInventory   bool     `json:"ask_inventory_on_launch"`
	Survey         bool     `json:"survey_enabled"`
	Needed         []string `json:"variables_needed_to_start"`
	Passwords      []string `json:"passwords_needed_to_start"`
	NeedsInventory bool     `json:"inventory_needed_to_start"`
	NodesMissing   []int64  `json:"node_templates_missing"`
	NodesRejected  []int64  `json:"node_prompts_rejected"`
	Defaults       struct {
		Inventory struct {
			ID int64 `json:"id"`
		} `json:"inventory"`
		JobType     string `json:"job_type"`
		Slices      int    `json:"job_slice_count"`
		Timeout     int    `json:"timeout"`
		Credentials []struct {
			Name      string   `json:"name"`
			Passwords []string `json:"passwords_needed"`
		} `json:"credentials"`
	} `json:"defaults"`
}

// reasons collects why a step is not ready.
type reasons []string

func (r *reasons) add(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// Ready reads the template anew. Without a name in t the template alone is
// looked at; with one, the host must be there too.
func (s *server) Ready(ctx context.Context, step remediate.Step, t remediate.Target) (remediate.Template, error) {
	kind, err := kindOf(step.Kind)
	if err != nil {
		return remediate.Template{}, &remediate.NotReady{Reasons: []string{err.Error()}}
	}
	var why reasons
	found, err := s.template(ctx, kind, step, &why)
	if err != nil || len(why) > 0 {
		return remediate.Template{}, notReady(why, err)
	}
	var f launchForm
	err = s.api.get(ctx, "template", templates(kind, found.ID, "launch"), nil, &f)
	if e, ok := errors.AsType[*remote.Error](err); ok && (e.Class == remote.Gone || e.Status == 403) {
		why.add("template %q cannot be read: %v", step.Template, err)
		err = nil
	}
	if err != nil || len(why) > 0 {
		return remediate.Template{}, notReady(why, err)
	}
	out := remediate.Template{
		ID: found.ID, Kind: kind, Name: step.Template, Inventory: f.Defaults.Inventory.ID,
		AskLimit: f.AskLimit != nil && *f.AskLimit, AskVariables: f.AskVariables,
	}
	f.prompts(step, t, kind, &why)
	f.whole(kind, t, &why)
	if out.Survey, err = s.survey(ctx, kind, out.ID, f, step, &why); err != nil {
		return out, err
	}
	if kind == workflowKind && t.Kind == remediate.HostTarget {
		if err := s.nodes(ctx, out, t, &why); err != nil {
			return out, err
		}
	}
	if err := s.target(ctx, out, t, &why); err != nil {
		return out, err
	}
	return out, notReady(why, nil)
}

func notReady(why reasons, err error) error {
	if err == nil && len(why) > 0 {
		return &remediate.NotReady{Reasons: why}
	}
	return err
}

// named is a template as lists show it.
type named struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Summary struct {
		Capabilities struct {
			Start *bool `json:"start"`
		} `json:"user_capabilities"`
	} `json:"summary_fields"`
}

// template finds the one of that name. Names are unique in an organization only.
func (s *server) template(ctx context.Context, kind string, step remediate.Step, why *reasons) (named, error) {
	organization := step.Organization
	if organization == "" {
		organization = s.organization
	}
	q := url.Values{"name": {step.Template}}
	if organization != "" {
		q.Set("organization__name", organization)
	}
	l, err := listing[named](ctx, s.api, "template", resource(kind)+"_templates/", q)
	switch {
	case err != nil:
		return named{}, err
	case *l.Count == 0:
		why.add("the account sees no %s template %q%s", kind, step.Template, in(organization))
		return named{}, nil
	case *l.Count > 1 || len(l.Results) != 1:
		why.add("%d %s templates are called %q%s: name the organization", *l.Count, kind, step.Template, in(organization))
		return named{}, nil
	}
	t := l.Results[0]
	if t.Name != step.Template || t.ID <= 0 {
		why.add("the server names another template, %q", clean(t.Name, 80))
	}
	if start := t.Summary.Capabilities.Start; start != nil && !*start {
		why.add("the account may not launch %q: give it the role Execute on the template", step.Template)
	}
	return t, nil
}

func in(organization string) string {
	if organization == "" {
		return ""
	}
	return fmt.Sprintf(" in organization %q", organization)
}

// prompts are what must, and must not, be asked for at a launch.
func (f launchForm) prompts(step remediate.Step, t remediate.Target, kind string, why *reasons) {
	limit := f.AskLimit != nil && *f.AskLimit
	host := t.Kind == remediate.HostTarget
	switch {
	case f.AskLimit == nil:
		why.add("the server does not say whether the template prompts for a limit")
	case host && !limit:
		why.add("the template does not prompt for Limit: AWX would ignore it and run on every host")
	case !host && limit:
		why.add("the template prompts for Limit: one that acts on a %s has a fixed inventory and no limit", t.Kind)
	}
	if !host && f.AskInventory {
		why.add("the template prompts for Inventory: one that acts on a %s has a fixed one", t.Kind)
	}
	if !f.AskVariables {
		why.add("the template does not prompt for Variables: its job could not be found again")
	}
	want := jobType(step.Mode == remediate.Check)
	switch {
	case kind == workflowKind && step.Mode == remediate.Check:
		why.add("a workflow has no check mode")
	case kind == jobKind && f.Defaults.JobType != want && !f.AskJobType:
		why.add("the template's job type is %q and it does not prompt for it: %s is asked for", clean(f.Defaults.JobType, 40), want)
	}
	seconds := int(step.Timeout.D().Seconds())
	switch {
	case seconds > 0 && kind == workflowKind:
		why.add("a workflow has no timeout: leave it out, its templates have their own")
	case seconds > 0 && !f.AskTimeout && f.Defaults.Timeout != seconds:
		why.add("the template does not prompt for Timeout: switch it on, or leave timeout out of the step")
	}
}

// whole says what would keep a launch from making one job on one inventory.
func (f launchForm) whole(kind string, t remediate.Target, why *reasons) {
	if kind == jobKind && f.Defaults.Slices > 1 {
		why.add("the template is sliced into %d jobs", f.Defaults.Slices)
	}
	if (kind == jobKind || t.Kind != remediate.HostTarget) && (f.NeedsInventory || f.Defaults.Inventory.ID == 0) {
		why.add("the template has no inventory of its own")
	}
	passwords := f.Passwords
	for _, c := range f.Defaults.Credentials {
		for _, p := range c.Passwords {
			if !slices.Contains(passwords, p) {
				passwords = append(passwords, p)
			}
		}
	}
	if len(passwords) > 0 {
		why.add("its credentials ask for %s at each launch", clean(strings.Join(passwords, ", "), 200))
	}
	if len(f.NodesMissing) > 0 {
		why.add("nodes %v of the workflow have lost their template", f.NodesMissing)
	}
	if len(f.NodesRejected) > 0 {
		why.add("nodes %v of the workflow are given what their templates do not prompt for", f.NodesRejected)
	}
}

// target looks for the host in the template's own inventory.
func (s *server) target(ctx context.Context, of remediate.Template, t remediate.Target, why *reasons) error {
	if t.Kind != remediate.HostTarget || t.Name == "" || of.Inventory == 0 {
		return nil
	}
	_, err := oneHost(t.Name)
	if err == nil {
		_, err = s.hostOf(ctx, of.Inventory, t.Name)
		if err != nil && !errors.Is(err, remediate.ErrNoHost) {
			return err
		}
	}
	if err != nil {
		why.add("the template's inventory does not have the target: %v", err)
	}
	return nil
}

// nodes looks at the templates that a workflow on one host runs. A node whose
// template does not prompt for a limit runs on every host, and nobody is told.
func (s *server) nodes(ctx context.Context, of remediate.Template, t remediate.Target, why *reasons) error {
	l, err := listing[struct {
		ID       int64  `json:"id"`
		Template *int64 `json:"unified_job_template"`
		Summary  struct {
			Template struct {
				Name string `json:"name"`
				Type string `json:"unified_job_type"`
			} `json:"unified_job_template"`
		} `json:"summary_fields"`
	}](ctx, s.api, "nodes", templates(workflowKind, of.ID, "workflow_nodes"), url.Values{"page_size": {"200"}})
	if err != nil {
		return err
	}
	if *l.Count > len(l.Results) {
		why.add("the workflow has %d nodes: that is more than can be looked at", *l.Count)
	}
	for _, n := range l.Results {
		name := clean(n.Summary.Template.Name, 80)
		switch n.Summary.Template.Type {
		case "workflow_approval", "project_update", "inventory_update": // they touch no host
			continue
		case "job":
		default:
			why.add("node %d of the workflow runs a %q: only job templates are known to keep to one host", n.ID, clean(n.Summary.Template.Type, 40))
			continue
		}
		var f launchForm
		if err := s.api.get(ctx, "template", templates(jobKind, deref(n.Template), "launch"), nil, &f); err != nil {
			return err
		}
		if f.AskLimit == nil || !*f.AskLimit {
			why.add("template %q in the workflow does not prompt for Limit: it would run on every host", name)
		}
		if f.Defaults.Slices > 1 {
			why.add("template %q in the workflow is sliced", name)
		}
		own := of
		own.Inventory = f.Defaults.Inventory.ID
		if err := s.target(ctx, own, t, why); err != nil {
			return err
		}
	}
	return nil
}
