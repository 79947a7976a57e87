package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/changes"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// parts are what a config is made of, built: secrets read, nothing reached out to.
type parts struct {
	plan      *plan
	sources   []enrich.Named
	enricher  *enrich.Enricher
	router    *notify.Router
	asker     asker
	clusters  []webhook.Cluster
	operators []web.Operator
	github    []config.Secret
	heartbeat config.Secret // "": nobody outside listens
	remedies  *remedies     // nil: nothing acts
}

// build makes every part of a plan. What can be wrong with a config is found
// here, before anything that runs is touched.
func build(p *plan, l lent, m *enrich.Metrics, tracer trace.Tracer) (*parts, error) {
	b := &parts{plan: p, asker: asker{}}
	l.publicURL = p.PublicURL
	errs := []error{b.buildSources(l)}
	made := map[string]notify.Target{} // a target that stands in two receivers is one
	b.router = &notify.Router{Receivers: map[string][]notify.Target{}, First: p.first(), Canary: []notify.Target{canarySink()}}
	for _, r := range p.Receivers {
		for _, t := range p.targets[r.Name] {
			target, err := buildTarget(t, made, l)
			errs = append(errs, err)
			if r.Shadow {
				target = target.Shadowed()
			}
			b.router.Receivers[r.Name] = append(b.router.Receivers[r.Name], target)
		}
	}
	for _, t := range p.last {
		target, err := buildTarget(t, made, l)
		errs = append(errs, err)
		b.router.LastResort = append(b.router.LastResort, target)
	}
	for _, t := range p.spare {
		_, err := buildTarget(t, made, l)
		errs = append(errs, err)
	}
	b.router.Fallbacks = p.fallbacks(made)
	for _, am := range p.Alertmanagers {
		b.asker[am.Name] = &alertmanager.Client{Base: am.URL, Remote: remote.New(l.transport, alertmanager.MaxAnswer)}
	}
	var unbuilt error
	b.remedies, unbuilt = p.buildRemedies(b, l)
	errs = append(errs, unbuilt)
	var unread, unknown, unsigned error
	b.clusters, unread = readClusters(p.Alertmanagers)
	b.github, unsigned = readGitHub(p.Changes.GitHubSecretFiles)
	b.operators, unknown = readOperators(p.Operators.Tokens)
	errs = append(errs, unread, unknown, unsigned)
	if p.Heartbeat.URLFile != "" {
		var err error
		b.heartbeat, err = p.Heartbeat.URLFile.Read()
		errs = append(errs, config.Under("heartbeat.url_file", err))
	}
	if unread == nil && unknown == nil {
		errs = append(errs, ambiguous(b.clusters, b.operators))
	}
	if err := p.root.Mistakes(errors.Join(errs...)); err != nil {
		return nil, err
	}
	b.enricher = enrich.New(enrich.Options{
		Sources: b.sources, Explainer: traits.New(enrich.Roles(p.Traits.Roles)), Dater: changes.New(), Roles: enrich.Roles(p.Traits.Roles), Redact: p.Traits.Redact, Traces: p.Traits.Exemplars,
		GroupBy: p.Prewarm.GroupBy,
		Log:     l.log, Now: l.now, Metrics: m, Tracer: tracer,
	})
	return b, nil
}

// buildSources makes who is asked what the failing share.
func (b *parts) buildSources(l lent) error {
	var errs []error
	for _, s := range b.plan.sources {
		src, err := s.kind.New(s.cfg, enrich.Deps{
			Name: s.part.Name, Transport: l.transport, Now: l.now, Roles: enrich.Roles(b.plan.Traits.Roles),
			Log: l.log.With("source", s.part.Name),
		})
		errs = append(errs, config.Under(s.at+".with", err))
		b.sources = append(b.sources, enrich.Named{Name: s.part.Name, Source: src})
	}
	return errors.Join(errs...)
}

func buildTarget(t targetPlan, made map[string]notify.Target, l lent) (notify.Target, error) {
	if have, ok := made[t.name()]; ok {
		return have, nil
	}
	n, err := t.kind.New(t.cfg, notify.Deps{
		Name: t.part.Name, Transport: notify.Fenced(l.transport), Now: l.now, Log: l.log.With("notifier", t.name()),
		PublicURL: l.publicURL,
	})
	target := notify.Target{Kind: t.kind.Name, Name: t.part.Name, Notifier: n}
	made[t.name()] = target
	return target, config.Under(t.at+".with", err)
}

// asker asks the cluster a webhook came from.
type asker map[string]*alertmanager.Client

// Active implements pipeline.Asker.
func (a asker) Active(ctx context.Context, cluster string, alerts []page.Alert) ([]page.Alert, error) {
	c, err := a.client(cluster)
	if err != nil {
		return nil, err
	}
	return c.Active(ctx, alerts)
}

// newTransport is the way out of the house: bounded in time to connect, with
// the proxy of the environment.
func newTransport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Transport{}
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxIdleConnsPerHost = 16
	return t
}
