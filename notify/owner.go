package notify

import (
	"cmp"

	"github.com/tocsin/tocsin/page"
)

// Owner is whose problem it is.
type Owner struct {
	Name  string // as a label or the config says
	Slack string // ID of a Slack user (U…, W…) or user group (S…), from the config alone; "" mentions nobody
}

// Owning gives an owner what it matches.
type Owning struct {
	Match page.Labels // labels that all alerts of the page have
	Owner Owner
}

// Owners is who owns what, in order: the first that matches does.
type Owners []Owning

// Of returns the owner of a page: the first whose labels all its alerts carry,
// else whom their label owner or team names. A label chooses among the owners
// of the config by their name; it never says whom to mention.
func (os Owners) Of(p page.Page) Owner {
	shared := func(name string) string {
		v := ""
		for i, a := range p.Alerts {
			if i > 0 && a.Labels[name] != v {
				return ""
			}
			v = a.Labels[name]
		}
		return v
	}
	for _, o := range os {
		if o.matches(shared) {
			return o.Owner
		}
	}
	name := cmp.Or(shared("owner"), shared("team"))
	for _, o := range os {
		if name != "" && o.Owner.Name == name {
			return o.Owner
		}
	}
	return Owner{Name: name}
}

func (o Owning) matches(shared func(name string) string) bool {
	for name, v := range o.Match {
		if shared(name) != v {
			return false
		}
	}
	return len(o.Match) > 0
}
