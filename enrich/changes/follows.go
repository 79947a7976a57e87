package changes

import (
	"cmp"
	"slices"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

const (
	// window is how long before an onset a change may have been made that
	// caused it: what a process does wrong from its start shows by then.
	window = 5 * time.Minute
	// around is how far from it changes are shown.
	around = 15 * time.Minute
	// shown bounds the changes on a page.
	shown = 10
	// kindDeploy is the kind of a change that a new version is.
	kindDeploy = "deploy"
)

// appearances returns the values that came to be within the range as changes,
// and when the trait's own did; zero where it was there before, or where
// nothing was: then the data began, not a version.
func appearances(c page.Course, seen []enrich.Series, own string) ([]page.Change, time.Time) {
	var earliest time.Time
	at := map[string]time.Time{}
	for _, s := range seen {
		value := ""
		for _, l := range s.Labels {
			if l.Name == c.By {
				value = l.Value
			}
		}
		if len(s.Points) == 0 || value == "" {
			continue
		}
		at[value] = s.Points[0].At
		if earliest.IsZero() || s.Points[0].At.Before(earliest) {
			earliest = s.Points[0].At
		}
	}
	var out []page.Change
	var first time.Time
	for value, t := range at {
		if t.Sub(earliest) < 3*max(c.Step, 5*time.Second) {
			continue // not later than its own data
		}
		t = t.Add(-c.Step) // it came between two looks
		out = append(out, page.Change{
			ID: c.By + "=" + value, Kind: kindDeploy, Title: value, Labels: page.Labels{c.By: value}, At: t,
		})
		if value == own {
			first = t
		}
	}
	slices.SortFunc(out, byTime)
	return out, first
}

func byTime(a, b page.Change) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) }

// Follows returns the changes around an onset, and the one that it follows: the
// last one before it, within the window, that touches what is failing. A change
// is before an onset if it is before the end of its interval.
func (Dater) Follows(o page.Onset, c page.Context, where page.Labels, known []page.Change) ([]page.Change, *page.Change) {
	var near []page.Change
	var cause *page.Change
	rank := 0
	slices.SortStableFunc(known, byTime)
	for _, k := range known {
		if k.At.Before(o.From.Add(-around)) || k.At.After(o.To.Add(around)) {
			continue
		}
		r := touches(k, c, where)
		if r == apart {
			continue
		}
		near = append(near, k)
		if cause != nil && k.Title == cause.Title && r <= rank {
			continue // the same, as it showed in the data a moment later
		}
		before := !k.At.After(o.To) && !k.At.Before(o.From.Add(-window))
		if before && r >= nearby && r >= rank {
			cause, rank = &k, r
		}
	}
	if len(near) > shown {
		near = near[len(near)-shown:]
	}
	return near, cause
}

// How a change and what fails have to do with one another.
const (
	apart  = iota // a label says that it is elsewhere
	unsaid        // nothing says that it is elsewhere, and nothing that it is here
	nearby        // it is the same place, service or cluster
	named         // it names the trait itself: its version, its host
)

// names that say what a change was made to, whatever the sender calls it.
func identity(name string) string {
	switch name {
	case "service", "app", "application", "job":
		return "service"
	case "dc", "datacentre", "datacenter":
		return "place"
	case "version", "deploy", "deploy_id", "tag":
		return "release"
	}
	return name
}

// touches compares the labels of a change with the trait and the place.
func touches(k page.Change, c page.Context, where page.Labels) int {
	best, most := unsaid, named
	var trait page.Labels
	if len(c.Traits) > 0 {
		trait = c.Traits[0].Labels
	}
	for _, name := range k.Labels.Names() {
		v := k.Labels[name]
		switch same, known := compare(name, v, trait); {
		case same:
			best = named
			continue
		case known && identity(name) == "release":
			most = unsaid // another release than the one that fails
			continue
		case known:
			return apart
		}
		switch same, known := compare(name, v, where); {
		case same:
			best = max(best, nearby)
		case known && identity(name) != "release":
			return apart // another service, another place
		}
	}
	for _, v := range trait {
		if k.Title == v && v != "" {
			best = named
		}
	}
	return min(best, most)
}

// compare looks a label up by its identity: whether it is the same, and whether
// it is there at all.
func compare(name, value string, in page.Labels) (same, known bool) {
	for n, v := range in {
		if n == name || identity(n) == identity(name) {
			if v == value {
				return true, true
			}
			known = true
		}
	}
	return false, known
}
