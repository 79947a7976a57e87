package replay

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Change says how a page differs between two sets of rules.
type Change string

// The changes.
const (
	Added   Change = "added"   // only the new rules page
	Removed Change = "removed" // only the old ones did
	Earlier Change = "earlier" // both, the new ones before
	Later   Change = "later"   // both, the new ones after
	Same    Change = "same"
)

// Difference is one page of either set, beside its pendant.
type Difference struct {
	Change Change        `json:"change"`
	By     time.Duration `json:"-"` // how much earlier or later
	Old    *Page         `json:"old,omitempty"`
	New    *Page         `json:"new,omitempty"`
}

// Compare sets the pages of the new rules beside those of the old ones. Two
// pages are one where they go to the same receiver for the same group, or for
// alerts with the same name and labels, and were open at the same time or
// opened within near of each other. Each page has one pendant at most, the one
// that opened nearest to it.
func Compare(old, next []Page, near time.Duration) []Difference {
	type pair struct{ o, n int }
	var pairs []pair
	for n := range next {
		for o := range old {
			if alike(old[o], next[n]) && meet(old[o], next[n], near) {
				pairs = append(pairs, pair{o, n})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Compare(apart(old[a.o], next[a.n]), apart(old[b.o], next[b.n]))
	})
	oldHas, nextHas := make([]bool, len(old)), make([]bool, len(next))
	var out []Difference
	for _, p := range pairs {
		if oldHas[p.o] || nextHas[p.n] {
			continue
		}
		oldHas[p.o], nextHas[p.n] = true, true
		d := Difference{Change: Same, Old: &old[p.o], New: &next[p.n], By: apart(old[p.o], next[p.n])}
		switch {
		case d.New.Opened.Before(d.Old.Opened):
			d.Change = Earlier
		case d.New.Opened.After(d.Old.Opened):
			d.Change = Later
		}
		out = append(out, d)
	}
	for i := range old {
		if !oldHas[i] {
			out = append(out, Difference{Change: Removed, Old: &old[i]})
		}
	}
	for i := range next {
		if !nextHas[i] {
			out = append(out, Difference{Change: Added, New: &next[i]})
		}
	}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Or(a.page().Opened.Compare(b.page().Opened), strings.Compare(a.page().Receiver, b.page().Receiver))
	})
	return out
}

// page is the newer of the two.
func (d Difference) page() *Page {
	if d.New != nil {
		return d.New
	}
	return d.Old
}

// Page is the page that is told of: the new one, or the old one that is gone.
func (d Difference) Page() Page { return *d.page() }

func alike(a, b Page) bool {
	if a.Receiver != b.Receiver {
		return false
	}
	if a.Group.ID() == b.Group.ID() {
		return true
	}
	for _, f := range a.Firings {
		if slices.ContainsFunc(b.Firings, func(g Firing) bool { return f.Labels.ID() == g.Labels.ID() }) {
			return true
		}
	}
	return false
}

func meet(a, b Page, near time.Duration) bool {
	overlap := (a.Closed.IsZero() || b.Opened.Before(a.Closed)) && (b.Closed.IsZero() || a.Opened.Before(b.Closed))
	return overlap || apart(a, b) <= near
}

func apart(a, b Page) time.Duration { return a.Opened.Sub(b.Opened).Abs() }
