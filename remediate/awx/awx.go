// Package awx launches job templates and workflows of AWX 24.6.1 and Ansible
// Automation Platform. It asks once, believes only what is exactly as it should
// be, and never lets a job begin without its one host: AWX ignores a limit that
// a template does not prompt for, and takes an empty one for every host.
package awx

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/remediate"
)

const kindName = "awx"

// Kind is the menu's line.
func Kind() remediate.Kind {
	return remediate.Kind{
		Name:   kindName,
		Config: func() any { return defaults() },
		New:    func(cfg any, d remediate.Deps) (remediate.Backend, error) { return open(cfg.(*Config), d) },
	}
}

var (
	_ remediate.Backend = (*server)(nil)
	_ remediate.Checker = (*server)(nil)
)

// server is one AWX.
type server struct {
	api          *client
	organization string
	link         string
	settle       time.Duration
}

func open(c *Config, d remediate.Deps) (*server, error) {
	api, err := newClient(c, d)
	if err != nil {
		return nil, err
	}
	link := c.JobLink
	if link == "" {
		link = strings.TrimSuffix(c.URL, "/") + "/#/jobs/{kind}/{id}"
	}
	return &server{api: api, organization: c.Organization, link: link, settle: c.Settle.D()}, nil
}

// Settle is how long after a request was sent its absence proves nothing.
func (s *server) Settle() time.Duration { return s.settle }

// Check proves the credentials.
func (s *server) Check(ctx context.Context) error {
	var me list[struct {
		ID int64 `json:"id"`
	}]
	if err := s.api.get(ctx, "me", "me/", nil, &me); err != nil {
		return err
	}
	if len(me.Results) != 1 {
		return errors.New("read account: the server does not say who this is")
	}
	return nil
}

// The kinds of template, and the words of AWX's addresses for them.
const (
	jobKind      = "job"
	workflowKind = "workflow"
)

func kindOf(s string) (string, error) {
	switch s {
	case "", jobKind:
		return jobKind, nil
	case workflowKind:
		return workflowKind, nil
	default:
		return "", fmt.Errorf("kind %q is not known: write job or workflow", s)
	}
}

// templates is the address of a template, or with a view of what lies below it.
func templates(kind string, id int64, view string) string {
	return pathTo(resource(kind)+"_templates", id, view)
}

// jobs is the address of a job, or with a view of what lies below it.
func jobs(kind string, id int64, view string) string { return pathTo(resource(kind)+"s", id, view) }

func resource(kind string) string {
	if kind == workflowKind {
		return "workflow_job"
	}
	return "job"
}

// pathTo always ends in a slash: AWX answers a request without it by sending
// the client elsewhere, where a POST arrives as a GET that does nothing.
func pathTo(resource string, id int64, view string) string {
	p := resource + "/" + strconv.FormatInt(id, 10) + "/"
	if view != "" {
		p += view + "/"
	}
	return p
}

// linkTo is the address of a job as people open it.
func (s *server) linkTo(kind string, id int64) string {
	word := "playbook"
	if kind == workflowKind {
		word = "workflow"
	}
	return strings.NewReplacer("{id}", strconv.FormatInt(id, 10), "{kind}", word).Replace(s.link)
}

// list is a page of things.
type list[T any] struct {
	Count   *int    `json:"count"`
	Next    *string `json:"next"` // a hint; addresses are built from ids
	Results []T     `json:"results"`
}
