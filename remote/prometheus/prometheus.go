// Package prometheus asks servers that speak Prometheus' HTTP API: Prometheus,
// Thanos Query and its frontend, Mimir, VictoriaMetrics. It reads answers as
// they stream in and stops at a limit, so that no server can fill our memory.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// maxError is how much of an error's body is read for the server's own word.
const maxError = 64 << 10

// maxRules is how much of a list of rules or alerts is read, in bytes.
const maxRules = 32 << 20

// Options of a client.
type Options struct {
	URL       string // the address under which /api/v1 lies
	Transport http.RoundTripper
	Authorize func(*http.Request) error // adds credentials; nil for none
	Params    url.Values                // sent with every query; servers ignore those they do not know
}

// Client asks one server.
type Client struct {
	base      *url.URL
	http      *remote.Client
	authorize func(*http.Request) error
	params    url.Values
}

// New returns a client. It does not reach out.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("not an http or https address")
	}
	c := &Client{base: u, http: remote.New(o.Transport, maxRules), authorize: o.Authorize, params: o.Params}
	if c.authorize == nil {
		c.authorize = func(*http.Request) error { return nil }
	}
	return c, nil
}

// Limits of one answer. What comes within them is kept.
type Limits struct {
	Series int   // series
	Bytes  int64 // of the body, uncompressed
}

// Answer says what an instant query cost and whether all of it was read.
type Answer struct {
	Series   int
	Bytes    int64
	Warnings []string // a part of the data is missing
	Doubts   []string // PromQL's own warnings: the expression may not mean what it seems to
	Cut      bool     // a limit ended it early
}

// Remark reports whether a warning is PromQL's own advice about the expression
// and says nothing about missing data. Thanos sends both in one list.
func Remark(warning string) bool {
	return strings.HasPrefix(warning, "PromQL info:") || strings.HasPrefix(warning, warned)
}

// warned begins a remark that is more than advice.
const warned = "PromQL warning:"

// Query evaluates one instant query and calls each with every float sample of
// the vector it makes, labels sorted by name. The slice of labels is reused.
// An error after the first sample comes with what was read so far.
func (c *Client) Query(ctx context.Context, text string, at time.Time, limits Limits, each func([]page.Label, float64)) (Answer, error) {
	form := url.Values{"query": {text}, "time": {strconv.FormatInt(at.Unix(), 10)}}
	return c.evaluate(ctx, "query", form, func(body io.Reader) *decoder { return newDecoder(body, limits, each) })
}

// evaluate posts a question to api/v1/<op> and reads its answer.
func (c *Client) evaluate(ctx context.Context, op string, form url.Values, reader func(io.Reader) *decoder) (Answer, error) {
	if deadline, ok := ctx.Deadline(); ok {
		// a bare number is seconds; with a unit it would have to be whole ("5s")
		form.Set("timeout", strconv.FormatFloat(max(time.Until(deadline), time.Millisecond).Seconds(), 'f', 3, 64))
	}
	maps.Copy(form, c.params)
	req, err := c.request(ctx, http.MethodPost, "api/v1/"+op, strings.NewReader(form.Encode()))
	if err != nil {
		return Answer{}, &remote.Error{Op: op, Class: remote.Config, Err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.http.HTTP.Do(req)
	if err != nil {
		return Answer{}, &remote.Error{Op: op, Class: remote.Unknown, Err: remote.Redact(err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxError)) // what came of it is enough
		return Answer{Bytes: int64(len(body))}, refusal(op, res.StatusCode, body)
	}
	d := reader(res.Body)
	err = d.answer()
	if ctx.Err() != nil && err != nil {
		err = ctx.Err() // whatever the decoder made of a body that was cut off
	}
	if err != nil {
		err = &remote.Error{Op: op, Class: remote.Unknown, Reason: d.errorType, Err: remote.Redact(err)}
	}
	return d.out, err
}

// Rule is one rule.
type Rule struct {
	Name     string      `json:"name"`
	Expr     string      `json:"query"`
	For      float64     `json:"duration"` // seconds
	Labels   page.Labels `json:"labels"`
	Type     string      `json:"type"` // alerting, recording
	Interval float64     `json:"-"`    // seconds between evaluations of its group
}

// Rules lists the alerting rules of a name, or all of them for "".
func (c *Client) Rules(ctx context.Context, name string) ([]Rule, error) {
	query := url.Values{"type": {"alert"}}
	if name != "" {
		query.Set("rule_name[]", name) // older servers send all of them
	}
	list, err := c.rules(ctx, query)
	return slices.DeleteFunc(list, func(r Rule) bool { return r.Type != "alerting" || (name != "" && r.Name != name) }), err
}

// Recordings lists the recording rules.
func (c *Client) Recordings(ctx context.Context) ([]Rule, error) {
	list, err := c.rules(ctx, url.Values{"type": {"record"}})
	return slices.DeleteFunc(list, func(r Rule) bool { return r.Type != "recording" }), err
}

func (c *Client) rules(ctx context.Context, query url.Values) ([]Rule, error) {
	req, err := c.request(ctx, http.MethodGet, "api/v1/rules?"+query.Encode(), nil)
	if err != nil {
		return nil, &remote.Error{Op: "list rules", Class: remote.Config, Err: err}
	}
	res, err := c.http.Do(req, "list rules")
	if err != nil {
		return nil, err
	}
	if res.Status != http.StatusOK {
		return nil, refusal("list rules", res.Status, res.Body)
	}
	var body struct {
		Data struct {
			Groups []struct {
				Interval float64 `json:"interval"`
				Rules    []Rule  `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(res.Body, &body); err != nil {
		return nil, &remote.Error{Op: "list rules", Class: remote.Content, Err: errors.New("answer is not the JSON that Prometheus sends")}
	}
	var out []Rule
	for _, g := range body.Data.Groups {
		for _, r := range g.Rules {
			r.Interval = g.Interval
			out = append(out, r)
		}
	}
	return out, nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	path, query, _ := strings.Cut(path, "?")
	u := c.base.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	return req, c.authorize(req)
}

// refusal makes an error of an answer that is not 200. Of the body only the
// kind of error is kept: its text may quote label values.
func refusal(op string, status int, body []byte) error {
	var said struct {
		ErrorType string `json:"errorType"`
	}
	_ = json.Unmarshal(body, &said) // a proxy answers in HTML
	class := remote.Unknown
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound:
		class = remote.Config
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		class = remote.NotSent
	case status >= 400 && status < 500:
		class = remote.Content
	}
	return &remote.Error{Op: op, Class: class, Status: status, Reason: word(said.ErrorType)}
}

// word keeps what looks like one of Prometheus' error types.
func word(s string) string {
	if len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return ""
	}
	return s
}
