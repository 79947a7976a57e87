package awx

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

// Launch asks once. It is not told of a launch that was refused unless that is
// certain: no connection was had for it, or AWX itself answered so. Anything
// else may have been begun, a 504 of the proxy in front and a redirect not
// excepted. It leaves within the timeout or not at all: settle counts on that.
func (s *server) Launch(ctx context.Context, l remediate.Launch) (remediate.Job, error) {
	o, err := orderOf(l)
	if err != nil {
		return remediate.Job{}, &remediate.Rejected{Reason: err.Error()}
	}
	body, err := encode(o)
	if err != nil {
		return remediate.Job{}, &remediate.Rejected{Reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, s.api.timeout)
	defer cancel()
	prefix, err := s.api.discover(ctx)
	if err != nil {
		return remediate.Job{}, &remediate.Rejected{Reason: err.Error()}
	}
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	kind, _ := kindOf(l.Template.Kind)
	res, err := s.api.do(traced, "launch", http.MethodPost, prefix+templates(kind, l.Template.ID, "launch"), nil, body)
	switch {
	case err != nil && !connected.Load():
		return remediate.Job{}, &remediate.Rejected{Reason: err.Error()}
	case err != nil:
		return remediate.Job{}, err
	case res.Status == http.StatusCreated:
		return s.launched(l, res)
	case certainlyRefused(res.Status):
		return remediate.Job{}, &remediate.Rejected{Status: res.Status, Reason: secretless(reason(res), l.Claim.Token.Reveal())}
	default:
		return remediate.Job{}, s.api.refused(res, "launch")
	}
}

// certainlyRefused reports whether nothing was begun where this is answered:
// AWX answers so before it makes a job, or undoes the making of it.
func certainlyRefused(status int) bool {
	return slices.Contains([]int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests,
	}, status)
}

// encode writes JSON with < > & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// launched reads the answer to a launch and holds it against what was asked for.
func (s *server) launched(l remediate.Launch, res remote.Response) (remediate.Job, error) {
	var a struct {
		Job         int64           `json:"job"`
		WorkflowJob int64           `json:"workflow_job"`
		Ignored     *map[string]any `json:"ignored_fields"`
		jobForm
	}
	if err := decode(res, &a); err != nil {
		return remediate.Job{}, &remote.Error{Op: "launch", Class: remote.Unknown, Status: res.Status, Err: err}
	}
	asked, _ := kindOf(l.Template.Kind)
	kind, id := jobKind, a.Job
	if id == 0 {
		kind, id = workflowKind, a.WorkflowJob
	}
	if id <= 0 {
		return remediate.Job{}, &remote.Error{Op: "launch", Class: remote.Unknown, Status: res.Status, Reason: "the answer names no job"}
	}
	a.ID = id
	job := s.job(kind, a.jobForm)
	var wrong []string
	if kind != asked {
		wrong = append(wrong, "it is a "+kind+", as of a template that is sliced")
	}
	switch {
	case a.Ignored == nil:
		wrong = append(wrong, "the server does not say which fields it ignored")
	case len(*a.Ignored) > 0:
		wrong = append(wrong, "the server ignored "+clean(strings.Join(slices.Sorted(maps.Keys(*a.Ignored)), ", "), 200))
	}
	wrong = append(wrong, a.unlike(l, kind)...)
	if len(wrong) > 0 {
		return job, &remediate.Unsafe{Reason: strings.Join(wrong, "; ")}
	}
	return job, nil
}

// unlike says in what a job is not what was asked for.
func (f jobForm) unlike(l remediate.Launch, kind string) []string {
	var wrong []string
	differs := func(what string, have, want any) {
		if have != want {
			wrong = append(wrong, fmt.Sprintf("its %s is %q, not %q", what, clean(fmt.Sprint(have), 80), fmt.Sprint(want)))
		}
	}
	if l.Limit != "" {
		differs("limit", f.Limit, l.Limit)
	}
	differs("inventory", deref(f.Inventory), l.Template.Inventory)
	if kind == workflowKind {
		differs("template", deref(f.Workflow), l.Template.ID)
	} else {
		differs("template", deref(f.Template), l.Template.ID)
		differs("job type", f.JobType, jobType(l.Check))
	}
	if marker(f.Variables) != l.Dispatch {
		wrong = append(wrong, "it does not carry the id of its dispatch")
	}
	return wrong
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
