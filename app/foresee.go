package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/changes"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/replay"
)

// foreseer tells the page that alerts would become, with the code that a real
// one goes through, for authors of rules: no target is built, no secret of one
// is read, nobody is told and nothing is stored.
type foreseer struct {
	plan    *plan
	routes  *replay.Alertmanager
	sources []enrich.Named
	server  string // address that stands in the alerts' generator URLs
	now     func() time.Time
}

// onlyAlertname is the route tree where none is given: a page per alertname.
const onlyAlertname = `
route: {receiver: everybody, group_by: [alertname], group_wait: 0s, group_interval: 10s, repeat_interval: 8760h}
receivers: [{name: everybody}]
`

// foresee reads a config, "" for the default one, whose sources are not built
// here, and an alertmanager.yml, "" for a page per alertname.
func foresee(configFile, alertmanager string) (*foreseer, error) {
	f := &foreseer{plan: &plan{Config: DefaultConfig()}, server: "http://prometheus", now: time.Now}
	if configFile != "" {
		p, err := load(configFile)
		if err != nil {
			return nil, err
		}
		f.plan = p
	}
	var err error
	f.routes, err = readRoutes(alertmanager, onlyAlertname)
	return f, err
}

// readRoutes reads an alertmanager.yml, or what stands in for none.
func readRoutes(path, without string) (*replay.Alertmanager, error) {
	if path == "" {
		return replay.NewAlertmanager(without)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &config.Mistake{File: path, Text: "cannot be read: " + strings.TrimPrefix(err.Error(), "open "+path+": ")}
	}
	routes, err := replay.NewAlertmanager(string(text))
	if err != nil {
		return nil, &config.Mistake{File: path, Text: err.Error()}
	}
	return routes, nil
}

// prometheusSource asks a server as the config's kind of source does, with its defaults.
func prometheusSource(server string, transport http.RoundTripper, roles enrich.Roles, now func() time.Time, with func(*thanos.Config)) ([]enrich.Named, error) {
	kind := thanos.Kind()
	section := kind.Config()
	if c, ok := section.(*thanos.Config); ok {
		c.HTTP = server
		if with != nil {
			with(c)
		}
	}
	s, err := kind.New(section, enrich.Deps{
		Name: "prometheus", Transport: transport, Log: slog.New(slog.DiscardHandler), Roles: roles, Now: now,
	})
	if err != nil {
		return nil, err
	}
	return []enrich.Named{{Name: "prometheus", Source: s}}, nil
}

// foreseen is a page that is open at a time.
type foreseen struct {
	page.Page
	problem  page.Problem
	policies []string // that match it, of those its receiver names
}

// pages are those that are open at a time, of what fired until then, or will be
// for it when group_wait is over, at most until a later time.
func (f *foreseer) pages(ctx context.Context, outcomes []replay.Outcome, at, until time.Time) ([]foreseen, error) {
	open, err := f.routes.Pages(outcomes, until.Add(time.Nanosecond))
	if err != nil {
		return nil, err
	}
	enricher := f.enricher(at)
	var out []foreseen
	for _, o := range open {
		o.Firings = slices.DeleteFunc(slices.Clone(o.Firings), func(x replay.Firing) bool { return !x.At(at) })
		if !o.Closed.IsZero() || len(o.Firings) == 0 {
			continue
		}
		p := begun(f.notification(o, outcomes), at)
		p = f.know(ctx, enricher, p)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v := p.View().Redact(f.plan.redacted()...)
		out = append(out, foreseen{v, p, f.policies(v)})
	}
	return out, nil
}

func (f *foreseer) enricher(at time.Time) *enrich.Enricher {
	roles := enrich.Roles(f.plan.Traits.Roles)
	return enrich.New(enrich.Options{
		Sources: f.sources, Explainer: traits.New(roles), Dater: changes.New(), Roles: roles, Redact: f.plan.Traits.Redact,
		Traces: f.plan.Traits.Exemplars, GroupBy: f.plan.Prewarm.GroupBy, Now: func() time.Time { return at },
	})
}

// foreseeFor is how long the sources of one page may take: nobody waits for it at night.
const foreseeFor = time.Minute

// know asks the sources as a page and its first edits do.
func (f *foreseer) know(ctx context.Context, e *enrich.Enricher, p page.Problem) page.Problem {
	ctx, cancel := context.WithTimeout(ctx, foreseeFor)
	defer cancel()
	p.Context = e.Context(ctx, p)
	if p.Context.Known() {
		p.Context = e.Context(ctx, p)
		for i := range p.Context.Queries {
			p.Context.Queries[i].Cached = false // by this very walk, a moment ago
		}
	}
	p.Context, _ = e.Since(ctx, p, nil)
	return p
}

// notification is what Alertmanager would send of a page.
func (f *foreseer) notification(p replay.Page, outcomes []replay.Outcome) page.Notification {
	n := page.Notification{
		Cluster: "foreseen", Receiver: p.Receiver, GroupKey: p.Route + ":" + p.Group.String(), Status: page.Firing, GroupLabels: p.Group,
	}
	if len(f.plan.Alertmanagers) > 0 {
		n.Cluster = f.plan.Alertmanagers[0].Name
	}
	for _, x := range p.Firings {
		n.Alerts = append(n.Alerts, page.Alert{
			ID: x.Labels.ID(), Status: page.Firing, Labels: x.Labels, Annotations: x.Annotations, StartsAt: x.Fired,
			GeneratorURL: strings.TrimSuffix(f.server, "/") + "/graph?g0.expr=" + url.QueryEscape(exprOf(x, outcomes)),
		})
	}
	return n
}

// exprOf finds the expression of the rule that fired: rules of one name may differ.
func exprOf(x replay.Firing, outcomes []replay.Outcome) string {
	for _, o := range outcomes {
		if o.Rule.Alert == x.Alert && slices.ContainsFunc(o.Firings, func(own replay.Firing) bool {
			return own.Fired.Equal(x.Fired) && covers(x.Labels, own.Labels)
		}) {
			return o.Rule.Expr
		}
	}
	return ""
}

// covers says whether l has all that part has; external labels come on top.
func covers(l, part page.Labels) bool {
	for name, value := range part {
		if l[name] != value {
			return false
		}
	}
	return true
}

// policies are the names of those that match, of the receiver's own.
func (f *foreseer) policies(v page.Page) []string {
	out := []string{}
	for _, r := range f.plan.Receivers {
		if r.Name != v.Receiver {
			continue
		}
		for _, name := range r.Remediate {
			if p := f.plan.policyOf(name); p != nil && p.Filled().Matches(v) {
				out = append(out, name)
			}
		}
	}
	return out
}
