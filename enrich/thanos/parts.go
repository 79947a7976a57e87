package thanos

import (
	"cmp"
	"math"
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
		k := c.group(m)
		groups[k] = append(groups[k], i)
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b int) int { return cmp.Compare(rows[b].value, rows[a].value) })
		sum := 0.0
		for _, i := range group {
			sum += rows[i].bad
		}
		if !c.alert.Op.Holds(sum, c.alert.Threshold) {
			continue
		}
		if c.alert.Op.Falling() {
			median := rows[group[len(group)/2]].value
			for _, i := range group {
				t.Bad[i] = rows[i].value <= missing*median
			}
			continue
		}
		for _, i := range group[:c.toBlame(rows, group, sum)] {
			t.Bad[i] = rows[i].value > 0
		}
	}
}

// toBlame counts the largest members that are to blame for a sum: those without
// which the rule would be content and those like them, if they stand out among
// the others that matter; else all.
func (c *inquiry) toBlame(rows []member, group []int, sum float64) int {
	n := c.needed(rows, group, sum)
	usual, many := usual(rows, group[n:])
	worst := rows[group[n-1]].value
	if n > many || worst < outlier*usual {
		return len(group)
	}
	least := worst / outlier
	if usual > 0 { // half-way between the usual and the worst, in orders of magnitude
		least = max(outlier*usual, math.Sqrt(worst*usual))
	}
	for n < len(group) && rows[group[n]].value >= least {
		n++
	}
	return n
}

// usual is the median part of those members that make up nearly all of a sum,
// and how many they are: a crowd of tiny ones has no say in what is usual.
func usual(rows []member, group []int) (median float64, many int) {
	const nearly = .99
	parts := make([]float64, len(group))
	all := 0.0
	for n, i := range group {
		parts[n] = rows[i].value
		all += math.Abs(parts[n])
	}
	slices.SortFunc(parts, func(a, b float64) int { return cmp.Compare(math.Abs(b), math.Abs(a)) })
	sum := 0.0
	for many < len(parts) && (many == 0 || sum < nearly*all) {
		sum += math.Abs(parts[many])
		many++
	}
	if many == 0 {
		return 0, 0
	}
	parts = parts[:many]
	slices.Sort(parts)
	return parts[many/2], many
}

// needed counts the largest members without which the rule would be content.
func (c *inquiry) needed(rows []member, group []int, sum float64) int {
	for n, i := range group {
		if sum -= rows[i].bad; !c.alert.Op.Holds(sum, c.alert.Threshold) {
			return n + 1
		}
	}
	return len(group)
}
