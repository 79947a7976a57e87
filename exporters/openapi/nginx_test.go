//go:build nginx

package openapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi"
)

const template = `$remote_addr [$time_local] "$request" $status $body_bytes_sent $request_time "$http_traceparent"`

// nginx writes the same requests in three formats, of which one is the docs'.
const nginxConfig = `daemon off; pid nginx.pid; error_log error.log; worker_processes 2;
%s
events {}
http {
  client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi; uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
  log_format plain '%s';
  %s
  server {
    listen %s;
    access_log combined.log combined;
    access_log plain.log plain;
    access_log json.log openapi;
    location / { proxy_pass %s; }
  }
}
`

const nginxServices = `
services:
  - {name: combined, document: shop.yaml, logs: [{file: combined.log}]}
  - {name: plain, document: shop.yaml, logs: [{file: plain.log, format: '%s'}]}
  - {name: json, document: shop.yaml, logs: [{file: json.log, format: json}]}
`

const (
	order     = "getOrder 200"
	unmatched = "unmatched"
	dropped   = "dropped"
)

// hostile are requests as a stranger sends them, and what each counts as: an
// operation with its code, no operation, or no request at all.
func hostile() map[string]string {
	const end = " HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
	requests := map[string]string{
		"GET /orders/1\r\n":                    order, // HTTP/0.9
		"GET /orders/1 HTTP/9.9\r\n\r\n":       "getOrder other_5xx",
		"\x16\x03\x01\x02\x00\x01\xfc\x03\"\n": dropped, // a TLS handshake
	}
	for line, counts := range map[string]string{
		`GET /orders/a"b`:                                  order,
		`GET /orders/a\"q\x41\`:                            order,
		"GET /orders/\xc3\xa9":                             order,
		"GET /orders/\xff\xfe":                             order,
		"GET /orders/%0a%22%2F?x=\"":                       order,
		"GET http://elsewhere.example/orders/7":            order,
		"HEAD /orders/1":                                   order,
		"GET /orders/a\x01b":                               "getOrder other_4xx",
		"GET /orders/a\x00b":                               "getOrder other_4xx",
		`GET /orders/1" 500 7 "-`:                          "getOrder other_4xx",
		"GET /orders/" + strings.Repeat("a", 7000):         order,
		"GET /orders/" + strings.Repeat(`"`, 7000):         order,
		"GET /orders/" + strings.Repeat("a", 9000):         "getOrder other_4xx", // 414
		"PROPFIND /orders/1":                               unmatched,
		"get /orders/1":                                    unmatched,
		"GET /wp-login.php":                                unmatched,
		"GET /" + strings.Repeat("%41\"", 1500):            unmatched,
		"OPTIONS *":                                        unmatched,
		"CONNECT shop:1":                                   unmatched,
		"GET /orders/1/../../etc/passwd?/orders/1":         unmatched,
		"DELETE /orders/" + strings.Repeat("/orders/", 99): unmatched,
	} {
		requests[line+end] = counts
	}
	quotes := strings.Repeat(`"`, 7000)
	requests["GET /orders/2 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nUser-Agent: "+quotes+"\r\nReferer: "+quotes+"\r\n\r\n"] = order
	return requests
}

// counts are what was sent, as the exporter has to see it.
type counts struct {
	mu sync.Mutex
	of map[string]float64
}

func (c *counts) add(key string) {
	c.mu.Lock()
	c.of[key]++
	c.mu.Unlock()
}

func (c *counts) total() (n float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, each := range c.of {
		n += each
	}
	return n
}

// send is one request on a connection of its own. Whoever answers, answers whole.
func send(t *testing.T, address, request string) {
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(conn, request)
	answer, e := io.ReadAll(conn)
	if len(answer) == 0 {
		t.Error(errors.Join(err, e))
	}
}

// A real nginx (NGINX_PROGRAM=path) in front of a service: what its logs tell, through a
// rotation and whatever strangers send, is what was sent.
func TestRealNginx(t *testing.T) {
	require.NotEmpty(t, os.Getenv("NGINX_PROGRAM"), "NGINX_PROGRAM=path of nginx: tools/nginx finds one, or fetches it")
	w := &world{dir: t.TempDir(), front: freePort(t), logs: &bytes.Buffer{}}
	write(t, w.dir, "shop.yaml", fmt.Sprintf(document, "1"))
	c, err := openapi.Parse(fmt.Appendf(nil, nginxServices, template), w.dir)
	require.NoError(t, err)
	w.house, err = openapi.New(c, slog.New(slog.NewTextHandler(w.logs, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.house.Run(ctx) }()
	require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful") == 3 }, time.Minute, 10*time.Millisecond)

	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch path, isOrder := strings.CutPrefix(r.URL.EscapedPath(), "/orders"); {
		case isOrder && path == "" && r.Method == http.MethodPost:
			rw.WriteHeader(http.StatusCreated)
		case isOrder && strings.LastIndexByte(path, '/') == 0:
			fmt.Fprint(rw, `{"total": 7}`)
		default:
			rw.WriteHeader(http.StatusNotFound)
		}
	}))
	defer service.Close()
	nginx := startNginx(t, w, service.URL)

	sent := &counts{of: map[string]float64{}}
	crowd(t, w.front, sent)
	logs := []string{"combined.log", "plain.log", "json.log"}
	require.Eventually(t, func() bool { // a file that is renamed before it was seen is nobody's
		return w.value(t, "openapi_log_lines_total") >= float64(len(logs))*sent.total()
	}, time.Minute, 10*time.Millisecond)
	for _, log := range logs {
		require.NoError(t, os.Rename(filepath.Join(w.dir, log), filepath.Join(w.dir, log+".1")))
	}
	crowd(t, w.front, sent) // still in the old files
	nginx("-s", "reopen")
	require.Eventually(t, func() bool {
		for _, log := range logs {
			if _, err := os.Stat(filepath.Join(w.dir, log)); err != nil {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond, "nginx has begun new files")
	crowd(t, w.front, sent)

	total := sent.total()
	for _, name := range []string{"combined", "plain", "json"} {
		require.Eventually(t, func() bool { return w.value(t, "openapi_log_lines_total", "service", name) >= total }, 2*time.Minute, 100*time.Millisecond, name)
		got := map[string]float64{
			unmatched: w.value(t, "openapi_unmatched_requests_total", "service", name),
			dropped:   w.value(t, "openapi_log_lines_dropped_total", "service", name),
		}
		for key := range sent.of {
			if operation, code, is := strings.Cut(key, " "); is {
				got[key] = w.value(t, "openapi_requests_total", "service", name, "operation", operation, "code", code)
			}
		}
		require.Equal(t, sent.of, got, name)
		require.Equal(t, total, w.value(t, "openapi_requests_total", "service", name)+got[unmatched]+got[dropped], "nothing was counted twice or as something else")
	}
	cancel()
	require.NoError(t, <-done)
	t.Logf("%v requests, as counted of each log: %v", total, sent.of)
}

// startNginx starts one in front of a service, and returns a way to tell it something.
func startNginx(t *testing.T, w *world, service string) func(args ...string) {
	t.Helper()
	docs, err := os.ReadFile("../../docs/openapi.md")
	require.NoError(t, err)
	format := regexp.MustCompile(`(?s)log_format openapi .*?;\n`).Find(docs)
	require.NotNil(t, format, "the docs have a log_format")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root root;" // whose folder it is
	}
	require.NoError(t, os.Mkdir(filepath.Join(w.dir, "tmp"), 0o700))
	write(t, w.dir, "nginx.conf", fmt.Sprintf(nginxConfig, user, template, format, w.front, service))
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(os.Getenv("NGINX_PROGRAM"), append([]string{"-p", w.dir + "/", "-c", "nginx.conf", "-e", "error.log"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		return cmd
	}
	server := command()
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", w.front)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "nginx listens")
	return func(args ...string) {
		t.Helper()
		require.NoError(t, command(args...).Run())
	}
}

// crowd sends what customers and strangers send, all mixed.
func crowd(t *testing.T, address string, sent *counts) {
	t.Helper()
	requests := hostile()
	for i := range 200 {
		requests[fmt.Sprintf("GET /orders/%d?page=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", i)] = order
		requests[fmt.Sprintf("POST /orders?n=%d HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", i)] = "placeOrder 201"
	}
	var sending sync.WaitGroup
	free := make(chan struct{}, 16)
	for request, counts := range requests {
		free <- struct{}{}
		sending.Go(func() {
			defer func() { <-free }()
			send(t, address, request)
			sent.add(counts)
		})
	}
	sending.Wait()
}
