package layers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Prove holds compiled rules against the inventory without asking how they came
// about: it reads each rule's matchers from its expression and asks them about
// every app, and about names that are in no inventory. Each app that a rule is
// for must be matched by exactly one of its rules in all selectors, each other
// app by none. It returns the first errors it finds, nil if it is proved.
func (t *Tree) Prove(groups []Group) error {
	var m mistakes
	for _, g := range groups {
		byID := map[string][]Rule{}
		for _, r := range g.Rules {
			byID[r.ID] = append(byID[r.ID], r)
		}
		tm := t.template(g.Name)
		if tm == nil {
			m.add(fmt.Errorf("group %s comes from no template", g.Name))
			continue
		}
		for _, h := range tm.rules {
			t.prove(&m, tm, h.id, byID[h.id])
		}
	}
	return m.err()
}

// claim is what one rule says of itself, and what its matchers say.
type claim struct {
	rule    Rule
	matches []func(app string) bool // of each selector
}

func (t *Tree) prove(m *mistakes, tm *template, id string, rules []Rule) {
	if !tm.perApp {
		if len(rules) > 1 {
			m.add(fmt.Errorf("%s is not per app and has %d rules", id, len(rules)))
		}
		return
	}
	claims := make([]claim, len(rules))
	for i, r := range rules {
		claims[i] = claim{rule: r}
		e, err := parsePromQL(r.Expr)
		if err != nil {
			m.add(fmt.Errorf("%s: %w", id, err))
			return
		}
		claims[i].matches = t.selections(e, tm)
	}
	res := &resolver{t, tm, map[string]*resolved{}}
	for _, app := range t.asked() {
		i, known := slices.BinarySearchFunc(t.Apps, app, func(a App, name string) int { return strings.Compare(a.Name, name) })
		told := 0
		for _, c := range claims {
			meant := !known && c.rule.Unknown
			if known {
				_, meant = slices.BinarySearch(c.rule.Apps, app)
			}
			for _, f := range c.matches {
				if f(app) != meant {
					m.add(fmt.Errorf("%s: the rule for %d apps (%v …) takes app %q otherwise than it should: %v", id, len(c.rule.Apps), first(c.rule.Apps), app, !meant))
				}
			}
			if meant {
				told++
			}
		}
		if wanted := !known && told == 1 || known && res.resolve(t.chain(&t.Apps[i])).on(tm, id); told > 1 || wanted != (told == 1) {
			m.add(fmt.Errorf("%s: %d rules are for app %q", id, told, app))
		}
	}
}

// selections are the tests that each selector makes of an app's name.
func (t *Tree) selections(e parser.Expr, tm *template) []func(string) bool {
	var out []func(string) bool
	seen := map[string]bool{}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok || isShared(s, tm.shared) {
			return nil
		}
		var own []*labels.Matcher
		key := ""
		for _, m := range s.LabelMatchers {
			if m.Name == t.Settings.AppLabel {
				own = append(own, m)
				key += m.String() + ","
			}
		}
		if seen[key] {
			return nil
		}
		seen[key] = true
		out = append(out, func(app string) bool {
			return !slices.ContainsFunc(own, func(m *labels.Matcher) bool { return !m.Matches(app) })
		})
		return nil
	})
	return out
}

// asked are all apps, and names that are none of them but look alike.
func (t *Tree) asked() []string {
	out := []string{"", "\x00", "no-such-app"}
	for i, a := range t.Apps {
		out = append(out, a.Name)
		if i%97 == 0 {
			out = append(out, a.Name+"0", a.Name[:len(a.Name)-1], "x"+a.Name)
		}
	}
	return out
}

func first(apps []string) string {
	if len(apps) == 0 {
		return ""
	}
	return apps[0]
}
