// Package expressions is the lab's catalogue of alert expressions: the shapes
// that public rule sets use, written for the metrics of fleet. Each says which
// faults make it fire, so that what its page says first can be judged.
package expressions

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/lab/scenario"
)

// Members is how many targets a service has that the thresholds are written for.
const Members = 36

// Expression is one alert rule of the catalogue.
type Expression struct {
	Name  string                   `yaml:"name"`  // the alert's
	On    []Signal                 `yaml:"on"`    // what makes it fire
	User  bool                     `yaml:"user"`  // its members have a label user
	Expr  string                   `yaml:"expr"`  // PromQL; with $service it is a rule for each service
	Brief bool                     `yaml:"brief"` // it is true, or can be explained in so young a world, only for a while: its alert is not held for longer than the others
	Rules []Recording              `yaml:"rules"` // recording rules it reads, in the order of their evaluation
	Blind map[scenario.Kind]string `yaml:"blind"` // faults for which it does not fire all the same, and why
}

// Recording is a recording rule.
type Recording struct {
	Record string            `yaml:"record"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// Signal is what is wrong where a fault strikes.
type Signal string

// The signals: all that a process can say is wrong, or it says nothing any more.
const (
	Sick Signal = "sick"
	Down Signal = "down"
)

//go:embed catalogue/*.yaml
var catalogue embed.FS

// All returns the catalogue, sorted by name.
func All() ([]Expression, error) {
	files, err := fs.Glob(catalogue, "catalogue/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []Expression
	for _, name := range files {
		f, err := catalogue.Open(name)
		if err != nil {
			return nil, err
		}
		d := yaml.NewDecoder(f)
		d.KnownFields(true)
		var list []Expression
		if err := d.Decode(&list); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, list...)
	}
	slices.SortFunc(out, func(a, b Expression) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Named returns the expressions of these names, all of them for none.
func Named(names ...string) ([]Expression, error) {
	all, err := All()
	if err != nil || len(names) == 0 {
		return all, err
	}
	var out []Expression
	for _, name := range names {
		i := slices.IndexFunc(all, func(e Expression) bool { return e.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("expression %q is not known: lab/expressions/catalogue has them all", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// Fires reports whether a fault of this kind, with all else wrong at its place,
// makes the expression fire.
func (e Expression) Fires(kind scenario.Kind) bool {
	signal := Sick
	if kind == scenario.TargetDown {
		signal = Down
	}
	_, blind := e.Blind[kind]
	return !blind && slices.Contains(e.On, signal) && (e.User || kind != scenario.NoisyUser)
}

// spread is over how many different times the alerts of one fault are held: so
// many pages come one after the other, not all at once.
const spread = 6

// Rules writes the file of rules that Prometheus reads: each expression a group
// of its own, evaluated at this interval, its alert held for a while, and some
// for up to ten intervals more.
func Rules(list []Expression, services []string, every, hold time.Duration) ([]byte, error) {
	type rule struct {
		Record string            `yaml:"record,omitempty"`
		Alert  string            `yaml:"alert,omitempty"`
		Expr   string            `yaml:"expr"`
		For    string            `yaml:"for,omitempty"`
		Labels map[string]string `yaml:"labels,omitempty"`
	}
	type group struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval"`
		Rules    []rule `yaml:"rules"`
	}
	var groups []group
	for i, e := range list {
		held := hold
		if !e.Brief {
			held += time.Duration(2*(i%spread)) * every
		}
		g := group{Name: e.Name, Interval: model.Duration(every).String()}
		for _, r := range e.Rules {
			g.Rules = append(g.Rules, rule{Record: r.Record, Expr: r.Expr, Labels: r.Labels})
		}
		own := func(expr string, labels map[string]string) {
			labels["severity"] = "critical"
			g.Rules = append(g.Rules, rule{Alert: e.Name, Expr: expr, For: model.Duration(held).String(), Labels: labels})
		}
		if !strings.Contains(e.Expr, "$service") {
			own(e.Expr, map[string]string{})
		} else {
			for _, s := range services {
				own(strings.ReplaceAll(e.Expr, "$service", s), map[string]string{"service": s})
			}
		}
		groups = append(groups, g)
	}
	return yaml.Marshal(map[string]any{"groups": groups})
}
