//go:build sources

package world_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/lab/world"
	"github.com/tocsin/tocsin/page"
)

// rounds is how often each way is asked.
const rounds = 9

// TestSources asks real Thanos Query over a real sidecar one question over gRPC
// and over HTTP, turn by turn, and prints what each cost. The servers are
// processes of their own: what is allocated is ours alone.
func TestSources(t *testing.T) {
	sizes := []int{1_000, 10_000, 100_000}
	dir := t.TempDir()
	query := raise(t, dir, expose(t, sizes))
	ways := []string{"grpc", "http"}
	open := map[string]func(n int) enrich.Source{
		"grpc": func(n int) enrich.Source { return source(t, thanos.Config{GRPC: query.GRPC}, n) },
		"http": func(n int) enrich.Source { return source(t, thanos.Config{HTTP: "http://" + query.HTTP}, n) },
	}
	t.Logf("%8s %5s %10s %10s %12s %12s %10s", "series", "way", "ms p50", "ms max", "MB received", "MB allocated", "allocs")
	for _, n := range sizes {
		runs := map[string][]run{}
		sources := map[string]enrich.Source{}
		for _, way := range ways {
			sources[way] = open[way](n)
			ask(t, sources[way], n) // its size is asked once
		}
		for range rounds {
			for _, way := range ways {
				runs[way] = append(runs[way], ask(t, sources[way], n))
			}
		}
		middle := map[string]run{}
		for _, way := range ways {
			list := runs[way]
			slices.SortFunc(list, func(a, b run) int { return cmp.Compare(a.took, b.took) })
			middle[way] = list[len(list)/2]
			m := middle[way]
			t.Logf("%8d %5s %10.1f %10.1f %12.2f %12.2f %10d", n, way, ms(m.took), ms(list[len(list)-1].took),
				float64(m.received)/1e6, float64(m.bytes)/1e6, m.allocs)
		}
		t.Logf("%8d http/grpc: time ×%.2f, received ×%.2f, allocated ×%.2f", n, ms(middle["http"].took)/ms(middle["grpc"].took),
			float64(middle["http"].received)/float64(middle["grpc"].received), float64(middle["http"].bytes)/float64(middle["grpc"].bytes))
	}
}

// run is what one question cost.
type run struct {
	took          time.Duration
	received      int64
	bytes, allocs uint64 // allocated by us
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ask(t *testing.T, s enrich.Source, n int) run {
	t.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	table, err := s.Table(t.Context(), enrich.Question{
		Alert: "Wide", Expr: fmt.Sprintf(`wide{size="%d"} == 0`, n), At: time.Now(), Group: page.Labels{"alertname": "Wide"},
	})
	r := run{took: time.Since(began)}
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, n, table.Rows())
	r.bytes, r.allocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	for _, q := range table.Queries {
		r.received += q.Bytes
	}
	return r
}

func source(t *testing.T, c thanos.Config, n int) enrich.Source {
	t.Helper()
	c.Timeout, c.MaxSeries, c.MaxBytes = config.Duration(time.Minute), n, 1<<30
	c.PartialResponse, c.ReplicaLabels = true, []string{"replica"}
	require.NoError(t, c.Validate())
	s, err := thanos.Kind().New(&c, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Now: time.Now})
	require.NoError(t, err)
	if c, ok := s.(io.Closer); ok {
		t.Cleanup(func() { require.NoError(t, c.Close()) })
	}
	return s
}

// expose serves metrics with so many series each.
func expose(t *testing.T, sizes []int) (addr string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("# TYPE wide gauge\n")
	for _, n := range sizes {
		for i := range n {
			fmt.Fprintf(&b, "wide{size=\"%d\",service=\"checkout\",dc=\"dc%d\",host=\"h%d\",member=\"h%d:%d\",version=\"v%d\"} %d\n",
				n, i%3, i/10, i/10, 8080+i%10, 41+i%5/4, i%2)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(b.Bytes())
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// raise starts Prometheus, a sidecar and Query, and waits until all is scraped.
func raise(t *testing.T, dir, target string) world.Thanos {
	t.Helper()
	cwd, err := os.Getwd()
	require.NoError(t, err)
	find := world.Finder{Root: world.Root(cwd), Out: io.Discard}
	path := map[string]string{}
	for _, name := range []string{"prometheus", "thanos"} {
		path[name], err = find.Find(t.Context(), name)
		require.NoError(t, err)
	}
	prom, side, query := free(t), world.Thanos{GRPC: free(t), HTTP: free(t)}, world.Thanos{GRPC: free(t), HTTP: free(t)}
	conf := "global: {scrape_interval: 20s, external_labels: {cluster: lab, replica: a}}\nscrape_configs: [{job_name: wide, scrape_timeout: 15s, static_configs: [{targets: ['" + target + "']}]}]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(conf), 0o600))
	start := func(name, tool, ready string, args ...string) {
		p := &world.Process{
			Name: name, Path: path[tool], Args: args, Dir: dir, Log: filepath.Join(dir, name+".log"), Ready: "http://" + ready + "/-/ready",
		}
		require.NoError(t, p.Start())
		t.Cleanup(func() { p.Stop(5 * time.Second) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, p.Await(ctx))
	}
	start("prometheus", "prometheus", prom, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+prom)
	start("sidecar", "thanos", side.HTTP, "sidecar", "--tsdb.path=data", "--prometheus.url=http://"+prom, "--grpc-address="+side.GRPC, "--http-address="+side.HTTP)
	start("query", "thanos", query.HTTP, "query", "--query.replica-label=replica", "--grpc-address="+query.GRPC, "--http-address="+query.HTTP, "--endpoint="+side.GRPC)
	s := source(t, thanos.Config{HTTP: "http://" + query.HTTP}, 1000)
	require.Eventually(t, func() bool {
		table, err := s.Table(t.Context(), enrich.Question{Alert: "Wide", Expr: `wide{size="1000"} == 0`, At: time.Now()})
		return err == nil && table.Rows() == 1000
	}, 2*time.Minute, time.Second, "everything is scraped")
	return query
}

func free(t *testing.T) string {
	t.Helper()
	ports, err := world.Ports(t.Context(), 1)
	require.NoError(t, err)
	return ports[0]
}
