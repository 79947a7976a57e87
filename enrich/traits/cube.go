package traits

import (
	"math"

	"github.com/tocsin/tocsin/enrich"
)

// attr is a label that tells members apart.
type attr struct {
	col   int // of the table
	codes []uint32
	dict  []string
	size  int     // of its dictionary
	cost  float64 // ln of the number of values that members have
	vals  int
	same  []int // columns with the very same partition
}

// cube is the structure of a table's labels, measures apart: which labels tell
// members apart at all, which are other names for them, which follow from others.
type cube struct {
	attrs   []attr
	implies [][]bool // implies[a][b]: a's value settles b's
	fixed   []int    // columns with one value
}

func newCube(t *enrich.Table, live []int32) *cube {
	q := &cube{}
	var all []attr
	for c := range t.Cols {
		a := attr{col: c, dict: t.Cols[c].Dict, codes: t.Cols[c].Codes, size: len(t.Cols[c].Dict)}
		seen := make([]bool, a.size)
		for _, i := range live {
			if code := a.codes[i]; !seen[code] {
				seen[code] = true
				a.vals++
			}
		}
		if a.vals < 2 {
			q.fixed = append(q.fixed, c)
			continue
		}
		a.cost = math.Log(float64(a.vals))
		all = append(all, a)
	}
	im := make([][]bool, len(all))
	for a := range all {
		im[a] = make([]bool, len(all))
		for b := range all {
			if a != b && all[a].vals >= all[b].vals {
				im[a][b] = settles(&all[a], &all[b], live)
			}
		}
	}
	// of labels with the same partition the first stands for all
	var keep []int
	for a := range all {
		twin := -1
		for _, b := range keep {
			if im[a][b] && im[b][a] {
				twin = b
			}
		}
		if twin >= 0 {
			all[twin].same = append(all[twin].same, all[a].col)
			continue
		}
		keep = append(keep, a)
	}
	for _, a := range keep {
		q.attrs = append(q.attrs, all[a])
		row := make([]bool, len(keep))
		for j, b := range keep {
			row[j] = im[a][b]
		}
		q.implies = append(q.implies, row)
	}
	return q
}

// settles reports whether every value of a has one value of b.
func settles(a, b *attr, live []int32) bool {
	of := make([]uint32, a.size)
	for _, i := range live {
		switch v := of[a.codes[i]]; v {
		case 0:
			of[a.codes[i]] = b.codes[i] + 1
		case b.codes[i] + 1:
		default:
			return false
		}
	}
	return true
}
