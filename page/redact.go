package page

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// Redacted stands where a value was that must not leave the house.
const Redacted = "<redacted>"

// Redact returns the page without the values of these labels, wherever they
// stand: in labels, and in every text, query and link that quotes them.
// Identities (alert and problem IDs, fingerprints) stay: they are digests.
func (v Page) Redact(labels ...string) Page {
	if len(labels) == 0 {
		return v
	}
	secret := v.valuesOf(labels)
	if len(secret) == 0 && len(v.Silences) == 0 {
		return v
	}
	hide := hider(secret)
	v.Alerts, v.Resolved = hideAlerts(v.Alerts, labels, hide), hideAlerts(v.Resolved, labels, hide)
	v.Traits = slices.Clone(v.Traits)
	for i, t := range v.Traits {
		t.Labels, t.Rival = hideLabels(t.Labels, labels, hide), hideLabels(t.Rival, labels, hide)
		t.Query, t.Link = hide(t.Query), hide(t.Link)
		t.Also = slices.Clone(t.Also)
		for j, a := range t.Also {
			if slices.Contains(labels, a.Name) {
				t.Also[j].Value = Redacted
			}
		}
		v.Traits[i] = t
	}
	v.hideSince(labels, hide)
	v.Exemplars = v.Exemplars.hidden(labels, hide)
	v.Scope, v.GroupLabels = hideLabels(v.Scope, labels, hide), hideLabels(v.GroupLabels, labels, hide)
	v.Title, v.Headline, v.Summary, v.Details = hide(v.Title), hide(v.Headline), hide(v.Summary), hide(v.Details)
	v.Links, v.Notes, v.Queries = slices.Clone(v.Links), slices.Clone(v.Notes), slices.Clone(v.Queries)
	for i := range v.Links {
		v.Links[i].URL = hide(v.Links[i].URL)
	}
	for i := range v.Notes {
		v.Notes[i].Text = hide(v.Notes[i].Text)
	}
	for i := range v.Queries {
		v.Queries[i].Text, v.Queries[i].Error = hide(v.Queries[i].Text), hide(v.Queries[i].Error)
	}
	v.hideLife(labels, hide)
	return v
}

// valuesOf gathers the values the labels have on the page, longest first, so
// that none is replaced inside a longer one.
func (v Page) valuesOf(labels []string) []string {
	var out []string
	add := func(l Labels) {
		for _, name := range labels {
			if value := l[name]; value != "" && value != Redacted {
				out = append(out, value)
			}
		}
	}
	for _, a := range slices.Concat(v.Alerts, v.Resolved) {
		add(a.Labels)
	}
	for _, t := range v.Traits {
		add(t.Labels)
		for _, a := range t.Also {
			add(Labels{a.Name: a.Value})
		}
	}
	add(v.Scope)
	if v.Storm != nil {
		for _, t := range v.Storm.Rules {
			add(t.Sample)
		}
	}
	add(v.GroupLabels)
	for _, c := range v.Changes {
		add(c.Labels)
	}
	if v.Exemplars != nil {
		for _, c := range v.Exemplars.Carried {
			add(Labels{c.Label.Name: c.Label.Value})
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(out)
}

// hider replaces values in texts, in the forms in which a link quotes them too.
func hider(values []string) func(string) string {
	pairs := []string{Redacted, Redacted} // what stands there already is left alone
	for _, value := range values {
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			if !slices.Contains(pairs, form) {
				pairs = append(pairs, form, Redacted)
			}
		}
	}
	return strings.NewReplacer(pairs...).Replace
}

func hideAlerts(alerts []Alert, labels []string, hide func(string) string) []Alert {
	alerts = slices.Clone(alerts)
	for i, a := range alerts {
		a.Labels = hideLabels(a.Labels, labels, hide)
		a.Annotations = hideLabels(a.Annotations, nil, hide)
		a.GeneratorURL = hide(a.GeneratorURL)
		alerts[i] = a
	}
	return alerts
}

// hideLabels hides the named labels whole, and quotations in the others.
func hideLabels(l Labels, names []string, hide func(string) string) Labels {
	l = l.Clone()
	for name, value := range l {
		if slices.Contains(names, name) {
			l[name] = Redacted
		} else if !slices.Contains([]string{"alertname", "severity"}, name) {
			l[name] = hide(value)
		}
	}
	return l
}
