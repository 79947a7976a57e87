package observe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// The checks, named as Schemathesis names them where it has them.
const (
	statusCode        = "status_code_conformance"
	contentType       = "content_type_conformance"
	responseSchema    = "response_schema_conformance"
	requestSchema     = "request_schema_conformance"
	requiredParameter = "required_parameter"
	requiredBody      = "required_body"
)

// Checks are all checks there are.
func Checks() []string {
	return []string{contentType, requestSchema, requiredBody, requiredParameter, responseSchema, statusCode}
}

// possible are the checks that an operation can fail.
func possible(op *model.Operation) []string {
	checks := []string{statusCode}
	if slices.ContainsFunc(op.Parameters, func(p model.Parameter) bool { return p.Required && p.In != "path" }) {
		checks = append(checks, requiredParameter)
	}
	if op.Request != nil {
		if op.Request.Required {
			checks = append(checks, requiredBody)
		}
		checks = append(checks, requestSchema)
	}
	for _, r := range op.Responses {
		if len(r.Content) > 0 {
			return append(checks, contentType, responseSchema)
		}
	}
	return checks
}

// Sampling says which requests are checked. The first one of each operation is.
type Sampling struct {
	Ratio     float64 // share of each operation's requests; 0: none
	PerSecond float64 // of all operations together, at most
	BodyLimit int     // bytes; a longer body is not judged
}

const queueLength = 64 // exchanges that wait for the checker, each of two bodies

// checker judges sampled exchanges beside the requests: what it cannot take is
// dropped and counted, no request waits for it.
type checker struct {
	every   uint64 // 0: none
	limit   *rate.Limiter
	body    int
	queue   chan *exchange
	log     *slog.Logger
	service string
	reader  Reader // nil: none

	checks                     map[string]prometheus.Counter
	sampled                    prometheus.Counter
	tooMany, full, interrupted prometheus.Counter
}

func newChecker(m *Metrics, service string, s Sampling, log *slog.Logger) *checker {
	k := &checker{
		body: s.BodyLimit, queue: make(chan *exchange, queueLength), log: log, service: service,
		limit:  rate.NewLimiter(rate.Limit(s.PerSecond), max(1, int(s.PerSecond))),
		checks: map[string]prometheus.Counter{}, sampled: m.sampled.WithLabelValues(service),
		tooMany: m.dropped.WithLabelValues(service, "rate"), full: m.dropped.WithLabelValues(service, "queue"), interrupted: m.dropped.WithLabelValues(service, "interrupted"),
	}
	if s.Ratio > 0 {
		k.every = max(1, uint64(1/s.Ratio+0.5))
		m.ratio.WithLabelValues(service).Set(1 / float64(k.every))
	} else {
		m.ratio.WithLabelValues(service).Set(0)
	}
	for _, check := range Checks() {
		k.checks[check] = m.checks.WithLabelValues(service, check)
	}
	return k
}

// due says whether the nth request of an operation is one of the sample.
func (k *checker) due(n uint64) bool { return k.every > 0 && n%k.every == 1%k.every }

// exchange is a request and its response on the way to the checker.
type exchange struct {
	cell     *cell
	query    url.Values
	header   http.Header
	hasBody  bool
	wanted   bool // by who reads values
	request  part
	status   int
	answer   http.Header
	response part
}

// part is a body as far as it was seen.
type part struct {
	keep  bool
	limit int
	bytes []byte
	cut   bool // more came than is kept
	whole bool // the end was seen
}

func (p *part) add(b []byte) {
	switch {
	case !p.keep || p.cut:
	case len(p.bytes)+len(b) > p.limit:
		p.cut, p.bytes = true, nil
	default:
		p.bytes = append(p.bytes, b...)
	}
}

// begin takes what a check needs of a request before its handler changes it.
func (k *checker) begin(c *cell, r *http.Request) (*exchange, *http.Request) {
	if !k.limit.Allow() {
		k.tooMany.Inc()
		return nil, r
	}
	x := &exchange{cell: c, query: r.URL.Query(), header: r.Header.Clone(), hasBody: r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody}
	x.response.limit, x.request.limit = k.body, k.body
	x.wanted = k.reader != nil && k.reader.Wants(c.op.ID)
	if x.hasBody && c.op.Request != nil && judged(c.op.Request.Content, r.Header) {
		x.request.keep = true
		r = shallow(r)
		r.Body = &tee{ReadCloser: r.Body, to: &x.request}
	}
	return x, r
}

// tee keeps a body as its handler reads it.
type tee struct {
	io.ReadCloser
	to *part
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.to.add(b[:n])
	if errors.Is(err, io.EOF) {
		t.to.whole = true
	}
	return n, err
}

// answered is called with the headers as they are sent.
func (x *exchange) answered(status int, h http.Header) {
	x.status, x.answer = status, h.Clone()
	if declared := x.cell.op.Responses[x.cell.op.Declared(status)]; declared != nil {
		x.response.keep = judged(declared.Content, h) || x.wanted && isJSON(h)
	}
}

// end hands an exchange over.
func (k *checker) end(x *exchange, rec *recorder, whole bool) {
	if x.answer == nil {
		x.answered(rec.status, rec.Header())
	}
	x.response.whole = whole && complete(rec)
	if !whole {
		k.interrupted.Inc()
		return
	}
	select {
	case k.queue <- x:
		k.sampled.Inc()
	default:
		k.full.Inc()
	}
}

// complete says whether as much was written as was announced: a proxy whose
// client went away returns without the rest.
func complete(rec *recorder) bool {
	announced := rec.Header().Get("Content-Length")
	return announced == "" || announced == strconv.FormatInt(rec.written, 10)
}

// Run checks what was sampled until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-o.checker.queue:
			o.checker.check(ctx, x)
		}
	}
}

func (k *checker) check(ctx context.Context, x *exchange) {
	op := x.cell.op
	k.parameters(ctx, x)
	if op.Request != nil {
		if op.Request.Required {
			k.found(ctx, x, Finding{requiredBody, !x.hasBody, "no body"})
		}
		if x.request.keep && x.request.whole && !x.request.cut {
			if f, ok := judgeBody(requestSchema, op.Request.Content, x.header, x.request.bytes); ok {
				k.found(ctx, x, f)
			}
		}
	}
	var body []byte
	if x.response.keep && x.response.whole && !x.response.cut && op.Method != http.MethodHead {
		body = x.response.bytes
	}
	for _, f := range Judge(op, x.status, x.answer, body) {
		k.found(ctx, x, f)
	}
	if len(body) > 0 {
		k.read(x)
	}
}

func (k *checker) parameters(ctx context.Context, x *exchange) {
	for _, p := range x.cell.op.Parameters {
		if !p.Required {
			continue
		}
		var has bool
		switch p.In {
		case "query":
			has = x.query.Has(p.Name) || spread(x.query, p.Name)
		case "header":
			has = len(x.header.Values(p.Name)) > 0
		case "cookie":
			_, err := (&http.Request{Header: x.header}).Cookie(p.Name)
			has = err == nil
		default: // it is in the path, or the path would not have been found
			continue
		}
		k.found(ctx, x, Finding{requiredParameter, !has, p.In + " parameter " + p.Name})
	}
}

// spread says whether an object was sent as name[key]=value or name[]=value.
func spread(query url.Values, name string) bool {
	for key := range query {
		if strings.HasPrefix(key, name+"[") {
			return true
		}
	}
	return false
}

// found counts a check, and what it found.
func (k *checker) found(ctx context.Context, x *exchange, f Finding) {
	k.checks[f.Check].Inc()
	if f.Broken {
		x.cell.violations[f.Check].Inc()
		k.log.DebugContext(ctx, "the contract is broken", "service", k.service, "operation", x.cell.op.ID, "check", f.Check, "what", f.What)
	}
}
