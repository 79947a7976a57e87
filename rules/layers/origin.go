package layers

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/page"
)

// Origin says where a field of a rule has its value from.
type Origin struct {
	Field string
	From  []Source // the one of most apps first
}

// Source is a setting and how many apps of the rule have it from there.
type Source struct {
	*Setting

	Apps int
}

// origins gathers, over all apps of a rule, where its fields come from: apps
// can have the same value from different files.
func origins(tm *template, h *ruleHead, b *body, of []*resolved, known int) []Origin {
	var out []Origin
	for _, at := range fields(tm, h, b) {
		counts := map[*Setting]int{}
		var order []*Setting
		for i, r := range of {
			s := r.winner(tm, at)
			if s == nil {
				continue
			}
			if _, seen := counts[s]; !seen {
				order = append(order, s)
				counts[s] = 0
			}
			if i < known { // behind them stands what apps get that are not known
				counts[s]++
			}
		}
		if len(order) == 0 {
			continue
		}
		o := Origin{Field: short(at)}
		for _, s := range order {
			o.From = append(o.From, Source{s, counts[s]})
		}
		slices.SortStableFunc(o.From, func(a, b Source) int {
			return cmp.Or(b.Apps-a.Apps, strings.Compare(a.File, b.File), a.Line-b.Line)
		})
		out = append(out, o)
	}
	return out
}

// winner is the setting that decides a field, a null too.
func (r *resolved) winner(tm *template, at Path) *Setting {
	if at.Part == partParams {
		return r.param(tm, at.Name)
	}
	if i, ok := tm.number[at]; ok {
		return r.winners[i]
	}
	return nil
}

// fields are those that a rule is made of: its parameters, then its own.
func fields(tm *template, h *ruleHead, b *body) []Path {
	var out []Path
	for _, name := range b.uses {
		out = append(out, Path{Part: partParams, Name: name})
	}
	own := slices.DeleteFunc(slices.Clone(tm.paths), func(p Path) bool {
		return p.Rule != h.id || p.Part == partEnabled || (p.Part == partLabels || p.Part == partAnnotations) && p.Name == ""
	})
	slices.SortFunc(own, func(a, b Path) int {
		parts := []string{partExpr, partFor, partKeep, partLabels, partAnnotations}
		return cmp.Or(slices.Index(parts, a.Part)-slices.Index(parts, b.Part), strings.Compare(a.Name, b.Name))
	})
	return append(out, own...)
}

// short is a path as seen from its rule.
func short(p Path) string { return Path{Part: p.Part, Name: p.Name}.String() }

// maxLinked bounds how many apps an annotation names whose threshold comes from
// another line than that of the most.
const maxLinked = 50

// link adds the annotation. Apps of one rule can have their threshold from
// different lines: then each finds its own, or, where these are too many, none.
func (t *Tree) link(tm *template, r *Rule, of []*resolved) {
	if t.Settings.SourceURL == "" || r.Alert == "" || r.Annotations[page.AnnotationThreshold] != "" || len(of) == 0 {
		return
	}
	apps := map[*Setting][]string{}
	var most *Setting
	for i, res := range of {
		s := t.thresholdOf(tm, r.ID, res)
		if i < len(r.Apps) {
			apps[s] = append(apps[s], r.Apps[i])
		} else if apps[s] == nil {
			apps[s] = []string{}
		}
		if most == nil || len(apps[s]) > len(apps[most]) {
			most = s
		}
	}
	if r.Unknown {
		most = t.thresholdOf(tm, r.ID, of[len(of)-1]) // nobody can name those apps: they are the else
	}
	if len(r.Apps)-len(apps[most]) > maxLinked {
		return
	}
	r.Annotations = maps.Clone(r.Annotations) // the class's own is shared
	r.Annotations[page.AnnotationThreshold] = t.choose(apps, most)
}

// choose writes a template that tells each app the line of its own.
func (t *Tree) choose(apps map[*Setting][]string, most *Setting) string {
	var others []*Setting
	for s := range apps {
		if s != most && len(apps[s]) > 0 {
			others = append(others, s)
		}
	}
	if len(others) == 0 {
		return t.url(most)
	}
	slices.SortFunc(others, func(a, b *Setting) int { return strings.Compare(apps[a][0], apps[b][0]) })
	var b strings.Builder
	for i, s := range others {
		b.WriteString(map[bool]string{true: "{{ if", false: "{{ else if"}[i == 0])
		fmt.Fprintf(&b, " eq $labels.%s", t.Settings.AppLabel)
		for _, a := range apps[s] {
			b.WriteString(" " + strconv.Quote(a))
		}
		b.WriteString(" }}" + t.url(s))
	}
	return b.String() + "{{ else }}" + t.url(most) + "{{ end }}"
}

// thresholdOf is the setting that an alert's comparison is held against: of the
// parameter that stands in it, else that of the expression.
func (t *Tree) thresholdOf(tm *template, rule string, res *resolved) *Setting {
	s := res.at(tm, Path{Rule: rule, Part: partExpr})
	if name := tm.threshold(s.Value); name != "" {
		if p := res.param(tm, name); p != nil {
			return p
		}
	}
	return s
}

// url is where people read a setting.
func (t *Tree) url(s *Setting) string {
	file := (&url.URL{Path: s.File}).EscapedPath()
	return strings.NewReplacer("{file}", file, "{line}", strconv.Itoa(s.Line), "{{", "%7B%7B").Replace(t.Settings.SourceURL)
}

// said are the fields of a rule as their authors wrote them, for those who
// compare: parameters by their values.
func said(tm *template, h *ruleHead, b *body, res *resolved) map[string]string {
	out := map[string]string{}
	for _, at := range fields(tm, h, b) {
		s := res.winner(tm, at)
		switch {
		case s == nil || s.Deleted:
		case at.Part == partParams:
			if v, err := tm.param(at.Name).parse(s.Value); err == nil {
				out[short(at)] = v.text
			}
		default:
			out[short(at)] = s.Value
		}
	}
	return out
}
