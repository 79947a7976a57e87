package logs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/logs"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
)

func request(method, path string, status int, took time.Duration, in, out int64, traceparent string) observe.Request {
	return observe.Request{Method: method, Path: path, Status: status, Duration: took, RequestSize: in, ResponseSize: out, Traceparent: traceparent}
}

func TestLines(t *testing.T) {
	const none = -1
	for name, c := range map[string]struct {
		format, line string
		fields       logs.Fields
		want         observe.Request
	}{
		"combined":          {"combined", `192.0.2.1 - - [22/Nov/2026:23:00:00 +0000] "GET /pets/7?x=1 HTTP/1.1" 200 17 "-" "curl/8"`, logs.Fields{}, request("GET", "/pets/7", 200, none, none, 17, "")},
		"combined and more": {"", `192.0.2.1 - bob [22/Nov/2026:23:00:00 +0000] "GET / HTTP/2.0" 404 - "-" "-" 0.003`, logs.Fields{}, request("GET", "/", 404, none, none, none, "")},
		"common":            {"common", `192.0.2.1 - - [x] "POST /a HTTP/1.1" 201 5`, logs.Fields{}, request("POST", "/a", 201, none, none, 5, "")},
		"nginx escapes":     {"common", `a - - [x] "GET /a\x22b HTTP/1.1" 200 5`, logs.Fields{}, request("GET", "/a%22b", 200, none, none, 5, "")},
		"absolute":          {"common", `a - - [x] "GET http://b.example/c?d HTTP/1.1" 200 5`, logs.Fields{}, request("GET", "/c", 200, none, none, 5, "")},
		"envoy":             {"envoy", `[2026-11-22T23:00:00.000Z] "GET /pets HTTP/2" 503 UF,URX 10 20 35 - "-" "curl" "id" "host" "10.0.0.1:80"`, logs.Fields{}, request("GET", "/pets", 503, 35*time.Millisecond, 10, 20, "")},
		"log_format":        {`$time_iso8601|$request_method|$uri|$request_uri|$status|$request_time|$http_traceparent`, `t|PUT|/b|/a%2Fb?x|204|0.250|00-1`, logs.Fields{}, request("PUT", "/a%2Fb", 204, 250*time.Millisecond, none, none, "00-1")},
		"json of nginx":     {"json", `{"request":"GET /a?b HTTP/1.1","status":"200","request_time":"0.5","body_bytes_sent":7}`, logs.Fields{}, request("GET", "/a", 200, 500*time.Millisecond, none, 7, "")},
		"json of Envoy":     {"json", `{"method":"GET","path":"/a","response_code":200,"duration":5,"bytes_received":1,"bytes_sent":2,"traceparent":"x"}`, logs.Fields{}, request("GET", "/a", 200, 5*time.Millisecond, 1, 2, "x")},
		"json of one's own": {"json", `{"http":{"m":"GET","p":"/a","s":200,"d":1500}}`, logs.Fields{Method: "http.m", Path: "http.p", Status: "http.s", Duration: "http.d", DurationUnit: "us"}, request("GET", "/a", 200, 1500*time.Microsecond, none, none, "")},
	} {
		t.Run(name, func(t *testing.T) {
			parse, err := logs.NewParser(c.format, c.fields)
			require.NoError(t, err)
			got, err := parse([]byte(c.line))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestLinesThatTellOfNoRequest(t *testing.T) {
	for format, lines := range map[string][]string{
		"combined": {"", "x", `a - - [x] "\x16\x03\x01" 400 157 "-" "-"`, `a - - [x] "-" 400 0 "-" "-"`, `a - - [x] "GET /a HTTP/1.1" 000 0 "-" "-"`, `a - - [x] "GET /a HTTP/1.1" x 0 "-" "-"`},
		"json":     {"", "[]", `{"status":200}`, `{"method":"GET","path":"/a","status":1e9}`, `{"method":1.5}`, strings.Repeat(`{"a":`, 20_000)},
	} {
		parse, err := logs.NewParser(format, logs.Fields{})
		require.NoError(t, err)
		for _, line := range lines {
			_, err := parse([]byte(line))
			require.ErrorIs(t, err, logs.ErrLine, line)
		}
	}
}

func TestFormatsThatAreNone(t *testing.T) {
	for _, format := range []string{"apache", "$status", "$request$status", "$request $", "$uri $status"} {
		_, err := logs.NewParser(format, logs.Fields{})
		require.Error(t, err, format)
	}
	_, err := logs.NewParser("combined", logs.Fields{Path: "x"})
	require.Error(t, err)
	_, err = logs.NewParser("json", logs.Fields{Duration: "d", DurationUnit: "h"})
	require.Error(t, err)
}

// followed is a log that is being followed.
type followed struct {
	t     *testing.T
	file  string
	paths []string
	reg   *prometheus.Registry
}

// wait lets the file be looked at often.
func (f *followed) wait() { time.Sleep(10 * time.Second); synctest.Wait() } //nolint:forbidigo // the clock is the bubble's

func (f *followed) append(lines string) {
	file, err := os.OpenFile(f.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(f.t, err)
	_, err = file.WriteString(lines)
	require.NoError(f.t, err)
	require.NoError(f.t, file.Close())
}

func line(path string) string { return fmt.Sprintf("a - - [x] \"GET %s HTTP/1.1\" 200 5\n", path) }

func follow(t *testing.T, story func(f *followed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &followed{t: t, file: filepath.Join(dir, "access.log"), reg: prometheus.NewRegistry()}
		parse, err := logs.NewParser("common", logs.Fields{})
		require.NoError(t, err)
		f.append(line("/before"))
		tail := logs.NewTail("s", f.file, parse, func(r observe.Request) { f.paths = append(f.paths, r.Path) }, logs.NewMetrics(f.reg), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tail.Run(ctx)
		synctest.Wait()
		story(f)
	})
}

func TestALogIsFollowed(t *testing.T) {
	follow(t, func(f *followed) {
		f.append(line("/1") + line("/2"))
		f.wait()
		half := line("/3")
		f.append(half[:10])
		f.wait()
		require.Equal(t, []string{"/1", "/2"}, f.paths, "a line counts once its end is written")
		f.append(half[10:])
		f.wait()
		require.Equal(t, []string{"/1", "/2", "/3"}, f.paths)
	})
}

func TestALogIsRotated(t *testing.T) {
	follow(t, func(f *followed) {
		f.append(line("/1"))
		require.NoError(t, os.Rename(f.file, f.file+".1"))
		f.wait() // there is no new one yet, and the server still writes to the old one
		old := *f
		old.file += ".1"
		old.append(line("/2"))
		f.wait()
		f.append(line("/3"))
		synctest.Wait()
		old.append(line("/2b")) // it was not told yet
		f.wait()
		require.NoError(t, os.Truncate(f.file, 0)) // copytruncate
		f.wait()
		f.append(line("/4"))
		f.wait()
		require.NoError(t, os.Remove(f.file))
		f.wait()
		f.append(line("/5"))
		f.wait()
		require.Equal(t, []string{"/1", "/2", "/2b", "/3", "/4", "/5"}, f.paths)
	})
}

// Rotated three times before the first server process has heard of it, and at last
// by somebody who moves the first file back.
func TestALogIsRotatedOftenAtOnce(t *testing.T) {
	follow(t, func(f *followed) {
		soon := func() { time.Sleep(time.Second); synctest.Wait() } //nolint:forbidigo // the clock is the bubble's
		for i := range 3 {
			f.append(line(fmt.Sprint("/", i)))
			soon()
			require.NoError(t, os.Rename(f.file, fmt.Sprint(f.file, ".", i)))
		}
		f.append(line("/3"))
		soon()
		require.Equal(t, []string{"/0", "/1", "/2", "/3"}, f.paths, "the new file is not waited for")
		for i := range 3 {
			old := *f
			old.file += fmt.Sprint(".", i)
			old.append(line(fmt.Sprint("/late", i)))
		}
		soon()
		require.Equal(t, []string{"/late0", "/late1", "/late2"}, f.paths[4:])
		require.NoError(t, os.Rename(f.file+".2", f.file))
		f.wait()
		f.append(line("/4"))
		f.wait()
		require.Equal(t, []string{"/4"}, f.paths[7:], "no line counts twice")
	})
}

func TestLinesThatAreDroppedAreCounted(t *testing.T) {
	follow(t, func(f *followed) {
		f.append("nonsense\n\n" + strings.Repeat("x", 300<<10) + "\n" + line("/1"))
		f.wait()
		require.Equal(t, []string{"/1"}, f.paths)
		require.NoError(t, testutil.GatherAndCompare(f.reg, strings.NewReader(`
# HELP openapi_log_lines_dropped_total Lines of access logs that tell of no request in the format of the config, or are longer than 256 KiB.
# TYPE openapi_log_lines_dropped_total counter
openapi_log_lines_dropped_total{reason="format",service="s"} 1
openapi_log_lines_dropped_total{reason="length",service="s"} 1
# HELP openapi_log_lines_total Lines of access logs that were read.
# TYPE openapi_log_lines_total counter
openapi_log_lines_total{service="s"} 2
`)))
	})
}

func FuzzLines(f *testing.F) {
	var parsers []logs.Parser
	for _, format := range []string{"combined", "envoy", "json", "$request_method $request_uri $status $request_time"} {
		p, err := logs.NewParser(format, logs.Fields{})
		if err != nil {
			f.Fatal(err)
		}
		parsers = append(parsers, p)
	}
	for _, s := range []string{
		`a - - [x] "GET /a HTTP/1.1" 200 5 "-" "-"`, `[x] "GET /a HTTP/2" 200 - 1 2 3 `, `{"request":"GET /a HTTP/1.1","status":200,"duration":1e400}`, `GET x://y?z 200 NaN`, `GET #://? 200 1`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, parse := range parsers {
			r, err := parse(line)
			if err == nil && (r.Method == "" || r.Status < 100 || r.Status > 599 || r.Duration > 24*time.Hour || strings.ContainsAny(r.Path, "?#")) {
				t.Errorf("%q: %+v", line, r)
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	for name, c := range map[string][2]string{
		"combined": {"combined", `192.0.2.1 - - [22/Nov/2026:23:00:00 +0000] "GET /pets/7?x=1 HTTP/1.1" 200 17 "-" "curl/8"`},
		"json":     {"json", `{"request":"GET /a?b HTTP/1.1","status":"200","request_time":"0.5","body_bytes_sent":7}`},
	} {
		parse, err := logs.NewParser(c[0], logs.Fields{})
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse([]byte(c[1])); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
