package enrich_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// problem makes the problem that an expression's alerts are; false where none fires.
func (w *world) problem(t *testing.T, e expression) (page.Problem, bool) {
	t.Helper()
	fired, _ := w.ask(t.Context(), t, e.Expr)
	var list []page.Alert
	for _, ls := range fired {
		a := alert("A", "critical", e.Expr)
		for name, v := range ls {
			if name != "__name__" {
				a.Labels[name] = v
			}
		}
		a.ID, a.StartsAt = a.Labels.ID(), w.now.Add(-20*time.Second)
		list = append(list, a)
	}
	p := problem(list...)
	p.Group.GroupLabels = page.Labels{"alertname": "A", "cluster": "dc1-prod", "service": "checkout"}
	p.Clock.Started = w.now.Add(-20 * time.Second)
	return p, len(list) > 0
}

// ends are the last values of a chart's lines, and of its healthy median.
func ends(c page.Chart) (failing []float64, healthy float64) {
	end := func(vs []page.Sample) float64 {
		for _, v := range slices.Backward(vs) {
			if !math.IsNaN(float64(v)) {
				return float64(v)
			}
		}
		return math.NaN()
	}
	for _, l := range c.Failing {
		failing = append(failing, end(l.Values))
	}
	return failing, end(c.Healthy.Middle)
}

// apart reports whether a value is where the rule fires, or at its edge, and
// another one is not beyond it.
func apart(c page.Chart, failing, healthy float64) bool {
	sign := 1.0
	if c.Below {
		sign = -1
	}
	return sign*(failing-*c.Threshold) >= 0 && !(sign*(healthy-*c.Threshold) > 0)
}

// TestChartMatrix draws every expression of the catalogue under every fault of its
// signal: what fails is beyond the threshold at the end, what is healthy is not.
func TestChartMatrix(t *testing.T) {
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

func limit(c page.Chart) string {
	if c.Threshold == nil {
		return "none"
	}
	return fmt.Sprintf("%g below %t", *c.Threshold, c.Below)
}

func labelsOf(p page.Problem) string {
	var out []string
	for _, t := range p.Context.Traits {
		out = append(out, t.Labels.String())
	}
	return strings.Join(out, "; ")
}
