package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Client makes bounded round trips. The zero value is not usable; see New.
type Client struct {
	HTTP *http.Client
	Max  int64 // bytes of an answer that are read; more is an error
}

// New returns a client over transport that follows no redirect to another host
// (credentials would travel along) and reads at most limit bytes of an answer.
func New(transport http.RoundTripper, limit int64) *Client {
	return &Client{Max: limit, HTTP: &http.Client{
		Transport: transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 4 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// Response is a whole answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends req and reads the answer whole, whatever its status. The error, if
// any, is an *Error: NotSent when the request surely never left, Unknown once a
// byte of it may have been written. op is the act as errors shall name it.
func (c *Client) Do(req *http.Request, op string) (Response, error) {
	var written atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	fail := func(err error) error {
		class := NotSent
		if written.Load() {
			class = Unknown
		}
		return &Error{Op: op, Class: class, Err: Redact(err)}
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return Response{}, fail(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	n, err := io.Copy(&body, io.LimitReader(res.Body, c.Max+1))
	if err == nil && n > c.Max {
		err = fmt.Errorf("answer is over %d bytes", c.Max)
	}
	out := Response{Status: res.StatusCode, Header: res.Header, Body: body.Bytes()}
	if err != nil {
		e := &Error{Op: op, Class: Unknown, Status: res.StatusCode, Err: Redact(err)}
		return out, e
	}
	return out, nil
}

// Redact removes the address from an error of net/http: addresses of hooks and
// query strings are secrets as often as not. The host stays.
func Redact(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		host := e.URL
		if u, perr := url.Parse(e.URL); perr == nil {
			host = u.Host
		}
		return fmt.Errorf("%s %s: %w", e.Op, host, e.Err)
	}
	return err
}

// ParseRetryAfter reads a Retry-After header: whole seconds or an HTTP date
// (RFC 9110 §10.2.3). A missing, negative or unreadable one is 0.
func ParseRetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil {
		return max(0, time.Duration(s)*time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// Passing reports whether err is the caller's own deadline or cancellation.
func Passing(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
