package app_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/world"
)

// otlp is a collector: it keeps the names of the spans it is sent, by trace.
type otlp struct {
	mu    sync.Mutex
	paths map[string]bool
	spans map[string][]string
}

func (o *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paths[r.URL.Path] = true
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				id := hex.EncodeToString(s.TraceId)
				o.spans[id] = append(o.spans[id], s.Name)
			}
		}
	}
}

// house is a house on free ports with fakes around it, running until the test ends.
type house struct {
	listen, operators string
	slack             *fakeslack.Fake
	pagerduty         *fakepagerduty.Fake
	metrics           *enrichtest.Fake
	log               *bytes.Buffer // to be read once stop has returned
	reload            chan struct{}
	config            string
	stop              func()
}

// run runs a house; more is added to its config, and to its options.
func run(t *testing.T, more string, options ...func(*app.Options)) *house {
	t.Helper()
	dir := secrets(t)
	h := &house{
		slack:     fakeslack.New(fakeslack.Options{NoRateLimits: true, Token: "xoxb-1"}),
		pagerduty: fakepagerduty.New(fakepagerduty.Options{}), metrics: enrichtest.New(t),
		log: &bytes.Buffer{}, reload: make(chan struct{}), config: filepath.Join(dir, "tocsin.yml"),
	}
	slackAt, pagerduty := httptest.NewServer(h.slack), httptest.NewServer(h.pagerduty)
	t.Cleanup(slackAt.Close)
	t.Cleanup(pagerduty.Close)
	h.listen, h.operators = free(t), free(t)
	text := fmt.Sprintf(`listen: %s
operators: {listen: %s, tokens: [{name: alice, role: operator, token_file: alice.token}, {name: eve, role: viewer, token_file: eve.token}]}
alertmanagers: [{name: dc1, inbound_token_files: [am.token]}]
store: {bolt: {path: %s/state/tocsin.db}}
sources: [{kind: thanos, name: main, with: {http: %q}}]
receivers:
  - name: team
    notify: [{kind: slack, name: team, with: {token_file: slack.token, channel: C0PAGES, messages_per_second: 1000, edits_per_minute: 60000, api_url: %[5]s/api/}}]
  - name: duty
    notify:
      - {kind: slack, name: team, with: {token_file: slack.token, channel: C0PAGES, messages_per_second: 1000, edits_per_minute: 60000, api_url: %[5]s/api/}}
      - {kind: pagerduty, name: duty, with: {routing_key_file: pd.key, events_per_minute: 60000, events_url: %q}}
%s`, h.listen, h.operators, dir, h.metrics.URL, slackAt.URL, pagerduty.URL, more)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pd.key"), []byte(fakepagerduty.DefaultKey), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "eve.token"), []byte("eve-secret"), 0o600))
	require.NoError(t, os.WriteFile(h.config, []byte(text), 0o600))
	h.start(t, options...)
	return h
}

// start starts it, or starts it again.
func (h *house) start(t *testing.T, options ...func(*app.Options)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		o := app.Options{
			ConfigFile: h.config, Version: "test", Reload: h.reload,
			Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		for _, set := range options {
			set(&o)
		}
		done <- app.Run(ctx, o)
	}()
	h.stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	t.Cleanup(h.stop)
	require.Eventually(t, func() bool { return h.ask(t, http.MethodGet, h.listen, "/-/ready", "", nil).code == http.StatusOK },
		20*time.Second, 10*time.Millisecond)
}

// free returns an address nobody listens at. Its port lies below those that the
// system hands out, so that no connection takes it meanwhile.
func free(t *testing.T) string {
	t.Helper()
	ports, err := world.Ports(t.Context(), 1)
	require.NoError(t, err)
	return ports[0]
}

type answer struct {
	code int
	body string
}

// ask sends a request with a bearer token, "" for none; code 0: nobody answered.
func (h *house) ask(t *testing.T, method, addr, path, token string, edit func(*http.Request)) answer {
	t.Helper()
	return h.send(t, method, addr, path, token, "", edit)
}

func (h *house) send(t *testing.T, method, addr, path, token, body string, edit func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if edit != nil {
		edit(r)
	}
	res, err := (&http.Client{Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		return answer{}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, string(raw)}
}

// fires is a webhook about an alert that the metrics know.
func fires(alertname string) string {
	return fmt.Sprintf(`{"receiver": "team", "status": "firing", "version": "4", "groupKey": %q, "alerts": [
 {"status": "firing", "labels": {"alertname": %q, "service": "checkout", "severity": "critical"}, "startsAt": %q,
  "generatorURL": "http://p/graph?g0.expr=sum+by+%%28service%%29+%%28rate%%28http_requests_total%%7Bcode%%3D~%%225..%%22%%7D%%5B1m%%5D%%29%%29+%%2F+sum+by+%%28service%%29+%%28rate%%28http_requests_total%%5B1m%%5D%%29%%29+%%3E+0.03"}]}`,
		alertname, alertname, time.Now().UTC().Format(time.RFC3339))
}

// One trace spans a page's whole way, through the store and back.
func TestOneTraceSpansTheHouse(t *testing.T) {
	o := &otlp{paths: map[string]bool{}, spans: map[string][]string{}}
	at := httptest.NewServer(o)
	defer at.Close()
	h := run(t, "tracing: {otlp_endpoint: "+at.URL+"}\n")
	fault := enrichtest.Fault{Errors: func(ls labels.Labels) bool { return ls.Get("deploy") == "v42" }}
	h.metrics.Set(enrichtest.Fleet{Now: time.Now(), Since: 50 * time.Second, Seed: 7, Fault: fault}.Series()...)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736" // the sender's trace goes on
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", fires("Traced"), func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	})
	require.Equal(t, http.StatusAccepted, a.code, a.body)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
	h.stop() // sends what it has
	o.mu.Lock()
	defer o.mu.Unlock()
	require.Equal(t, map[string]bool{"/v1/traces": true}, o.paths)
	for _, name := range []string{"webhook", "pipeline.event", "enrich", "enrich.source", "notify.send"} {
		require.Contains(t, o.spans[id], name, "%v", o.spans)
	}
}
