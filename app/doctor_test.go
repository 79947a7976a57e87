package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

// servers that run, as the doctor asks them; every path needs the token.
func runningServers(t *testing.T, ahead time.Duration) string {
	t.Helper()
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		return string(b)
	}
	answers := map[string]string{
		"/api/v1/status/config": `{"data": {"yaml": ` + quoted("global:\n  evaluation_interval: 10s\nscrape_configs:\n- job_name: api\n  scrape_interval: 5s\n") + `}}`,
		"/api/v1/status/flags":  `{"data": {"rules.alert.resend-delay": "30s", "web.listen-address": ":9090"}}`,
		"/api/v1/rules": `{"data": {"groups": [{"name": "api", "file": "/etc/rules/api.yml", "interval": 10, "rules": [
			{"type": "recording", "name": "api:up", "query": "min(up{job=\"api\"})", "evaluationTime": 0.25},
			{"type": "alerting", "name": "ApiDown", "query": "api:up == 0", "duration": 20, "labels": {"severity": "critical"}, "evaluationTime": 0.5}]}]}}`,
		"/api/v2/status": `{"config": {"original": ` + quoted("route: {receiver: pages, group_wait: 3s}\nreceivers: [{name: pages}]\n") + `},
			"cluster": {"status": "ready", "peers": [{"name": "a"}, {"name": "b"}]}}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		body, ok := answers[r.URL.Path]
		switch query := r.URL.Query().Get("query"); {
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
			return
		case r.URL.Path == "/api/v1/query" && strings.Contains(query, "fault_to_page"):
			body, ok = `{"data": {"result": [{"value": [1, "4.5"]}]}}`, true
		case r.URL.Path == "/api/v1/query":
			body, ok = `{"data": {"result": [{"value": [1, "NaN"]}]}}`, true
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func examined(t *testing.T, o app.DoctorOptions) (app.Examination, error) {
	t.Helper()
	o.Output, o.Level = "json", 1
	var b bytes.Buffer
	err := app.Doctor(t.Context(), &b, o)
	var x app.Examination
	require.NoError(t, json.Unmarshal(b.Bytes(), &x), "%v", err)
	return x, err
}

func TestDoctorAsksServersThatRun(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret"), 0o600))
	url := runningServers(t, 0)
	o := app.DoctorOptions{
		Prometheus: url, Alertmanager: url, TokenFile: config.SecretFile(token),
		Budgets: map[string]config.Duration{"critical": config.Duration(time.Minute)},
	}
	x, err := examined(t, o)
	require.NoError(t, err)
	require.Len(t, x.Rules, 1)
	r := x.Rules[0]
	require.Equal(t, "ApiDown", r.Alert)
	require.Equal(t, "/etc/rules/api.yml", r.File)
	// s 5, e 10, for 20, d_e 0.75, w 3; recorded ahead in its own group
	require.Equal(t, 31250*time.Millisecond, r.Mean)
	notes := map[string]string{}
	for _, f := range x.Findings {
		require.True(t, f.OK, f.Error)
		notes[f.What] = f.Note
	}
	require.Equal(t, "cluster ready, 2 peers", notes["alertmanager "+url])
	require.Contains(t, notes["--rules.alert.resend-delay"], "it costs 40s at evaluations each 10s")
	require.Contains(t, notes["--cluster.peer-timeout"], "every page waits 15s longer")
	require.Equal(t, "mean 4.5s over 7d; predicted for the rules with a budget 3.8s (best 3.8s, worst 3.8s)", notes["measured, firing to page"])
	require.NotContains(t, notes, "measured, canary", "nothing was measured")

	o.TokenFile = ""
	x, err = examined(t, o)
	require.ErrorIs(t, err, app.ErrUnreachable)
	require.Contains(t, x.Findings[0].Error, "status 401: name a file with a token that may read it: --token-file")

	url = runningServers(t, time.Minute)
	x, err = examined(t, app.DoctorOptions{Prometheus: url, TokenFile: config.SecretFile(token)})
	require.ErrorIs(t, err, app.ErrUnreachable)
	require.Contains(t, x.Findings[0].Error, "run chrony or ntpd")
}
