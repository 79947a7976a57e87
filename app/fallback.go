package app

import (
	"errors"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
)

// all are the targets of the whole file.
func (p *plan) all() []targetPlan {
	all := slices.Concat(p.last, p.spare)
	for _, r := range p.Receivers {
		all = append(all, p.targets[r.Name]...)
	}
	return all
}

// planChains finds who stands in for whom. One target has one chain, in however
// many receivers it stands; and nobody waits in fallbacks in vain.
func (p *plan) planChains() error {
	var errs []error
	needed := map[string]bool{}
	for i, r := range p.Receivers {
		for j, part := range r.Notify {
			t := p.targets[r.Name][j]
			at := index(index("receivers", i)+".notify", j) + ".fallback"
			chain, err := p.chain(at, t, part.Fallback)
			errs = append(errs, err)
			if first, twice := p.chains[t.name()]; twice && !slices.Equal(first, chain) {
				errs = append(errs, config.Bad(at, "%s has another fallback where it stands first: write the same for both", t.name()))
			}
			p.chains[t.name()] = chain
			for _, name := range chain {
				needed[name] = true
			}
		}
	}
	for _, t := range p.spare {
		if t.kind.Name != "" && !needed[t.name()] {
			errs = append(errs, config.Bad(t.at+".name", "no target names %s as its fallback: nobody would ever be told by it", t.part.Name))
		}
	}
	return errors.Join(errs...)
}

// chain finds the targets that stand in for t by their names.
func (p *plan) chain(at string, t targetPlan, names []string) ([]string, error) {
	var chain []string
	var errs []error
	for i, name := range names {
		var found, known []string
		for _, o := range p.all() {
			if o.kind.Name == "" {
				continue // told of already
			}
			known = append(known, o.part.Name)
			if (o.part.Name == name || o.name() == name) && !slices.Contains(found, o.name()) {
				found = append(found, o.name())
			}
		}
		here := index(at, i)
		switch {
		case len(found) > 1:
			errs = append(errs, config.Bad(here, "%q may be any of %s: write one of them", name, strings.Join(found, ", ")))
		case len(found) == 0 && config.Nearest(name, known) != "":
			errs = append(errs, config.Bad(here, "no target is called %q; write %q", name, config.Nearest(name, known)))
		case len(found) == 0:
			errs = append(errs, config.Bad(here, "no target is called %q: add it to fallbacks", name))
		case found[0] == t.name():
			errs = append(errs, config.Bad(here, "%s cannot stand in for itself", name))
		default:
			chain = append(chain, found[0])
		}
	}
	return chain, errors.Join(errs...)
}

// fallbacks are the chains with the targets that were made of them.
func (p *plan) fallbacks(made map[string]notify.Target) map[string][]notify.Target {
	out := map[string][]notify.Target{}
	for name, chain := range p.chains {
		for _, o := range chain {
			out[name] = append(out[name], made[o])
		}
	}
	return out
}
