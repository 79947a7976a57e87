package remediate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// One ruling on one of 500 hosts of a page with 1,000 alerts. The naive way lets
// every guard look for the target's alerts itself.
func BenchmarkDecide(b *testing.B) {
	var alerts []page.Alert
	for i := range 1000 {
		alerts = append(alerts, firing(10*time.Minute, "instance", fmt.Sprintf("web-%d:9100", i/2), "check", fmt.Sprint(i%2)))
	}
	pg := pageOf(alerts...)
	c := candidate(b, hostPolicy(), pg)
	guards := remediate.Guards(remediate.World{Alertmanager: holding(pg.Alerts), Sources: counting(10_000)})
	var ours, naive float64
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			remediate.Decide(b.Context(), guards, c)
		}
		ours = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("naive", func(b *testing.B) {
		for b.Loop() {
			for _, g := range guards {
				g.Check(b.Context(), c)
			}
		}
		naive = float64(b.Elapsed()) / float64(b.N)
		b.ReportMetric(naive/ours, "x/ours")
	})
}
