package app

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Remediation is what machines may do, and whom they ask first.
type Remediation struct {
	Policies []string                 `yaml:"policies" doc:"Files of policies, or patterns of their names; relative ones are taken from the config file's folder. Receivers name the policies under remediate."`
	Backends []Part                   `yaml:"backends" doc:"Who starts playbooks. A policy's step names one as kind/name."`
	Sources  []GuardSource            `yaml:"sources" doc:"Who answers the questions of guards and verifications: servers with Prometheus' API. A policy that names none asks the first."`
	Zabbix   []remediate.ZabbixConfig `yaml:"zabbix" doc:"Zabbix servers whose maintenances guards heed."`
	KillFile string                   `yaml:"kill_file" doc:"While this file exists nothing is started. Empty: only the switches of tocsin remediation freeze stop everything."`
	ClaimURL string                   `yaml:"claim_url" doc:"Address at which playbooks reach the webhook's listener: https://tocsin-hooks.example.org. Steps with claim: true need it."`
}

// Validate says what is wrong with r by itself.
func (r *Remediation) Validate() error {
	var errs []error
	errs = append(errs, uniqueParts("backends", r.Backends)...)
	names := map[string]bool{}
	for i, s := range r.Sources {
		if s.Name == "" || names[s.Name] {
			errs = append(errs, config.Bad(index("sources", i)+".name", "give it a name of its own"))
		}
		names[s.Name] = true
		errs = append(errs, config.Under(index("sources", i), s.validate()))
	}
	for i := range r.Zabbix {
		errs = append(errs, config.Under(index("zabbix", i), r.Zabbix[i].Validate()))
	}
	if r.ClaimURL != "" && !webURL(r.ClaimURL) {
		errs = append(errs, config.Bad("claim_url", "write it as https://tocsin-hooks.example.org"))
	}
	return errors.Join(errs...)
}

type backendPlan struct {
	at   string
	part Part
	kind remediate.Kind
	cfg  any
}

func (b backendPlan) name() string { return b.kind.Name + "/" + b.part.Name }

// planRemediation reads the policies and finds what they name.
func (p *plan) planRemediation(folder string) error {
	var errs []error
	known := map[string]bool{}
	for i, part := range p.Remediation.Backends {
		b, err := planBackend(index("remediation.backends", i), part)
		errs = append(errs, err)
		p.backends = append(p.backends, b)
		known[b.name()] = true
	}
	var files []string
	for _, f := range p.Remediation.Policies {
		files = append(files, beside(folder, f))
	}
	if len(files) > 0 {
		policies, err := remediate.LoadPolicies(files...)
		errs = append(errs, err)
		p.policies = policies
	}
	readable := errors.Join(errs...) == nil // else the policy may be among those with a mistake
	for i, r := range p.Receivers {
		for j, name := range r.Remediate {
			if p.policyOf(name) == nil && readable {
				errs = append(errs, config.Bad(index(index("receivers", i)+".remediate", j), "no policy is called %q; write the name of one of remediation.policies", name))
			}
		}
	}
	if readable {
		errs = append(errs, p.planApps(folder))
	}
	errs = append(errs, p.unmet(known))
	if p.Remediation.KillFile != "" {
		p.Remediation.KillFile = beside(folder, p.Remediation.KillFile)
	}
	return errors.Join(errs...)
}

// unmet says what policies name that is not there.
func (p *plan) unmet(backends map[string]bool) error {
	have := remediate.Configured{Backends: slices.Sorted(maps.Keys(backends)), Roles: p.roles()}
	for _, s := range p.Remediation.Sources {
		have.Sources = append(have.Sources, s.Name)
	}
	for _, z := range p.Remediation.Zabbix {
		have.Zabbix = append(have.Zabbix, z.Name)
	}
	var errs []error
	for _, pol := range p.policies {
		for _, why := range pol.Unmet(have) {
			errs = append(errs, config.Bad("remediation.policies", "policy %s (%s) is not ready: %s", pol.Name, pol.Place, why))
		}
		claims := slices.ContainsFunc(pol.Steps, func(s remediate.Step) bool { return s.Claim })
		if claims && p.Remediation.ClaimURL == "" {
			errs = append(errs, config.Bad("remediation.claim_url", "policy %s (%s) is not ready: a step claims, so write where playbooks reach the webhook's listener", pol.Name, pol.Place))
		}
	}
	return errors.Join(append(errs, p.unmetByApp(have))...)
}

// beside is a path as seen from the config file's folder.
func beside(folder, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

func planBackend(at string, part Part) (backendPlan, error) {
	var names []string
	for _, k := range Backends() {
		if k.Name == part.Kind {
			cfg := k.Config()
			return backendPlan{at, part, k, cfg}, decodeWith(at, part, cfg)
		}
		names = append(names, k.Name)
	}
	return backendPlan{}, unknownKind(at, part.Kind, names)
}

func (p *plan) policyOf(name string) *remediate.Policy {
	at := slices.IndexFunc(p.policies, func(o *remediate.Policy) bool { return o.Name == name })
	if at < 0 {
		return nil
	}
	return p.policies[at]
}

// acts reports whether any receiver has a policy.
func (p *plan) acts() bool {
	return slices.ContainsFunc(p.Receivers, func(r Receiver) bool { return len(r.Remediate) > 0 })
}

// remedies are the parts of the room that acts.
type remedies struct {
	backends map[string]remediate.Backend
	policies map[string][]*remediate.Policy // by receiver
	watched  map[string]bool
	world    remediate.World
}

// buildRemedies makes them; nil where no receiver has a policy.
func (p *plan) buildRemedies(b *parts, l lent) (*remedies, error) {
	if !p.acts() && len(p.backends) == 0 {
		return nil, nil
	}
	r := &remedies{backends: map[string]remediate.Backend{}, policies: map[string][]*remediate.Policy{}, watched: map[string]bool{}}
	var errs []error
	for _, plan := range p.backends {
		made, err := plan.kind.New(plan.cfg, remediate.Deps{
			Name: plan.part.Name, Transport: remediate.Fenced(l.transport), Now: l.now, Log: l.log.With("backend", plan.name()), Requests: l.requests,
		})
		errs = append(errs, config.Under(plan.at+".with", err))
		r.backends[plan.name()] = made
	}
	for _, rec := range p.Receivers {
		for _, name := range rec.Remediate {
			r.policies[rec.Name] = append(r.policies[rec.Name], p.policyOf(name))
		}
		r.watched[rec.Name] = rec.Shadow
	}
	sources := remediate.Prometheus{Clients: map[string]*prometheus.Client{}}
	for i, s := range p.Remediation.Sources {
		c, err := s.client(l.transport)
		errs = append(errs, config.Under(index("remediation.sources", i), err))
		sources.Clients[s.Name] = c
		if i == 0 {
			sources.First = s.Name
		}
	}
	r.world = remediate.World{KillFile: p.Remediation.KillFile, Alertmanager: remediate.Alertmanagers(b.asker), Zabbix: map[string]remediate.Maintenance{}}
	if len(sources.Clients) > 0 {
		r.world.Sources = sources
	}
	for i, z := range p.Remediation.Zabbix {
		made, err := remediate.NewZabbix(z, l.transport)
		errs = append(errs, config.Under(index("remediation.zabbix", i), err))
		r.world.Zabbix[z.Name] = made
	}
	return r, errors.Join(errs...)
}

// workers is how many dispatches are worked on at once.
const remedyWorkers = 8

// engine makes the room that acts of a generation; nil where nothing acts.
func (h *house) engine(b *parts) *remediate.Engine {
	if b.remedies == nil {
		return nil
	}
	r := b.remedies
	return &remediate.Engine{
		Store: h.store, Policies: r.policies, Apps: b.plan.byApp, Watched: r.watched, Backends: r.backends,
		Judge: remediate.NewRules(r.world, h.lent.now), Log: h.options.Log, Now: h.lent.now, Metrics: h.metrics.remediate,
		Frozen: killFile(r.world.KillFile), PageURL: b.plan.pageURL(), ClaimURL: strings.TrimRight(b.plan.Remediation.ClaimURL, "/"),
		Workers: remedyWorkers,
	}
}

// inbox is what the pipeline hands work to; nil where nothing acts.
func (r *remedies) inbox() *remediate.Inbox {
	box := &remediate.Inbox{Receivers: map[string]bool{}}
	for name := range r.policies {
		box.Receivers[name] = true
	}
	return box
}

// killFile is the switch outside of the store. What cannot be looked for is taken
// to be there.
func killFile(path string) func() (remediate.Switch, bool) {
	if path == "" {
		return nil
	}
	return func() (remediate.Switch, bool) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return remediate.Switch{}, false
		case err != nil:
			return remediate.Switch{By: "the kill file", Why: notify.Clean(err.Error(), 200), At: time.Time{}}, true
		}
		return remediate.Switch{By: "the kill file", Why: path + " is there", At: info.ModTime()}, true
	}
}
