package openapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// Check is a command.
type Check struct {
	Config string `name:"config.file" default:"openapi.yml" placeholder:"FILE" help:"The config file."`
	Strict bool   `help:"Fail on anything that is wrong in a document, also where it works all the same."`
}

// Run checks.
func (c *Check) Run(ctx context.Context, out output) error {
	config, err := Read(c.Config)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	all := values.New(nil) // of all services, whose metrics may clash
	var failed error
	for _, s := range config.Services {
		if err := c.service(ctx, &s, all, out); err != nil {
			failed = errors.Join(failed, fmt.Errorf("service %s: %w", s.Name, err))
		}
	}
	return failed
}

func (c *Check) service(ctx context.Context, s *Service, all *values.Values, out output) error {
	api, err := model.Load(ctx, s.model())
	if err != nil {
		return err
	}
	strict, failed := model.Validate(ctx, s.model())
	failed = errors.Join(failed, api.Broken())
	problems := slices.Concat(api.Problems, strict)
	if s.Values != nil {
		wrong := all.Service(s.Name, s.values(), slog.New(slog.DiscardHandler)).Load(api)
		problems = append(problems, wrong...)
		if len(wrong) > 0 {
			failed = errors.Join(failed, fmt.Errorf("%d metrics of values are wrong", len(wrong)))
		}
	}
	fmt.Fprintf(out.stdout, "%s: OpenAPI %s, version %s, %d operations, %d problems\n", s.Name, api.OpenAPI, api.Version, len(api.Operations), len(problems))
	for _, p := range problems {
		fmt.Fprintf(out.stdout, "  %s\n", p)
	}
	if c.Strict && len(problems) > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d problems", len(problems)))
	}
	if s.Probe == nil {
		return failed
	}
	if _, err := probe.New(s.probe(), nil, slog.New(slog.DiscardHandler)); err != nil {
		failed = errors.Join(failed, fmt.Errorf("probe: %w", err))
	}
	if err := s.probe().Credentials.Check(); err != nil {
		failed = errors.Join(failed, fmt.Errorf("probe: %w", err))
	}
	asked, skipped := probe.Preview(api, s.probe())
	fmt.Fprintf(out.stdout, "  probe: %d of %d operations are asked\n", asked, len(api.Operations))
	for _, each := range skipped {
		fmt.Fprintf(out.stdout, "  probe: %s\n", each)
	}
	for _, name := range probe.Unknown(api, s.probe()) {
		failed = errors.Join(failed, fmt.Errorf("probe: the document has no %s", name))
	}
	return failed
}
