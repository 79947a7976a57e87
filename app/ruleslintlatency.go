package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/lint"
)

// latency lets the doctor predict the time to notify, and gives the linter the
// scrape intervals. Without a server's config nothing is predicted.
func (b *lintable) latency(ctx context.Context, o RulesLintOptions, options *lint.Options) ([]lint.Finding, error) {
	if o.Prometheus == "" && o.Alertmanager == "" {
		return nil, nil
	}
	d := &diagnosis{options: DoctorOptions{Prometheus: o.Prometheus, Alertmanager: o.Alertmanager, ConfigFile: o.ConfigFile}, clinic: newClinic(o.TokenFile)}
	p := doctor.Patient{Level: 1}
	if err := errors.Join(d.prometheus(ctx, &p), d.alertmanager(ctx, &p), d.gateway(&p)); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(d.found, func(f Finding) bool { return !f.OK }) {
		return nil, nil // a server that tells no config, as Thanos Query: nothing is known of intervals
	}
	if o.Prometheus != "" {
		options.Scrape = func(e parser.Expr) time.Duration { return scraped(p.Prometheus, e) }
	}
	for _, s := range b.sources {
		p.Files = append(p.Files, rules.File{Path: s.Path, Groups: s.Groups})
	}
	predictions, err := p.Predict()
	if err != nil {
		return nil, err
	}
	budgets := doctor.Budgets(o.Budgets)
	var out []lint.Finding
	b.alerts(func(s *lint.Source, g *rules.Group, r *rules.Rule) {
		one := predictions[0] // they come in the order of the rules
		predictions = predictions[1:]
		over := budgets.Over(one, false)
		if over == 0 || options.Changed != nil && !options.Changed(s, g, r) {
			return
		}
		fix := "tocsin doctor shows each stage"
		if len(one.Levers) > 0 {
			fix = one.Levers[0].String()
		}
		out = append(out, s.Finding(r, "for", lint.Warning, lint.CheckLatency,
			fmt.Sprintf("takes %s from fault to page, %s more than severity %s may", brief(one.Mean), brief(over), one.Severity), fix))
	})
	return out, nil
}

// alerts calls each with the alerting rules, in their order.
func (b *lintable) alerts(each func(s *lint.Source, g *rules.Group, r *rules.Rule)) {
	for i := range b.sources {
		s := &b.sources[i]
		for k := range s.Groups {
			for n := range s.Groups[k].Rules {
				if r := &s.Groups[k].Rules[n]; r.Alert != "" {
					each(s, &s.Groups[k], r)
				}
			}
		}
	}
}

// scraped is the shortest interval at which the series of a selector may be
// scraped: a window that is too short for it is too short for all.
func scraped(p doctor.Prometheus, e parser.Expr) time.Duration {
	v, ok := e.(*parser.VectorSelector)
	if !ok || strings.Contains(v.Name, ":") {
		return 0 // what is recorded is not scraped
	}
	if len(p.Jobs) == 0 {
		return p.Scrape.Value
	}
	shortest := time.Duration(0)
	for _, j := range p.Jobs {
		fits := true
		for _, m := range v.LabelMatchers {
			fits = fits && (m.Name != "job" || m.Matches(j.Name))
		}
		if fits && (shortest == 0 || j.Scrape.Value < shortest) {
			shortest = j.Scrape.Value
		}
	}
	return shortest
}

// ask asks a server that runs what the rules find there.
func (b *lintable) ask(ctx context.Context, o RulesLintOptions, options lint.Options) ([]lint.Finding, error) {
	if !isAddress(o.Prometheus) {
		return nil, nil
	}
	opts := prometheus.Options{URL: o.Prometheus, Transport: newTransport()}
	if o.TokenFile != "" {
		token, err := o.TokenFile.Read()
		if err != nil {
			return nil, &config.Mistake{File: "--token-file", Text: err.Error()}
		}
		opts.Authorize = func(req *http.Request) error {
			req.Header.Set("Authorization", "Bearer "+token.Reveal())
			return nil
		}
	}
	client, err := prometheus.New(opts)
	if err != nil {
		return nil, &config.Mistake{File: "--prometheus", Text: err.Error()}
	}
	s := &lint.Server{Client: client, Now: time.Now()}
	return s.Ask(ctx, b.sources, options.Changed)
}
