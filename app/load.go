package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/webhook"
)

// plan is a config that was read whole: every section has found its kind and
// was decoded. Nothing is built yet and no secret was read.
type plan struct {
	*Config
	root     config.Section
	sources  []sourcePlan
	targets  map[string][]targetPlan // by receiver
	last     []targetPlan
	spare    []targetPlan // of fallbacks
	backends []backendPlan
	policies []*remediate.Policy
	perApp   *apps.File          // what layers set; nil: nothing
	byApp    *remediate.Apps     // the policies as they have them
	chains   map[string][]string // who stands in for a target, by their names: kind/name
}

type sourcePlan struct {
	at   string
	part Part
	kind enrich.Kind
	cfg  any
}

type targetPlan struct {
	at   string
	part Part
	kind notify.Kind
	cfg  any
}

// name is how the target is called in receipts, logs and metrics.
func (t targetPlan) name() string { return t.kind.Name + "/" + t.part.Name }

// load reads a config file. All mistakes come back together, with their lines.
func load(path string) (*plan, error) {
	root, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	p := &plan{Config: DefaultConfig(), root: root, targets: map[string][]targetPlan{}, chains: map[string][]string{}}
	errs := []error{root.Decode(p.Config)}
	for i := range p.Alertmanagers {
		p.Alertmanagers[i].Watchdog.withDefaults()
	}
	for i, part := range p.Sources {
		s, err := planSource(index("sources", i), part)
		p.sources = append(p.sources, s)
		errs = append(errs, err)
	}
	kinds := Notifiers() // once: targets may share what their kind holds
	for i, r := range p.Receivers {
		for j, part := range r.Notify {
			t, err := planTarget(kinds, index(index("receivers", i)+".notify", j), part.Part)
			p.targets[r.Name] = append(p.targets[r.Name], t)
			errs = append(errs, err)
		}
	}
	if p.LastResort != nil {
		t, err := planTarget(kinds, "last_resort", *p.LastResort)
		p.last = append(p.last, t)
		errs = append(errs, err)
	}
	for i, part := range p.Fallbacks {
		t, err := planTarget(kinds, index("fallbacks", i), part)
		p.spare = append(p.spare, t)
		errs = append(errs, err)
	}
	errs = append(errs, p.planRemediation(filepath.Dir(path)))
	errs = append(errs, p.oneStore())
	errs = append(errs, p.sameTargets(), p.planChains())
	errs = append(errs, p.doorkeeper())
	errs = append(errs, p.reachable())
	return p, root.Mistakes(errors.Join(errs...))
}

// index is the path of an item of a list.
func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func planSource(at string, part Part) (sourcePlan, error) {
	var names []string
	for _, k := range Sources() {
		if k.Name == part.Kind {
			cfg := k.Config()
			return sourcePlan{at, part, k, cfg}, decodeWith(at, part, cfg)
		}
		names = append(names, k.Name)
	}
	return sourcePlan{}, unknownKind(at, part.Kind, names)
}

func planTarget(kinds []notify.Kind, at string, part Part) (targetPlan, error) {
	var names []string
	for _, k := range kinds {
		if k.Name == part.Kind {
			cfg := k.Config()
			return targetPlan{at, part, k, cfg}, decodeWith(at, part, cfg)
		}
		names = append(names, k.Name)
	}
	return targetPlan{}, unknownKind(at, part.Kind, names)
}

// decodeWith reads the kind's own section. What one that is missing lacks is
// said where it should stand.
func decodeWith(at string, part Part, cfg any) error {
	err := part.With.Decode(cfg)
	if err == nil || part.With.Line() > 0 {
		return err
	}
	var errs []error
	for _, f := range mistakes(err) {
		errs = append(errs, config.Bad(at+".with", "%s", f.Error))
	}
	return errors.Join(errs...)
}

func unknownKind(at, kind string, known []string) error {
	if best := config.Nearest(kind, known); best != "" {
		return config.Bad(at+".kind", "no kind is called %q; write %q", kind, best)
	}
	return config.Bad(at+".kind", "no kind is called %q; write one of: %s", kind, strings.Join(known, ", "))
}

// sameTargets refuses one name for two targets: their receipts would be one.
func (p *plan) sameTargets() error {
	var errs []error
	first := map[string]targetPlan{}
	for _, t := range p.all() {
		if t.kind.Name == "" {
			continue
		}
		if f, ok := first[t.name()]; ok && !reflect.DeepEqual(f.cfg, t.cfg) {
			errs = append(errs, config.Bad(t.at+".name", "%s is another target at %s: give one of them another name", t.name(), f.at))
		}
		first[t.name()] = t
	}
	return errors.Join(errs...)
}

// reachable refuses listeners that let strangers in.
func (p *plan) reachable() error {
	authenticated := true
	for _, am := range p.Alertmanagers {
		authenticated = authenticated && len(am.InboundTokenFiles)+len(am.InboundUsers)+len(am.InboundCerts) > 0
	}
	var errs []error
	if err := webhook.NeedsAuth(p.Listen, authenticated, p.AllowUnauthenticated); err != nil {
		errs = append(errs, config.Bad("listen", "%v", err))
	}
	if err := webhook.NeedsAuth(p.Operators.Listen, len(p.Operators.Tokens) > 0, false); err != nil {
		errs = append(errs, config.Bad("operators.listen", "write operators.tokens, or listen on 127.0.0.1: %s is open to others", p.Operators.Listen))
	}
	if !authenticated && len(p.Alertmanagers) > 1 {
		errs = append(errs, config.Bad("alertmanagers", "with more than one cluster each needs inbound_token_files (or inbound_users, inbound_certs): they are told apart by their credentials"))
	}
	return errors.Join(errs...)
}

// lent is what the house lends to its kinds.
type lent struct {
	transport http.RoundTripper
	log       *slog.Logger
	now       func() time.Time
	publicURL string // of the config that is built
	requests  *remediate.Requests
}

// redacted lists the labels whose values never leave Tocsin.
func (p *plan) redacted() []string {
	var out []string
	for _, role := range p.Traits.Redact {
		out = append(out, p.Traits.Roles[role]...)
	}
	return out
}
