package awx

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

// jobForm is what is read of a job, as its detail, lists and the answer to its
// launch show it.
type jobForm struct {
	ID          int64      `json:"id"`
	Status      string     `json:"status"`
	Limit       string     `json:"limit"`
	JobType     string     `json:"job_type"`
	Inventory   *int64     `json:"inventory"`
	Template    *int64     `json:"job_template"`
	Workflow    *int64     `json:"workflow_job_template"`
	Variables   string     `json:"extra_vars"` // JSON in a string
	Explanation string     `json:"job_explanation"`
	LaunchType  string     `json:"launch_type"`
	Created     *time.Time `json:"created"`
	Started     *time.Time `json:"started"`
	Finished    *time.Time `json:"finished"`
	Events      bool       `json:"event_processing_finished"`
}

func (s *server) job(kind string, f jobForm) remediate.Job {
	return remediate.Job{
		ID: f.ID, Kind: kind, State: state(f.Status), Limit: clean(f.Limit, 300), Why: clean(f.Explanation, maxReason),
		Link: s.linkTo(kind, f.ID), Created: moment(f.Created), Started: moment(f.Started), Finished: moment(f.Finished),
	}
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// state maps AWX's words. One that is not known is no end.
func state(status string) remediate.State {
	switch status {
	case "new", "pending", "waiting":
		return remediate.Pending
	case "successful":
		return remediate.Successful
	case "failed", "error":
		return remediate.Failed
	case "canceled":
		return remediate.Canceled
	default:
		return remediate.Running
	}
}

// unfinished are AWX's words for a job that has not ended.
const unfinished = "new,pending,waiting,running"

// Job returns a job as it is.
func (s *server) Job(ctx context.Context, j remediate.Job) (remediate.Job, error) {
	f, kind, err := s.read(ctx, j)
	if err != nil {
		return remediate.Job{}, err
	}
	return s.job(kind, f), nil
}

func (s *server) read(ctx context.Context, j remediate.Job) (jobForm, string, error) {
	kind, err := kindOf(j.Kind)
	if err != nil {
		return jobForm{}, "", err
	}
	var f jobForm
	err = s.api.get(ctx, "job", jobs(kind, j.ID, ""), nil, &f)
	switch {
	case remote.ClassOf(err) == remote.Gone && err != nil:
		return f, kind, remediate.ErrNoJob
	case err != nil:
		return f, kind, err
	case f.ID != j.ID || f.Status == "":
		return f, kind, &remote.Error{Op: "job", Class: remote.Unknown, Reason: "the answer is about another job"}
	}
	return f, kind, nil
}

// Cancel asks for a job's end. AWX answers a job that has ended as it answers
// one that is not ours, so the job is looked at then.
func (s *server) Cancel(ctx context.Context, j remediate.Job) error {
	kind, err := kindOf(j.Kind)
	if err != nil {
		return err
	}
	prefix, err := s.api.discover(ctx)
	if err != nil {
		return err
	}
	res, err := s.api.do(ctx, "cancel", http.MethodPost, prefix+jobs(kind, j.ID, "cancel"), nil, nil)
	switch {
	case err != nil:
		return err
	case res.Status == http.StatusAccepted:
		return nil
	case res.Status != http.StatusMethodNotAllowed && res.Status != http.StatusForbidden:
		if res.Status == http.StatusNotFound {
			return remediate.ErrNoJob
		}
		return s.api.refused(res, "cancel")
	}
	now, err := s.Job(ctx, j)
	switch {
	case err == nil && now.State.Ended():
		return remediate.ErrEnded
	case errors.Is(err, remediate.ErrNoJob):
		return err
	default:
		return s.api.refused(res, "cancel")
	}
}
