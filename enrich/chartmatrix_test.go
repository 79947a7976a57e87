package enrich_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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
