package fakeawx

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maySeeJob reports whether a job is listed for a user. Those of a template one
// may read are.
func (u *user) maySeeJob(j *job) bool { return u.mayRead(j.of) || j.by == u }

func (f *Fake) listJobs(c *call, workflow bool, wanted func(*job) bool) {
	var all []object
	for _, j := range f.jobs {
		if j.workflow != workflow || j.hidden(f.now()) || !wanted(j) || !c.by.maySeeJob(j) {
			continue
		}
		o := f.jobForm(j, c.by)
		for _, dropped := range []string{"job_args", "job_cwd", "job_env", "result_traceback", "event_processing_finished"} {
			delete(o, dropped)
		}
		all = append(all, o)
	}
	model := "Job"
	if workflow {
		model = "WorkflowJob"
	}
	f.list(c, model, all)
}

// jobForm is a job as its detail and the answer to its launch show it.
func (f *Fake) jobForm(j *job, by *user) object {
	id := func(of *template) object { return object{"id": of.id, "name": of.Name} }
	summary := object{
		"unified_job_template": object{"id": j.of.id, "name": j.of.Name, "unified_job_type": strings.TrimSuffix(j.of.kind(), "_template")},
		"user_capabilities":    object{"delete": by.Superuser, "start": by.mayStart(j.of)},
		"labels":               f.labelSummary(j), "organization": object{"id": f.org(j.of.Organization), "name": j.of.Organization},
	}
	o := object{
		"id": j.id, "type": j.kind(), "url": f.path("%ss/%d/", j.kind(), j.id), "related": f.related(j), "summary_fields": summary,
		"created": stamp(j.created), "modified": stamp(j.created), "name": j.of.Name, "description": "", "launch_type": j.launchType,
		"unified_job_template": j.of.id, "organization": f.org(j.of.Organization), "status": j.status,
		"failed": slices.Contains([]string{"failed", "error", "canceled"}, j.status), "started": stamp(j.started), "finished": stamp(j.finished),
		"canceled_on": nil, "elapsed": j.elapsed(f.now()), "job_explanation": j.explanation, "job_args": "", "job_cwd": "", "job_env": object{},
		"result_traceback": "", "limit": j.limit, "extra_vars": asJSON(j.vars), "job_tags": "", "skip_tags": "", "scm_branch": "",
		"webhook_service": "", "webhook_guid": j.guid, "webhook_credential": nil, "work_unit_id": nil, "inventory": nil,
		"allow_simultaneous": j.of.Simultaneous, "execution_environment": nil,
	}
	if len(j.vars) == 0 {
		o["extra_vars"] = "{}"
	}
	if j.inventory != nil {
		o["inventory"] = j.inventory.id
		summary["inventory"] = object{"id": j.inventory.id, "name": j.inventory.Name, "total_hosts": len(j.inventory.hosts)}
	}
	if j.by != nil {
		summary["created_by"] = object{"id": j.by.id, "username": j.by.Name, "first_name": "", "last_name": ""}
		o["created_by"] = j.by.id // not shown by AWX; lists are filtered by it
		o["launched_by"] = object{"id": j.by.id, "name": j.by.Name, "type": "user", "url": f.path("users/%d/", j.by.id)}
	}
	if j.status == "canceled" {
		o["canceled_on"] = stamp(j.finished)
	}
	if j.workflow {
		o["is_sliced_job"], o["workflow_job_template"], o["job_template"] = !j.of.workflow(), nil, nil
		if j.of.workflow() {
			o["workflow_job_template"], summary["workflow_job_template"] = j.of.id, id(j.of)
		} else {
			o["job_template"], summary["job_template"] = j.of.id, id(j.of)
		}
		return o
	}
	summary["job_template"] = id(j.of)
	maps.Copy(o, object{
		"job_template": j.of.id, "job_type": j.jobType, "playbook": j.of.Playbook, "project": 6, "forks": 0, "verbosity": 0, "timeout": j.timeout,
		"force_handlers": false, "start_at_task": "", "use_fact_cache": false, "execution_node": "", "controller_node": "",
		"event_processing_finished": j.ended() && !f.now().Before(j.complete), "passwords_needed_to_start": []string{}, "artifacts": object{},
		"scm_revision": "", "instance_group": nil, "diff_mode": false, "job_slice_number": j.slice, "job_slice_count": 1,
	})
	return o
}

func (f *Fake) related(j *job) object {
	o := object{"cancel": f.path("%ss/%d/cancel/", j.kind(), j.id), "labels": f.path("%ss/%d/labels/", j.kind(), j.id)}
	if j.workflow {
		o["workflow_nodes"] = f.path("workflow_jobs/%d/workflow_nodes/", j.id)
		return o
	}
	for _, view := range []string{"stdout", "job_events", "job_host_summaries", "relaunch"} {
		o[view] = f.path("jobs/%d/%s/", j.id, view)
	}
	return o
}

func (f *Fake) labelSummary(j *job) object {
	found := []object{}
	for _, id := range j.labels {
		if l, ok := f.labelOf(id); ok {
			found = append(found, object{"id": l.id, "name": l.name})
		}
	}
	return object{"count": len(found), "results": found}
}

func (j *job) elapsed(now time.Time) float64 {
	switch {
	case j.started.IsZero():
		return 0
	case j.finished.IsZero():
		return now.Sub(j.started).Seconds()
	default:
		return j.finished.Sub(j.started).Seconds()
	}
}

func (f *Fake) routeJob(c *call, resource string, id int64, view string) {
	j := f.job(id)
	switch {
	case j == nil || j.kind()+"s" != resource:
		f.missing(c, "Job")
		return
	case !c.by.maySeeJob(j):
		c.forbid()
		return
	case view == "cancel":
		f.cancel(c, j)
		return
	case !c.only(http.MethodGet):
		return
	}
	switch {
	case view == "":
		f.jobDetail(c, j)
	case view == "workflow_nodes" && j.workflow:
		f.workflowNodes(c, j)
	case view == "job_host_summaries" && !j.workflow:
		f.hostSummaries(c, j)
	case view == "job_events" && !j.workflow:
		f.events(c, j)
	case view == "stdout" && !j.workflow:
		f.stdout(c, j)
	default:
		notFound(c.w)
	}
}

func (f *Fake) jobDetail(c *call, j *job) {
	o := f.jobForm(j, c.by)
	if !j.workflow {
		o["host_status_counts"], o["playbook_counts"] = nil, object{"play_count": 1, "task_count": 1}
		if hosts := f.counted(j); hosts != nil {
			counts := map[string]int{}
			for _, h := range hosts {
				counts[h.worst()]++
			}
			o["host_status_counts"] = counts
		}
	}
	answer(c.w, http.StatusOK, o)
}

func (h Counts) worst() string {
	switch {
	case h.Dark > 0:
		return "dark"
	case h.Failures > 0:
		return "failures"
	case h.Changed > 0:
		return "changed"
	case h.OK > 0:
		return "ok"
	default:
		return "skipped"
	}
}

// counted are the host summaries, once the job's events are complete.
func (f *Fake) counted(j *job) map[string]Counts {
	if !j.ended() || j.result == nil || j.status == "canceled" || f.now().Before(j.complete) {
		return nil
	}
	return j.result.Hosts
}

func (f *Fake) cancel(c *call, j *job) {
	switch {
	case c.r.Method == http.MethodGet:
		answer(c.w, http.StatusOK, object{"can_cancel": !j.ended()})
	case j.ended() && c.by.Superuser:
		c.notAllowed("GET, HEAD, OPTIONS")
	case j.ended() || !c.by.Superuser && j.by != c.by:
		c.forbid()
	default:
		if j.canceled.IsZero() {
			j.canceled = f.now()
		}
		f.advance()
		c.w.WriteHeader(http.StatusAccepted)
	}
}

func (f *Fake) workflowNodes(c *call, j *job) {
	var nodes []object
	for i, child := range j.children {
		nodes = append(nodes, object{
			"id": int64(i) + 1, "type": "workflow_job_node", "workflow_job": j.id, "job": child.id, "do_not_run": false, "unified_job_template": child.of.id,
			"summary_fields": object{"job": object{"id": child.id, "name": child.of.Name, "status": child.status, "type": child.kind()}},
		})
	}
	f.list(c, "WorkflowJobNode", nodes)
}

func (f *Fake) hostSummaries(c *call, j *job) {
	var rows []object
	hosts := f.counted(j)
	for i, name := range slices.Sorted(maps.Keys(hosts)) {
		h := hosts[name]
		rows = append(rows, object{
			"id": int64(i) + 1, "type": "job_host_summary", "job": j.id, "host": int64(i) + 1, "host_name": name, "ok": h.OK, "changed": h.Changed,
			"failures": h.Failures, "dark": h.Dark, "processed": 1, "skipped": h.Skipped, "rescued": h.Rescued, "ignored": h.Ignored,
			"failed": h.Failures+h.Dark > 0,
		})
	}
	f.list(c, "JobHostSummary", rows)
}

const (
	maxEventText = 1024
	maxStdout    = 1 << 20
)

// events are the lines of the output, each an event, and what failed on which host.
func (f *Fake) events(c *call, j *job) {
	var out []object
	if j.result != nil {
		for i, line := range lines(j.result.Output) {
			line = strings.TrimSuffix(line, "\n")
			if !c.query.Has("no_truncate") && len(line) > maxEventText {
				line = line[:maxEventText]
			}
			event := "verbose"
			if strings.HasPrefix(line, "fatal: ") {
				event = "runner_on_failed"
			}
			out = append(out, object{"id": int64(i) + 1, "type": "job_event", "job": j.id, "counter": i + 1, "event": event, "stdout": line, "host_name": ""})
		}
	}
	if n := c.query.Get("limit"); n != "" {
		limit, _ := strconv.Atoi(n)
		answer(c.w, http.StatusOK, object{"results": orEmpty(out[:min(max(0, limit), len(out))])})
		return
	}
	f.list(c, "JobEvent", out)
}

// stdout is the output. Beyond a mebibyte there is a sentence instead, in JSON too.
func (f *Fake) stdout(c *call, j *job) {
	out := ""
	if j.result != nil {
		out = j.result.Output
	}
	format := c.query.Get("format")
	tooLarge := fmt.Sprintf("Standard Output too large to display (%d bytes), only download supported for sizes over %d bytes.", len(out), maxStdout)
	switch {
	case format == "json" && len(out) > maxStdout:
		answer(c.w, http.StatusOK, object{"range": object{"start": 0, "end": 1, "absolute_end": 1}, "content": tooLarge})
	case format == "json":
		all := lines(out)
		start, _ := strconv.Atoi(c.query.Get("start_line"))
		if start < 0 {
			start = max(0, len(all)+start)
		}
		start = min(start, len(all))
		answer(c.w, http.StatusOK, object{
			"range":   object{"start": start, "end": len(all), "absolute_end": len(all)},
			"content": strings.Join(all[start:], ""),
		})
	default:
		if len(out) > maxStdout && format != "txt_download" {
			out = tooLarge
		}
		c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = c.w.Write([]byte(out))
	}
}
