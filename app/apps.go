package app

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remediate"
)

// Apps is what layers set for single apps.
type Apps struct {
	File string `yaml:"file" doc:"tocsin-apps.conf, which tocsin rules build writes where layers set policies or context (docs/layers.md); a relative one is taken from the config file's folder. Read at start and at each reload. Empty: all apps alike."`
}

// planApps reads what layers set, and validates each policy as they have it.
func (p *plan) planApps(folder string) error {
	if p.Apps.File == "" {
		return nil
	}
	f, err := apps.Read(beside(folder, p.Apps.File))
	if err != nil {
		return err
	}
	p.perApp = f
	if p.byApp, err = remediate.NewApps(f, p.policies); err != nil {
		return f.Mistakes(err)
	}
	return nil
}

// unmetByApp says what policies ask for, as layers have them, that is not there.
func (p *plan) unmetByApp(have remediate.Configured) error {
	var errs []error
	said := map[string]bool{}
	for pol := range p.byApp.Policies() {
		for _, why := range pol.Unmet(have) {
			text := fmt.Sprintf("policy %s, as %s has it, is not ready: %s", pol.Name, pol.Layered[0].At, why)
			if base := p.policyOf(pol.Name); !said[text] && !slices.Contains(base.Unmet(have), why) {
				errs = append(errs, config.Bad("apps.file", "%s", text))
			}
			said[text] = true
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return compareText(a, b) })
	return errors.Join(errs...)
}

func compareText(a, b error) int {
	if a.Error() < b.Error() {
		return -1
	}
	return 1
}

// deadline is when pages leave at the latest: of several apps, that of the one
// which waits the least.
func (p *plan) deadline() pipeline.Deadline {
	own := pipeline.Deadline{Critical: p.Deadline.Critical.D(), Other: p.Deadline.Other.D()}
	if p.perApp == nil {
		return own
	}
	class := p.perApp.Index()
	of := make([]pipeline.Deadline, len(p.perApp.Classes))
	for i, c := range p.perApp.Classes {
		of[i] = own
		for _, s := range c.Settings {
			d, err := model.ParseDuration(s.Value)
			switch {
			case s.Policy != "" || err != nil: // the file was read strictly
			case s.Field == "deadline.critical":
				of[i].Critical = time.Duration(d)
			case s.Field == "deadline.other":
				of[i].Other = time.Duration(d)
			}
		}
	}
	label := p.perApp.Label
	forApp := func(app string) pipeline.Deadline {
		if i := class(app); i >= 0 {
			return of[i]
		}
		return own
	}
	all := own
	all.Own = func(problem page.Problem) pipeline.Deadline {
		alerts := problem.Firing()
		if len(alerts) == 0 {
			return forApp("")
		}
		d := forApp(alerts[0].Labels[label])
		for _, a := range alerts[1:] {
			one := forApp(a.Labels[label])
			d = pipeline.Deadline{Critical: min(d.Critical, one.Critical), Other: min(d.Other, one.Other)}
		}
		return d
	}
	return all
}
