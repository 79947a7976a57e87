package traits

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// What the notes about the spread of a failure are about.
const (
	muchOutside = 0.35 // of the badness: more than that outside all traits is said
	evenValues  = 12   // of a label: one with more is no place that people think of
	evenLabels  = 3    // that are named
	evenMembers = 4    // that a value has at least, else it says nothing
)

// unexplained says that much of the badness is in no trait, "" if not.
func unexplained(share float64) string {
	if share <= muchOutside {
		return ""
	}
	return page.Percent(share) + " of what is bad is in no trait: its cause may be one that no label names"
}

// outside says so of a page's traits, where the rule would still fire without
// what they hold.
func (s *scan) outside(found []finding) string {
	share := 1.0
	for _, f := range found {
		share -= f.share
	}
	if len(found) == 0 || s.t.Share > 0 && rate(s.total) <= s.t.Share {
		return ""
	}
	return unexplained(share)
}

// even says over what the failing members of a scan are spread.
func (v verdicts) even(s *scan) string {
	return evenly(s.t, s.rank, func(i int) bool { return v.row[i] == failing })
}

// evenly names the labels all of whose values fail alike, the most telling ones
// first, "" if there is none. It is asked where nothing sets the failing apart,
// so it only has to leave out labels with a value that fails less than half as
// often as the others, or of which too little is known.
func evenly(t *enrich.Table, rank []preference, fails func(row int) bool) string {
	var cols []int
	for c, col := range t.Cols {
		members, failing, all := make([]int, len(col.Dict)), make([]int, len(col.Dict)), 0
		for i, code := range col.Codes {
			members[code]++
			if fails(i) {
				failing[code]++
				all++
			}
		}
		values, even := 0, true
		for code, n := range members {
			if n > 0 {
				values++
				even = even && code != 0 && n >= evenMembers && 2*failing[code]*t.Rows() >= all*n
			}
		}
		if even && values > 1 && values <= evenValues {
			cols = append(cols, c)
		}
	}
	slices.SortFunc(cols, func(a, b int) int { return rank[a].compare(rank[b]) })
	var names []string
	for _, c := range cols[:min(len(cols), evenLabels)] {
		names = append(names, fmt.Sprintf("%s (%d values)", t.Cols[c].Name, rank[c].values))
	}
	if len(names) == 0 {
		return ""
	}
	return "spread evenly over " + strings.Join(names, ", ")
}
