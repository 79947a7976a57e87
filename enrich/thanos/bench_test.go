package thanos_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
)

// BenchmarkWays asks one question over gRPC and over HTTP, turn by turn. The
// work of the server, which is the same for both, is part of either figure.
func BenchmarkWays(b *testing.B) {
	now := time.Unix(1_700_000_000, 0)
	for _, n := range []int{1_000, 10_000, 100_000} {
		series := make([]enrichtest.Series, n)
		for i := range series {
			series[i] = enrichtest.Gauge(now, float64(i%2), "__name__", "up", "job", "api", "service", "checkout", "dc", fmt.Sprintf("dc%d", i%3),
				"host", fmt.Sprintf("h%d", i/10), "instance", fmt.Sprintf("h%d:%d", i/10, 8080+i%10), "deploy", fmt.Sprintf("v%d", 41+i%5/4))
			series[i].Samples = series[i].Samples[11:]
		}
		f := enrichtest.New(b, series...)
		opened := func(c thanos.Config) enrich.Source {
			c.Timeout, c.MaxSeries, c.MaxBytes = config.Duration(time.Minute), n, 1<<30
			s, err := thanos.Kind().New(&c, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Now: time.Now})
			require.NoError(b, err)
			return s
		}
		ways := map[string]enrich.Source{"grpc": opened(thanos.Config{GRPC: f.GRPC}), "http": opened(thanos.Config{HTTP: f.URL})}
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			took := map[string]time.Duration{}
			ask := func(name, text string, rows int) {
				began := time.Now()
				table, err := ways[name].Table(b.Context(), enrich.Question{Expr: text, At: now})
				require.NoError(b, err)
				require.Equal(b, rows, table.Rows())
				took[name] += time.Since(began)
			}
			for name := range ways { // its size is asked once
				ask(name, `up == 0`, n)
			}
			clear(took)
			for b.Loop() {
				ask("grpc", `up == 0`, n)
				ask("http", `up == 0`, n)
			}
			b.ReportMetric(float64(took["grpc"].Milliseconds())/float64(b.N), "grpc-ms")
			b.ReportMetric(float64(took["http"].Milliseconds())/float64(b.N), "http-ms")
			b.ReportMetric(float64(took["http"])/float64(took["grpc"]), "http/grpc")
		})
		if c, ok := ways["grpc"].(interface{ Close() error }); ok {
			require.NoError(b, c.Close())
		}
	}
}
