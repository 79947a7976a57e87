package fakeawx

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (f *Fake) path(format string, args ...any) string {
	return f.opts.Prefix + fmt.Sprintf(format, args...)
}

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

func userForm(u *user) object {
	return object{"id": u.id, "type": "user", "username": u.Name, "is_superuser": u.Superuser, "first_name": "", "last_name": "", "email": ""}
}

func (f *Fake) inventoryForms(by *user) []object {
	var out []object
	for _, in := range f.places {
		if by.maySee(in) {
			out = append(out, f.inventoryForm(in))
		}
	}
	return out
}

func (f *Fake) inventoryForm(in *inventory) object {
	return object{
		"id": in.id, "type": "inventory", "url": f.path("inventories/%d/", in.id), "name": in.Name, "organization": f.org(in.Organization),
		"kind": "", "total_hosts": len(in.hosts), "pending_deletion": false,
		"summary_fields": object{"organization": object{"id": f.org(in.Organization), "name": in.Organization}},
	}
}

// hostForms are the hosts of an inventory, or of all.
func (f *Fake) hostForms(by *user, of *inventory) []object {
	var out []object
	for _, in := range f.places {
		if (of != nil && of != in) || !by.maySee(in) {
			continue
		}
		for _, h := range in.hosts {
			out = append(out, object{
				"id": h.id, "type": "host", "url": f.path("hosts/%d/", h.id), "name": h.Name, "inventory": in.id, "enabled": !h.Disabled,
				"instance_id": "", "variables": "", "summary_fields": object{"inventory": object{"id": in.id, "name": in.Name}},
			})
		}
	}
	return out
}

func (f *Fake) routeInventory(c *call, id int64, view string) {
	in := f.inventoryOf(id)
	switch {
	case in == nil:
		f.missing(c, "Inventory")
	case !c.by.maySee(in):
		c.forbid()
	case !c.only(http.MethodGet):
	case view == "":
		answer(c.w, http.StatusOK, f.inventoryForm(in))
	case view == "hosts":
		f.list(c, "Host", f.hostForms(c.by, in))
	case view == "groups":
		var groups []object
		for i, g := range in.Groups {
			groups = append(groups, object{"id": int64(i) + 1, "type": "group", "name": g, "inventory": in.id})
		}
		f.list(c, "Group", groups)
	default:
		notFound(c.w)
	}
}

func (f *Fake) labelForms() []object {
	var out []object
	for _, l := range f.labels {
		out = append(out, object{"id": l.id, "type": "label", "name": l.name, "organization": f.org(l.org)})
	}
	return out
}

func (f *Fake) listTemplates(c *call, name string) {
	var all []object
	kinds := strings.Split(c.query.Get("type"), ",")
	for _, t := range f.templates {
		wanted := t.kind()+"s" == name
		if name == "unified_job_templates" {
			wanted = kinds[0] == "" || slices.Contains(kinds, t.kind())
		}
		if wanted && c.by.mayRead(t) {
			all = append(all, f.templateForm(t, c.by))
		}
	}
	f.list(c, "UnifiedJobTemplate", all)
}

func (f *Fake) templateForm(t *template, by *user) object {
	out := object{
		"id": t.id, "type": t.kind(), "url": f.path("%ss/%d/", t.kind(), t.id), "name": t.Name, "description": "",
		"organization": f.org(t.Organization), "extra_vars": asJSON(t.ExtraVars), "survey_enabled": len(t.Survey) > 0,
		"allow_simultaneous": t.Simultaneous, "limit": t.Limit,
		"summary_fields": object{
			"organization":      object{"id": f.org(t.Organization), "name": t.Organization},
			"user_capabilities": object{"start": by.mayStart(t), "edit": by.Superuser, "delete": by.Superuser},
		},
	}
	for _, p := range prompts(t.workflow()) {
		out["ask_"+p+"_on_launch"] = t.asks(p)
	}
	if in := f.inventory(t.Inventory); in != nil {
		out["inventory"] = in.id
		out["summary_fields"].(object)["inventory"] = object{"id": in.id, "name": in.Name, "total_hosts": len(in.hosts)}
	} else {
		out["inventory"] = nil
	}
	if !t.workflow() {
		out["job_type"], out["playbook"], out["project"] = t.jobType(), t.Playbook, 6
		out["job_slice_count"], out["timeout"], out["forks"], out["verbosity"] = max(1, t.Slices), t.Timeout, 0, 0
	}
	return out
}

// routeTemplate serves what lies below a template.
func (f *Fake) routeTemplate(c *call, resource string, id int64, view string) {
	t := f.template(id)
	switch {
	case t == nil || t.kind()+"s" != resource:
		f.missing(c, "JobTemplate")
		return
	case !c.by.mayRead(t):
		c.forbid()
		return
	case view == "launch" && c.r.Method == http.MethodPost:
		f.launch(c, t)
		return
	case !c.only(http.MethodGet):
		return
	}
	switch view {
	case "":
		answer(c.w, http.StatusOK, f.templateForm(t, c.by))
	case "launch":
		answer(c.w, http.StatusOK, f.launchForm(t))
	case "survey_spec":
		answer(c.w, http.StatusOK, surveyForm(t))
	case "jobs":
		f.listJobs(c, false, func(j *job) bool { return j.of == t })
	case "workflow_jobs", "slice_workflow_jobs":
		f.listJobs(c, true, func(j *job) bool { return j.of == t })
	case "workflow_nodes":
		f.list(c, "WorkflowJobTemplateNode", f.nodeForms(t))
	default:
		notFound(c.w)
	}
}

func (f *Fake) nodeForms(t *template) []object {
	var out []object
	for i, name := range t.Nodes {
		n := object{"id": int64(i) + 1, "type": "workflow_job_template_node", "workflow_job_template": t.id, "unified_job_template": nil, "summary_fields": object{}}
		if of := f.named(name); of != nil {
			n["unified_job_template"] = of.id
			kind := strings.TrimSuffix(of.kind(), "_template")
			n["summary_fields"] = object{"unified_job_template": object{"id": of.id, "name": of.Name, "unified_job_type": kind}}
		}
		out = append(out, n)
	}
	return out
}
