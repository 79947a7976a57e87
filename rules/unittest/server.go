package unittest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	prom "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
)

// server answers a Prometheus' HTTP API from a test's series, in memory: what
// asks a real server for a page's context asks it here.
type server struct {
	store  storage.Queryable
	groups []*prom.Group
	engine *promql.Engine
}

// maxAsk bounds the body of a question.
const maxAsk = 4 << 20

func newServer(s storage.Queryable, groups []*prom.Group, subquery time.Duration, f Features) *server {
	return &server{store: s, groups: groups, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		EnableDelayedNameRemoval: f.DelayedNameRemoval, Parser: f.parser(),
		NoStepSubqueryIntervalFn: func(int64) int64 { return subquery.Milliseconds() },
	})}
}

func (s *server) close() { _ = s.engine.Close() } // it holds no file

// RoundTrip implements http.RoundTripper.
func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	form := req.URL.Query()
	if req.Body != nil {
		text, err := io.ReadAll(io.LimitReader(req.Body, maxAsk))
		_ = req.Body.Close() // was read
		if err != nil {
			return nil, err
		}
		posted, err := url.ParseQuery(string(text))
		if err != nil {
			return answer(req, http.StatusBadRequest, failed(err))
		}
		for name, values := range posted {
			form[name] = append(form[name], values...)
		}
	}
	switch req.URL.Path {
	case "/api/v1/query", "/api/v1/query_range":
		return s.evaluate(req, form)
	case "/api/v1/rules":
		return answer(req, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"groups": s.rules(form)}})
	}
	return answer(req, http.StatusNotFound, map[string]any{"status": "error", "errorType": "not_found"})
}

func (s *server) evaluate(req *http.Request, form url.Values) (*http.Response, error) {
	q, err := s.question(req, form)
	if err != nil {
		return answer(req, http.StatusBadRequest, failed(err))
	}
	defer q.Close()
	res := q.Exec(req.Context())
	if res.Err != nil {
		return answer(req, http.StatusUnprocessableEntity, failed(res.Err))
	}
	return answer(req, http.StatusOK, map[string]any{
		"status": "success", "data": map[string]any{"resultType": res.Value.Type(), "result": res.Value},
	})
}

func (s *server) question(req *http.Request, form url.Values) (promql.Query, error) {
	text := form.Get("query")
	if req.URL.Path == "/api/v1/query" {
		at, err := moment(form.Get("time"))
		if err != nil {
			return nil, err
		}
		return s.engine.NewInstantQuery(req.Context(), s.store, nil, text, at)
	}
	from, err := moment(form.Get("start"))
	if err != nil {
		return nil, err
	}
	to, err := moment(form.Get("end"))
	if err != nil {
		return nil, err
	}
	step, err := strconv.ParseFloat(form.Get("step"), 64)
	if err != nil {
		return nil, err
	}
	return s.engine.NewRangeQuery(req.Context(), s.store, nil, text, from, to, time.Duration(step*float64(time.Second)))
}

// moment reads seconds since 1970.
func moment(text string) (time.Time, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	return time.UnixMilli(int64(seconds * 1000)).UTC(), err
}

// rules lists the rules as the API does.
func (s *server) rules(form url.Values) []any {
	out := []any{}
	for _, g := range s.groups {
		list := []any{}
		for _, r := range g.Rules() {
			kind, wait := "recording", 0.0
			if a, ok := r.(*prom.AlertingRule); ok {
				kind, wait = "alerting", a.HoldDuration().Seconds()
			}
			if want := form.Get("type"); want != "" && want+"ing" != kind && want != kind {
				continue
			}
			list = append(list, map[string]any{
				"type": kind, "name": r.Name(), "query": r.Query().String(), "duration": wait, "labels": r.Labels().Map(),
			})
		}
		out = append(out, map[string]any{"name": g.Name(), "file": g.File(), "interval": g.Interval().Seconds(), "rules": list})
	}
	return out
}

func failed(err error) map[string]any {
	return map[string]any{"status": "error", "errorType": "bad_data", "error": err.Error()}
}

func answer(req *http.Request, status int, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)),
		ContentLength: int64(len(text)), Request: req,
	}, nil
}
