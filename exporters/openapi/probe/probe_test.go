package probe_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

const document = `openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: /v1}]
paths:
  /orders/{id}:
    get:
      operationId: getOrder
      parameters: [{name: id, in: path, required: true, example: a/b c, schema: {type: string}}]
      responses:
        "200":
          description: an order
          content:
            application/json:
              schema: {type: object, required: [total], properties: {total: {type: number, x-prometheus-metric: shop_order_total_euros}}}
        "304": {description: the same}
        "404": {description: none}
    delete: {operationId: deleteOrder, responses: {"204": {description: gone}}}
  /orders:
    post:
      operationId: placeOrder
      requestBody: {required: true, content: {application/json: {example: {total: 7}}}}
      responses: {"201": {description: placed}}
    put:
      operationId: replaceOrders
      requestBody: {required: true, content: {application/json: {schema: {type: object}}}}
      responses: {"201": {description: placed}}
  /customers/{id}:
    get:
      operationId: getCustomer
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: a customer}}
  /events:
    get: {operationId: follow, responses: {"200": {description: events, content: {text/event-stream: {}}}}}
`

func load(t testing.TB, text string) *model.API {
	t.Helper()
	file := filepath.Join(t.TempDir(), "doc.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	api, err := model.Load(t.Context(), model.Options{Location: file})
	require.NoError(t, err)
	return api
}

func options(targets ...string) probe.Options {
	return probe.Options{Service: "shop", Targets: targets, Interval: time.Minute, Timeout: 30 * time.Second, Concurrency: 2, MaxBody: 1 << 10}
}

func prober(t testing.TB, o probe.Options) *probe.Prober {
	t.Helper()
	p, err := probe.New(o, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p.Load(load(t, document))
	return p
}

// ask is the result of one operation.
func ask(t testing.TB, o probe.Options, target, operation string) probe.Result {
	t.Helper()
	r, err := prober(t, o).Once(t.Context(), target, operation, func(values.Answer) {})
	require.NoError(t, err)
	require.Len(t, r.Results, 1)
	require.Equal(t, r.Results[0].Reason == "", r.Success())
	return r.Results[0]
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func order(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"total": 7}`)
}

func TestWhatIsAskedAndWhatNot(t *testing.T) {
	o := options()
	o.Unsafe = []string{"placeOrder", "replaceOrders"}
	asked, skipped := probe.Preview(load(t, document), o)
	require.Equal(t, 2, asked)
	var told []string
	for _, s := range skipped {
		told = append(told, s.Reason+": "+s.String())
		require.Contains(t, probe.SkipReasons(), s.Reason)
	}
	require.Equal(t, []string{
		"unsafe: deleteOrder is not probed: DELETE may change something; unsafe of the config could name it",
		"stream: follow is not probed: its answer does not end",
		"parameter: getCustomer is not probed: parameter id has no example",
		"body: replaceOrders is not probed: its body has no example",
	}, told)
	o.Parameters = map[string]string{"* id": "7"}
	asked, _ = probe.Preview(load(t, document), o)
	require.Equal(t, 3, asked)
	require.Empty(t, probe.Unknown(load(t, document), o))
	o.Skip, o.Parameters = []string{"getOrder", "gone"}, map[string]string{"getCustomer id": "7", "getCustomer name": "x"}
	asked, skipped = probe.Preview(load(t, document), o)
	require.Equal(t, 2, asked)
	require.Equal(t, "getOrder is not probed: skip names it", skipped[2].String())
	require.Equal(t, []string{"parameter getCustomer name", "operation gone"}, probe.Unknown(load(t, document), o))
}

func TestTheRequestIsTheExample(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "secret\n", "password": "pass", "key": "k1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var got *http.Request
	var body []byte
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		order(w, r)
	})
	o := options(target)
	o.Unsafe = []string{"placeOrder"}
	o.Credentials = probe.Credentials{BearerFile: filepath.Join(dir, "token"), HeaderFiles: map[string]string{"X-Key": filepath.Join(dir, "key")}}
	x := ask(t, o, target+"/", "getOrder")
	require.Empty(t, x.Reason, x.Text)
	require.Equal(t, "GET /v1/orders/a%2Fb%20c", got.Method+" "+got.RequestURI)
	require.Equal(t, "Bearer secret", got.Header.Get("Authorization"))
	require.Equal(t, "k1", got.Header.Get("X-Key"))
	require.Equal(t, "application/json", got.Header.Get("Accept"))
	require.Equal(t, "openapi_exporter", got.UserAgent())
	require.Equal(t, 200, x.Status)
	require.EqualValues(t, 12, x.Size)
	require.Positive(t, x.Phases[1], "connect")

	o.Credentials = probe.Credentials{User: "u", PasswordFile: filepath.Join(dir, "password")}
	x = ask(t, o, target, "placeOrder")
	require.Equal(t, "contract", x.Reason, "200 is not declared")
	require.Equal(t, `POST {"total":7} application/json`, got.Method+" "+string(body)+" "+got.Header.Get("Content-Type"))
	user, password, _ := got.BasicAuth()
	require.Equal(t, "u pass", user+" "+password)
}

func TestParametersAreWrittenAsTheirStyleSays(t *testing.T) {
	for parameter, want := range map[string]string{
		`{in: query, example: a&b}`:                                             "/p?x=a%26b",
		`{in: query, schema: {type: integer, default: 12345678901}}`:            "/p?x=12345678901",
		`{in: query, schema: {type: boolean, enum: [true]}}`:                    "/p?x=true",
		`{in: query, examples: {b: {value: 2}, a: {value: 1}}}`:                 "/p?x=1",
		`{in: query, schema: {type: array, items: {type: string, example: e}}}`: "/p?x=e",
		`{in: query, example: [1, b]}`:                                          "/p?x=1&x=b",
		`{in: query, explode: false, example: [1, b]}`:                          "/p?x=1%2Cb",
		`{in: query, style: pipeDelimited, explode: false, example: [1, b]}`:    "/p?x=1%7Cb",
		`{in: query, style: deepObject, explode: true, example: {a: 1, b: c}}`:  "/p?x%5Ba%5D=1&x%5Bb%5D=c",
		`{in: query, example: {a: 1, b: c}}`:                                    "/p?a=1&b=c",
		`{in: query, explode: false, example: {a: 1, b: c}}`:                    "/p?x=a%2C1%2Cb%2Cc",
		`{in: query, content: {application/json: {example: {a: [1]}}}}`:         "/p?x=%7B%22a%22%3A%5B1%5D%7D",
		`{in: query, required: false, example: 1}`:                              "/p",
		`{in: header, example: 7}`:                                              "/p header 7",
		`{in: cookie, example: c}`:                                              "/p cookie c",
	} {
		t.Run(parameter, func(t *testing.T) {
			var got string
			target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				got = r.RequestURI
				if v := r.Header.Get("X"); v != "" {
					got += " header " + v
				}
				if c, err := r.Cookie("x"); err == nil {
					got += " cookie " + c.Value
				}
			})
			p, err := probe.New(options(target), nil, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			if !strings.Contains(parameter, "required") {
				parameter = strings.Replace(parameter, "{", "{required: true, ", 1)
			}
			p.Load(load(t, "openapi: 3.0.3\ninfo: {title: a, version: b}\npaths: {/p: {get: {operationId: p, parameters: ["+
				strings.Replace(parameter, "{", "{name: x, ", 1)+"], responses: {'200': {description: ''}}}}}"))
			_, err = p.Once(t.Context(), target, "p", func(values.Answer) {})
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestWhyAProbeFails(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer closed.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(order))
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	hold := make(chan struct{})
	defer close(hold)
	answer := func(status int, header, value, body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	for name, c := range map[string]struct {
		target string
		reason string
		text   string
		change func(o *probe.Options)
	}{
		"status":       {answer(404, "", "", ""), "status", "status 404", nil},
		"undeclared":   {answer(202, "", "", ""), "contract", "status_code_conformance", nil},
		"not changed":  {answer(304, "", "", ""), "", "", nil},
		"content type": {answer(200, "Content-Type", "text/html", "<p>"), "contract", "content_type_conformance", nil},
		"schema":       {answer(200, "Content-Type", "application/json", `{"sum":1}`), "contract", `response_schema_conformance: body: property "total" is missing`, nil},
		"no JSON":      {answer(200, "Content-Type", "application/json", `{`), "contract", "no JSON", nil},
		"long":         {answer(200, "Content-Type", "application/json", `"`+strings.Repeat("x", 1<<10)+`"`), "body", "max_body", nil},
		"cut off":      {answer(200, "Content-Length", "100", `{}`), "http", "unexpected EOF", nil},
		"elsewhere":    {answer(302, "Location", elsewhere, ""), "redirect", "to another origin", nil},
		"metadata":     {answer(302, "Location", "http://169.254.169.254/latest", ""), "redirect", "to another origin", nil},
		"round":        {answer(302, "Location", "/v1/orders/x", ""), "redirect", "after 5 others", nil},
		"address":      {"http://169.254.169.254", "address", "not asked", nil},
		"tls":          {secure.URL, "tls", "certificate", nil},
		"tls is off":   {secure.URL, "", "", func(o *probe.Options) { o.Insecure = true }},
		"plain as tls": {strings.Replace(elsewhere, "http:", "https:", 1), "tls", "", nil},
		"dns":          {"http://shop.invalid", "dns", "", nil},
		"credentials":  {elsewhere, "credentials", "no such file", func(o *probe.Options) { o.Credentials.BearerFile = "/nonexistent" }},
		"header":       {elsewhere, "http", "", func(o *probe.Options) { o.Credentials.HeaderFiles = map[string]string{"A B": "/dev/null"} }},
		"timeout": {serve(t, func(http.ResponseWriter, *http.Request) { <-hold }), "timeout", "", func(o *probe.Options) {
			o.Timeout = 50 * time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(c.target)
			if c.change != nil {
				c.change(&o)
			}
			x := ask(t, o, c.target, "getOrder")
			require.Equal(t, c.reason, x.Reason, x.Text)
			require.Contains(t, x.Text, c.text)
			if x.Reason != "" {
				require.Contains(t, probe.Reasons(), x.Reason)
			}
		})
	}
}

func TestTheEndOfACertificate(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(order))
	defer secure.Close()
	o := options(secure.URL)
	o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(o.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	h := probe.NewProbes(nil)
	h.Add("shop", prober(t, o))
	body := get(h, url.Values{"service": {"shop"}, "target": {secure.URL}}).Body.String()
	require.Contains(t, body, "probe_success 1\n")
	require.Contains(t, body, "probe_ssl_earliest_cert_expiry "+strconv.FormatFloat(float64(secure.Certificate().NotAfter.Unix()), 'g', -1, 64))
	require.NotContains(t, body, `phase="tls"} 0`+"\n")
}

func TestARefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	target := "http://" + l.Addr().String()
	l.Close()
	x := ask(t, options(target), target, "getOrder")
	require.Equal(t, "connect", x.Reason, x.Text)
}

func TestARedirectIsFollowedWhereItIsAllowed(t *testing.T) {
	var paths []string
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		switch r.URL.Path {
		case "/shop/v1/orders/a/b c":
			http.Redirect(w, r, "/shop/v2", http.StatusFound)
		case "/shop/v2":
			order(w, r)
		default:
			t.Error(r.URL.Path)
		}
	})
	require.Empty(t, ask(t, options(target+"/shop"), target+"/shop", "getOrder").Reason)
	require.Equal(t, []string{"/shop/v1/orders/a/b c", "/shop/v2"}, paths)

	out := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/admin", http.StatusFound) })
	require.Equal(t, "redirect", ask(t, options(out+"/shop"), out+"/shop", "getOrder").Reason)
}

// As many requests at a time as the config says, and none once the time is over.
func TestARoundKeepsToItsLimits(t *testing.T) {
	var mu sync.Mutex
	now, most, all := 0, 0, 0
	hold := make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now, all = now+1, all+1
		most = max(most, now)
		reached := now == 3
		mu.Unlock()
		if reached {
			close(hold)
		}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		mu.Lock()
		now--
		mu.Unlock()
		order(w, r)
	})
	var doc strings.Builder
	doc.WriteString("openapi: 3.0.3\ninfo: {title: a, version: b}\npaths:\n")
	for i := range 12 {
		fmt.Fprintf(&doc, "  /p%d: {get: {operationId: p%d, responses: {'200': {description: ''}}}}\n", i, i)
	}
	o := options(target)
	o.Concurrency = 3
	p, err := probe.New(o, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p.Load(load(t, doc.String()))
	r, err := p.Once(t.Context(), target, "", func(values.Answer) {})
	require.NoError(t, err)
	require.Len(t, r.Results, 12)
	require.True(t, r.Success(), "%+v", r.Results)
	require.Equal(t, 3, most)
	require.Equal(t, 12, all)

	over, stop := context.WithCancel(t.Context())
	stop()
	r, err = p.Once(over, target, "", func(values.Answer) {})
	require.NoError(t, err)
	for _, x := range r.Results {
		require.Equal(t, "timeout", x.Reason)
	}
}

func TestTargetsAreAskedOnSchedule(t *testing.T) {
	target := serve(t, order)
	reg := prometheus.NewPedanticRegistry()
	all := values.New(reg)
	v := all.Service("shop", values.Options{MaxSeries: 10, MaxElements: 10, MaxLabel: 10, Stale: time.Hour}, slog.New(slog.DiscardHandler))
	o := options(target)
	o.Interval = time.Second
	p, err := probe.New(o, v, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	probes := probe.NewProbes(reg)
	probes.Add("shop", p)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(done)
	}()
	v.Load(load(t, document))
	p.Load(load(t, document))
	require.Eventually(t, func() bool { return len(scrape(t, reg)["openapi_probe_success"]) == 1 }, time.Minute, 10*time.Millisecond)
	stop()
	<-done
	got := scrape(t, reg)
	require.Equal(t, []string{"{service=shop,target=" + target + "} 1"}, got["openapi_probe_success"])
	require.Equal(t, []string{"{operation=getOrder,service=shop,target=" + target + "} 200"}, got["openapi_probe_http_status_code"])
	require.Equal(t, []string{"{operation=getOrder,service=shop,target=" + target + "} 7"}, got["shop_order_total_euros"])
	require.Equal(t, []string{"{service=shop} 1"}, got["openapi_probe_operations"])
	require.Contains(t, got["openapi_probe_operations_skipped"], "{reason=unsafe,service=shop} 3")
	require.Contains(t, got["openapi_probe_contract_violations"], "{check=response_schema_conformance,operation=getOrder,service=shop,target="+target+"} 0")
	families, err := reg.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	p.Load(load(t, strings.Replace(document, "operationId: getOrder", "operationId: readOrder", 1)))
	require.Empty(t, scrape(t, reg)["openapi_probe_http_status_code"], "what is gone is not told")
}

// scrape is every series by name, as {labels} value.
func scrape(t testing.TB, reg prometheus.Gatherer) map[string][]string {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	all := map[string][]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all[f.GetName()] = append(all[f.GetName()], fmt.Sprintf("{%s} %v", strings.Join(labels, ","), m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return all
}
