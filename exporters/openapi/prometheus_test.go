//go:build prometheus

package openapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi"
)

// A real Prometheus (PROMETHEUS=path) scrapes the exporter in front of a real
// service, and evaluates what generate wrote.
func TestARealPrometheus(t *testing.T) {
	w := begin(t)
	metrics := httptest.NewServer(w.house.Handler())
	defer metrics.Close()
	watch := filepath.Join(w.dir, "watch")
	require.Equal(t, 0, openapi.Run([]string{"generate", "--config.file", filepath.Join(w.dir, "openapi.yml"), "--out", watch, "--native-histograms"}, "test", os.Stdout, os.Stderr))
	config := write(t, w.dir, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s, scrape_native_histograms: true, always_scrape_classic_histograms: true}
rule_files: [%s/*.rules.yml]
scrape_configs: [{job_name: openapi, static_configs: [{targets: ["%s"]}]}]
`, watch, metrics.Listener.Addr()))
	address := freePort(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	prometheus := exec.CommandContext(ctx, os.Getenv("PROMETHEUS"), "--config.file", config, "--storage.tsdb.path", filepath.Join(w.dir, "data"), "--web.listen-address", address)
	prometheus.Stderr = os.Stderr
	require.NoError(t, prometheus.Start())
	defer prometheus.Wait() //nolint:errcheck // it is killed
	p := server("http://" + address)

	p.wait(t, `openapi_requests_total{operation="getOrder", code="200"} == 0`)
	for path, n := range map[string]int{"/orders/1": 20, "/orders/3": 5, "/orders/4": 5} {
		for range n {
			w.get(t, path)
		}
	}
	p.wait(t, `openapi_requests_total{operation="getOrder", code="200"} == 20`)
	p.wait(t, `histogram_count(openapi_request_duration_seconds{operation="getOrder"}) == 30`)
	p.wait(t, `openapi_probe_operation_success{operation="getOrder"} == 1`)
	p.wait(t, `shop_order_euros{operation="getOrder", target=""} == 7`)
	p.wait(t, `shop_order_euros{operation="getOrder", target!=""} == 7`)
	before := p.wait(t, `scrape_samples_scraped`)
	scan(t, w)
	p.wait(t, `openapi_unmatched_requests_total{reason="path"} >= 100000`)
	require.Equal(t, before, p.wait(t, `scrape_samples_scraped`), "a scanner's 100,000 addresses add no series")

	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "broken"), nil, 0o600)) // the service fails from here on
	go func() {
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.front+"/orders/1", nil)
			if err != nil {
				return
			}
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	p.wait(t, `ALERTS{alertname="OpenAPIProbeFails", alertstate="pending", service="shop", operation="getOrder"}`)
	p.wait(t, `openapi_probe_operation_failed{operation="getOrder", reason="status"} == 1`)
	p.wait(t, `ALERTS{alertname="OpenAPIErrors", alertstate="pending", service="shop", operation="getOrder"}`)
	p.wait(t, `ALERTS{alertname="OpenAPIErrors", alertstate="firing", service="shop", operation="getOrder"}`)
	stop()
	require.NoError(t, w.stop())
}

// scan asks for 100,000 addresses that are nowhere.
func scan(t *testing.T, w *world) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(8, uint64(worker)))
			for range 12_500 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/%x/%x.php?%x", w.front, random.Uint32(), random.Uint64(), random.Uint32()), nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	group.Wait()
}

// server is a Prometheus' address.
type server string

// wait asks until there is an answer, and returns its first value.
func (s server) wait(t *testing.T, query string) (value float64) {
	t.Helper()
	require.Eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, string(s)+"/api/v1/query?query="+url.QueryEscape(query), nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if json.NewDecoder(resp.Body).Decode(&answer) != nil || len(answer.Data.Result) == 0 {
			return false
		}
		value, err = strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
		return err == nil
	}, 5*time.Minute, 200*time.Millisecond, query)
	return value
}
