// Package logs reads what a web server wrote of its requests: nginx, Apache,
// Envoy, JSON. Lines are hostile: what is in them becomes counts of the
// document's operations, or is dropped and counted.
package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/exporters/openapi/observe"
)

// Formats by name. Any other format is a log_format of nginx.
const (
	combined = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "`
	common   = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent`
	envoy    = `[$start_time] "$request" $status $response_flags $content_length $body_bytes_sent $duration_ms `
)

// Fields name what is where in JSON; a dot leads into an object. What is not
// named is looked for under the names that nginx and Envoy commonly give.
type Fields struct {
	Method       string `yaml:"method"`
	Path         string `yaml:"path"`
	Status       string `yaml:"status"`
	Duration     string `yaml:"duration"`
	DurationUnit string `yaml:"duration_unit"` // s, ms, us or ns
	RequestSize  string `yaml:"request_size"`
	ResponseSize string `yaml:"response_size"`
}

// ErrLine marks a line that tells of no request.
var ErrLine = errors.New("no request")

// Parser reads one line.
type Parser func(line []byte) (observe.Request, error)

// NewParser makes a Parser for a format: combined, common, envoy, json, or a
// log_format of nginx that has $status and $request, or $request_method and
// $request_uri or $uri.
func NewParser(format string, f Fields) (Parser, error) {
	switch format {
	case "json":
		return newJSON(f)
	case "combined", "":
		format = combined
	case "common":
		format = common
	case "envoy":
		format = envoy // goes on after that
	}
	if f != (Fields{}) {
		return nil, errors.New("fields: only format json has them")
	}
	return newTemplate(format)
}

func unknown() observe.Request {
	return observe.Request{Status: -1, Duration: -1, RequestSize: -1, ResponseSize: -1}
}

// finish says whether enough is known, and leaves of the path what an operation
// is found by.
func finish(r observe.Request) (observe.Request, error) {
	if r.Status < 100 || r.Status > 599 || r.Method == "" || r.Path == "" {
		return r, ErrLine
	}
	if i := strings.IndexAny(r.Path, "?#"); i >= 0 {
		r.Path = r.Path[:i]
	}
	if _, after, absolute := strings.Cut(r.Path, "://"); absolute && r.Path[0] != '/' {
		_, r.Path, _ = strings.Cut(after, "/")
		r.Path = "/" + r.Path
	}
	return r, nil
}

// requestLine takes "GET /path HTTP/1.1" apart.
func requestLine(line string, r *observe.Request) {
	method, rest, ok := strings.Cut(line, " ")
	if !ok {
		return
	}
	if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
		rest = rest[:i]
	}
	r.Method, r.Path = method, rest
}

// template is a log_format: a literal in front of each variable.
type template struct {
	steps []step
	end   string // the literal after the last one; what follows it is not read
}

type step struct{ literal, variable string }

func newTemplate(format string) (Parser, error) {
	var t template
	rest := format
	for {
		literal, after, more := strings.Cut(rest, "$")
		if !more {
			t.end = literal
			break
		}
		if len(t.steps) > 0 && literal == "" {
			return nil, fmt.Errorf("format: nothing stands between $%s and the next variable", t.steps[len(t.steps)-1].variable)
		}
		n := 0
		for n < len(after) && (after[n] == '_' || after[n] >= 'a' && after[n] <= 'z' || after[n] >= '0' && after[n] <= '9') {
			n++
		}
		if n == 0 {
			return nil, errors.New("format: a $ that begins no variable")
		}
		t.steps = append(t.steps, step{literal, after[:n]})
		rest = after[n:]
	}
	has := func(name string) bool {
		return slices.ContainsFunc(t.steps, func(s step) bool { return s.variable == name })
	}
	if !has("status") || !has("request") && (!has("request_method") || !has("request_uri") && !has("uri")) {
		return nil, fmt.Errorf("format %q: json, combined, common, envoy, or one that has $status and $request", format)
	}
	return t.parse, nil
}

func (t template) parse(line []byte) (observe.Request, error) {
	r := unknown()
	rest := string(line)
	for i, s := range t.steps {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, s.literal); !ok {
			return r, ErrLine
		}
		next := t.end
		if i+1 < len(t.steps) {
			next = t.steps[i+1].literal
		}
		end := len(rest)
		if next != "" {
			if end = strings.Index(rest, next); end < 0 {
				return r, ErrLine
			}
		}
		set(&r, s.variable, rest[:end])
		rest = rest[end:]
	}
	r.Path = strings.ReplaceAll(r.Path, `\x`, "%") // nginx writes so what it does not like in a log
	return finish(r)
}

// set takes a variable of nginx.
func set(r *observe.Request, name, value string) {
	switch name {
	case "request":
		requestLine(value, r)
	case "request_method":
		r.Method = value
	case "request_uri":
		r.Path = value
	case "uri":
		if r.Path == "" { // $request_uri is what the client sent, $uri what became of it
			r.Path = value
		}
	case "status":
		r.Status = int(number(value))
	case "body_bytes_sent":
		r.ResponseSize = number(value)
	case "content_length": // $request_length has the header in it
		r.RequestSize = number(value)
	case "request_time":
		r.Duration = duration(value, time.Second)
	case "duration_ms":
		r.Duration = duration(value, time.Millisecond)
	case "http_traceparent":
		r.Traceparent = value
	}
}

// number is -1 for what is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// duration is -1 for what is none, or longer than a day.
func duration(s string, unit time.Duration) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	d := f * float64(unit)
	if err != nil || math.IsNaN(d) || d < 0 || d > float64(24*time.Hour) {
		return -1
	}
	return time.Duration(d)
}

type jsonFormat struct {
	method, path, status, seconds, milliseconds, own, requestSize, responseSize [][]string
	unit                                                                        time.Duration
}

func newJSON(f Fields) (Parser, error) {
	names := func(own string, usual ...string) (paths [][]string) {
		if own != "" {
			usual = []string{own}
		}
		for _, name := range usual {
			paths = append(paths, strings.Split(name, "."))
		}
		return paths
	}
	j := jsonFormat{
		method: names(f.Method, "request_method", "method"),
		path:   names(f.Path, "request_uri", "x-envoy-original-path", "path", "uri"),
		status: names(f.Status, "status", "response_code"), unit: time.Second,
		requestSize: names(f.RequestSize, "bytes_received", "content_length"), responseSize: names(f.ResponseSize, "body_bytes_sent", "bytes_sent"),
	}
	if f.Duration == "" {
		j.seconds, j.milliseconds = names("", "request_time"), names("", "duration_ms", "duration")
	} else {
		j.own = names(f.Duration)
	}
	units := map[string]time.Duration{"": time.Second, "s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}
	unit, ok := units[f.DurationUnit]
	if !ok || f.DurationUnit != "" && f.Duration == "" {
		return nil, fmt.Errorf("fields.duration_unit %q: s, ms, us or ns, of fields.duration", f.DurationUnit)
	}
	j.unit = unit
	return j.parse, nil
}

func (j jsonFormat) parse(line []byte) (observe.Request, error) {
	r := unknown()
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return r, ErrLine
	}
	r.Method, r.Path = find(object, j.method), find(object, j.path)
	if r.Method == "" || r.Path == "" {
		requestLine(find(object, [][]string{{"request"}}), &r)
	}
	r.Status = int(number(find(object, j.status)))
	r.RequestSize, r.ResponseSize = number(find(object, j.requestSize)), number(find(object, j.responseSize))
	r.Traceparent = find(object, [][]string{{"traceparent"}, {"http_traceparent"}})
	for _, each := range []struct {
		names [][]string
		unit  time.Duration
	}{{j.own, j.unit}, {j.seconds, time.Second}, {j.milliseconds, time.Millisecond}} {
		if value := find(object, each.names); value != "" {
			r.Duration = duration(value, each.unit)
			break
		}
	}
	return finish(r)
}

// find is the first of some fields that is a text or a number.
func find(object map[string]any, names [][]string) string {
	for _, path := range names {
		var at any = object
		for _, name := range path {
			inner, _ := at.(map[string]any)
			at = inner[name]
		}
		switch v := at.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		}
	}
	return ""
}
