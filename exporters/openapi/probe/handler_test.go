package probe_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// get asks /probe as Prometheus does.
func get(h http.Handler, query url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/probe?"+query.Encode(), nil)
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "60")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestProbe(t *testing.T) {
	target := serve(t, order)
	reg := prometheus.NewPedanticRegistry()
	v := values.New(reg).Service("shop", values.Options{MaxSeries: 10, MaxElements: 10, MaxLabel: 10, Stale: time.Hour}, slog.New(slog.DiscardHandler))
	v.Load(load(t, document))
	o := options()
	o.Allow = []string{target}
	p, err := probe.New(o, v, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	h := probe.NewProbes(reg)
	h.Add("shop", p)
	ok := url.Values{"service": {"shop"}, "target": {target}}
	require.Equal(t, 503, get(h, ok).Code, "there is no document yet")
	p.Load(load(t, document))

	w := get(h, ok)
	require.Equal(t, 200, w.Code)
	for _, line := range []string{
		"probe_success 1\n", `probe_operation_success{operation="getOrder"} 1`, `probe_http_status_code{operation="getOrder"} 200`, `probe_http_response_size_bytes{operation="getOrder"} 12`,
		`probe_contract_violations{check="status_code_conformance",operation="getOrder"} 0`, `shop_order_total_euros{operation="getOrder"} 7`,
	} {
		require.Contains(t, w.Body.String(), line)
	}
	require.Regexp(t, `probe_http_duration_seconds\{operation="getOrder",phase="processing"\} [0-9.e-]+`, w.Body.String())
	require.NotContains(t, w.Body.String(), "expiry")
	require.Empty(t, scrape(t, reg)["shop_order_total_euros"], "/probe leaves nothing behind")

	for query, c := range map[string]struct {
		code int
		says string
	}{
		"service=none&target=" + target:                       {404, `service "none"`},
		"target=" + target:                                    {404, `service ""`},
		"service=shop":                                        {400, "target: missing"},
		"service=shop&target=http://169.254.169.254":          {403, "neither targets nor allow"},
		"service=shop&target=file:///etc/passwd":              {403, "an http or https URL"},
		"service=shop&operation=none&target=" + target:        {404, `the document has no "none"`},
		"service=shop&operation=getCustomer&target=" + target: {404, "the operation is not probed: parameter id has no example"},
		"service=shop&operation=deleteOrder&target=" + target: {404, "DELETE may change something"},
		"service=shop&debug=true&target=" + target:            {200, fmt.Sprintf("getOrder: GET %s/v1/orders/a%%2Fb%%20c: status 200, 12 bytes: ok", target)},
		"service=shop&operation=getOrder&target=" + target:    {200, "probe_success 1"},
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		w := get(h, values)
		require.Equal(t, c.code, w.Code, query)
		require.Contains(t, w.Body.String(), c.says)
	}
	require.Equal(t, []string{"{reason=busy} 0", "{reason=document} 1", "{reason=operation} 3", "{reason=service} 2", "{reason=target} 2"}, scrape(t, reg)["openapi_probe_refused_total"])
}

func TestProbesAreBounded(t *testing.T) {
	hold, came := make(chan struct{}), make(chan struct{}, 16)
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-hold
		order(w, r)
	})
	p := prober(t, options(target))
	h := probe.NewProbes(nil)
	h.Add("shop", p)
	query := url.Values{"service": {"shop"}, "target": {target}}
	done := make(chan int, 16)
	for range 16 {
		go func() { done <- get(h, query).Code }()
	}
	for range 16 {
		<-came
	}
	require.Equal(t, 503, get(h, query).Code)
	close(hold)
	for range 16 {
		require.Equal(t, 200, <-done)
	}
}

func TestTheTimeoutIsPrometheus(t *testing.T) {
	hold := make(chan struct{})
	target := serve(t, func(http.ResponseWriter, *http.Request) { <-hold })
	defer close(hold)
	h := probe.NewProbes(nil)
	h.Add("shop", prober(t, options(target)))
	r := httptest.NewRequest("GET", "/probe?service=shop&target="+target, nil)
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "0.2")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Contains(t, w.Body.String(), "probe_success 0\n")
	require.Contains(t, w.Body.String(), `probe_operation_failed{operation="getOrder",reason="timeout"} 1`)
}
