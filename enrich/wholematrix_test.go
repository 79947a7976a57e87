//go:build !race

// Thousands of questions, one after the other: the race detector takes eight times
// as long and finds what it finds in one of them. `make test` runs them without.

package enrich_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
)

// TestWholeMatrix asks about every expression of the catalogue under every fault of
// its signal: the right trait or the right none, in the first answer.
func TestWholeMatrix(t *testing.T) {
	list := catalogue(t)
	cells := map[string][]string{}
	right, late, asked := 0, 0, 0
	var queries, series int
	var longest time.Duration
	for _, signal := range []string{"errors", "slow", "down", "busy", "full", "gone"} {
		for _, p := range places() {
			for seed := range seeds(t) {
				w := newWorld(t, signal, p, seed)
				for _, e := range list {
					if e.Signal != signal || (p.name == "user" && !e.User) {
						continue
					}
					v := w.judge(t, e, p)
					cells[e.Name] = append(cells[e.Name], p.name+" "+v.word)
					if !v.asked {
						continue
					}
					asked, queries, series, longest = asked+1, queries+len(v.table.Queries), series+read(v.table), max(longest, v.took)
					if v.late {
						late++
					}
					if v.right {
						right++
						continue
					}
					t.Logf("%s, %s, seed %d: %s", e.Name, p.name, seed, v.why)
				}
			}
		}
	}
	for _, e := range list {
		t.Logf("%-48s %s", e.Name, strings.Join(slices.Compact(cells[e.Name]), " · "))
		assert.GreaterOrEqual(t, strings.Count(strings.Join(cells[e.Name], " "), "right"), 1, "%s never fires", e.Name)
	}
	t.Logf("%d expressions, %d answers, %d right at first (%.1f %%), %d against the past too; %.1f queries and %.0f series each, longest %s",
		len(list), asked, right, 100*float64(right)/float64(asked), late, float64(queries)/float64(asked), float64(series)/float64(asked), longest.Round(time.Millisecond))
	require.GreaterOrEqual(t, float64(right), .95*float64(asked))
	require.GreaterOrEqual(t, float64(late), .95*float64(asked))
}

// TestChartWholeMatrix draws every expression of the catalogue under every fault of its
// signal: what fails is beyond the threshold at the end, what is healthy is not.
func TestChartWholeMatrix(t *testing.T) {
	type score struct{ asked, drawn, told, right int }
	var all score
	drawn := map[string]bool{}
	queries := 0
	for _, signal := range []string{"errors", "slow", "down", "busy", "full", "gone"} {
		for _, p := range places() {
			w := newWorld(t, signal, p, 0)
			en := enrich.New(enrich.Options{
				Sources: []enrich.Named{{Name: "main", Source: w.source}}, Explainer: traits.New(roles()), Roles: roles(), Now: func() time.Time { return w.now },
			})
			for _, e := range catalogue(t) {
				if e.Signal != signal || (p.name == "user" && !e.User) {
					continue
				}
				w.record(t, e)
				problem, fires := w.problem(t, e)
				if !fires {
					continue
				}
				problem.Context = en.Context(t.Context(), problem)
				before := len(w.fake.Asked())
				c, ok := en.Chart(t.Context(), problem)
				queries += len(w.fake.Asked()) - before
				all.asked++
				if !ok {
					t.Logf("%s, %s: no chart", e.Name, p.name)
					continue
				}
				all.drawn++
				drawn[e.Name] = true
				for _, l := range c.Failing {
					require.Len(t, l.Values, 240)
				}
				failing, healthy := ends(c)
				if c.Threshold == nil {
					if healthy != healthy || failing[0] != healthy {
						all.right++
						continue
					}
				} else {
					all.told++
					if apart(c, failing[0], healthy) {
						all.right++
						continue
					}
				}
				t.Logf("%s, %s: failing %v %s, healthy %.3g of %d, threshold %s, trait %v", e.Name, p.name, failing, c.Failing[0].Name, healthy, c.Healthy.Members, limit(c), labelsOf(problem))
			}
		}
	}
	for _, e := range catalogue(t) {
		assert.True(t, drawn[e.Name], "%s is never drawn", e.Name)
	}
	t.Logf("%d of %d expressions; %d charts of %d problems, %d with a threshold; %d right (%.1f %%); %.1f queries each",
		len(drawn), len(catalogue(t)), all.drawn, all.asked, all.told, all.right, 100*float64(all.right)/float64(all.drawn), float64(queries)/float64(all.asked))
	require.GreaterOrEqual(t, float64(all.drawn), .97*float64(all.asked))
	require.GreaterOrEqual(t, float64(all.right), .95*float64(all.drawn))
}
