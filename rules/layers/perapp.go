package layers

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/apps"
)

// What layers say beside rules.
const (
	partPolicies = "policies"
	partContext  = "context"
	partMode     = "mode"
)

// AppsFile is the file in which layers' settings for apps are written. Its name
// ends so that no glob of rule files takes it: Prometheus refuses its whole
// config for one that is none.
const AppsFile = "tocsin-apps.conf"

// besides is the template of which layers change policies and context: one
// without rules and without values of its own, since these stand in the
// gateway's config. So they are merged, locked and explained as rules are.
func besides() *template {
	return &template{perApp: true, base: &patch{}, number: map[Path]int{}}
}

// settingAt is the path of a setting: {policies.restart-web, trigger, firing_for}.
func settingAt(policy, field string) Path {
	part, name, _ := strings.Cut(field, ".")
	if policy == "" {
		return Path{Rule: partContext, Part: part, Name: name}
	}
	return Path{Rule: partPolicies + "." + policy, Part: part, Name: name}
}

// policies reads what a layer says of policies.
func (r *reader) policies(p *patch, n *yaml.Node) {
	for name, body := range r.pairs(n) {
		r.settings(p, name.Value, body)
	}
}

// settings reads what a layer says of a policy, or, without one, of context.
func (r *reader) settings(p *patch, policy string, n *yaml.Node) {
	if n.Tag == "!!null" {
		r.away(p, policy, "", n)
		return
	}
	for k, v := range r.pairs(n) {
		switch {
		case k.Value == "lock":
			for _, item := range r.items(v) {
				r.hold(p, policy, item)
			}
		case k.Value == partEnabled && policy != "":
			r.off(p, policy, v)
		default:
			r.value(p, policy, k.Value, k, v)
		}
	}
}

// off reads `enabled: false`, which is mode off.
func (r *reader) off(p *patch, policy string, n *yaml.Node) {
	if r.truth(n) {
		r.bad(n.Line, "write how far it may go instead: `mode: %s`", strings.Join(apps.Modes()[1:], "`, `"))
		return
	}
	at := settingAt(policy, partMode)
	if has(p, at) {
		r.bad(n.Line, "its mode stands beside it: `enabled: false` is mode off")
	}
	p.entries = append(p.entries, entry{at, &Setting{Value: apps.Modes()[0], Layer: r.layer, File: r.file, Line: n.Line}})
}

// value reads a field, or a section of fields.
func (r *reader) value(p *patch, policy, name string, k, n *yaml.Node) {
	f, ok := apps.Find(settable(policy), name)
	switch {
	case n.Tag == "!!null" && len(under(policy, name)) > 0:
		r.away(p, policy, name, n)
	case ok:
		s := r.list(f, n)
		if s == nil {
			return
		}
		text, err := f.Kind.Read(s.Value)
		if err != nil {
			r.bad(n.Line, "%s: %v", name, err)
			return
		}
		if s.Value = text; has(p, settingAt(policy, name)) {
			r.bad(k.Line, "`enabled: false` stands beside it, which is mode off")
			return
		}
		p.entries = append(p.entries, entry{settingAt(policy, name), s})
	case len(under(policy, name)) > 0:
		for k, v := range r.pairs(n) {
			r.value(p, policy, name+"."+k.Value, k, v)
		}
	default:
		r.bad(k.Line, "layers set no %q of %s%s", name, whose(policy), nearest(name, names(policy)))
	}
}

// list reads a scalar, or of what is a list its words as one value.
func (r *reader) list(f apps.Field, n *yaml.Node) *Setting {
	if f.Kind != apps.Roles {
		return r.setting(n)
	}
	s := &Setting{Layer: r.layer, File: r.file, Line: n.Line}
	var words []string
	for _, item := range r.items(n) {
		words = append(words, r.text(item))
	}
	s.Value = strings.Join(words, ", ")
	return s
}

// away reads null: what stands above it is gone, and the config's own holds.
func (r *reader) away(p *patch, policy, name string, n *yaml.Node) {
	for _, f := range under(policy, name) {
		p.entries = append(p.entries, entry{settingAt(policy, f), &Setting{Deleted: true, Layer: r.layer, File: r.file, Line: n.Line}})
	}
}

// hold reads a lock of a field, or of all fields of a section.
func (r *reader) hold(p *patch, policy string, n *yaml.Node) {
	s := r.setting(n)
	if s == nil {
		return
	}
	name := s.Value
	if name == partEnabled && policy != "" {
		name = partMode
	}
	held := under(policy, name)
	if len(held) == 0 {
		r.bad(n.Line, "there is no field %q of %s to lock%s", name, whose(policy), nearest(name, names(policy)))
	}
	for _, f := range held {
		p.locks = append(p.locks, lock{settingAt(policy, f), s})
	}
}

func settable(policy string) []apps.Field {
	if policy == "" {
		return apps.ContextFields()
	}
	return apps.PolicyFields()
}

func names(policy string) []string {
	var out []string
	for _, f := range settable(policy) {
		out = append(out, f.Name)
	}
	return out
}

// under are the fields that a name means: its own, all of its section, or,
// without a name, all there are.
func under(policy, name string) []string {
	return slices.DeleteFunc(names(policy), func(f string) bool {
		return name != "" && f != name && !strings.HasPrefix(f, name+".")
	})
}

func whose(policy string) string {
	if policy == "" {
		return partContext
	}
	return "a policy"
}

// PerApp is what the layers set for apps beside their rules, classes of apps
// with the same settings from the same lines; nil where they set nothing. Apps
// that are not in the inventory have what the global layer says, whatever they
// have of rules: what it says, it says to all.
func (t *Tree) PerApp() (*apps.File, error) {
	if len(t.besides.paths) == 0 {
		return nil, nil
	}
	res := &resolver{t, t.besides, map[string]*resolved{}}
	classes := map[string]*apps.Class{}
	add := func(r *resolved) *apps.Class {
		key, settings := t.settingsOf(r)
		if len(settings) == 0 {
			return nil
		}
		if classes[key] == nil {
			classes[key] = &apps.Class{Settings: settings}
		}
		return classes[key]
	}
	others := add(res.resolve(t.chain(nil)))
	if others != nil {
		others.Others = true
	}
	var bare apps.Class // of apps for which layers took away what global says
	for i, chain := range t.chains() {
		c := add(res.resolve(chain))
		if c == nil && others != nil {
			c = &bare
		}
		if c != nil {
			c.Apps = append(c.Apps, t.Apps[i].Name)
		}
	}
	if err := t.found.err(); err != nil {
		return nil, err
	}
	out := &apps.File{Label: t.Settings.AppLabel}
	if len(bare.Apps) > 0 {
		out.Classes = append(out.Classes, bare)
	}
	for _, c := range classes {
		if c.Others || len(c.Apps) > 0 {
			out.Classes = append(out.Classes, *c)
		}
	}
	if len(out.Classes) == 0 { // they only lock, and take away
		return nil, nil
	}
	slices.SortFunc(out.Classes, func(a, b apps.Class) int {
		switch {
		case a.Others:
			return -1
		case b.Others:
			return 1
		}
		return cmp.Or(len(b.Apps)-len(a.Apps), strings.Compare(a.Apps[0], b.Apps[0]))
	})
	return out, nil
}

// settingsOf are the settings of a class, and a key that is the same for the same.
func (t *Tree) settingsOf(r *resolved) (string, []apps.Setting) {
	var out []apps.Setting
	var key []byte
	for i, p := range t.besides.paths {
		s := r.winners[i]
		if s == nil || s.Deleted {
			continue
		}
		policy, _ := strings.CutPrefix(p.Rule, partPolicies+".")
		if p.Rule == partContext {
			policy = ""
		}
		key = binary.LittleEndian.AppendUint32(key, uint32(i))
		key = fmt.Appendf(key, "%q %s;", s.Value, s.Place())
		out = append(out, apps.Setting{Policy: policy, Field: short(p), Value: s.Value, At: s.Place()})
	}
	slices.SortFunc(out, func(a, b apps.Setting) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(a.Field, b.Field))
	})
	return string(key), out
}

// perAppFile is the compiled file; none where layers set nothing beside rules.
func (t *Tree) perAppFile() ([]File, error) {
	f, err := t.PerApp()
	if f == nil || err != nil {
		return nil, err
	}
	data, err := f.Marshal(fmt.Sprintf("%s from the layers of %s: change those.", Header, path.Clean(t.dir)))
	if err != nil {
		return nil, err
	}
	n := 0
	for _, c := range f.Classes {
		n += len(c.Settings)
	}
	if _, err := apps.Parse(AppsFile, data); err != nil {
		return nil, fmt.Errorf("what was written cannot be read back: %w", err)
	}
	return []File{{Name: AppsFile, Data: data, Settings: n}}, nil
}
