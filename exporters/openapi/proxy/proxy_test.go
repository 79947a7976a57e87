package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/proxy"
)

const document = `
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /{any}: {get: {operationId: get, responses: {"200": {description: ""}}}, post: {operationId: post, responses: {"200": {description: ""}}}}
`

// front is a proxy under way.
type front struct {
	url  string
	reg  *prometheus.Registry
	stop func() error
}

func start(t testing.TB, upstream http.Handler, change func(*proxy.Options)) front {
	t.Helper()
	server := httptest.NewUnstartedServer(upstream)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	require.NoError(t, err)
	o := proxy.Options{Service: "t", Upstream: to, Drain: 10 * time.Second}
	if change != nil {
		change(&o)
	}
	file := filepath.Join(t.TempDir(), "doc.yaml")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	api, err := model.Load(t.Context(), model.Options{Location: file})
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	observer := observe.NewMetrics(reg, observe.Options{}).Service("t", observe.Sampling{Ratio: 0.01, PerSecond: 20, BodyLimit: 1 << 16}, log)
	observer.Load(api)
	p := proxy.New(o, proxy.NewMetrics(reg), log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, listener, observer.Handler(p)) }()
	stopped := false
	f := front{url: "http://" + listener.Addr().String(), reg: reg, stop: func() error {
		stopped = true
		cancel()
		return <-done
	}}
	t.Cleanup(func() {
		if !stopped {
			_ = f.stop()
		}
	})
	return f
}

func (f front) counter(t *testing.T, name, label, value string) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	require.NoError(t, err)
	var sum float64
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == name && l.GetName() == label && l.GetValue() == value {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

func TestARequestArrivesAsItWasSent(t *testing.T) {
	var got *http.Request
	f := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r
		w.Header().Set("Trailer", "Sum")
		fmt.Fprintf(w, "%s", body)
		w.Header().Set("Sum", "7")
	}), nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/a%2Fb?x=1;y&%zz", strings.NewReader("body"))
	require.NoError(t, err)
	req.Host = "api.example.org"
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("Accept-Encoding", "br")
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	require.Equal(t, "body", string(body))
	require.Equal(t, "7", resp.Trailer.Get("Sum"))
	require.Equal(t, "/a%2Fb?x=1;y&%zz", got.RequestURI)
	require.Equal(t, "api.example.org", got.Host)
	require.Equal(t, "192.0.2.1, 127.0.0.1", got.Header.Get("X-Forwarded-For"))
	require.Equal(t, "https", got.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "api.example.org", got.Header.Get("X-Forwarded-Host"))
	require.Equal(t, "br", got.Header.Get("Accept-Encoding"))
	require.NoError(t, f.stop())
	require.Equal(t, 1.0, f.counter(t, "openapi_requests_total", "operation", "post"))
}

func TestHTTP2OnBothSides(t *testing.T) {
	f := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }), func(o *proxy.Options) { o.UpstreamHTTP2 = true })
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/a", nil)
	require.NoError(t, err)
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.Equal(t, "HTTP/2.0", resp.Proto)
	require.Equal(t, "HTTP/2.0", string(body))
}

func TestAStreamArrivesAsItIsWritten(t *testing.T) {
	more := make(chan struct{})
	f := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			fmt.Fprintln(w, "data: x")
			w.(http.Flusher).Flush()
			<-more
		}
	}), nil)
	resp, err := http.Get(f.url + "/events") //nolint:forbidigo // a client of a test
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 3 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "data: x\n", line)
		more <- struct{}{} // the next one is not written before this one was read
	}
}

func TestAWebSocketPassesAndIsDrained(t *testing.T) {
	f := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, message) != nil {
				return
			}
		}
	}), nil)
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(f.url, "http")+"/socket", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	echo := func() {
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "hello", string(message))
	}
	echo()
	require.Equal(t, 1.0, f.counter(t, "openapi_requests_in_flight", "operation", "get"))
	ended := make(chan error)
	go func() { ended <- f.stop() }()
	require.Eventually(t, func() bool { // no new ones are taken
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
	echo() // the one under way goes on
	conn.Close()
	require.NoError(t, <-ended)
	require.Equal(t, 1.0, f.counter(t, "openapi_requests_total", "code", "other_1xx"))
}

func TestDrainHasAnEnd(t *testing.T) {
	began := make(chan struct{})
	f := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	}), func(o *proxy.Options) { o.Drain = 10 * time.Millisecond })
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get(f.url + "/slow") //nolint:forbidigo // a client of a test
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-began
	require.ErrorContains(t, f.stop(), "cut off after 10ms")
	require.Error(t, <-failed)
}

func TestLimitsAndTrouble(t *testing.T) {
	free, busy := make(chan struct{}), make(chan struct{})
	f := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			busy <- struct{}{}
			<-free
		case "/silent":
			<-r.Context().Done()
		case "/abort":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.Copy(w, r.Body)
		}
	}), func(o *proxy.Options) {
		o.MaxInFlight, o.MaxBody, o.HeaderTimeout = 1, 10, time.Second
	})
	do := func(method, path string, body io.Reader) int {
		req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, body)
		require.NoError(t, err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, do("POST", "/echo", strings.NewReader("0123456789")))
	require.Equal(t, 413, do("POST", "/echo", strings.NewReader("0123456789x")))
	require.Equal(t, 413, do("POST", "/echo", io.MultiReader(strings.NewReader("0123456789x"))), "of unknown length")
	require.Equal(t, 502, do("GET", "/abort", nil))
	require.Equal(t, 504, do("GET", "/silent", nil))
	done := make(chan int)
	go func() { done <- do("POST", "/wait", nil) }()
	<-busy
	require.Equal(t, 503, do("GET", "/a", nil))
	close(free)
	require.Equal(t, 200, <-done)
	for reason, n := range map[string]float64{"body": 2, "upstream": 1, "timeout": 1, "overload": 1} {
		require.Equal(t, n, f.counter(t, "openapi_proxy_errors_total", "reason", reason), reason)
	}
}

// The same requests over real connections, through httputil.ReverseProxy as it
// is and through ours with everything it counts.
func BenchmarkProxy(b *testing.B) {
	body := strings.Repeat("x", 1<<10)
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	ours := start(b, upstream, nil)
	behind := httptest.NewServer(upstream)
	defer behind.Close()
	to, _ := url.Parse(behind.URL)
	transport := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}
	bare := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport})
	defer bare.Close()
	client := &http.Transport{MaxIdleConnsPerHost: 512}
	defer client.CloseIdleConnections()
	ask := func(b *testing.B, address string) {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address+"/a", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	// turn by turn, so that both see the same machine
	var spent [2]time.Duration
	for b.Loop() {
		for i, address := range []string{bare.URL, ours.url} {
			begin := time.Now()
			for range 50 {
				ask(b, address)
			}
			spent[i] += time.Since(begin)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-bare")
	b.ReportMetric(float64(spent[1].Microseconds())/float64(50*b.N), "us/ours")
}
