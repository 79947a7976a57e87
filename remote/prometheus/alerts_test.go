package prometheus_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// The bodies are those of Prometheus 3.
func TestAlerts(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/prom/api/v1/alerts", r.URL.Path)
		body(`{"status":"success","data":{"alerts":[{"labels":{"alertname":"Errors","service":"a"},"annotations":{"summary":"x"},"state":"pending","activeAt":"2026-03-14T12:00:00.5Z","value":"1e+00"}]}}`)(w, r)
	})
	got, err := c.Alerts(t.Context())
	require.NoError(t, err)
	require.Equal(t, []prometheus.Alert{{
		Labels: page.Labels{"alertname": "Errors", "service": "a"}, State: "pending", ActiveAt: time.Date(2026, 3, 14, 12, 0, 0, 5e8, time.UTC),
	}}, got)
}

func TestExternalLabels(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/prom/api/v1/status/config", r.URL.Path)
		body(`{"status":"success","data":{"yaml":"global:\n  scrape_interval: 15s\n  external_labels:\n    cluster: dc1-prod\n    replica: a\nrule_files:\n- rules.yml\n"}}`)(w, r)
	})
	got, err := c.ExternalLabels(t.Context())
	require.NoError(t, err)
	require.Equal(t, page.Labels{"cluster": "dc1-prod", "replica": "a"}, got)
	none, err := serve(t, body(`{"status":"success","data":{"yaml":""}}`)).ExternalLabels(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	all, err := serve(t, body(`{"status":"success","data":{"yaml":"global:\n  evaluation_interval: 1m30s\n  rule_query_offset: 10s\n"}}`)).Global(t.Context())
	require.NoError(t, err)
	require.Equal(t, prometheus.Global{Evaluation: 90 * time.Second, RuleOffset: 10 * time.Second}, all)
}

func TestListsThatCannotBeRead(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"html": body("<html>"), "another shape": body(`{"data":{"alerts":7,"yaml":[]}}`), "no yaml": body(`{"data":{"alerts":{},"yaml":"{"}}`),
		"not there": http.NotFound, "cut off": body(`{"data":`),
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, h)
			_, err := c.Alerts(t.Context())
			var e *remote.Error
			require.ErrorAs(t, err, &e)
			_, err = c.ExternalLabels(t.Context())
			require.ErrorAs(t, err, &e)
		})
	}
}
