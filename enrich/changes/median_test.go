package changes

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Both medians agree with the plain way, sorting.
func TestMedians(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		n := 1 + r.IntN(40)
		y, vs := make([]float64, n), make([]weighted, n)
		half := 0.0
		for i := range n {
			y[i] = float64(r.IntN(10))
			vs[i] = weighted{y[i], float64(1 + r.IntN(4))}
			half += vs[i].w / 2
		}
		sorted := slices.Sorted(slices.Values(y))
		require.InDelta(t, (sorted[(n-1)/2]+sorted[n/2])/2, (&series{}).median(y), 0)
		plain := slices.Clone(vs)
		slices.SortFunc(plain, func(a, b weighted) int { return cmp.Compare(a.v, b.v) })
		want := 0.0
		for _, v := range plain {
			if want = v.v; half <= v.w {
				break
			}
			half -= v.w
		}
		require.InDelta(t, want, medianOf(vs), 0)
	}
}
