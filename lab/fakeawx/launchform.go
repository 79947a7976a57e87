package fakeawx

import (
	"encoding/json"
	"slices"
)

// prompts are what can be asked for at a launch, as in ask_<name>_on_launch.
func prompts(workflow bool) []string {
	both := []string{"scm_branch", "variables", "tags", "skip_tags", "limit", "labels", "inventory"}
	if workflow {
		return both
	}
	return append(both, "diff_mode", "job_type", "verbosity", "credential", "execution_environment", "forks", "job_slice_count", "timeout", "instance_groups")
}

// promptOf is the prompt behind a field of a launch.
func promptOf(field string) string {
	switch field {
	case "extra_vars":
		return "variables"
	case "job_tags":
		return "tags"
	case "credentials":
		return "credential"
	default:
		return field
	}
}

func asJSON(vars map[string]any) string {
	if len(vars) == 0 {
		return "---"
	}
	b, err := json.Marshal(vars)
	if err != nil {
		return "---"
	}
	return string(b)
}

// launchForm is what GET launch/ says: what must and may be given.
func (f *Fake) launchForm(t *template) object {
	needed := []string{}
	for _, q := range t.Survey {
		if q.Required {
			needed = append(needed, q.Variable)
		}
	}
	out := object{
		"can_start_without_user_input": len(t.Ask) == 0 && len(needed) == 0 && len(t.Passwords) == 0,
		"survey_enabled":               len(t.Survey) > 0, "variables_needed_to_start": needed,
	}
	for _, p := range prompts(t.workflow()) {
		out["ask_"+p+"_on_launch"] = t.asks(p)
	}
	defaults := object{"limit": t.Limit, "scm_branch": "", "job_tags": "", "skip_tags": "", "extra_vars": asJSON(t.ExtraVars), "inventory": object{}}
	in := f.inventory(t.Inventory)
	if in != nil {
		defaults["inventory"] = object{"name": in.Name, "id": in.id}
	}
	if labels := f.labelsOf(t); len(labels) > 0 {
		defaults["labels"] = labels
	}
	out["defaults"] = defaults
	if t.workflow() {
		out["node_templates_missing"] = orEmpty(t.MissingNodes)
		out["node_prompts_rejected"] = orEmpty(t.Rejected)
		out["workflow_job_template_data"] = object{"name": t.Name, "id": t.id, "description": ""}
		return out
	}
	out["passwords_needed_to_start"] = orEmpty(t.Passwords)
	out["credential_needed_to_start"], out["inventory_needed_to_start"] = false, in == nil
	out["job_template_data"] = object{"name": t.Name, "id": t.id, "description": ""}
	if len(t.Passwords) > 0 {
		defaults["credentials"] = []object{{"id": 3, "name": "ssh", "credential_type": 1, "passwords_needed": t.Passwords}}
	}
	defaults["diff_mode"], defaults["job_type"], defaults["verbosity"], defaults["forks"] = false, t.jobType(), 0, 0
	defaults["job_slice_count"], defaults["timeout"] = max(1, t.Slices), t.Timeout
	defaults["execution_environment"], defaults["instance_groups"] = object{}, []object{}
	return out
}

func (f *Fake) labelsOf(t *template) []object {
	var out []object
	for _, l := range f.labels {
		if l.org == t.Organization && slices.Contains(t.Labels, l.name) {
			out = append(out, object{"id": l.id, "name": l.name})
		}
	}
	return out
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func surveyForm(t *template) object {
	if len(t.Survey) == 0 {
		return object{}
	}
	var spec []object
	for _, q := range t.Survey {
		o := object{
			"variable": q.Variable, "question_name": q.Variable, "type": q.Type, "required": q.Required, "default": q.Default,
			"choices": orEmpty(q.Choices), "min": q.Min, "max": q.Max,
		}
		if q.Type == "password" && q.Default != nil {
			o["default"] = "$encrypted$"
		}
		spec = append(spec, o)
	}
	return object{"name": "", "description": "", "spec": spec}
}
