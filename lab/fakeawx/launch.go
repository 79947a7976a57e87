package fakeawx

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

const maxBody = 1 << 20

// launch does what POST launch/ does, in AWX's order: the right to, the form of
// each field, what is prompted for, the right to what was chosen, the job.
func (f *Fake) launch(c *call, t *template) {
	f.launches++
	if !c.by.mayStart(t) {
		c.forbid()
		return
	}
	asked, ok := readAsked(c)
	if !ok {
		return
	}
	if field, says := f.shape(t, asked); says != "" {
		invalid(c.w, field, says)
		return
	}
	got := f.prompted(t, asked)
	if len(got.errors) > 0 {
		answer(c.w, http.StatusBadRequest, got.errors)
		return
	}
	if in, chosen := got.accepted["inventory"].(int64); chosen && !c.by.mayUse(f.inventoryOf(in)) {
		c.forbid()
		return
	}
	if field, says := f.wanting(t, got, asked); len(says) > 0 {
		invalid(c.w, field, says...)
		return
	}
	j := f.create(t, c.by, got.accepted, "manual")
	body := f.jobForm(j, c.by)
	body["ignored_fields"] = got.ignored
	body[j.kind()] = j.id
	c.w.Header().Set("Location", f.path("%ss/%d/", j.kind(), j.id))
	answer(c.w, http.StatusCreated, body)
}

// readAsked reads the body of a launch; none is an empty one.
func readAsked(c *call) (object, bool) {
	raw, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody))
	var v any
	switch {
	case err != nil:
		return nil, false
	case len(raw) == 0:
		return object{}, true
	case json.Unmarshal(raw, &v) != nil:
		detail(c.w, http.StatusBadRequest, "JSON parse error - Expecting value: line 1 column 1 (char 0)\nPossible cause: trailing comma.")
		return nil, false
	}
	asked, ok := v.(object)
	if !ok {
		detail(c.w, http.StatusBadRequest, "JSON parse error - not a JSON object")
	}
	return asked, ok
}

// outcome is what became of the fields of a launch.
type outcome struct {
	accepted object
	ignored  object
	errors   map[string][]string
	vars     map[string]any // as asked for, the survey's defaults not among them
}

// prompted sorts fields into those that are prompted for and those that are
// not. A job template ignores the latter, a workflow refuses them. One that says
// what the template says anyway is neither.
func (f *Fake) prompted(t *template, asked object) outcome {
	out := outcome{accepted: object{}, ignored: object{}, errors: map[string][]string{}}
	for field, v := range asked {
		if !slices.Contains(prompts(t.workflow()), promptOf(field)) || f.same(t, field, v) {
			continue
		}
		switch {
		case field == "extra_vars":
			f.promptedVars(t, v, &out)
		case t.asks(promptOf(field)):
			out.accepted[field] = v
		case t.workflow():
			out.errors[field] = []string{"Field is not configured to prompt on launch."}
		case field == "scm_branch":
			out.errors[field] = []string{"Project does not allow override of branch."}
		default:
			out.ignored[field] = v
		}
	}
	return out
}

func (f *Fake) promptedVars(t *template, v any, out *outcome) {
	vars, err := readVars(v)
	if err != nil {
		out.errors["extra_vars"] = []string{err.Error()}
		return
	}
	out.vars = vars
	accepted, ignored := object{}, object{}
	for name, value := range vars {
		switch {
		case slices.ContainsFunc(t.Survey, func(q Question) bool { return q.Variable == name }), t.asks("variables"):
			accepted[name] = value
		case fmt.Sprint(t.ExtraVars[name]) != fmt.Sprint(value):
			ignored[name] = value
		}
	}
	if len(accepted) > 0 {
		out.accepted["extra_vars"] = accepted
	}
	switch {
	case len(ignored) == 0:
	case t.workflow():
		names := slices.Sorted(maps.Keys(ignored))
		out.errors["extra_vars"] = []string{fmt.Sprintf(
			"Variables %s are not allowed on launch. Check the Prompt on Launch setting on the Workflow Job Template to include Extra Variables.", join(names))}
	default:
		out.ignored["extra_vars"] = ignored
	}
}

// same reports whether a field says what the template says.
func (f *Fake) same(t *template, field string, v any) bool {
	switch field {
	case "limit":
		return v == t.Limit
	case "job_type":
		return v == t.jobType()
	case "inventory":
		in := f.inventory(t.Inventory)
		return in != nil && v == in.id
	case "job_slice_count":
		return v == int64(max(1, t.Slices))
	case "timeout":
		return v == int64(t.Timeout)
	case "scm_branch", "job_tags", "skip_tags":
		return v == ""
	case "forks", "verbosity":
		return v == int64(0)
	case "diff_mode":
		return v == false
	default:
		return false
	}
}

// wanting says what a launch lacks: a variable of the survey, an inventory, a
// revision, a password.
func (f *Fake) wanting(t *template, got outcome, asked object) (field string, says []string) {
	for _, q := range t.Survey {
		says = append(says, q.wrong(got.vars)...)
	}
	_, given := got.accepted["inventory"]
	passwords, _ := asked["credential_passwords"].(object)
	missing := slices.DeleteFunc(slices.Clone(t.Passwords), func(p string) bool { return passwords[p] != nil || asked[p] != nil })
	switch {
	case len(says) > 0:
		return "variables_needed_to_start", says
	case !t.workflow() && t.Inventory == "" && !given:
		return "resources_needed_to_start", []string{"Job Template inventory is missing or undefined."}
	case t.NoRevision:
		return "playbook", []string{"Missing a revision to run due to failed project update."}
	case len(missing) > 0:
		return "passwords_needed_to_start", missing
	}
	return "", nil
}

// create makes a job of what was accepted. It is seen once it is committed.
func (f *Fake) create(t *template, by *user, accepted object, launchType string) *job {
	now := f.now()
	f.lastJob++
	j := &job{
		id: f.lastJob, of: t, by: by, launchType: launchType, limit: t.Limit, jobType: t.jobType(), status: "pending",
		timeout: t.Timeout, created: now, visible: now, inventory: f.inventory(t.Inventory), vars: map[string]any{}, slices: max(1, t.Slices),
	}
	maps.Copy(j.vars, t.ExtraVars)
	for _, q := range t.Survey {
		if q.Default != nil && q.Default != "" {
			j.vars[q.Variable] = q.Default
		}
	}
	given, _ := accepted["extra_vars"].(object)
	maps.Copy(j.vars, given)
	for _, l := range f.labelsOf(t) {
		j.labels = append(j.labels, l["id"].(int64))
	}
	j.accept(f, accepted)
	if j.inventory != nil {
		j.slices = min(j.slices, max(1, len(j.inventory.hosts)))
	}
	j.workflow = t.workflow() || j.slices > 1
	if d := time.Duration(f.switches.CommitDelay); d > 0 {
		j.visible = now.Add(d)
		if f.switches.CommitCount--; f.switches.CommitCount == 0 {
			f.switches.CommitDelay = 0
		}
	}
	j.free = j.visible
	f.jobs = append(f.jobs, j)
	return j
}

// accept takes what was chosen at the launch.
func (j *job) accept(f *Fake, accepted object) {
	if v, ok := accepted["limit"].(string); ok {
		j.limit = v
	}
	if v, ok := accepted["job_type"].(string); ok {
		j.jobType = v
	}
	if v, ok := accepted["timeout"].(int64); ok {
		j.timeout = int(v)
	}
	if v, ok := accepted["job_slice_count"].(int64); ok {
		j.slices = int(max(1, v))
	}
	if v, ok := accepted["inventory"].(int64); ok {
		j.inventory = f.inventoryOf(v)
	}
	if v, ok := accepted["labels"].([]any); ok {
		for _, id := range v {
			j.labels = append(j.labels, id.(int64))
		}
		slices.Sort(j.labels)
		j.labels = slices.Compact(j.labels)
	}
}
