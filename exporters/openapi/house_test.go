package openapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi"
	lab "github.com/tocsin/tocsin/lab/world"
)

const document = `openapi: 3.0.3
info: {title: Shop, version: "%s"}
paths:
  /orders/{id}:
    get:
      operationId: getOrder
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        "200": {description: an order, content: {application/json: {schema: {type: object, required: [total]}}}}
        "404": {description: none}
  /orders:
    post:
      operationId: placeOrder
      deprecated: true
      requestBody: {content: {application/json: {}}}
      responses: {"201": {description: placed}}
`

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func freePort(t testing.TB) string {
	t.Helper()
	addrs, err := lab.Ports(t.Context(), 1)
	require.NoError(t, err)
	return addrs[0]
}

// world is a real service behind a running exporter.
type world struct {
	dir, front string
	house      *openapi.House
	logs       *bytes.Buffer
	stop       func() error
}

// begin starts it with a document, or a folder that has it among others.
func begin(t *testing.T, where ...string) *world {
	t.Helper()
	location := append(where, "shop.yaml")[0]
	w := &world{dir: t.TempDir(), front: freePort(t), logs: &bytes.Buffer{}}
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if _, err := os.Stat(filepath.Join(w.dir, "broken")); err == nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		switch r.URL.Path {
		case "/orders/1":
			fmt.Fprint(rw, `{"total": 7}`)
		case "/orders/2":
			fmt.Fprint(rw, `{"sum": 7}`)
		case "/orders/3":
			rw.WriteHeader(http.StatusTeapot)
		default:
			rw.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(service.Close)
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, filepath.Join(where...)), 0o700))
	write(t, w.dir, filepath.Join(filepath.Join(where...), "shop.yaml"), fmt.Sprintf(document, "1"))
	if len(where) > 0 {
		write(t, w.dir, filepath.Join(location, "old.yaml"), strings.NewReplacer("/orders", "/v1/orders", "Order", "OldOrder").Replace(fmt.Sprintf(document, "1")))
	}
	config := write(t, w.dir, "openapi.yml", fmt.Sprintf(`
services:
  - name: shop
    document: %s
    sample: {ratio: 1, per_second: 1000}
    proxy: {listen: "%s", upstream: "%s"}
    logs: [{file: access.log}]
    probe: {targets: ["%s"], interval: 1s, parameters: {getOrder: {id: 1}}}
    values: {sample: true, stale: 1h, metrics: [{operation: getOrder, path: /total, name: shop_order_euros}]}
`, location, w.front, service.URL, service.URL))
	c, err := openapi.Read(config)
	require.NoError(t, err)
	w.house, err = openapi.New(c, slog.New(slog.NewTextHandler(w.logs, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.house.Run(ctx) }()
	w.stop = func() error { cancel(); return <-done }
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful") >= 1 }, time.Minute, 10*time.Millisecond)
	return w
}

func (w *world) scrape() string {
	rec := httptest.NewRecorder()
	w.house.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// value is the sum of a metric's series with these labels, as it is scraped.
func (w *world) value(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(w.scrape()))
	require.NoError(t, err)
	for _, m := range families[name].GetMetric() {
		found := 0
		for _, l := range m.GetLabel() {
			for i := 0; i < len(labels); i += 2 {
				if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
					found += 2
				}
			}
		}
		if found == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.front+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// A service owner's first five minutes.
func TestAServiceBehindTheSidecar(t *testing.T) {
	w := begin(t)
	require.Equal(t, 0.0, w.value(t, "openapi_requests_total", "operation", "getOrder", "code", "404"), "there before the first request")
	for path, want := range map[string]int{"/orders/1": 200, "/orders/2": 200, "/orders/3": 418, "/orders/4": 404, "/admin.php": 404} {
		status, body := w.get(t, path)
		require.Equal(t, want, status)
		if path == "/orders/1" {
			require.Equal(t, `{"total": 7}`, body)
		}
	}
	require.Eventually(t, func() bool { return w.value(t, "openapi_contract_sampled_total") == 4 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, 2.0, w.value(t, "openapi_requests_total", "service", "shop", "operation", "getOrder", "code", "200"))
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "code", "other_4xx"))
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "code", "404"))
	require.Equal(t, 1.0, w.value(t, "openapi_unmatched_requests_total", "reason", "path"))
	require.Eventually(t, func() bool {
		return w.value(t, "openapi_contract_violations_total", "check", "response_schema_conformance") == 1 &&
			w.value(t, "openapi_contract_violations_total", "check", "status_code_conformance") == 1
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, w.stop())
}

func TestAnAccessLogIsCountedLikeTheProxy(t *testing.T) {
	w := begin(t)
	log, err := os.OpenFile(filepath.Join(w.dir, "access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	add := func(request string) {
		fmt.Fprintf(log, "192.0.2.1 - - [22/Nov/2026:23:00:00 +0000] \"%s \"-\" \"curl\"\n", request)
	}
	require.Eventually(t, func() bool { // what is there before the log is opened is not read
		add(`GET /first HTTP/1.1" 404 5`)
		return w.value(t, "openapi_log_lines_total") > 0
	}, time.Minute, 50*time.Millisecond)
	for _, request := range []string{`GET /orders/9?x HTTP/1.1" 200 17`, `GET /wp-login.php HTTP/1.1" 404 5`, `GET /orders/9 HTTP/1.1" 500 0`} {
		add(request)
	}
	require.Eventually(t, func() bool {
		return w.value(t, "openapi_requests_total", "operation", "getOrder", "code", "other_5xx") == 1
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "operation", "getOrder", "code", "200"))
	require.Equal(t, w.value(t, "openapi_log_lines_total")-2, w.value(t, "openapi_unmatched_requests_total", "reason", "path"))
	require.NoError(t, w.stop())
}

func TestABrokenDocumentKeepsTheOldOne(t *testing.T) {
	w := begin(t)
	write(t, w.dir, "shop.yaml", "openapi: 3.0.3\npaths: [")
	w.house.Reload()
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful") == 0 }, time.Minute, 10*time.Millisecond)
	w.get(t, "/orders/1")
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "operation", "getOrder"))

	write(t, w.dir, "shop.yaml", strings.ReplaceAll(fmt.Sprintf(document, "2"), "getOrder", "readOrder"))
	w.house.Reload()
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_info", "version", "2") == 1 }, time.Minute, 10*time.Millisecond)
	w.get(t, "/orders/1")
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "operation", "readOrder"))
	require.NoError(t, w.stop())
	require.Equal(t, 1, strings.Count(w.logs.String(), "the document cannot be loaded"))
	require.Contains(t, w.logs.String(), "keeps_old=true")
}

// In a folder the others go on; the broken one is named where people look.
func TestABrokenDocumentInAFolderKeepsTheOldOne(t *testing.T) {
	w := begin(t, "apis")
	loaded := func(document string) float64 {
		return w.value(t, "openapi_document_last_load_successful", "document", document)
	}
	require.Equal(t, 1.0, loaded("shop.yaml"))
	require.Equal(t, 1.0, loaded("old.yaml"))
	write(t, w.dir, "apis/shop.yaml", "openapi: 3.0.3\npaths: [")
	w.house.Reload()
	require.Eventually(t, func() bool { return loaded("shop.yaml") == 0 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, 1.0, loaded("old.yaml"))
	write(t, w.dir, "apis/old.yaml", strings.NewReplacer("/orders", "/v2/orders", "getOrder", "getOrderV2").Replace(fmt.Sprintf(document, "2")))
	w.house.Reload()
	require.Eventually(t, func() bool { return w.value(t, "openapi_operation_info", "operation", "getOrderV2") == 1 }, time.Minute, 10*time.Millisecond)
	w.get(t, "/orders/1")
	w.get(t, "/v2/orders/1")
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "operation", "getOrder"))
	require.Equal(t, 1.0, w.value(t, "openapi_requests_total", "operation", "getOrderV2"))

	write(t, w.dir, "apis/shop.yaml", fmt.Sprintf(document, "1"))
	w.house.Reload()
	require.Eventually(t, func() bool { return loaded("shop.yaml") == 1 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, w.stop())
	require.Equal(t, 1, strings.Count(w.logs.String(), "the document cannot be loaded"))
	require.Regexp(t, `keeps_old=true err="shop.yaml: parse: `, w.logs.String())
}

// A sidecar is up before its service, whose document it asks for.
func TestADocumentThatComesLate(t *testing.T) {
	var up atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(rw, document, "1")
	}))
	defer service.Close()
	c, err := openapi.Parse(fmt.Appendf(nil, "services: [{name: shop, document: %q, reload: 1h, logs: [{file: a.log}]}]", service.URL+"/openapi.json"), t.TempDir())
	require.NoError(t, err)
	w := &world{}
	w.house, err = openapi.New(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.house.Run(ctx) }()
	name := strings.TrimPrefix(service.URL, "http://") + "/openapi.json"
	require.Eventually(t, func() bool { return strings.Contains(w.scrape(), `document="`+name+`"`) }, time.Minute, 10*time.Millisecond, "it is named")
	require.Zero(t, w.value(t, "openapi_document_last_load_successful"))
	up.Store(true)
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful", "document", name) == 1 }, time.Minute, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.yaml", fmt.Sprintf(document, "1"))
	write(t, dir, "odd.yaml", strings.ReplaceAll(fmt.Sprintf(document, "1"), `"404": {description: none}`, `"404": {$ref: "#/components/responses/gone"}`))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	write(t, dir, "folder/a.yaml", fmt.Sprintf(document, "1"))
	write(t, dir, "folder/b.yaml", strings.ReplaceAll(fmt.Sprintf(document, "1"), "/orders", "/old"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "half"), 0o700))
	write(t, dir, "half/a.yaml", fmt.Sprintf(document, "1"))
	write(t, dir, "half/b.yaml", "openapi: 3.0.3\npaths: [")
	write(t, dir, "bad.yaml", "openapi: 3.0.3\npaths: {/a: {$ref: ../../etc/passwd}}")
	for name, c := range map[string]struct {
		document string
		args     []string
		code     int
		says     string
	}{
		"good":        {"good.yaml", nil, 0, `^shop: OpenAPI 3.0.3, version 1, 2 operations, 0 problems\n$`},
		"odd":         {"odd.yaml", nil, 0, `reference #/paths//orders/\{id\}/get/responses/404 → #/components/responses/gone: leads to nothing`},
		"odd, strict": {"odd.yaml", []string{"--strict"}, 1, `service shop: 2 problems`},
		"bad":         {"bad.yaml", nil, 1, `service shop: .*refused: \.\./\.\./etc/passwd is outside of the root`},
		"folder":      {"folder", nil, 0, `^shop: OpenAPI 3.0.3, version 1, 4 operations, 2 problems\n  identifier b.yaml `},
		"half":        {"half", nil, 1, `(?s)^shop: .* 2 operations, 0 problems\n.*service shop: b.yaml: parse: `},
		"missing":     {"none.yaml", nil, 1, `no such file`},
	} {
		t.Run(name, func(t *testing.T) {
			config := write(t, dir, "openapi.yml", "services: [{name: shop, document: "+c.document+", proxy: {listen: ':0', upstream: 'http://localhost'}}]")
			var out bytes.Buffer
			code := openapi.Run(append([]string{"check", "--config.file", config}, c.args...), "test", &out, &out)
			require.Equal(t, c.code, code, out.String())
			require.Regexp(t, regexp.MustCompile(c.says), out.String())
		})
	}
}

func TestGenerateWritesWhatWatches(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "shop.yaml", fmt.Sprintf(document, "1"))
	config := write(t, dir, "openapi.yml", "services: [{name: shop, document: shop.yaml, logs: [{file: a.log}]}]")
	var out bytes.Buffer
	run := func(args ...string) int {
		return openapi.Run(append([]string{"generate", "--config.file", config, "--out", filepath.Join(dir, "watch")}, args...), "test", &out, &out)
	}
	require.Equal(t, 0, run(), out.String())
	for _, name := range []string{"shop.rules.yml", "shop.dashboard.json", "shop.md"} {
		require.FileExists(t, filepath.Join(dir, "watch", name))
	}
	book := write(t, filepath.Join(dir, "watch"), "shop.md", "mine")
	require.Equal(t, 0, run("--native-histograms"), out.String())
	kept, err := os.ReadFile(book)
	require.NoError(t, err)
	require.Equal(t, "mine", string(kept))
	require.Contains(t, out.String(), "shop.md is left as it is")
	require.Equal(t, 2, run("--error-share", "2"))
}

func TestTheCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":       {[]string{"--help"}, 0, "serve"},
		"version":    {[]string{"--version"}, 0, "v1"},
		"no command": {nil, 2, "--help lists the commands"},
		"no config":  {[]string{"serve", "--config.file", "/nonexistent"}, 2, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.Equal(t, c.code, openapi.Run(c.args, "v1", &out, &out))
			require.Contains(t, out.String(), c.says)
		})
	}
}

func TestConfigsThatAreWrong(t *testing.T) {
	const good = "services: [{name: a, document: a.yaml, proxy: {listen: ':1', upstream: 'http://b'}}]"
	c, err := openapi.Parse([]byte(good), "/etc/x")
	require.NoError(t, err)
	require.Equal(t, "/etc/x/a.yaml", c.Services[0].Document)
	require.Equal(t, 0.01, *c.Services[0].Sample.Ratio)
	for change, says := range map[string]string{
		"":                          "there is none",
		"buckets: [2, 1]\n" + good:  "ascending",
		"unknown: 1\n" + good:       "field unknown not found",
		good + "\nbuckets: x":       "cannot unmarshal",
		"services: [{}]":            "document: missing",
		"services: [{name: 'a b'}]": "name",
		"services: [{name: a, document: 'file:///etc/passwd'}]":                                                     "file is not read",
		strings.ReplaceAll(good, "http://b", "b"):                                                                   "proxy.upstream",
		"services: [{name: a, document: b}]":                                                                        "all are missing",
		"services: [{name: a, document: b, logs: [{format: x}]}]":                                                   "logs[0].file",
		"services: [{name: a, document: b, logs: [{file: x, format: x}]}]":                                          "logs[0].format",
		strings.ReplaceAll(good, "':1'", "''"):                                                                      "proxy.listen: missing",
		strings.ReplaceAll(good, "name: a,", "name: a, trailing_slash: maybe,"):                                     "lenient or strict",
		strings.ReplaceAll(good, "name: a,", "name: a, reload: 1ms,"):                                               "reload",
		strings.ReplaceAll(good, "name: a,", "name: a, bases: [v1],"):                                               "bases",
		strings.ReplaceAll(good, "name: a,", "name: a, sample: {ratio: 2},"):                                        "sample.ratio",
		strings.ReplaceAll(good, "name: a,", "name: a, sample: {ratio: .nan},"):                                     "sample.ratio",
		strings.ReplaceAll(good, "}}]", "}}, {name: a, document: b, proxy: {listen: ':1', upstream: 'http://b'}}]"): "name is taken",
	} {
		_, err := openapi.Parse([]byte(change), "")
		require.ErrorContains(t, err, says, change)
	}
}
