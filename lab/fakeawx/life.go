package fakeawx

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// job is one run of a template, or of a workflow with a job for each node or slice.
type job struct {
	id         int64
	of         *template
	by         *user // nil: a webhook's
	workflow   bool
	parent     *job
	children   []*job
	launchType string
	guid       string // of the webhook

	inventory *inventory
	limit     string
	jobType   string
	vars      map[string]any
	labels    []int64
	timeout   int // seconds; 0: none
	slices    int
	slice     int // number of this slice, from 1; 0: whole

	status      string
	explanation string
	created     time.Time
	visible     time.Time // committed
	free        time.Time // the last time that something stood in its way
	started     time.Time
	finished    time.Time
	canceled    time.Time // asked for
	complete    time.Time // its events are

	atWork context.CancelFunc
	result *Result
	done   time.Time // its playbook was
}

func (j *job) kind() string {
	if j.workflow {
		return "workflow_job"
	}
	return "job"
}

func (j *job) hidden(now time.Time) bool { return now.Before(j.visible) }

func (j *job) ended() bool {
	return slices.Contains([]string{"successful", "failed", "error", "canceled"}, j.status)
}

// stop ends what is at work for j.
func (j *job) stop() {
	if j.atWork != nil {
		j.atWork()
	}
}

// advance brings every job to where it is by now. The order is that of ids, so
// that a job that waits for another sees its end.
func (f *Fake) advance() {
	now := f.now()
	for i := 0; i < len(f.jobs); i++ { // workflows append while they are walked
		if j := f.jobs[i]; !j.hidden(now) && !j.ended() {
			f.move(j, now)
		}
	}
}

func (f *Fake) move(j *job, now time.Time) {
	if j.started.IsZero() && !f.begin(j, now) {
		return
	}
	if j.workflow {
		f.moveWorkflow(j, now)
		return
	}
	f.moveRunning(j, now)
}

// begin reports whether a job has begun. What stands in its way is said after
// half a minute.
func (f *Fake) begin(j *job, now time.Time) bool {
	why := ""
	switch blocker := f.blocker(j); {
	case !j.canceled.IsZero():
		j.end("canceled", now, "", 0)
		return false
	case blocker != nil:
		why = fmt.Sprintf("waiting for job-%d to finish", blocker.id)
	case f.switches.NoCapacity && !j.workflow:
		why = "This job is not ready to start because there is not enough available capacity."
	}
	if why != "" {
		j.status, j.free = "pending", now
		if now.Sub(j.visible) >= 30*time.Second {
			j.explanation = why
		}
		return false
	}
	queue := j.of.Queue.D()
	start := j.free.Add(queue)
	switch {
	case now.Before(j.free.Add(queue / 2)):
		return false
	case now.Before(start):
		j.status = "waiting"
		return false
	}
	j.status, j.explanation, j.started = "running", "", start
	return true
}

// blocker is the first job of the template that has not ended, if there may be
// one at a time. Hosts do not count.
func (f *Fake) blocker(j *job) *job {
	if j.of.Simultaneous || j.parent != nil {
		return nil
	}
	for _, other := range f.jobs {
		if other == j {
			return nil
		}
		if other.of == j.of && other.parent == nil && !other.ended() && !other.hidden(f.now()) {
			return other
		}
	}
	return nil
}

func (f *Fake) moveRunning(j *job, now time.Time) {
	if j.result == nil && j.atWork == nil {
		f.work(j)
	}
	due := later(j.started.Add(j.of.Runs.D()), j.done)
	deadline := j.started.Add(time.Duration(j.timeout) * time.Second)
	lag := time.Duration(f.switches.EventLag)
	switch {
	case j.result != nil && !now.Before(due) && (j.timeout == 0 || !due.After(deadline)):
		j.end(j.result.Status, due, j.result.Explanation, lag)
	case !j.canceled.IsZero() && !now.Before(j.canceled.Add(time.Duration(f.switches.CancelLag))):
		j.stop()
		j.end("canceled", now, "", lag)
	case j.timeout > 0 && !now.Before(deadline):
		j.stop()
		j.end("failed", deadline, "Job terminated due to timeout", lag)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// end is the last that happens to a job.
func (j *job) end(status string, at time.Time, why string, lag time.Duration) {
	j.status, j.finished, j.explanation = status, at, why
	j.complete = at.Add(lag)
}

// moveWorkflow runs one node after the other, or all slices at once.
func (f *Fake) moveWorkflow(j *job, now time.Time) {
	switch {
	case !j.canceled.IsZero():
		for _, child := range j.children {
			if child.canceled.IsZero() && !child.ended() {
				child.canceled = now
			}
		}
	case !j.of.workflow() && len(j.children) == 0:
		for i := range j.slices {
			f.spawn(j, j.of, i+1)
		}
	case j.of.workflow() && len(j.children) < len(j.of.Nodes) && !slices.ContainsFunc(j.children, func(c *job) bool { return c.status != "successful" }):
		if t := f.named(j.of.Nodes[len(j.children)]); t != nil {
			f.spawn(j, t, 0)
		}
	}
	status := "successful"
	for _, child := range j.children {
		if !child.ended() {
			return
		}
		if child.status != "successful" {
			status = "failed"
		}
	}
	if !j.canceled.IsZero() {
		status = "canceled"
	}
	j.end(status, now, "", 0)
}

// spawn begins the job of a node or slice. A node takes from its workflow what
// its template prompts for, and nobody is told of the rest.
func (f *Fake) spawn(parent *job, t *template, slice int) {
	accepted := object{}
	if slice > 0 {
		accepted["limit"], accepted["extra_vars"] = parent.limit, parent.vars
	}
	if slice == 0 && t.asks("limit") && parent.limit != "" {
		accepted["limit"] = parent.limit
	}
	if slice == 0 && t.asks("variables") && len(parent.vars) > 0 {
		accepted["extra_vars"] = parent.vars
	}
	delay := f.switches.CommitDelay
	f.switches.CommitDelay = 0
	j := f.create(t, parent.by, accepted, "workflow")
	f.switches.CommitDelay = delay
	j.parent, j.slice, j.workflow, j.jobType = parent, slice, t.workflow(), parent.jobType
	if slice == 0 {
		j.jobType = t.jobType()
	}
	parent.children = append(parent.children, j)
}
