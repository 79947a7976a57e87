package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// Tree is a folder of rules as its authors write it: rules.yaml, apps.yaml,
// templates/ and layers/.
type Tree struct {
	Settings Settings
	Apps     []App // those that the tree is compiled for, by name

	every     []App // of the inventory
	only      map[string]string
	dir       string
	fsys      fs.FS
	templates []*template       // by name
	besides   *template         // what layers say beside rules
	layers    map[string]*layer // by name: global, phase/live
	found     mistakes
}

// App is one line of the inventory.
type App struct {
	Name string
	Of   map[string]string // which file of each layer it takes: phase: live
	line int
}

// layer is one file of layers/.
type layer struct {
	name    string
	id      uint32
	order   int
	patches map[*template]*patch
}

// The bounds of a tree.
const (
	maxApps      = 100_000
	maxTemplates = 10_000
	maxName      = 253
)

// Load reads a tree; dir is how people name its folder, for mistakes. Where a
// server sees a part of the apps, only says which (cluster: dc1): an app may
// stand in the inventory once for each. All mistakes are returned together,
// joined, as *config.Mistake.
func Load(fsys fs.FS, dir string, only map[string]string) (*Tree, error) {
	t := &Tree{Settings: *DefaultSettings(), only: only, dir: dir, fsys: fsys, layers: map[string]*layer{}, besides: besides()}
	t.readSettings()
	if t.found.err() != nil {
		return nil, t.found.err()
	}
	t.readApps()
	counted := t.found.err() == nil // else layers would be missed for apps that could not be read
	for _, file := range t.list("templates") {
		t.readTemplate(fsys, file)
	}
	if len(t.templates) == 0 && t.found.err() == nil {
		t.found.add(&config.Mistake{File: path.Join(dir, "templates"), Text: "there are no templates: write templates/<name>.yaml"})
	}
	t.distinct()
	if counted {
		t.readLayers()
	}
	all := append(slices.Clone(t.templates), t.besides)
	for _, tm := range all {
		t.settle(tm)
	}
	if t.found.err() == nil {
		return t, nil
	}
	for _, tm := range all { // what is locked is said too, at once
		res := &resolver{t, tm, map[string]*resolved{}}
		for i := range t.Apps {
			res.resolve(t.chain(&t.Apps[i]))
		}
	}
	return nil, t.found.err()
}

func (t *Tree) readSettings() {
	data, err := readCapped(t.fsys, "rules.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	name := path.Join(t.dir, "rules.yaml")
	if err != nil {
		t.found.add(&config.Mistake{File: name, Text: fmt.Sprintf("cannot be read: %v", err)})
		return
	}
	sec, err := config.Parse(name, data)
	if err == nil {
		err = sec.Decode(&t.Settings)
	}
	t.found.add(err)
}

// list returns the YAML files of a folder, sorted; none if it is not there.
func (t *Tree) list(dir string) []string {
	found, err := fs.ReadDir(t.fsys, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.found.add(&config.Mistake{File: path.Join(t.dir, dir), Text: fmt.Sprintf("cannot be read: %v", err)})
	}
	var out []string
	for _, f := range found {
		switch name := f.Name(); {
		case f.IsDir() || strings.HasPrefix(name, "."):
		case strings.HasSuffix(name, ".yaml"):
			out = append(out, path.Join(dir, name))
		case strings.HasSuffix(name, ".yml"):
			t.found.add(&config.Mistake{File: path.Join(t.dir, dir, name), Text: "would not be read: call it .yaml"})
		}
	}
	if len(out) > maxTemplates && dir == "templates" {
		t.found.add(&config.Mistake{File: path.Join(t.dir, dir), Text: fmt.Sprintf("more than %d templates", maxTemplates)})
		return nil
	}
	return out
}

// dimensions are the layers that apps.yaml has a key for.
func (t *Tree) dimensions() []string {
	return slices.DeleteFunc(slices.Clone(t.Settings.Order), func(l string) bool { return l == layerGlobal || l == layerApp })
}

func (t *Tree) readApps() {
	r := &reader{dir: t.dir, file: "apps.yaml", found: &t.found}
	if _, err := fs.Stat(t.fsys, r.file); errors.Is(err, fs.ErrNotExist) {
		r.bad(0, "is not there: write the apps into it, as `apps: [{name: checkout, phase: live}]`")
		return
	}
	top := r.open(t.fsys)
	if top == nil {
		return
	}
	for k, v := range r.pairs(top) {
		if k.Value != "apps" {
			r.bad(k.Line, "unknown key %q; write \"apps\"", k.Value)
			continue
		}
		for _, item := range r.items(v) {
			t.every = append(t.every, t.readApp(r, item))
		}
	}
	for dim, value := range t.only {
		if !slices.Contains(t.dimensions(), dim) {
			r.bad(0, "apps cannot be chosen by %q%s", dim, nearest(dim, t.dimensions()))
		} else if values := t.values(dim); !slices.Contains(values, value) {
			r.bad(0, "no app has %s %q%s", dim, value, nearest(value, values))
		}
	}
	first := map[string]int{}
	for _, a := range t.every {
		if !t.chosen(a) {
			continue
		}
		if line, twice := first[a.Name]; twice {
			r.bad(a.line, "app %q stands at line %d already: choose one of them, as by --only cluster=dc1", a.Name, line)
		}
		first[a.Name] = a.line
		t.Apps = append(t.Apps, a)
	}
	if n := len(t.every); n == 0 || n > maxApps {
		r.bad(top.Line, "there are %d apps: write between 1 and %d", n, maxApps)
	}
	slices.SortFunc(t.Apps, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
}

func (t *Tree) readApp(r *reader, n *yaml.Node) App {
	known := append([]string{"name"}, t.dimensions()...)
	a := App{Of: map[string]string{}, line: n.Line}
	for k, v := range r.pairs(n) {
		switch {
		case !slices.Contains(known, k.Value):
			r.bad(k.Line, "unknown key %q%s", k.Value, nearest(k.Value, known))
		case !nameable(r.text(v)):
			r.bad(v.Line, "%q cannot name a file of a layer", v.Value)
		case k.Value == "name":
			a.Name = v.Value
		default:
			a.Of[k.Value] = v.Value
		}
	}
	if a.Name == "" {
		r.bad(n.Line, "give the app its name: `- {name: checkout}`")
	}
	return a
}

// chosen reports whether the tree is compiled for an app.
func (t *Tree) chosen(a App) bool {
	for dim, value := range t.only {
		if a.Of[dim] != value {
			return false
		}
	}
	return true
}

// nameable reports whether a word can be the name of a layer's file.
func nameable(s string) bool {
	return s != "" && len(s) <= maxName && !strings.HasPrefix(s, ".") && !strings.ContainsAny(s, "/\\\x00\n\r")
}

// distinct refuses one name for two rules: people ask for them by it, and
// whoever is paged could not tell them apart.
func (t *Tree) distinct() {
	first := map[string]string{}
	for _, tm := range t.templates {
		for _, h := range tm.rules {
			at := fmt.Sprintf("%s:%d", path.Join(t.dir, tm.file), h.line)
			if other, twice := first[h.id]; twice {
				t.found.add(&config.Mistake{File: path.Join(t.dir, tm.file), Line: h.line, Text: fmt.Sprintf(
					"rule %q stands at %s already: give one of them another `name:`", h.id, other)})
			}
			first[h.id] = at
		}
	}
}

// readLayers reads layers/: global.yaml, and a folder for each other layer.
func (t *Tree) readLayers() {
	for _, file := range t.list("layers") {
		if file != "layers/global.yaml" || !slices.Contains(t.Settings.Order, layerGlobal) {
			t.found.add(&config.Mistake{File: path.Join(t.dir, file), Text: "would not be read: beside global.yaml each layer has a folder: layers/phase/live.yaml"})
		}
	}
	folders, _ := fs.ReadDir(t.fsys, "layers") // what is wrong with it was said by list
	for _, f := range folders {
		if f.IsDir() && (f.Name() == layerGlobal || !slices.Contains(t.Settings.Order, f.Name())) {
			t.found.add(&config.Mistake{File: path.Join(t.dir, "layers", f.Name()), Text: "is no layer" + nearest(f.Name(), t.Settings.Order)})
		}
	}
	for i, l := range t.Settings.Order {
		if l == layerGlobal {
			if _, err := fs.Stat(t.fsys, "layers/global.yaml"); err == nil {
				t.readLayer(i, l, "layers/global.yaml")
			}
			continue
		}
		values := t.values(l)
		for _, file := range t.list(path.Join("layers", l)) {
			value := strings.TrimSuffix(path.Base(file), ".yaml")
			if !slices.Contains(values, value) {
				t.found.add(&config.Mistake{File: path.Join(t.dir, file), Text: fmt.Sprintf(
					"no app of apps.yaml has %s %q%s", l, value, nearest(value, values))})
				continue
			}
			t.readLayer(i, path.Join(l, value), file)
		}
	}
}

// values are the files a layer can have, sorted.
func (t *Tree) values(layer string) []string {
	all := map[string]bool{}
	for _, a := range t.every {
		if v := a.in(layer); v != "" {
			all[v] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// in is the file of the layer that an app takes, "" if none.
func (a App) in(layer string) string {
	if layer == layerApp {
		return a.Name
	}
	return a.Of[layer]
}

func (t *Tree) readLayer(order int, name, file string) {
	r := &reader{dir: t.dir, file: file, layer: name, found: &t.found}
	top := r.open(t.fsys)
	if top == nil {
		return
	}
	l := &layer{name: name, id: uint32(len(t.layers)), order: order, patches: map[*template]*patch{}}
	all, beside := &patch{}, &patch{}
	for k, v := range r.pairs(top) {
		switch k.Value {
		case partLabels, partAnnotations:
			r.texts(all, Path{Rule: everyAlert, Part: k.Value}, v)
		case "lock":
			r.locks(nil, all, everyAlert, v)
		case "templates":
			t.readPatches(r, l, v)
		case partPolicies:
			r.policies(beside, v)
		case partContext:
			r.settings(beside, "", v)
		default:
			r.bad(k.Line, "unknown key %q%s", k.Value, nearest(k.Value, words("templates labels annotations lock policies context")))
		}
	}
	if len(beside.entries)+len(beside.locks) > 0 {
		l.patches[t.besides] = beside
	}
	for _, tm := range t.templates {
		if len(all.entries)+len(all.locks) == 0 || !tm.perApp && l.name != layerGlobal {
			continue
		}
		p := all.spread(tm)
		if own := l.patches[tm]; own != nil {
			p.entries, p.locks = append(p.entries, own.entries...), append(p.locks, own.locks...)
		}
		l.patches[tm] = p
	}
	t.layers[name] = l
}

// readPatches reads what a layer says of single templates.
func (t *Tree) readPatches(r *reader, l *layer, n *yaml.Node) {
	for name, body := range r.pairs(n) {
		tm := t.template(name.Value)
		switch {
		case tm == nil:
			r.bad(name.Line, "there is no template %q%s", name.Value, nearest(name.Value, t.templateNames()))
		case !tm.perApp && l.name != layerGlobal:
			r.bad(name.Line, "template %s is not per app (%s): only the global layer can change it", tm.name, tm.file)
		default:
			l.patches[tm] = r.patch(tm, body)
		}
	}
}

func (t *Tree) template(name string) *template {
	i, ok := slices.BinarySearchFunc(t.templates, name, func(tm *template, name string) int { return strings.Compare(tm.name, name) })
	if !ok {
		return nil
	}
	return t.templates[i]
}

func (t *Tree) templateNames() []string {
	var out []string
	for _, tm := range t.templates {
		out = append(out, tm.name)
	}
	return out
}
