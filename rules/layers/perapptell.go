package layers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// beside reports whether a name is that of something which layers set beside rules.
func beside(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	return first == partPolicies || first == partContext
}

// explainBeside is Explain for what is set beside rules: name is policies,
// policies.NAME or context, or a field of these; field one of its fields, "" all.
func (t *Tree) explainBeside(app *App, name, field string) (*Explanation, error) {
	if field != "" {
		name += "." + field
	}
	res := (&resolver{t, t.besides, map[string]*resolved{}}).resolve(t.chain(app))
	if err := t.found.err(); err != nil {
		return nil, err
	}
	e := &Explanation{App: app.Name, Rule: name, Enabled: true}
	var asked []string
	for _, p := range slices.SortedFunc(slices.Values(t.besides.paths), func(a, b Path) int { return strings.Compare(a.String(), b.String()) }) {
		f := Field{Field: p.String(), Settings: res.stack(t.besides, p), Locked: res.heldBy(t.besides, p)}
		if len(f.Settings) == 0 {
			continue
		}
		asked = append(asked, f.Field)
		if f.Field != name && !strings.HasPrefix(f.Field, name+".") {
			continue
		}
		if f.Value = f.Settings[0].Value; f.Settings[0].Deleted {
			f.Value = "as the config has it"
		}
		e.Fields = append(e.Fields, f)
	}
	switch {
	case len(e.Fields) > 0:
		return e, nil
	case len(asked) == 0:
		return nil, fmt.Errorf("no layer sets policies or context for %s: it is as the config has it", app.Name)
	}
	return nil, fmt.Errorf("nobody sets %q for %s: it is as the config has it; set are: %s", name, app.Name, strings.Join(asked, ", "))
}

// diffBesides compares what two trees set beside rules, app by app.
func diffBesides(before, after *Tree) []Change {
	was, is := before.besideOf(), after.besideOf()
	found := map[string]*Change{}
	see := func(app string) {
		a, b := was.of(app), is.of(app)
		for _, rule := range union(a, b) {
			c, key := editsBeside(rule, a[rule], b[rule])
			if c == nil {
				continue
			}
			if found[key] == nil {
				found[key] = c
			}
			if app == "" {
				found[key].Unknown = true
			} else {
				found[key].Apps = append(found[key].Apps, app)
			}
		}
	}
	for _, app := range union(was.apps, is.apps) {
		see(app)
	}
	see("")
	var out []Change
	for _, c := range found {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), len(b.Apps)-len(a.Apps), slices.Compare(a.Apps, b.Apps))
	})
	return out
}

// besideIndex finds what is set for an app: by policies.NAME or context, then by field.
type besideIndex struct {
	apps   map[string]map[string]map[string]*Setting
	others map[string]map[string]*Setting
}

func (x besideIndex) of(app string) map[string]map[string]*Setting {
	if found, known := x.apps[app]; known {
		return found
	}
	return x.others
}

func (t *Tree) besideOf() besideIndex {
	res := &resolver{t, t.besides, map[string]*resolved{}}
	of := func(r *resolved) map[string]map[string]*Setting {
		out := map[string]map[string]*Setting{}
		for i, p := range t.besides.paths {
			if s := r.winners[i]; s != nil && !s.Deleted {
				if out[p.Rule] == nil {
					out[p.Rule] = map[string]*Setting{}
				}
				out[p.Rule][short(p)] = s
			}
		}
		return out
	}
	x := besideIndex{apps: map[string]map[string]map[string]*Setting{}, others: of(res.resolve(t.chain(nil)))}
	for i := range t.Apps {
		x.apps[t.Apps[i].Name] = of(res.resolve(t.chain(&t.Apps[i])))
	}
	return x
}

// editsBeside lists the fields that differ, and a key that is the same for the
// same edits; nil where none does.
func editsBeside(rule string, a, b map[string]*Setting) (*Change, string) {
	c := &Change{Rule: rule, What: "changed"}
	key := []string{rule}
	for _, f := range union(a, b) {
		e := Edit{Field: f}
		if a[f] != nil {
			e.From = a[f].Value
		}
		if b[f] != nil {
			e.To, e.At = b[f].Value, b[f].Place()
		}
		if e.From != e.To {
			c.Fields = append(c.Fields, e)
			key = append(key, fmt.Sprintf("%q", e))
		}
	}
	if len(c.Fields) == 0 {
		return nil, ""
	}
	return c, strings.Join(key, " ")
}
