package openapi_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi"
)

const paths = `openapi: 3.0.3
info: {title: Queues, version: "1"}
paths:
  /queues:
    get:
      operationId: listQueues
      responses: {"200": {description: queues, content: {application/json: {schema: {type: object, properties: {queues: {type: array, items: {$ref: "#/components/schemas/Queue"}}}}}}}}
    delete: {operationId: deleteQueues, responses: {"204": {description: gone}}}
`

// asked is an exporter that only asks a service, whose document is annotated as
// the docs do it.
func asked(t *testing.T, config string) (*world, *httptest.Server, *atomic.Pointer[string]) {
	t.Helper()
	docs, err := os.ReadFile("../../docs/openapi.md")
	require.NoError(t, err)
	annotated := regexp.MustCompile("(?s)```yaml\n(components:.*?)```").FindSubmatch(docs)
	require.NotNil(t, annotated)
	w := &world{dir: t.TempDir(), logs: &bytes.Buffer{}}
	write(t, w.dir, "queues.yaml", paths+string(annotated[1]))
	body := &atomic.Pointer[string]{}
	body.Store(new(`{"queues": [{"name": "mail", "depth": 7, "oldest": 1500, "state": "up"}, {"name": "push", "depth": 0, "state": "down"}], "region": "eu"}`))
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/queues" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, *body.Load())
	}))
	t.Cleanup(service.Close)
	c, err := openapi.Read(write(t, w.dir, "openapi.yml", strings.ReplaceAll(config, "TARGET", service.URL)))
	require.NoError(t, err)
	w.house, err = openapi.New(c, slog.New(slog.NewTextHandler(w.logs, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.house.Run(ctx) }()
	w.stop = func() error { cancel(); return <-done }
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful") == 1 }, time.Minute, 10*time.Millisecond)
	return w, service, body
}

func TestAServiceIsAskedAndItsAnswersAreMetrics(t *testing.T) {
	w, service, body := asked(t, `
services:
  - name: mq
    document: queues.yaml
    probe: {targets: [TARGET], interval: 1s}
    values: {}
`)
	require.Eventually(t, func() bool { return w.value(t, "queue_depth", "queue", "mail") == 7 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, 1.5, w.value(t, "queue_oldest_seconds", "service", "mq", "operation", "listQueues", "target", service.URL, "name", "mail"))
	require.Equal(t, 1.0, w.value(t, "queue_state", "name", "push", "state", "down"))
	require.Equal(t, 1.0, w.value(t, "openapi_probe_success", "service", "mq", "target", service.URL))
	require.Equal(t, 1.0, w.value(t, "openapi_probe_operations_skipped", "reason", "unsafe"))
	body.Store(new(`{"queues": [{"name": "mail", "depth": "many"}]}`))
	require.Eventually(t, func() bool { return w.value(t, "openapi_values_dropped_total", "reason", "value") > 0 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, 0.0, w.value(t, "queue_state"), "what is gone vanishes")
	require.Eventually(t, func() bool {
		return w.value(t, "openapi_probe_contract_violations", "check", "response_schema_conformance") == 1 && w.value(t, "openapi_probe_operation_failed", "reason", "contract") == 1
	}, time.Minute, 10*time.Millisecond)

	write(t, w.dir, "queues.yaml", paths+"components: {schemas: {Queue: {type: object, properties: {depth: {x-prometheus-metric: openapi_mine}}}}}")
	w.house.Reload()
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_problems", "kind", "metric") == 1 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, w.stop())
	require.Contains(t, w.logs.String(), `where=queues.yaml:9 what="name \"openapi_mine\": what begins with openapi_`)
}

func TestPrometheusChoosesTheTarget(t *testing.T) {
	w, service, _ := asked(t, `
services:
  - {name: mq, document: queues.yaml, probe: {allow: [TARGET]}, values: {}}
`)
	get := func(target string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		w.house.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/probe?service=mq&target="+url.QueryEscape(target), nil))
		return rec
	}
	require.Contains(t, get(service.URL).Body.String(), "probe_success 1\n")
	require.Contains(t, get(service.URL).Body.String(), `queue_depth{operation="listQueues",queue="mail",region="eu"} 7`)
	require.Equal(t, 403, get("http://169.254.169.254").Code)
	require.Equal(t, 1.0, w.value(t, "openapi_probe_refused_total", "reason", "target"))
	require.Equal(t, 0.0, w.value(t, "queue_depth"))
	require.NoError(t, w.stop())
}

func TestWhatTheProxySamplesIsRead(t *testing.T) {
	w := begin(t)
	w.get(t, "/orders/1")
	require.Eventually(t, func() bool { return w.value(t, "shop_order_euros", "operation", "getOrder", "target", "") == 7 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, w.stop())
}

func TestCheckSaysWhatIsNotProbedAndWhichMetricsAreWrong(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "queues.yaml", paths+"components: {schemas: {Queue: {type: object, properties: {depth: {x-prometheus-metric: queue_depth}}}}}")
	write(t, dir, "wrong.yaml", paths+"components:\n  schemas:\n    Queue:\n      type: object\n      properties:\n        depth: {x-prometheus-metric: {name: queue_depth, labels: {le: name}}}\n")
	write(t, dir, "clash.json", strings.ReplaceAll(`{"openapi":"3.0.3","info":{"title":"a","version":"1"},"paths":{"/q":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":
		{"type":"object","properties":{"d":{"x-prometheus-metric":
		{"name":"queue_depth","help":"Another."}}}}}}}}}}}}`, "\t", " "))
	for name, c := range map[string]struct {
		services string
		code     int
		says     string
	}{
		"good":        {"[{name: a, document: queues.yaml, probe: {targets: ['http://a']}, values: {}}]", 0, "a: OpenAPI 3.0.3, version 1, 2 operations, 0 problems\n  probe: 1 of 2 operations are asked\n  probe: deleteQueues is not probed: DELETE may change"},
		"wrong":       {"[{name: a, document: wrong.yaml, probe: {targets: ['http://a']}, values: {}}]", 1, `metric wrong.yaml:14: label "le": is the exporter's own`},
		"clash":       {"[{name: a, document: queues.yaml, probe: {targets: ['http://a']}, values: {}}, {name: b, document: clash.json, probe: {targets: ['http://b']}, values: {}}]", 1, `metric clash.json:2: metric queue_depth, a gauge with labels \[\] and help "Another."; in service a at queues.yaml:\d+ it is queue_depth, a gauge`},
		"config":      {"[{name: a, document: queues.yaml, probe: {targets: ['http://a']}, values: {metrics: [{operation: none, path: /a, name: a}]}}]", 1, `services\[a\].values.metrics\[0\]: operation "none": the document has none`},
		"unknown":     {"[{name: a, document: queues.yaml, probe: {targets: ['http://a'], skip: [listQueue]}}]", 1, "probe: the document has no operation listQueue"},
		"credentials": {"[{name: a, document: queues.yaml, probe: {targets: ['http://a'], bearer_token_file: none}}]", 1, filepath.Join(dir, "none") + ": no such file"},
		"certificate": {"[{name: a, document: queues.yaml, probe: {targets: ['http://a'], ca_file: queues.yaml}}]", 1, "queues.yaml has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := openapi.Run([]string{"check", "--config.file", write(t, dir, "openapi.yml", "services: "+c.services)}, "test", &out, &out)
			require.Equal(t, c.code, code, out.String())
			require.Regexp(t, c.says, out.String())
		})
	}
}

func TestFeedsThatAreWrong(t *testing.T) {
	const probe, values = "probe: {targets: ['http://b']}", "values: {}"
	for feeds, says := range map[string]string{
		"probe: {}":             "probe.targets and allow: there is none",
		"probe: {targets: [b]}": "probe.targets: target \"b\": an http or https URL",
		"probe: {targets: ['http://u:secret@b']}":                                                           "http://u:xxxxx@b",
		"probe: {targets: ['http://*.b']}":                                                                  "* is for allow",
		"probe: {targets: ['http://b', 'http://b']}":                                                        "stands there twice",
		"probe: {allow: ['http://b?x']}":                                                                    "probe.allow: target",
		"probe: {targets: ['http://b'], interval: 1ms}":                                                     "probe.interval",
		"probe: {targets: ['http://b'], timeout: 2m}":                                                       "probe.timeout",
		"probe: {targets: ['http://b'], concurrency: 65}":                                                   "probe.concurrency",
		"probe: {targets: ['http://b'], max_body: -1}":                                                      "probe.max_body",
		"probe: {targets: ['http://b'], basic_auth: {username: u}}":                                         "username and password_file belong together",
		"probe: {targets: ['http://b'], bearer_token_file: t, basic_auth: {username: u, password_file: p}}": "basic_auth is set too",
		"probe: {targets: ['http://b'], header_files: {'a b': f}}":                                          "probe.header_files",
		"probe: {targets: ['http://b'], token: x}":                                                          "field token not found",
		values:                                     "all are missing",
		"logs: [{file: x}], " + values:             "values.sample: is false, and there is no probe",
		probe + ", values: {sample: true}":         "answers are sampled of a proxy only",
		probe + ", values: {max_series: -1}":       "values.max_series",
		probe + ", values: {stale: 10s}":           "values.stale",
		probe + ", values: {metrics: [{name: a}]}": "values.metrics[0].operation: missing",
		probe + ", values: {metrics: [{operation: a, path: /b, name: up}]}": "values.metrics[0].name \"up\"",
	} {
		_, err := openapi.Parse([]byte("services: [{name: a, document: a.yaml, "+feeds+"}]"), "")
		require.ErrorContains(t, err, says, feeds)
	}
	c, err := openapi.Parse([]byte("services: [{name: a, document: a.yaml, probe: {targets: ['http://b'], interval: 2s, header_files: {x: f}}, "+values+"}]"), "/etc/x")
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, c.Services[0].Probe.Timeout)
	require.Equal(t, map[string]string{"x": "/etc/x/f"}, c.Services[0].Probe.HeaderFiles)
}
