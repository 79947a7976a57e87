package layers

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Group is what becomes of a template: a rule group in a file of its own.
type Group struct {
	Name     string // of the template
	Template string // its file, as seen from the folder of the tree
	Interval string // as are the next three, as the template writes it; "" where it does not

	QueryOffset, Limit, PartialResponse string

	Rules []Rule
}

// Rule is a rule for all apps with the same parameters.
type Rule struct {
	ID            string // by which layers call it
	Alert, Record string // one of them
	Expr          string
	For           string
	KeepFiringFor string
	Labels        map[string]string
	Annotations   map[string]string

	Apps    []string // of the inventory, sorted
	Unknown bool     // and apps that are not in it
	PerApp  bool     // false: it has no matchers
	Origins []Origin // of its fields
	Line    int      // of the template, where it begins

	body *body
	said map[string]string // its fields as they are written, parameters by their values
}

// class are the apps for which a rule says the same.
type class struct {
	body    *body // nil: it is off
	apps    []string
	of      []*resolved // of each app
	unknown *resolved   // of apps that are not in the inventory, nil: it is not for them
}

// Compile turns the tree into rules, one per class of apps. The result is
// proved by Prove.
func (t *Tree) Compile() ([]Group, error) {
	t.found = mistakes{}
	chains := t.chains()
	var out []Group
	for _, tm := range t.templates {
		out = append(out, t.compile(tm, chains))
	}
	if _, err := t.PerApp(); err != nil {
		return nil, err
	}
	if err := t.found.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (t *Tree) compile(tm *template, chains [][]*layer) Group {
	g := Group{
		Name: tm.name, Template: tm.file, Interval: tm.group["interval"], QueryOffset: tm.group["query_offset"],
		Limit: tm.group["limit"], PartialResponse: tm.group["partial_response_strategy"],
	}
	res := &resolver{t, tm, map[string]*resolved{}}
	ren := newRenderer(t, tm)
	classes := make([]map[string]*class, len(tm.rules))
	for i := range classes {
		classes[i] = map[string]*class{}
	}
	if tm.perApp {
		for a, chain := range chains {
			r := res.resolve(chain)
			for i, b := range ren.render(r, t.Apps[a].Name) {
				c := classOf(classes[i], b)
				c.apps, c.of = append(c.apps, t.Apps[a].Name), append(c.of, r)
			}
		}
	}
	global := res.resolve(t.chain(nil))
	for i, h := range tm.rules {
		t.adopt(tm, classes[i], global, ren, i)
		for _, c := range sortedClasses(classes[i]) {
			g.Rules = append(g.Rules, t.emit(tm, h, c)...)
		}
	}
	return g
}

func classOf(known map[string]*class, b *body) *class {
	key := ""
	if b != nil {
		key = b.key
	}
	c := known[key]
	if c == nil {
		c = &class{body: b}
		known[key] = c
	}
	return c
}

// adopt decides whose rule apps get that are not in the inventory.
func (t *Tree) adopt(tm *template, known map[string]*class, global *resolved, ren *renderer, i int) {
	switch {
	case !tm.perApp:
		classOf(known, ren.render(global, "(all)")[i]).unknown = global
	case t.Settings.Unknown == UnknownGlobal:
		classOf(known, ren.render(global, "")[i]).unknown = global
	case t.Settings.Unknown == UnknownLargest:
		all := slices.SortedFunc(maps.Values(known), func(a, b *class) int {
			return cmp.Or(len(b.apps)-len(a.apps), strings.Compare(a.apps[0], b.apps[0]))
		})
		all[0].unknown = all[0].of[0]
	}
}

// sortedClasses are those that are on: the one for unknown apps first, then by size.
func sortedClasses(known map[string]*class) []*class {
	var out []*class
	for _, c := range known {
		if c.body != nil {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *class) int {
		switch {
		case a.unknown != nil:
			return -1
		case b.unknown != nil:
			return 1
		}
		return cmp.Or(len(b.apps)-len(a.apps), strings.Compare(a.apps[0], b.apps[0]))
	})
	return out
}

// emit writes the rules of a class: one, or several where its matchers would
// become too long.
func (t *Tree) emit(tm *template, h *ruleHead, c *class) []Rule {
	whole := func(apps []string, of []*resolved, unknown *resolved, m *labels.Matcher) Rule {
		r := Rule{
			ID: h.id, Expr: c.body.expr, For: c.body.wait, KeepFiringFor: c.body.keep, Labels: c.body.labels,
			Annotations: c.body.annotations, Apps: apps, Unknown: unknown != nil, PerApp: tm.perApp, Line: h.line, body: c.body,
		}
		if h.alert {
			r.Alert = h.name
		} else {
			r.Record = h.name
		}
		if m != nil {
			e, _ := parsePromQL(r.Expr) // it was parsed and printed by the renderer
			inject(e, tm.shared, m)
			r.Expr = e.String()
		}
		if unknown != nil {
			of = append(slices.Clip(of), unknown)
		}
		r.Origins = origins(tm, h, c.body, of, len(apps))
		r.said = said(tm, h, c.body, of[0])
		t.link(tm, &r, of)
		return r
	}
	if !tm.perApp {
		return []Rule{whole(nil, nil, c.unknown, nil)}
	}
	room := t.room(tm, c.body)
	var out []Rule
	apps, of := c.apps, c.of
	if c.unknown != nil {
		others := t.without(c.apps)
		switch {
		case len(others) == 0:
			return []Rule{whole(apps, of, c.unknown, nil)}
		case length(others) <= room:
			return []Rule{whole(apps, of, c.unknown, t.matcher(labels.MatchNotRegexp, others))}
		}
		// too long: the known apps are named, and the rest is what is not known at all
		all := t.without(nil)
		out = append(out, whole(nil, nil, c.unknown, t.matcher(labels.MatchNotRegexp, all)))
	}
	for len(apps) > 0 {
		n := fit(apps, room)
		out = append(out, whole(apps[:n], of[:n], nil, t.matcher(labels.MatchRegexp, apps[:n])))
		apps, of = apps[n:], of[n:]
	}
	return out
}

// room is how many bytes the names in one matcher may take.
func (t *Tree) room(tm *template, b *body) int {
	e, _ := parsePromQL(b.expr) // it was parsed and printed by the renderer
	n := max(1, selectors(e, tm.shared))
	return (t.Settings.ExprBytes-len(b.expr))/n - len(t.Settings.AppLabel) - len(`,=~"",`)
}

// length is how many bytes the names take in a matcher.
func length(apps []string) int {
	n := 0
	for _, a := range apps {
		n += len(strconv.Quote(regexp.QuoteMeta(a))) - len(`""`) + len("|")
	}
	return n
}

// fit is how many of the apps one matcher takes; at least one.
func fit(apps []string, room int) int {
	n, used := 1, length(apps[:1])
	for n < len(apps) {
		if used += length(apps[n : n+1]); used > room {
			break
		}
		n++
	}
	return n
}

// without are the apps of the inventory but those.
func (t *Tree) without(apps []string) []string {
	var out []string
	for _, a := range t.Apps {
		if _, found := slices.BinarySearch(apps, a.Name); !found {
			out = append(out, a.Name)
		}
	}
	return out
}

// matcher is one that takes the apps, or all but them.
func (t *Tree) matcher(kind labels.MatchType, apps []string) *labels.Matcher {
	if len(apps) == 1 {
		plain := labels.MatchEqual
		if kind == labels.MatchNotRegexp {
			plain = labels.MatchNotEqual
		}
		return &labels.Matcher{Type: plain, Name: t.Settings.AppLabel, Value: apps[0]}
	}
	escaped := make([]string, len(apps))
	for i, a := range apps {
		escaped[i] = regexp.QuoteMeta(a)
	}
	// not compiled: it is only printed
	return &labels.Matcher{Type: kind, Name: t.Settings.AppLabel, Value: strings.Join(escaped, "|")}
}
