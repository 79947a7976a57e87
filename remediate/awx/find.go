package awx

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

const (
	pageSize = 200 // the most that AWX gives, and it says nothing when asked for more
	maxPages = 100
)

// listing reads one page of a list. An answer that is no list is an error: it must
// not count as an empty one.
func listing[T any](ctx context.Context, c *client, op, path string, q url.Values) (list[T], error) {
	var l list[T]
	if err := c.get(ctx, op, path, q, &l); err != nil {
		return l, err
	}
	if l.Count == nil || l.Results == nil || *l.Count < len(l.Results) {
		return l, &remote.Error{Op: "read " + op, Class: remote.Unknown, Reason: "the answer is not a list"}
	}
	return l, nil
}

// runs are the addresses of a template's jobs. A template that was sliced
// meanwhile makes workflow jobs, which its other jobs do not list.
func runs(t remediate.Template, kind string) map[string]string {
	if kind == workflowKind {
		return map[string]string{workflowKind: templates(kind, t.ID, "workflow_jobs")}
	}
	return map[string]string{jobKind: templates(kind, t.ID, "jobs"), workflowKind: templates(kind, t.ID, "slice_workflow_jobs")}
}

// Watermark is the greatest id of the template's jobs by now, and what has not
// ended on the same host, whichever template it is of; without a limit, what
// has not ended of this template.
func (s *server) Watermark(ctx context.Context, t remediate.Template, limit string) (int64, []remediate.Job, error) {
	kind, err := kindOf(t.Kind)
	if err != nil {
		return 0, nil, err
	}
	var greatest int64
	var busy []remediate.Job
	for of, path := range runs(t, kind) {
		last, err := listing[jobForm](ctx, s.api, "jobs", path, url.Values{"order_by": {"-id"}, "page_size": {"1"}})
		if err != nil {
			return 0, nil, err
		}
		for _, f := range last.Results {
			greatest = max(greatest, f.ID)
		}
		found, err := s.walk(ctx, of, path, url.Values{"status__in": {unfinished}}, 0, func(f jobForm) bool { return limit == "" || f.Limit == limit })
		if err != nil {
			return 0, nil, err
		}
		busy = append(busy, found...)
	}
	if limit != "" {
		found, err := s.walk(ctx, jobKind, "jobs/", url.Values{"status__in": {unfinished}, "limit__exact": {limit}}, 0, func(jobForm) bool { return true })
		if err != nil {
			return 0, nil, err
		}
		busy = append(busy, found...)
	}
	return greatest, inOrder(busy), nil
}

// Find returns the template's jobs beyond the watermark that carry the
// dispatch's id. Variables cannot be searched for, so they are looked through.
// Who made a job is not asked: the account may have been changed since.
func (s *server) Find(ctx context.Context, t remediate.Template, after int64, dispatch string) ([]remediate.Job, error) {
	kind, err := kindOf(t.Kind)
	if err != nil {
		return nil, err
	}
	if dispatch == "" {
		return nil, &remote.Error{Op: "find jobs", Class: remote.Content, Reason: "no dispatch is named"}
	}
	var out []remediate.Job
	for of, path := range runs(t, kind) {
		found, err := s.walk(ctx, of, path, url.Values{}, after, func(f jobForm) bool {
			return marker(f.Variables) == dispatch && f.LaunchType != "workflow" // the slices have their workflow's variables
		})
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return inOrder(out), nil
}

// walk looks through all jobs of a list beyond an id. Pages go by id, not by
// number, lest one be passed over when another is cleaned up.
func (s *server) walk(ctx context.Context, kind, path string, q url.Values, after int64, wanted func(jobForm) bool) ([]remediate.Job, error) {
	var out []remediate.Job
	q.Set("order_by", "id")
	q.Set("page_size", strconv.Itoa(pageSize))
	for range maxPages {
		q.Set("id__gt", strconv.FormatInt(after, 10))
		l, err := listing[jobForm](ctx, s.api, "jobs", path, q)
		if err != nil {
			return nil, err
		}
		for _, f := range l.Results {
			if f.ID <= after {
				return nil, &remote.Error{Op: "read jobs", Class: remote.Unknown, Reason: "the list is not in order"}
			}
			after = f.ID
			if wanted(f) {
				out = append(out, s.job(kind, f))
			}
		}
		if *l.Count <= len(l.Results) {
			return out, nil
		}
		if len(l.Results) == 0 {
			return nil, &remote.Error{Op: "read jobs", Class: remote.Unknown, Reason: "the list ends before its end"}
		}
	}
	return nil, &remote.Error{Op: "read jobs", Class: remote.Unknown, Reason: fmt.Sprintf("there are more than %d", maxPages*pageSize)}
}

// inOrder sorts jobs by id, each once.
func inOrder(all []remediate.Job) []remediate.Job {
	slices.SortFunc(all, func(a, b remediate.Job) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b remediate.Job) bool { return a.ID == b.ID && a.Kind == b.Kind })
}
