package awx

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

const (
	maxTail   = 4 << 10
	tailLines = 80
	maxEvents = 80
	maxJobs   = 20 // of a workflow
)

// Evidence is what a job, or each job of a workflow, did to hosts, and the end
// of its output. What it found comes back beside an error.
func (s *server) Evidence(ctx context.Context, j remediate.Job, host string) (remediate.Evidence, error) {
	f, kind, err := s.read(ctx, j)
	if err != nil {
		return remediate.Evidence{}, err
	}
	if kind == jobKind {
		return s.evidence(ctx, f, host)
	}
	var ev remediate.Evidence
	nodes, err := s.nodeJobs(ctx, f.ID)
	if err != nil {
		return ev, err
	}
	ev.Stated = state(f.Status).Ended()
	for _, id := range nodes {
		node, _, err := s.read(ctx, remediate.Job{ID: id, Kind: jobKind})
		if err != nil {
			ev.Stated = false
			return ev, err
		}
		one, err := s.evidence(ctx, node, host)
		ev.Hosts, ev.Tail = append(ev.Hosts, one.Hosts...), tail(ev.Tail+"\n"+one.Tail, maxTail)
		ev.Stated = ev.Stated && one.Stated
		if err != nil {
			return ev, err
		}
	}
	return ev, nil
}

// nodeJobs are the ids of the jobs that a workflow's nodes became.
func (s *server) nodeJobs(ctx context.Context, id int64) ([]int64, error) {
	nodes, err := listing[struct {
		Job *int64 `json:"job"`
	}](ctx, s.api, "nodes", jobs(workflowKind, id, "workflow_nodes"), url.Values{"page_size": {strconv.Itoa(pageSize)}})
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, n := range nodes.Results {
		if n.Job != nil {
			ids = append(ids, *n.Job)
		}
	}
	slices.Sort(ids)
	return ids[max(0, len(ids)-maxJobs):], nil
}

func (s *server) evidence(ctx context.Context, f jobForm, host string) (remediate.Evidence, error) {
	ev := remediate.Evidence{Stated: f.Events && state(f.Status).Ended()}
	var err error
	if ev.Hosts, err = s.summaries(ctx, f.ID, host); err != nil {
		ev.Stated = false
		return ev, err
	}
	ev.Tail, err = s.output(ctx, f.ID)
	return ev, err
}

// hostSummary is what a job did to one host.
type hostSummary struct {
	Host     string `json:"host_name"`
	OK       int    `json:"ok"`
	Changed  int    `json:"changed"`
	Failures int    `json:"failures"`
	Dark     int    `json:"dark"`
	Skipped  int    `json:"skipped"`
}

// summaries are of every host that was touched, should it be others than the
// one that was meant, or of the first so many and the one that was meant.
func (s *server) summaries(ctx context.Context, id int64, host string) ([]remediate.HostResult, error) {
	path := jobs(jobKind, id, "job_host_summaries")
	l, err := listing[hostSummary](ctx, s.api, "summaries", path, url.Values{"page_size": {strconv.Itoa(pageSize)}})
	if err != nil {
		return nil, err
	}
	meant := func(h hostSummary) bool { return h.Host == host }
	if *l.Count > len(l.Results) && host != "" && !slices.ContainsFunc(l.Results, meant) {
		own, err := listing[hostSummary](ctx, s.api, "summaries", path, url.Values{"host_name": {host}})
		if err != nil {
			return nil, err
		}
		l.Results = append(own.Results, l.Results...)
	}
	var out []remediate.HostResult
	for _, h := range l.Results {
		out = append(out, remediate.HostResult{Host: clean(h.Host, 300), OK: h.OK, Changed: h.Changed, Failed: h.Failures, Dark: h.Dark, Skipped: h.Skipped})
	}
	return out, nil
}

// output is the end of a job's output. Beyond a mebibyte AWX gives a sentence
// in its stead, in every form that has a length; then its last events have it.
func (s *server) output(ctx context.Context, id int64) (string, error) {
	var a struct {
		Content *string `json:"content"`
	}
	q := url.Values{"format": {"json"}, "start_line": {strconv.Itoa(-tailLines)}}
	if err := s.api.get(ctx, "stdout", jobs(jobKind, id, "stdout"), q, &a); err != nil {
		return "", err
	}
	if a.Content == nil {
		return "", &remote.Error{Op: "read stdout", Class: remote.Unknown, Reason: "the answer holds no output"}
	}
	if !strings.HasPrefix(*a.Content, "Standard Output too large to display") || len(*a.Content) > 1000 {
		return tail(*a.Content, maxTail), nil
	}
	events, err := listing[struct {
		Text string `json:"stdout"`
	}](ctx, s.api, "events", jobs(jobKind, id, "job_events"), url.Values{"order_by": {"-counter"}, "page_size": {strconv.Itoa(maxEvents)}})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, e := range slices.Backward(events.Results) {
		if e.Text != "" {
			lines = append(lines, strings.TrimRight(e.Text, "\r\n"))
		}
	}
	return tail(strings.Join(lines, "\n"), maxTail), nil
}
