package values_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// BenchmarkValues makes series of an answer of 1000 elements, with ten
// properties each, and compares that with what decoding it alone costs.
func BenchmarkValues(b *testing.B) {
	var body strings.Builder
	body.WriteString(`{"region": "eu", "queues": [`)
	for i := range 1000 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"id": "5f1c-%d", "name": "queue-%d", "owner": {"team": "mail", "on_call": ["a", "b"]}, "depth": %d, "oldest": %d, "sent": "%d", "paused": %t, "state": "up", "note": "as it was \"before\"", "rate": %d.25}`,
			i, i, i*7, i*1000, i*31, i%2 == 0, i)
	}
	body.WriteString("]}")
	text := []byte(body.String())
	s := values.New(nil).Service("mq", values.Options{MaxSeries: 10_000, MaxElements: 10_000, MaxLabel: 128, Stale: time.Minute}, slog.New(slog.DiscardHandler))
	if problems := s.Load(load(b, document)); len(problems) > 0 {
		b.Fatal(problems)
	}
	var ours float64
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			s.Take(values.Answer{Operation: "listQueues", Code: "200", Body: text})
		}
		ours = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			var value any
			if err := json.Unmarshal(text, &value); err != nil {
				b.Fatal(err)
			}
		}
		if theirs := float64(b.Elapsed().Nanoseconds()) / float64(b.N); ours > 0 {
			b.ReportMetric(ours/theirs, "ours/unmarshal")
		}
	})
}
