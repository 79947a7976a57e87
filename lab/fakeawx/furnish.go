package fakeawx

import (
	"cmp"
	"slices"
)

// What a world becomes: things with ids.
type (
	user struct {
		User
		id int64
	}
	inventory struct {
		Inventory
		id    int64
		hosts []host
	}
	host struct {
		Host
		id int64
	}
	template struct {
		Template
		id int64
	}
	label struct {
		id   int64
		name string
		org  string
	}
)

func (t *template) workflow() bool     { return t.IsWorkflow || len(t.Nodes) > 0 }
func (t *template) asks(f string) bool { return slices.Contains(t.Ask, f) }

func (t *template) kind() string {
	if t.workflow() {
		return "workflow_job_template"
	}
	return "job_template"
}

func (t *template) jobType() string { return cmp.Or(t.JobType, "run") }

// furnish gives everything its id. Templates begin at 7, inventories at 2, so
// that ids of one sort are not taken for another's unseen.
func (f *Fake) furnish(w *World) {
	f.users, f.places, f.templates, f.orgs = nil, nil, nil, nil
	for i, u := range w.Users {
		f.users = append(f.users, &user{User: u, id: int64(i) + 5})
	}
	hosts := int64(100)
	for i, in := range w.Inventories {
		f.org(in.Organization)
		kept := &inventory{Inventory: in, id: int64(i) + 2}
		for _, h := range in.Hosts {
			hosts++
			kept.hosts = append(kept.hosts, host{Host: h, id: hosts})
		}
		f.places = append(f.places, kept)
	}
	for i, t := range w.Templates {
		f.org(t.Organization)
		f.templates = append(f.templates, &template{Template: t, id: int64(i) + 7})
		for _, l := range t.Labels {
			f.label(l, t.Organization)
		}
	}
}

// org is the id of an organization; it is made if it is not there.
func (f *Fake) org(name string) int64 {
	if name == "" {
		return 0
	}
	i := slices.Index(f.orgs, name)
	if i < 0 {
		f.orgs = append(f.orgs, name)
		i = len(f.orgs) - 1
	}
	return int64(i) + 1
}

// label is the id of a label; it is made if it is not there.
func (f *Fake) label(name, org string) int64 {
	for _, l := range f.labels {
		if l.name == name && l.org == org {
			return l.id
		}
	}
	id := int64(len(f.labels)) + 9
	f.labels = append(f.labels, label{id: id, name: name, org: org})
	return id
}

func (f *Fake) labelOf(id int64) (label, bool) {
	i := slices.IndexFunc(f.labels, func(l label) bool { return l.id == id })
	if i < 0 {
		return label{}, false
	}
	return f.labels[i], true
}

func (f *Fake) template(id int64) *template {
	i := slices.IndexFunc(f.templates, func(t *template) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return f.templates[i]
}

func (f *Fake) named(name string) *template {
	i := slices.IndexFunc(f.templates, func(t *template) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return f.templates[i]
}

func (f *Fake) inventory(name string) *inventory {
	i := slices.IndexFunc(f.places, func(in *inventory) bool { return in.Name == name })
	if i < 0 {
		return nil
	}
	return f.places[i]
}

func (f *Fake) inventoryOf(id int64) *inventory {
	i := slices.IndexFunc(f.places, func(in *inventory) bool { return in.id == id })
	if i < 0 {
		return nil
	}
	return f.places[i]
}

func (f *Fake) job(id int64) *job {
	i := slices.IndexFunc(f.jobs, func(j *job) bool { return j.id == id })
	if i < 0 || f.jobs[i].hidden(f.now()) {
		return nil
	}
	return f.jobs[i]
}

// What a user may do.
func (u *user) mayRead(t *template) bool {
	return u.Superuser || slices.Contains(u.Execute, t.Name) || slices.Contains(u.Read, t.Name)
}

func (u *user) mayStart(t *template) bool { return u.Superuser || slices.Contains(u.Execute, t.Name) }

func (u *user) maySee(in *inventory) bool {
	return u.Superuser || slices.Contains(u.Inventory, in.Name) || slices.Contains(u.Use, in.Name)
}
func (u *user) mayUse(in *inventory) bool { return u.Superuser || slices.Contains(u.Use, in.Name) }
