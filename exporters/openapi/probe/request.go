package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Skipped is an operation that is not asked, and why.
type Skipped struct {
	Operation string
	Reason    string // one of SkipReasons
	Text      string
}

// String is it in a line.
func (s Skipped) String() string { return s.Operation + " is not probed: " + s.Text }

// SkipReasons are why an operation may be not asked.
func SkipReasons() []string { return []string{"body", "config", "parameter", "stream", "unsafe"} }

// call is how an operation is asked.
type call struct {
	op     *model.Operation
	path   string // escaped
	query  string
	header http.Header
	body   []byte
}

// safe says whether a method is one that changes nothing.
func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// Preview says how many operations of an API are asked, and which are not.
func Preview(api *model.API, o Options) (asked int, skipped []Skipped) {
	p := newPlan(api, o)
	return len(p.calls), p.skipped
}

// plan is what is asked of a service.
type plan struct {
	calls   []*call
	skipped []Skipped
}

func newPlan(api *model.API, o Options) *plan {
	p := &plan{}
	for _, op := range api.Operations {
		skip := func(reason, format string, args ...any) {
			p.skipped = append(p.skipped, Skipped{op.ID, reason, fmt.Sprintf(format, args...)})
		}
		switch {
		case slices.Contains(o.Skip, op.ID):
			skip("config", "skip names it")
			continue
		case !safe(op.Method) && !slices.Contains(o.Unsafe, op.ID):
			skip("unsafe", "%s may change something; unsafe of the config could name it", op.Method)
			continue
		case streams(op):
			skip("stream", "its answer does not end")
			continue
		}
		c := &call{op: op, header: http.Header{}}
		if err := c.fill(o); err != nil {
			reason := "parameter"
			if errors.Is(err, errBody) {
				reason = "body"
			}
			skip(reason, "%v", err)
			continue
		}
		p.calls = append(p.calls, c)
	}
	return p
}

// Unknown are names in the options that the document does not have.
func Unknown(api *model.API, o Options) (unknown []string) {
	has := map[string]bool{}
	for _, op := range api.Operations {
		has[op.ID] = true
		for _, p := range op.Parameters {
			has[op.ID+" "+p.Name], has[anyOperation+p.Name] = true, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		if !has[name] {
			unknown = append(unknown, "parameter "+name)
		}
	}
	for _, name := range slices.Concat(o.Skip, o.Unsafe) {
		if !has[name] {
			unknown = append(unknown, "operation "+name)
		}
	}
	return unknown
}

// streams says whether all that is answered well are server-sent events.
func streams(op *model.Operation) bool {
	r := op.Responses[op.Declared(http.StatusOK)]
	if r == nil || len(r.Content) == 0 {
		return false
	}
	for media := range r.Content {
		if media != "text/event-stream" {
			return false
		}
	}
	return true
}

// anyOperation stands in Options.Parameters for every operation that requires
// the parameter.
const anyOperation = "* "

var errBody = errors.New("its body has no example")

// fill sets what the operation requires, and what the config has a value for.
func (c *call) fill(o Options) error {
	path := c.op.Routes[0]
	var query []string
	for _, p := range c.op.Parameters {
		given, configured := o.Parameters[c.op.ID+" "+p.Name]
		if !p.Required && p.In != "path" && !configured {
			continue
		}
		if !configured {
			given, configured = o.Parameters[anyOperation+p.Name]
		}
		value := p.Example
		if configured {
			value = given
		}
		if value == nil {
			return fmt.Errorf("parameter %s has no example", p.Name)
		}
		switch p.In {
		case "path":
			text, err := pathValue(p, value)
			if err != nil {
				return err
			}
			path = strings.ReplaceAll(path, "{"+p.Name+"}", text)
		case "query":
			query = append(query, queryValue(p, value)...)
		case "header":
			if name := http.CanonicalHeaderKey(p.Name); name != "Accept" && name != "Content-Type" && name != "Authorization" {
				c.header.Set(name, simple(value, p.Explode))
			}
		case "cookie":
			cookie := http.Cookie{Name: p.Name, Value: simple(value, false)}
			c.header.Add("Cookie", strings.TrimSuffix(cookie.String(), ";"))
		}
	}
	if i := strings.IndexByte(path, '{'); i >= 0 {
		return fmt.Errorf("parameter %s has no example: the document does not declare it", strings.TrimSuffix(path[i+1:], "}"))
	}
	c.path, c.query = escaped(path), strings.Join(query, "&")
	return c.content()
}

// content sets the body and what answers are asked for.
func (c *call) content() error {
	if b := c.op.Request; b != nil && b.Example != nil && !safe(c.op.Method) {
		body, err := json.Marshal(b.Example)
		if err != nil {
			return errBody
		}
		c.body = body
		c.header.Set("Content-Type", b.Media)
	} else if b != nil && b.Required {
		return errBody
	}
	accept := []string{}
	if r := c.op.Responses[c.op.Declared(http.StatusOK)]; r != nil {
		accept = slices.Sorted(maps.Keys(r.Content))
	}
	if len(accept) == 0 {
		accept = []string{"*/*"}
	}
	c.header.Set("Accept", strings.Join(accept, ", "))
	c.header.Set("User-Agent", "openapi_exporter")
	return nil
}

func (c *call) request(ctx context.Context, base *url.URL) (*http.Request, error) {
	at := *base
	raw := strings.TrimRight(at.EscapedPath(), "/") + c.path
	text, err := url.PathUnescape(raw)
	if err != nil {
		return nil, err
	}
	at.Path, at.RawPath, at.RawQuery = text, raw, c.query
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.op.Method, at.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	return req, nil
}

// escaped is a path in which what a request line cannot have is escaped.
func escaped(path string) string {
	if text, err := url.PathUnescape(path); err == nil {
		return (&url.URL{Path: text, RawPath: path}).EscapedPath()
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// pathValue is a value as it stands in a path. It stays where it is put: no
// slash, no dots alone.
func pathValue(p model.Parameter, value any) (string, error) {
	text := simple(value, p.Explode)
	if text == "" || text == "." || text == ".." {
		return "", fmt.Errorf("parameter %s has no example that a path can hold", p.Name)
	}
	text = url.PathEscape(text)
	switch p.Style {
	case "label":
		text = "." + text
	case "matrix":
		text = ";" + url.PathEscape(p.Name) + "=" + text
	}
	return text, nil
}

// queryValue is a value as one or more pairs of a query.
func queryValue(p model.Parameter, value any) []string {
	pair := func(name, text string) string { return url.QueryEscape(name) + "=" + url.QueryEscape(text) }
	separator := map[string]string{"spaceDelimited": " ", "pipeDelimited": "|"}[p.Style]
	var pairs []string
	switch v := value.(type) {
	case []any:
		if p.Style == "content" {
			break
		}
		if p.Explode {
			for _, each := range v {
				pairs = append(pairs, pair(p.Name, scalar(each)))
			}
			return pairs
		}
		if separator == "" {
			separator = ","
		}
		return []string{pair(p.Name, join(v, separator))}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch {
			case p.Style == "deepObject":
				pairs = append(pairs, pair(p.Name+"["+key+"]", scalar(v[key])))
			case p.Style == "form" && p.Explode:
				pairs = append(pairs, pair(key, scalar(v[key])))
			}
		}
		if pairs != nil || p.Style != "content" && p.Style != "form" {
			return pairs
		}
	}
	if text, ok := value.(string); ok || p.Style != "content" {
		if !ok {
			text = simple(value, false)
		}
		return []string{pair(p.Name, text)}
	}
	return []string{pair(p.Name, scalar(value))}
}

// simple is a value of the style of that name.
func simple(value any, explode bool) string {
	switch v := value.(type) {
	case []any:
		return join(v, ",")
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if explode {
				parts = append(parts, key+"="+scalar(v[key]))
				continue
			}
			parts = append(parts, key, scalar(v[key]))
		}
		return strings.Join(parts, ",")
	default:
		return scalar(v)
	}
}

func join(values []any, separator string) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, scalar(v))
	}
	return strings.Join(parts, separator)
}

// scalar is a value as text; what has parts is JSON.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		text, _ := json.Marshal(v) // it was JSON
		return string(text)
	}
}
