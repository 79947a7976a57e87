package observe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
)

const document = `
openapi: 3.0.3
info: {title: Petstore, version: "1"}
paths:
  /pets:
    get:
      operationId: listPets
      tags: [pets]
      parameters:
        - {name: limit, in: query, required: true, schema: {type: integer}}
        - {name: filter, in: query, required: true, style: deepObject, schema: {type: object}}
        - {name: X-Tenant, in: header, required: true, schema: {type: string}}
        - {name: session, in: cookie, required: true, schema: {type: string}}
      responses:
        "200": {description: "", content: {application/json: {schema: {type: array, items: {type: string}}}}}
        4XX: {description: ""}
    post:
      operationId: createPet
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name]}}}}
      responses: {"201": {description: ""}, default: {description: ""}}
  /pets/{id}:
    delete: {operationId: deletePet, deprecated: true, responses: {"204": {description: ""}}}
`

func api(t testing.TB, text string) *model.API {
	t.Helper()
	file := filepath.Join(t.TempDir(), "doc.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	api, err := model.Load(t.Context(), model.Options{Location: file})
	require.NoError(t, err)
	return api
}

func always() observe.Sampling {
	return observe.Sampling{Ratio: 1, PerSecond: 1e6, BodyLimit: 1 << 10}
}

func observer(t testing.TB, s observe.Sampling) (*observe.Observer, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	o := observe.NewMetrics(reg, observe.Options{}).Service("pets", s, slog.New(slog.DiscardHandler))
	o.Load(api(t, document))
	return o, reg
}

// value is the sum of the series of a name that have all these labels.
func value(t testing.TB, reg prometheus.Gatherer, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if has(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		for i := 0; i < len(labels); i += 2 {
			if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
				found++
			}
		}
	}
	return found*2 == len(labels)
}

func answer(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestRequestsAreCountedByOperationAndDeclaredCode(t *testing.T) {
	o, reg := observer(t, observe.Sampling{})
	for _, c := range []struct {
		method, path string
		status       int
		operation    string
		code         string
	}{
		{"GET", "/pets", 200, "listPets", "200"},
		{"GET", "/pets/", 404, "listPets", "4XX"},
		{"GET", "/pets", 500, "listPets", "other_5xx"},
		{"GET", "/pets", 302, "listPets", "other_3xx"},
		{"GET", "/pets", 999, "listPets", "other_5xx"},
		{"POST", "/pets", 201, "createPet", "201"},
		{"POST", "/pets", 503, "createPet", "default_5xx"},
		{"DELETE", "/pets/7", 204, "deletePet", "204"},
	} {
		before := value(t, reg, "openapi_requests_total", "operation", c.operation, "code", c.code)
		o.Handler(answer(c.status, "", "")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(c.method, c.path, nil))
		require.Equal(t, before+1, value(t, reg, "openapi_requests_total", "operation", c.operation, "code", c.code), "%v", c)
	}
	require.Equal(t, 8.0, value(t, reg, "openapi_requests_total"))
	require.Equal(t, 8.0, value(t, reg, "openapi_request_duration_seconds"))
	require.Equal(t, 1.0, value(t, reg, "openapi_deprecated_requests_total", "operation", "deletePet"))
	require.Equal(t, 1.0, value(t, reg, "openapi_operation_info", "operation", "listPets", "method", "GET", "route", "/pets", "tag", "pets", "deprecated", "false"))
}

func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	o, reg := observer(t, always())
	before, err := testutil.GatherAndCount(reg)
	require.NoError(t, err)
	require.Greater(t, before, 50)
	handler := o.Handler(answer(200, "", ""))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		method := []string{"GET", "POST", "DELETE", "OPTIONS", "BREW"}[i%5]
		r := &http.Request{Method: method, Header: http.Header{}, Body: http.NoBody}
		r.URL = httptest.NewRequest("GET", fmt.Sprintf("/%x/%d%%2f?x=%d", random.Uint64(), i, i), nil).URL
		if i%10 == 0 {
			r.URL.Path, r.URL.RawPath = fmt.Sprintf("/pets/%d", i), ""
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	after, err := testutil.GatherAndCount(reg)
	require.NoError(t, err)
	require.Equal(t, before, after, "100,000 addresses of a scanner, and not one series more")
	require.Greater(t, value(t, reg, "openapi_unmatched_requests_total", "reason", "path"), 80_000.0)
	require.Greater(t, value(t, reg, "openapi_unmatched_requests_total", "reason", "method"), 1000.0)
}

func TestMetricsAreNamedWell(t *testing.T) {
	_, reg := observer(t, always())
	families, err := reg.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestSizes(t *testing.T) {
	o, reg := observer(t, observe.Sampling{})
	handler := o.Handler(answer(200, "", "12345"))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/pets", nil))
	unknown := httptest.NewRequest("POST", "/pets", io.MultiReader(strings.NewReader("abc")))
	require.EqualValues(t, -1, unknown.ContentLength)
	handler.ServeHTTP(httptest.NewRecorder(), unknown)
	sums := map[string]float64{}
	families, _ := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetHistogram().GetSampleSum()
		}
	}
	require.Equal(t, 10.0, sums["openapi_response_size_bytes"])
	require.Equal(t, 3.0, sums["openapi_request_size_bytes"])
}

func TestAReloadKeepsCountsAndForgetsWhatIsGone(t *testing.T) {
	o, reg := observer(t, observe.Sampling{})
	o.Handler(answer(200, "", "")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/pets", nil))
	next := strings.ReplaceAll(document, "        4XX: {description: \"\"}\n", "")
	next = strings.ReplaceAll(next, "operationId: deletePet, deprecated: true", "operationId: removePet")
	o.Load(api(t, next))
	require.Equal(t, 1.0, value(t, reg, "openapi_requests_total", "operation", "listPets", "code", "200"))
	families, _ := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			require.False(t, has(m, []string{"operation", "deletePet"}), f.GetName())
			require.False(t, has(m, []string{"code", "4XX"}), f.GetName())
		}
	}
	o.Handler(answer(204, "", "")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/pets/1", nil))
	require.Equal(t, 1.0, value(t, reg, "openapi_requests_total", "operation", "removePet", "code", "204"))
	require.Equal(t, 1.0, value(t, reg, "openapi_document_info"))
}

func TestExemplarsAreTracesThatAreRecorded(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01": id, "00-" + id + "-00f067aa0ba902b7-00": "",
		"00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01": "", "00-" + strings.Repeat("\n", 32) + "-00f067aa0ba902b7-01": "", "x": "", "": "",
	} {
		o, reg := observer(t, observe.Sampling{})
		r := httptest.NewRequest("GET", "/pets", nil)
		r.Header.Set("Traceparent", header)
		o.Handler(answer(200, "", "")).ServeHTTP(httptest.NewRecorder(), r)
		var got string
		families, _ := reg.Gather()
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, b := range m.GetHistogram().GetBucket() {
					for _, l := range b.GetExemplar().GetLabel() {
						got = l.GetValue()
					}
				}
			}
		}
		require.Equal(t, want, got, header)
	}
}

// What is broken is found, and nothing else.
func TestTheContract(t *testing.T) {
	const good = "/pets?limit=1&filter[a]=b"
	headers := func(r *http.Request) *http.Request {
		r.Header.Set("X-Tenant", "a")
		r.Header.Set("Cookie", "session=x")
		return r
	}
	post := func(body, contentType string) *http.Request {
		r := httptest.NewRequest("POST", "/pets", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	for name, c := range map[string]struct {
		request *http.Request
		answer  http.Handler
		want    string
	}{
		"all is well":         {headers(httptest.NewRequest("GET", good, nil)), answer(200, "application/json; charset=utf-8", `["a"]`), ""},
		"status":              {headers(httptest.NewRequest("GET", good, nil)), answer(500, "", ""), "status_code_conformance"},
		"content type":        {headers(httptest.NewRequest("GET", good, nil)), answer(200, "text/html", "<p>"), "content_type_conformance"},
		"response":            {headers(httptest.NewRequest("GET", good, nil)), answer(200, "application/json", `[1]`), "response_schema_conformance"},
		"response no JSON":    {headers(httptest.NewRequest("GET", good, nil)), answer(200, "application/json", `[`), "response_schema_conformance"},
		"response is long":    {headers(httptest.NewRequest("GET", good, nil)), answer(200, "application/json", strings.Repeat("[", 2<<10)), ""},
		"no query":            {headers(httptest.NewRequest("GET", "/pets?filter[a]=b", nil)), answer(400, "", ""), "required_parameter"},
		"no header":           {httptest.NewRequest("GET", good, nil), answer(400, "", ""), "required_parameter required_parameter"},
		"request":             {post(`{"nom":"a"}`, "application/json"), answer(400, "", ""), "request_schema_conformance"},
		"request is well":     {post(`{"name":"a"}`, "application/json"), answer(201, "", ""), ""},
		"request is no JSON":  {post(`name=a`, "application/x-www-form-urlencoded"), answer(201, "", ""), ""},
		"no body":             {httptest.NewRequest("POST", "/pets", nil), answer(201, "", ""), "required_body"},
		"request is not read": {post(`{"nom":"a"}`, "application/json"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, reg := observer(t, always())
				ctx, stop := context.WithCancel(t.Context())
				go o.Run(ctx)
				o.Handler(c.answer).ServeHTTP(httptest.NewRecorder(), c.request)
				synctest.Wait()
				stop()
				var got []string
				for _, check := range observe.Checks() {
					for range int(value(t, reg, "openapi_contract_violations_total", "check", check)) {
						got = append(got, check)
					}
				}
				require.Equal(t, c.want, strings.Join(got, " "))
				require.Equal(t, 1.0, value(t, reg, "openapi_contract_sampled_total"))
			})
		})
	}
}

func TestTheSampleIsAsLargeAsItIsSaidToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, reg := observer(t, observe.Sampling{Ratio: 0.1, PerSecond: 5, BodyLimit: 1})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go o.Run(ctx)
		for range 100 {
			o.Handler(answer(204, "", "")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/pets/1", nil))
			synctest.Wait()
		}
		require.Equal(t, 5.0, value(t, reg, "openapi_contract_sampled_total"))
		require.Equal(t, 5.0, value(t, reg, "openapi_contract_dropped_total", "reason", "rate"))
		require.Equal(t, 0.1, value(t, reg, "openapi_contract_sampling_ratio"))
	})
}

func TestNoRequestWaitsForTheChecker(t *testing.T) {
	o, reg := observer(t, always()) // nobody runs it
	for range 100 {
		o.Handler(answer(204, "", "")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/pets/1", nil))
	}
	require.Equal(t, 64.0, value(t, reg, "openapi_contract_sampled_total"))
	require.Equal(t, 36.0, value(t, reg, "openapi_contract_dropped_total", "reason", "queue"))
}

func TestAHandlerThatPanicsIsCounted(t *testing.T) {
	o, reg := observer(t, always())
	require.Panics(t, func() {
		o.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/pets", nil))
	})
	require.Equal(t, 1.0, value(t, reg, "openapi_requests_total", "operation", "listPets", "code", "other_5xx"))
	require.Equal(t, 0.0, value(t, reg, "openapi_requests_in_flight"))
	require.Equal(t, 1.0, value(t, reg, "openapi_contract_dropped_total", "reason", "interrupted"))
}

// reader keeps what it is given.
type reader struct{ answers []observe.Answer }

func (*reader) Wants(operation string) bool  { return operation != "deletePet" }
func (r *reader) Read(answer observe.Answer) { r.answers = append(r.answers, answer) }

func TestWhatIsSampledIsReadToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := observer(t, always())
		r := &reader{}
		o.ReadBy(r)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go o.Run(ctx)
		for _, x := range []struct {
			method, target string
			answer         http.Handler
		}{
			{"GET", "/pets", answer(200, "application/json", `["a"]`)},
			{"GET", "/pets?limit=1", answer(200, "application/json", `["b"]`)},
			{"POST", "/pets", answer(201, "application/json", `{"no": "schema"}`)},
			{"POST", "/pets", answer(201, "text/plain", `1`)},
			{"GET", "/pets", answer(200, "application/json", strings.Repeat(" ", 2<<10))},
			{"DELETE", "/pets/1", answer(204, "application/json", `1`)},
		} {
			o.Handler(x.answer).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(x.method, x.target, nil))
			synctest.Wait()
		}
		var got []string
		for _, a := range r.answers {
			got = append(got, fmt.Sprintf("%s %d %s %t", a.Operation.ID, a.Status, a.Body, a.Part))
		}
		require.Equal(t, []string{`listPets 200 ["a"] false`, `listPets 200 ["b"] true`, `createPet 201 {"no": "schema"} false`}, got)
	})
}

// A handler behind the middleware can do what it could do without.
func TestTheWriterBelowIsNotHidden(t *testing.T) {
	o, reg := observer(t, observe.Sampling{})
	server := httptest.NewServer(o.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nhello")
				conn.Close()
			}
		default:
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.Copy(w, strings.NewReader("bc"))
		}
	})))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/pets")
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.Equal(t, "abc", string(body))

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /pets HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "101")
	server.Close() // the handlers have returned
	require.Equal(t, 1.0, value(t, reg, "openapi_requests_total", "operation", "listPets", "code", "200"))
	require.Equal(t, 1.0, value(t, reg, "openapi_requests_total", "operation", "createPet", "code", "default_1xx"))
}

func BenchmarkMiddleware(b *testing.B) {
	o, _ := observer(b, observe.Sampling{Ratio: 0.01, PerSecond: 20, BodyLimit: 1 << 16})
	go o.Run(b.Context())
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	r := httptest.NewRequest("DELETE", "/pets/7", nil)
	w := nothing{}
	for name, h := range map[string]http.Handler{"bare": bare, "ours": o.Handler(bare)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

type nothing struct{}

func (nothing) Header() http.Header         { return nil }
func (nothing) Write(b []byte) (int, error) { return len(b), nil }
func (nothing) WriteHeader(int)             {}
