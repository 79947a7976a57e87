package remediate

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tocsin/tocsin/page"
)

// MaxTargets is how many targets one page can have. What is beyond is refused:
// so many at once are no work for a machine.
const MaxTargets = 100

// Refusal is a value that names no target, and why. The value is untrusted.
type Refusal struct {
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

// Unfit says why no policy acts on a page at all, "" if one may.
func Unfit(pg page.Page) string {
	switch {
	case pg.State != page.Open:
		return "it is over"
	case pg.Self:
		return "it is an alarm of Tocsin about itself"
	case pg.Test:
		return "it is a test"
	case pg.Storm != nil || pg.Folded != "":
		return "it is a storm: so much at once is doubted, not mended"
	}
	return ""
}

// Matches reports whether p is about the page: one alert that fires matches.
func (p *Policy) Matches(pg page.Page) bool {
	match, err := compile(p.Match)
	return err == nil && Unfit(pg) == "" && slices.ContainsFunc(pg.Alerts, match.holds)
}

// Targets finds what p would act on for a page, by ascending name: one target
// for each distinct value among the firing alerts that match, at most MaxTargets.
// A value that is not a name of exactly one thing is refused, whatever the
// policy's pattern lets through.
func (p *Policy) Targets(pg page.Page) ([]Target, []Refusal) {
	hits, refused := p.find(pg)
	out := make([]Target, 0, min(len(hits), MaxTargets))
	for i, h := range hits {
		if i >= MaxTargets {
			refused = append(refused, Refusal{Value: h.Name, Reason: fmt.Sprintf("more than %d targets fail at once", MaxTargets)})
			continue
		}
		out = append(out, h.Target)
	}
	return out, refused
}

// AlertsOf returns the firing alerts of the page that are about the target, none
// if the page does not name it (any more).
func (p *Policy) AlertsOf(pg page.Page, t Target) []page.Alert {
	hits, _ := p.find(pg)
	for _, h := range hits {
		if h.Target == t {
			return h.alerts
		}
	}
	return nil
}

// hit is a target and the alerts that are about it.
type hit struct {
	Target
	alerts []page.Alert
	split  bool // its spellings do not agree
}

func (p *Policy) find(pg page.Page) ([]hit, []Refusal) {
	match, err := compile(p.Match)
	if err != nil {
		return nil, []Refusal{{Reason: err.Error()}}
	}
	name, err := p.Target.namer()
	if err != nil {
		return nil, []Refusal{{Reason: err.Error()}}
	}
	if Unfit(pg) != "" {
		return nil, nil
	}
	var alerts []page.Alert
	for _, a := range pg.Alerts {
		if match.holds(a) {
			alerts = append(alerts, a)
		}
	}
	if len(alerts) == 0 {
		return nil, nil
	}
	return p.Target.hits(p.Target.values(pg, alerts), name)
}

// hits makes targets of values. What two spellings say of one target must be the
// same, or neither counts.
func (r TargetRule) hits(byValue map[string][]page.Alert, name func(string) (Target, error)) ([]hit, []Refusal) {
	var refused []Refusal
	byID := map[string]*hit{}
	for _, value := range slices.Sorted(maps.Keys(byValue)) {
		t, err := name(value)
		if err != nil {
			refused = append(refused, Refusal{Value: value, Reason: err.Error()})
			continue
		}
		h := byID[t.ID()]
		if h == nil {
			h = &hit{Target: t}
			byID[t.ID()] = h
		}
		h.split = h.split || h.Target != t
		h.alerts = append(h.alerts, byValue[value]...)
	}
	var out []hit
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		h := byID[id]
		pool, err := r.pool(h.alerts)
		if h.split {
			err = errors.New("it is spelt in several ways")
		}
		if err != nil {
			refused = append(refused, Refusal{Value: h.Name, Reason: err.Error()})
			continue
		}
		h.Pool = pool
		out = append(out, *h)
	}
	return out, refused
}

// values are the alerts by what the rule's label says of them: each alert's own
// label, or the one value of the page's leading trait.
func (r TargetRule) values(pg page.Page, alerts []page.Alert) map[string][]page.Alert {
	out := map[string][]page.Alert{}
	if !r.Trait {
		for _, a := range alerts {
			out[a.Labels[r.Label]] = append(out[a.Labels[r.Label]], a)
		}
		return out
	}
	value, ok := r.leading(pg)
	if !ok {
		return nil
	}
	var inside []page.Alert
	for _, a := range alerts {
		// one that names another value is about something else
		if v, has := a.Labels[r.Label]; !has || v == value {
			inside = append(inside, a)
		}
	}
	if len(inside) > 0 {
		out[value] = inside
	}
	return out
}

// leading is what the page's first trait says of the label, if it says that
// alone, strongly, and nothing else explains as much.
func (r TargetRule) leading(pg page.Page) (string, bool) {
	if len(pg.Traits) == 0 {
		return "", false
	}
	t := pg.Traits[0]
	if t.Strength != "strong" || len(t.Labels) != 1 || len(t.Rival) > 0 {
		return "", false
	}
	if v, ok := t.Labels[r.Label]; ok {
		return v, true
	}
	for _, l := range t.Also {
		if l.Name == r.Label {
			return l.Value, true
		}
	}
	return "", false
}

// pool names what a target is one of, by the label that all its alerts agree on.
func (r TargetRule) pool(alerts []page.Alert) (string, error) {
	if r.Pool.Label == "" {
		if r.Kind == HostTarget {
			return "", errors.New("the policy names no pool")
		}
		return string(r.Kind), nil
	}
	value, err := agreed(alerts, r.Pool.Label)
	if err != nil {
		return "", fmt.Errorf("pool: %w", err)
	}
	if err := plain(value); err != nil {
		return "", fmt.Errorf("pool: %w", err)
	}
	return value, nil
}

// agreed is the value all alerts have of a label.
func agreed(alerts []page.Alert, label string) (string, error) {
	if len(alerts) == 0 {
		return "", fmt.Errorf("no alert has label %s", label)
	}
	value := alerts[0].Labels[label]
	for _, a := range alerts {
		switch v := a.Labels[label]; {
		case v == "":
			return "", fmt.Errorf("an alert has no label %s", label)
		case v != value:
			return "", fmt.Errorf("the alerts do not agree on label %s", label)
		}
	}
	return value, nil
}
