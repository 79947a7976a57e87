package replay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules/replay"
)

// canned answers every range with series that are there for a tenth of the
// time each, so that what is measured is the replay and no server.
type canned struct{ series int }

func (c canned) Range(_ context.Context, _ string, from, to time.Time, step time.Duration, _ prometheus.Limits, each func([]page.Label, []prometheus.Point)) (prometheus.Answer, error) {
	var points []prometheus.Point
	for i := range c.series {
		points = points[:0]
		for t := from; !t.After(to); t = t.Add(step) {
			if int(t.Unix()/300)%10 == i%10 {
				points = append(points, prometheus.Point{At: t, Value: 1})
			}
		}
		if len(points) > 0 {
			each([]page.Label{{Name: "instance", Value: fmt.Sprint(i)}, {Name: "service", Value: "cart"}}, points)
		}
	}
	return prometheus.Answer{}, nil
}

func (canned) Query(context.Context, string, time.Time, prometheus.Limits, func([]page.Label, float64)) (prometheus.Answer, error) {
	return prometheus.Answer{}, nil
}

// BenchmarkEvaluate replays a day at 15 s; rules/s are evaluations of a rule
// per second on one core. Most rules of a day have nothing to fire.
func BenchmarkEvaluate(b *testing.B) {
	for _, series := range []int{0, 1, 20} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			done := 0
			for b.Loop() {
				h := replay.NewHistory(canned{series}, prometheus.Limits{Series: 1000, Bytes: 1 << 20}, 1, nil)
				out, err := replay.Evaluate(b.Context(), h, rule(), window(24*time.Hour), nil)
				require.NoError(b, err)
				done += out.Evaluations
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "evaluations/s")
		})
	}
}
