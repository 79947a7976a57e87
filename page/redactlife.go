package page

import (
	"maps"
	"slices"
	"strings"
)

// hideLife hides values in what the page says of its life: what changed, what
// people did, what a storm is made of. Who did something is no label: it stays.
func (v *Page) hideLife(labels []string, hide func(string) string) {
	v.Updates = slices.Clone(v.Updates)
	for i, u := range v.Updates {
		v.Updates[i].Text, v.Updates[i].Link = hide(u.Text), hide(u.Link)
		v.Updates[i].Evidence = slices.Clone(u.Evidence)
		for n, line := range u.Evidence {
			v.Updates[i].Evidence[n] = hide(line)
		}
	}
	v.Runs = slices.Clone(v.Runs)
	for i, r := range v.Runs {
		v.Runs[i].Text, v.Runs[i].Target, v.Runs[i].Link = hide(r.Text), hide(r.Target), hide(r.Link)
	}
	v.Silences = slices.Clone(v.Silences)
	for i, s := range v.Silences {
		v.Silences[i].Matchers = hideMatchers(s.Matchers, labels, hide)
		v.Silences[i].Error = hide(s.Error)
	}
	if v.Storm != nil {
		s := *v.Storm
		s.Rules = maps.Clone(s.Rules)
		for name, t := range s.Rules {
			t.Sample = hideLabels(t.Sample, labels, hide)
			s.Rules[name] = t
		}
		v.Storm = &s
	}
}

// hideMatchers hides the values of named labels whole: quoted, they may stand
// there in another form.
func hideMatchers(matchers, labels []string, hide func(string) string) []string {
	out := slices.Clone(matchers)
	for i, m := range out {
		name, _, _ := strings.Cut(m, "=")
		if slices.Contains(labels, strings.Trim(name, `"`)) {
			out[i] = name + "=" + Redacted
		} else {
			out[i] = hide(m)
		}
	}
	return out
}
