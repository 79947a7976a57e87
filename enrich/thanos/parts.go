package thanos

import (
	"cmp"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// A member stands out of a sum when it is so many times what the others are;
// it is missing from a sum when it is so many times less.
const (
	outlier = 3.0
	missing = 0.1
)

// parts says which members of a sum are to blame. No member breaks the rule by
// itself, so the question is without which of them the rule would be content:
// the fewest and largest ones, if they stand out. Where they do not, the sum is
// everybody's, and all fail. Each group of the rule has a sum of its own.
func (c *inquiry) parts(t *enrich.Table, rows []member) {
	groups := map[string][]int{}
	for i, m := range rows {
		t.Bad[i] = false
		if t.Weight[i] == 0 {
			continue
		}
		k := c.group(m.labels)
		groups[k] = append(groups[k], i)
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b int) int { return cmp.Compare(rows[b].value, rows[a].value) })
		sum := 0.0
		for _, i := range group {
			sum += rows[i].value
		}
		if !c.alert.Op.Holds(sum, c.alert.Threshold) {
			continue
		}
		median := rows[group[len(group)/2]].value
		if c.alert.Op.Falling() {
			for _, i := range group {
				t.Bad[i] = rows[i].value <= missing*median
			}
			continue
		}
		n := c.needed(rows, group, sum)
		if n > len(group)/2 || rows[group[n-1]].value < outlier*median {
			n = len(group)
		}
		for _, i := range group[:n] {
			t.Bad[i] = rows[i].value > 0
		}
	}
}

// needed counts the largest members without which the rule would be content.
func (c *inquiry) needed(rows []member, group []int, sum float64) int {
	for n, i := range group {
		if sum -= rows[i].value; !c.alert.Op.Holds(sum, c.alert.Threshold) {
			return n + 1
		}
	}
	return len(group)
}
