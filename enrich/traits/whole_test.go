//go:build !race

// One goroutine explains thousands of tables: the race detector takes eight times
// as long and finds nothing. `make test` runs them without.

package traits_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

func TestWholeKinds(t *testing.T) {
	has := func(want map[string]string, by map[string]string) bool {
		for k, v := range want {
			if by[k] != v {
				return false
			}
		}
		return true
	}
	for _, kind := range traits.Kinds() {
		for _, want := range []map[string]string{
			{"zone": "z1"},
			{"version": "v1"},
			{"node": "n3"},
			{"user": "u0"},
			{"version": "v1", "endpoint": "/e2"},
			{"zone": "z0", "version": "v0", "endpoint": "/e1"},
		} {
			t.Run(kind+"/"+page.Labels(want).String(), func(t *testing.T) {
				right := 0
				for seed := range uint64(8) {
					s := newService(seed, 1500)
					r := report(t, s.csv(kind, func(by map[string]string) float64 {
						if has(want, by) {
							return .5
						}
						return 0
					}))
					if len(r.Causes) == 1 && sameRows(s, r.Causes[0].Labels, want) {
						right++
					} else {
						t.Log(seed, r)
					}
				}
				require.GreaterOrEqual(t, right, 7)
			})
		}
		t.Run(kind+"/everywhere or nowhere", func(t *testing.T) {
			none := 0
			for seed := range uint64(8) {
				for _, h := range []float64{0, .3} {
					if report(t, newService(seed, 1500).csv(kind, func(map[string]string) float64 { return h })).None {
						none++
					}
				}
			}
			require.GreaterOrEqual(t, none, 15)
		})
	}
}

func TestWholeFaultsOfRatios(t *testing.T) {
	for _, fault := range ratioFaults() {
		t.Run(fault.name, func(t *testing.T) {
			right := 0
			for seed := range uint64(seeds) {
				f := newFleet(seed, fault.perUser)
				f.run(fault.hit, .25+.5*f.r.Float64())
				share := .05
				if fault.fires { // a rule that is content with the background and not with this
					share = f.background + (f.rate()-f.background)*(.2+.7*f.r.Float64())
				}
				got := traits.New(roles()).Explain(f.table(share))
				if said(got, fault.want) && got.None == fault.none {
					right++
				} else {
					t.Logf("seed %d: %s", seed, brief(got))
				}
			}
			t.Logf("%d of %d right", right, seeds)
			require.GreaterOrEqual(t, right, seeds*98/100)
		})
	}
}
