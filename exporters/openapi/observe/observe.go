package observe

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters/openapi/match"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Observer counts and samples the requests of one service.
type Observer struct {
	service   string
	metrics   *Metrics
	unmatched [4]prometheus.Counter
	checker   *checker
	view      atomic.Pointer[view]
	loading   sync.Mutex
}

// view is one document with its series.
type view struct {
	api   *model.API
	cells []cell
	seen  []atomic.Uint64 // requests of each operation, for the sample
}

// Service makes an Observer, which knows no operation before Load.
func (m *Metrics) Service(name string, s Sampling, log *slog.Logger) *Observer {
	o := &Observer{service: name, metrics: m, unmatched: m.reasons(name), checker: newChecker(m, name, s, log)}
	o.view.Store(&view{api: &model.API{Table: emptyTable()}})
	m.loaded.WithLabelValues(name, "").Set(0)
	m.Problems(name, nil)
	return o
}

func emptyTable() *match.Table {
	t, _ := match.New(nil, false)
	return t
}

// Load takes a document into use. The counts of operations that stay go on;
// series of those that are gone are removed.
func (o *Observer) Load(api *model.API) {
	o.loading.Lock()
	defer o.loading.Unlock()
	next := &view{api: api, seen: make([]atomic.Uint64, len(api.Operations))}
	was := o.view.Load().api
	o.metrics.forget(o.service, was.Operations, api.Operations)
	for _, op := range api.Operations {
		next.cells = append(next.cells, o.metrics.cell(o.service, op))
	}
	o.view.Store(next)
	o.metrics.document.DeletePartialMatch(prometheus.Labels{"service": o.service})
	o.metrics.document.WithLabelValues(o.service, model.Label(api.Version), model.Label(api.OpenAPI), api.Hash).Set(1)
	o.metrics.operations.WithLabelValues(o.service).Set(float64(len(api.Operations)))
	o.metrics.Problems(o.service, api.Problems)
	o.metrics.Documents(o.service, api.Documents)
	o.metrics.loadedAt.WithLabelValues(o.service).SetToCurrentTime()
}

// Handler is the middleware: it counts what next answers.
func (o *Observer) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := o.view.Load()
		n, reason := v.api.Table.FindURL(r.Method, r.URL)
		if n < 0 {
			o.unmatched[reason].Inc()
			next.ServeHTTP(w, r)
			return
		}
		o.serve(w, r, next, v, n)
	})
}

func (o *Observer) serve(w http.ResponseWriter, r *http.Request, next http.Handler, v *view, n int) {
	c := &v.cells[n]
	rec := &recorder{ResponseWriter: w, size: r.ContentLength}
	if rec.size < 0 && r.Body != nil {
		rec.size = 0
		r = shallow(r)
		r.Body = &counted{ReadCloser: r.Body, n: &rec.size}
	}
	if o.checker.due(v.seen[n].Add(1)) {
		rec.sample, r = o.checker.begin(c, r)
	}
	c.inFlight.Inc()
	trace := sampledTrace(r.Header["Traceparent"])
	begin, whole := time.Now(), false
	defer func() { // also if the handler panics, as net/http's own do to abort
		c.inFlight.Dec()
		if !whole && rec.status == 0 {
			rec.status = http.StatusInternalServerError
		}
		c.done(rec, time.Since(begin), trace)
		if rec.sample != nil {
			o.checker.end(rec.sample, rec, whole)
		}
	}()
	next.ServeHTTP(rec, r)
	whole = true
}

// Request is one that was answered elsewhere, as a log tells it.
type Request struct {
	Method       string
	Path         string // as in the request line, without the query
	Status       int
	Duration     time.Duration // negative: not known
	RequestSize  int64         // bytes of the body; negative: not known
	ResponseSize int64         // likewise
	Traceparent  string
}

// Record counts a request that was answered elsewhere.
func (o *Observer) Record(r Request) {
	v := o.view.Load()
	n, reason := v.api.Table.Find(r.Method, r.Path)
	if n < 0 {
		o.unmatched[reason].Inc()
		return
	}
	v.cells[n].record(r, sampledTrace([]string{r.Traceparent}))
}

// done counts an answered request.
func (c *cell) done(rec *recorder, took time.Duration, trace string) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	c.record(Request{Status: rec.status, Duration: took, RequestSize: rec.size, ResponseSize: rec.written}, trace)
}

func (c *cell) record(r Request, trace string) {
	c.count(r.Status).Inc()
	if c.deprecated != nil {
		c.deprecated.Inc()
	}
	if c.requestSize != nil && r.RequestSize >= 0 {
		c.requestSize.Observe(float64(r.RequestSize))
	}
	if r.ResponseSize >= 0 {
		c.responseSize.Observe(float64(r.ResponseSize))
	}
	if r.Duration < 0 {
		return
	}
	if trace != "" {
		if e, ok := c.duration.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(r.Duration.Seconds(), prometheus.Labels{"trace_id": trace})
			return
		}
	}
	c.duration.Observe(r.Duration.Seconds())
}

// sampledTrace is the trace id of a W3C traceparent whose trace is recorded.
func sampledTrace(values []string) string {
	if len(values) != 1 || len(values[0]) != 55 {
		return ""
	}
	p := values[0]
	if p[:3] != "00-" || p[35] != '-' || p[52] != '-' || (p[54]-'0')&1 == 0 || p[54] > '9' && p[54] < 'a' {
		return ""
	}
	for i := 3; i < 35; i++ {
		if c := p[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return p[3:35]
}
