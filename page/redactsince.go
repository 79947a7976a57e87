package page

import "slices"

// hideSince hides values in what the page says of its onset and impact.
func (v *Page) hideSince(labels []string, hide func(string) string) {
	change := func(c Change) Change {
		c.Labels = hideLabels(c.Labels, labels, hide)
		c.ID, c.Title, c.Link = hide(c.ID), hide(c.Title), hide(c.Link)
		return c
	}
	v.Changes = slices.Clone(v.Changes)
	for i, c := range v.Changes {
		v.Changes[i] = change(c)
	}
	if v.Onset != nil && v.Onset.After != nil {
		o, after := *v.Onset, change(*v.Onset.After)
		o.After = &after
		v.Onset = &o
	}
	if v.Impact != nil {
		i := *v.Impact
		i.Datacentres = slices.Clone(i.Datacentres)
		for j, name := range i.Datacentres {
			i.Datacentres[j] = hide(name)
		}
		v.Impact = &i
	}
	for i, t := range v.Traits {
		if t.Course != nil {
			c := *t.Course
			c.Query, c.Seen = hide(c.Query), hide(c.Seen)
			v.Traits[i].Course = &c
		}
		v.Traits[i].Versions = slices.Clone(t.Versions)
		for j, s := range t.Versions {
			v.Traits[i].Versions[j].Value = hide(s.Value)
		}
	}
}
