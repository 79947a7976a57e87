package layers

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Change is what becomes of a rule, or of what layers set beside rules, for all
// apps for which it becomes the same.
type Change struct {
	Rule    string   `json:"rule"`
	What    string   `json:"what"` // added, removed, changed
	Apps    []string `json:"apps,omitempty"`
	Unknown bool     `json:"unknown,omitempty"` // and apps that are in no inventory
	Fields  []Edit   `json:"fields,omitempty"`
}

// Edit is one field of a change; From or To is empty where it was not set, or is not.
type Edit struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	At    string `json:"at,omitempty"` // file:line of what it is now
}

// Side is a tree and what it was compiled to.
type Side struct {
	Tree   *Tree
	Groups []Group
}

// Diff compares two compiled trees app by app: which rules are no longer what
// they were, for whom, and in which fields. Where a line stands is no change.
func Diff(before, after Side) []Change {
	was, is := index(before), index(after)
	var out []Change
	for _, id := range union(was.rules, is.rules) {
		out = append(out, compareRule(id, was, is)...)
	}
	for _, name := range union(was.groups, is.groups) {
		a, b := was.groups[name], is.groups[name]
		if a == nil || b == nil {
			continue // its rules say it
		}
		c := Change{Rule: "group " + name, What: "changed"}
		for _, f := range []struct{ field, from, to string }{
			{"interval", a.Interval, b.Interval},
			{"query_offset", a.QueryOffset, b.QueryOffset},
			{"limit", a.Limit, b.Limit},
			{"partial_response_strategy", a.PartialResponse, b.PartialResponse},
		} {
			if f.from != f.to {
				c.Fields = append(c.Fields, Edit{Field: f.field, From: f.from, To: f.to, At: b.Template})
			}
		}
		if len(c.Fields) > 0 {
			out = append(out, c)
		}
	}
	return append(out, diffBesides(before.Tree, after.Tree)...)
}

// indexed finds a rule by its id and an app.
type indexed struct {
	apps    map[string]bool
	rules   map[string]map[string]*Rule // by id, then by app
	unknown map[string]*Rule
	groups  map[string]*Group
}

// of is the rule that an app has: one that is in no inventory has that of unknown ones.
func (x indexed) of(id, app string) *Rule {
	if !x.apps[app] {
		return x.unknown[id]
	}
	return x.rules[id][app]
}

// everybody stands for the apps of a rule that is not per app.
const everybody = "*"

func index(side Side) indexed {
	x := indexed{map[string]bool{}, map[string]map[string]*Rule{}, map[string]*Rule{}, map[string]*Group{}}
	for _, a := range side.Tree.Apps {
		x.apps[a.Name] = true
	}
	groups := side.Groups
	for i := range groups {
		x.groups[groups[i].Name] = &groups[i]
		for j := range groups[i].Rules {
			r := &groups[i].Rules[j]
			if x.rules[r.ID] == nil {
				x.rules[r.ID] = map[string]*Rule{}
			}
			for _, a := range r.Apps {
				x.rules[r.ID][a] = r
			}
			switch {
			case !r.PerApp:
				x.rules[r.ID][everybody] = r
			case r.Unknown:
				x.unknown[r.ID] = r
			}
		}
	}
	return x
}

func union[V any](a, b map[string]V) []string {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// compareRule gathers the apps of a rule by what becomes of it.
func compareRule(id string, was, is indexed) []Change {
	type pair struct{ a, b *body }
	found := map[pair]*Change{}
	var order []pair
	see := func(a, b *Rule, app string) {
		if a == nil && b == nil || a != nil && b != nil && a.body.key == b.body.key && a.name() == b.name() {
			return
		}
		var p pair
		if a != nil {
			p.a = a.body
		}
		if b != nil {
			p.b = b.body
		}
		c := found[p]
		if c == nil {
			c = edits(id, a, b)
			found[p], order = c, append(order, p)
		}
		switch app {
		case "":
			c.Unknown = true
		case everybody:
		default:
			c.Apps = append(c.Apps, app)
		}
	}
	for _, app := range union(was.apps, is.apps) {
		see(was.of(id, app), is.of(id, app), app)
	}
	see(was.rules[id][everybody], is.rules[id][everybody], everybody)
	see(was.unknown[id], is.unknown[id], "")
	out := make([]Change, 0, len(order))
	for _, p := range order {
		out = append(out, *found[p])
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Or(len(b.Apps)-len(a.Apps), strings.Compare(a.What, b.What)) })
	return out
}

// name is what the rule makes: the alert or the recorded series.
func (r *Rule) name() string { return r.Alert + "\x00" + r.Record }

// edits lists the fields in which two rules differ: as they are written, else
// as they are filled.
func edits(id string, a, b *Rule) *Change {
	switch {
	case a == nil:
		return &Change{Rule: id, What: "added"}
	case b == nil:
		return &Change{Rule: id, What: "removed"}
	}
	c := &Change{Rule: id, What: "changed"}
	for _, f := range union(a.said, b.said) {
		if a.said[f] != b.said[f] {
			c.Fields = append(c.Fields, Edit{Field: f, From: a.said[f], To: b.said[f], At: b.setAt(f)})
		}
	}
	if len(c.Fields) == 0 {
		c.Fields = []Edit{{Field: partExpr, From: a.body.expr, To: b.body.expr, At: b.setAt(partExpr)}}
	}
	return c
}

// setAt is where most apps of the rule have a field from, "" if it is not set.
func (r *Rule) setAt(field string) string {
	for _, o := range r.Origins {
		if o.Field == field {
			return o.From[0].Place()
		}
	}
	return ""
}

// WriteChanges writes changes for people.
func WriteChanges(w io.Writer, changes []Change) error {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s%s\n", c.What, c.Rule, c.whom())
		for _, e := range c.Fields {
			from, to := oneLine(e.From), oneLine(e.To)
			if from == "" {
				from = "(not set)"
			}
			if to == "" {
				to = "(not set)"
			}
			fmt.Fprintf(&b, "  %s: %s → %s", e.Field, from, to)
			if e.At != "" {
				fmt.Fprintf(&b, "  (%s)", e.At)
			}
			b.WriteString("\n")
		}
	}
	if len(changes) == 0 {
		b.WriteString("no rule changes\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// whom names the apps of a change.
func (c Change) whom() string {
	const named = 5
	var words []string
	switch n := len(c.Apps); {
	case n > named:
		words = append(words, fmt.Sprintf("%d apps: %s …", n, strings.Join(c.Apps[:named], ", ")))
	case n > 0:
		words = append(words, fmt.Sprintf("%s: %s", plural(n, "app"), strings.Join(c.Apps, ", ")))
	}
	if c.Unknown {
		words = append(words, "apps that are not in apps.yaml")
	}
	if len(words) == 0 {
		return ""
	}
	return ", " + strings.Join(words, "; and ")
}
