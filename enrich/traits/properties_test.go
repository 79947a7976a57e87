package traits_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

func TestFaultsOfStates(t *testing.T) {
	column := func(i int, v string) func([]string) bool { return func(row []string) bool { return row[i] == v } }
	for _, c := range []struct {
		name string
		hit  func(row []string) bool
		want page.Labels
		none bool
	}{
		{"one host down", column(2, "h3"), page.Labels{"host": "h3"}, false},
		{"one target down", func(row []string) bool { return row[3] == "h3:8080" && row[5] == "GET" }, nil, false},
		{"datacentre down", column(1, "dc1"), page.Labels{"dc": "dc1"}, false},
		{"deploy that does not start", column(4, "v42"), page.Labels{"deploy": "v42"}, false},
		{"all down", func([]string) bool { return true }, nil, true},
		{"none down", func([]string) bool { return false }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			right := 0
			for seed := range uint64(seeds) {
				f := newFleet(seed, false)
				down := make([]float64, len(f.rows))
				for i, row := range f.rows {
					if c.hit(row) || f.r.Float64() < .002 { // now and then another one is down too
						down[i] = 1
					}
				}
				got := traits.New(roles()).Explain(tableOf(f.names, f.rows, down, nil, 0))
				first := len(got.Traits) > 0 && holds(got.Traits[0], c.want)
				if (c.want == nil || first) && got.None == c.none {
					right++
				} else {
					t.Logf("seed %d: %s", seed, brief(got))
				}
			}
			require.GreaterOrEqual(t, right, seeds*98/100)
		})
	}
}

// One member proves nothing, and yet the reader wants its name.
func TestOneTargetDown(t *testing.T) {
	names := []string{"job", "host", "instance", "dc"}
	var rows [][]string
	for i := range 12 {
		rows = append(rows, []string{"api", fmt.Sprintf("h%d", i), fmt.Sprintf("h%d:80", i), fmt.Sprintf("dc%d", i%3)})
	}
	down := make([]float64, 12)
	down[7] = 1
	got := traits.New(roles()).Explain(tableOf(names, rows, down, nil, 0))
	require.Len(t, got.Traits, 1, brief(got))
	tr := got.Traits[0]
	require.Equal(t, page.Labels{"host": "h7"}, tr.Labels)
	require.Equal(t, []page.Label{{Name: "instance", Value: "h7:80"}}, tr.Also)
	require.Equal(t, page.Count{Matched: 1, Total: 1}, tr.Failing)
	require.Equal(t, page.Count{Matched: 0, Total: 11}, tr.Healthy)
	require.Equal(t, page.Labels{"job": "api"}, got.Scope)
}

func TestNothingToSay(t *testing.T) {
	names := []string{"host"}
	for _, c := range []struct {
		name     string
		rows     [][]string
		bad, all []float64
		note     string
	}{
		{"no rows", nil, nil, nil, "no member of the alert's expression has data"},
		{"no events", [][]string{{"a"}, {"b"}}, []float64{0, 0}, []float64{0, 0}, "no member of the alert's expression has events"},
		{"no number", [][]string{{"a"}, {"b"}}, []float64{math.NaN(), 1}, []float64{5, math.Inf(1)}, "no member of the alert's expression has events"},
		{"nothing bad", [][]string{{"a"}, {"b"}}, []float64{0, 0}, []float64{50, 50}, "no member breaks the rule at this time"},
		{"one member", [][]string{{"a"}}, []float64{9}, []float64{50}, "the alert's expression has one member only: nothing to compare it with"},
		{"few events", [][]string{{"a"}, {"b"}}, []float64{3, 2}, []float64{9, 11}, "too few bad events to tell members apart: 5"},
		{"two are down", [][]string{{"a"}, {"b"}, {"c"}, {"d"}}, []float64{1, 1, 0, 0}, nil, "too few failing members to tell them apart: 2 of 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := traits.New(nil).Explain(tableOf(names, c.rows, c.bad, c.all, .05))
			require.Equal(t, []string{c.note}, got.Notes)
			require.Empty(t, got.Traits)
			require.False(t, got.None)
		})
	}
}

func TestAlwaysBadMemberIsNoExplanation(t *testing.T) {
	f := newFleet(3, false)
	f.run(func([]string) bool { return true }, .4)
	f.rows = append(f.rows, []string{"api", "dc0", "h99", "h99:8080", "v41", "GET", ""})
	f.bad, f.all = append(f.bad, 9), append(f.all, 9)
	got := traits.New(roles()).Explain(f.table(.05))
	require.True(t, got.None, brief(got))
	require.Empty(t, got.Traits)
}

// Two faults at once are both named, the larger first, where the second is
// more than a trace.
func TestTwoFaults(t *testing.T) {
	both, cases := 0, 0
	for seed := range uint64(seeds) {
		f := newFleet(seed, true)
		f.run(func(row []string) bool { return row[1] == "dc1" || row[6] == "u2" }, .5)
		second, bad := 0.0, 0.0
		for i, row := range f.rows {
			bad += f.bad[i]
			if row[1] != "dc1" && row[6] == "u2" {
				second += f.bad[i]
			}
		}
		if second < .1*bad {
			continue
		}
		cases++
		got := traits.New(roles()).Explain(f.table(.02))
		if len(got.Traits) == 2 && holds(got.Traits[0], page.Labels{"dc": "dc1"}) && holds(got.Traits[1], page.Labels{"user": "u2"}) {
			both++
		}
	}
	require.Greater(t, cases, 20)
	require.GreaterOrEqual(t, both, cases*95/100)
}

func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	for _, fault := range ratioFaults() {
		for seed := range uint64(10) {
			f := newFleet(seed, fault.perUser)
			f.run(fault.hit, .5)
			want := traits.New(roles()).Explain(f.table(.02))
			order := rand.New(rand.NewPCG(seed, 1)).Perm(len(f.rows))
			var rows [][]string
			var bad, all []float64
			for _, i := range order {
				rows, bad, all = append(rows, f.rows[i]), append(bad, f.bad[i]), append(all, f.all[i])
			}
			got := traits.New(roles()).Explain(tableOf(f.names, rows, bad, all, .02))
			require.Len(t, got.Traits, len(want.Traits))
			for i := range got.Traits {
				require.InDelta(t, want.Traits[i].Score, got.Traits[i].Score, 1e-6)
				got.Traits[i].Score = want.Traits[i].Score
				require.InDelta(t, want.Traits[i].Share, got.Traits[i].Share, 1e-9)
				got.Traits[i].Share = want.Traits[i].Share
			}
			require.Equal(t, want, got)
		}
	}
}

// A label whose values are dealt out anew tells nothing, so it must vanish.
func TestPermutedLabelVanishes(t *testing.T) {
	named := 0
	for seed := range uint64(seeds) {
		f := newFleet(seed, true)
		f.run(func(row []string) bool { return row[4] == "v42" }, .5)
		order := f.r.Perm(len(f.rows))
		dealt := make([]string, len(f.rows))
		for i, j := range order {
			dealt[i] = f.rows[j][4]
		}
		for i := range f.rows {
			f.rows[i] = slices.Clone(f.rows[i])
			f.rows[i][4] = dealt[i]
		}
		for _, tr := range traits.New(roles()).Explain(f.table(.02)).Traits {
			if tr.Labels["deploy"] != "" {
				named++
			}
		}
	}
	require.LessOrEqual(t, named, seeds*2/100)
}

// The counts are of members, as the page says them.
func TestCounts(t *testing.T) {
	names := []string{"host", "deploy"}
	var rows [][]string
	var bad, all []float64
	for i := range 60 {
		deploy, x, n := "v41", 1.0, 200.0
		if i < 20 {
			deploy, x = "v42", 80
		}
		if i == 0 { // two events, one of them bad: nobody knows
			x, n = 1, 2
		}
		if i == 40 { // a member of the old deploy that fails as well
			x = 90
		}
		rows, bad, all = append(rows, []string{fmt.Sprintf("h%d", i), deploy}), append(bad, x), append(all, n)
	}
	got := traits.New(roles()).Explain(tableOf(names, rows, bad, all, .05))
	require.Equal(t, page.Labels{"deploy": "v42"}, got.Traits[0].Labels, brief(got))
	require.Equal(t, page.Count{Matched: 19, Total: 20}, got.Traits[0].Failing)
	require.Equal(t, page.Count{Matched: 0, Total: 39}, got.Traits[0].Healthy)
	require.Equal(t, 20, got.Failing)
	require.Equal(t, 39, got.Healthy)
	require.Equal(t, "deploy", got.Traits[0].Role)
	require.Equal(t, "main", got.Traits[0].Source)
	require.Equal(t, "A", got.Traits[0].Alert)
}

var _ enrich.Explainer = traits.New(nil)
