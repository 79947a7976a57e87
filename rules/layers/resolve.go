package layers

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// resolved is what holds for an app in a template: per field, by its number,
// the setting that won; nil where nobody set it.
type resolved struct {
	winners []*Setting
	layers  []*layer // that had a say, the most general first
}

// settle numbers the fields of a template and checks all that layers give to
// its parameters, whichever app they are for.
func (t *Tree) settle(tm *template) {
	see := func(p *patch) {
		for _, e := range p.entries {
			if _, ok := tm.number[e.path]; !ok {
				tm.number[e.path] = len(tm.paths)
				tm.paths = append(tm.paths, e.path)
			}
			if e.path.Part == partParams && !e.set.Deleted {
				if _, err := tm.param(e.path.Name).parse(e.set.Value); err != nil {
					t.wrong(e.set, "%v", err)
				}
			}
		}
	}
	see(tm.base)
	for _, l := range t.sorted() {
		if p := l.patches[tm]; p != nil {
			see(p)
		}
	}
	for _, p := range tm.params {
		if !slices.ContainsFunc(tm.base.entries, func(e entry) bool { return strings.Contains(e.set.Value, "${"+p.Name+"}") }) {
			t.found.add(&config.Mistake{File: path.Join(t.dir, tm.file), Line: p.line, Text: fmt.Sprintf(
				"no rule of the template uses ${%s}: layers that set it would change nothing", p.Name)})
		}
	}
}

// wrong adds a mistake at a setting.
func (t *Tree) wrong(s *Setting, format string, args ...any) {
	t.found.add(&config.Mistake{File: path.Join(t.dir, s.File), Line: s.Line, Text: fmt.Sprintf(format, args...)})
}

// sorted are all layers in a fixed order.
func (t *Tree) sorted() []*layer {
	out := make([]*layer, 0, len(t.layers))
	for _, l := range t.layers {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *layer) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

// chain are the layers that there are for an app, the most general first. Of
// an app that is not in the inventory (nil) only the global one is known, and
// what all apps were chosen by.
func (t *Tree) chain(a *App) []*layer {
	if a == nil {
		a = &App{Of: t.only}
	}
	var out []*layer
	for _, l := range t.Settings.Order {
		name := l
		if l != layerGlobal {
			if a.in(l) == "" {
				continue
			}
			name = l + "/" + a.in(l)
		}
		if found := t.layers[name]; found != nil {
			out = append(out, found)
		}
	}
	return out
}

// chains are those of all apps.
func (t *Tree) chains() [][]*layer {
	out := make([][]*layer, len(t.Apps))
	for i := range t.Apps {
		out[i] = t.chain(&t.Apps[i])
	}
	return out
}

// resolver resolves a template for many apps: those with the same layers share
// an answer.
type resolver struct {
	t     *Tree
	tm    *template
	known map[string]*resolved
}

func (r *resolver) resolve(chain []*layer) *resolved {
	var sig []byte
	said := make([]*layer, 0, len(chain))
	for _, l := range chain {
		if r.tm.shapedBy(l) {
			said = append(said, l)
			sig = binary.LittleEndian.AppendUint32(sig, l.id)
		}
	}
	if known := r.known[string(sig)]; known != nil {
		return known
	}
	out := &resolved{winners: make([]*Setting, len(r.tm.paths)), layers: said}
	var held []lock
	step := func(p *patch) {
		for _, e := range p.entries {
			r.t.free(held, e)
			r.tm.set(e, func(i int) { out.winners[i] = e.set })
		}
		held = append(held, p.locks...)
	}
	step(r.tm.base)
	for _, l := range said {
		step(l.patches[r.tm])
	}
	r.known[string(sig)] = out
	return out
}

func (tm *template) shapedBy(l *layer) bool { return l.patches[tm] != nil }

// set calls put with the numbers of the fields that an entry sets: its own, or
// all entries of a map that it deletes.
func (tm *template) set(e entry, put func(i int)) {
	if !e.set.Deleted || e.path.Name != "" || e.path.Part != partLabels && e.path.Part != partAnnotations {
		put(tm.number[e.path])
		return
	}
	for i, p := range tm.paths {
		if p.Rule == e.path.Rule && p.Part == e.path.Part {
			put(i)
		}
	}
}

// free reports an entry that touches what a layer above it has locked.
func (t *Tree) free(held []lock, e entry) {
	for _, l := range held {
		if l.path.covers(e.path) || e.path.covers(l.path) && (e.set.Deleted || e.path.Part == partEnabled) {
			t.wrong(e.set, "%s is locked at %s:%d by layer %s: take it out here, or unlock it there",
				l.path, path.Join(t.dir, l.at.File), l.at.Line, l.at.Layer)
		}
	}
}

// at is the setting that won a field, nil if it is not set or deleted.
func (r *resolved) at(tm *template, p Path) *Setting {
	i, ok := tm.number[p]
	if !ok || r.winners[i] == nil || r.winners[i].Deleted {
		return nil
	}
	return r.winners[i]
}

// on reports whether a rule is enabled.
func (r *resolved) on(tm *template, rule string) bool {
	for _, p := range []Path{{Part: partEnabled}, {Rule: rule, Part: partEnabled}} {
		if s := r.at(tm, p); s != nil && s.Value != "true" {
			return false
		}
	}
	return true
}

// stack are all settings of a field for the layers of r, the winner first.
func (r *resolved) stack(tm *template, at Path) []*Setting {
	var out []*Setting
	i, known := tm.number[at]
	if !known {
		return nil
	}
	look := func(p *patch) {
		for _, e := range p.entries {
			tm.set(e, func(j int) {
				if i == j {
					out = append(out, e.set)
				}
			})
		}
	}
	look(tm.base)
	for _, l := range r.layers {
		look(l.patches[tm])
	}
	slices.Reverse(out)
	return out
}

// heldBy is the lock of a field for the layers of r, nil if it is free.
func (r *resolved) heldBy(tm *template, at Path) *Setting {
	for _, p := range r.patches(tm) {
		for _, l := range p.locks {
			if l.path.covers(at) {
				return l.at
			}
		}
	}
	return nil
}

func (r *resolved) patches(tm *template) []*patch {
	out := []*patch{tm.base}
	for _, l := range r.layers {
		out = append(out, l.patches[tm])
	}
	return out
}
