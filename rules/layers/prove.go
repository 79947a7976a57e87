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
	asked := t.asked()
	chains := t.chains()
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
		res := &resolver{t, tm, map[string]*resolved{}}
		of := make([]*resolved, len(t.Apps))
		for i := range of {
			of[i] = res.resolve(chains[i])
		}
		for _, h := range tm.rules {
			c := t.claims(&m, tm, h.id, byID[h.id])
			for _, app := range asked {
				i, known := slices.BinarySearchFunc(t.Apps, app, func(a App, name string) int { return strings.Compare(a.Name, name) })
				wanted := 0
				if known && tm.perApp && of[i].on(tm, h.id) {
					wanted = 1
				}
				if n := c.taking(&m, app, known); known && n != wanted || n > 1 {
					m.add(fmt.Errorf("%s: %d rules are for app %q", h.id, n, app))
				}
			}
		}
	}
	return m.err()
}

// claim is what a rule says of itself, and what its matchers say.
type claim struct {
	rule    Rule
	matches []func(app string) bool // of each selector
}

// claims are those of all rules with one id.
type claims struct {
	id  string
	all []claim
}

func (t *Tree) claims(m *mistakes, tm *template, id string, rules []Rule) claims {
	out := claims{id: id}
	if !tm.perApp {
		if len(rules) > 1 {
			m.add(fmt.Errorf("%s is not per app and has %d rules", id, len(rules)))
		}
		return out
	}
	for _, r := range rules {
		e, err := parsePromQL(r.Expr)
		if err != nil {
			m.add(fmt.Errorf("%s: %w", id, err))
			continue
		}
		out.all = append(out.all, claim{r, t.selections(e, tm)})
	}
	return out
}

// taking counts the rules that are for an app, and holds their matchers to it.
func (c claims) taking(m *mistakes, app string, known bool) int {
	n := 0
	for _, one := range c.all {
		meant := !known && one.rule.Unknown
		if known {
			_, meant = slices.BinarySearch(one.rule.Apps, app)
		}
		for _, takes := range one.matches {
			if takes(app) != meant {
				m.add(fmt.Errorf("%s: the rule for %s: its matchers take app %q: %v", c.id, one.rule.whom(), app, !meant))
			}
		}
		if meant {
			n++
		}
	}
	return n
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
		var said []string
		for _, m := range s.LabelMatchers {
			if m.Name == t.Settings.AppLabel {
				own = append(own, m)
				said = append(said, m.String())
			}
		}
		key := strings.Join(said, ",")
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

// asked are all apps, and names that are none of them but look like some.
func (t *Tree) asked() []string {
	out := []string{"", "\x00", "no-such-app"}
	step := max(1, len(t.Apps)/lookalikes)
	for i, a := range t.Apps {
		out = append(out, a.Name)
		if i%step == 0 {
			out = append(out, a.Name+"0", a.Name[:len(a.Name)-1], "x"+a.Name)
		}
	}
	return out
}

// lookalikes bounds of how many apps the likes are asked about.
const lookalikes = 100
