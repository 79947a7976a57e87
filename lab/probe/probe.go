// Package probe watches the lab's fleet from outside, as its users see it: it
// sends requests to each service in each datacentre, and measures what comes
// back. It shares nothing with the fleet's own metrics.
package probe

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options say what is probed. All fields must be set but Every and Timeout.
type Options struct {
	Base    string        // address of the fleet: http://127.0.0.1:9094
	Path    string        // before <dc>/<service>
	Fronts  [][2]string   // datacentre and service
	Version string        // header of the answers that names the version
	Every   time.Duration // from one request to a front to the next; 0: 250ms
	Timeout time.Duration // of a request; 0: 5s
}

// Results of a request.
const (
	ok     = "ok"
	failed = "failed" // no answer, or a 5xx
)

// Probe sends requests and tells what it measured. It is its own /metrics.
type Probe struct {
	o      Options
	client *http.Client
	took   *prometheus.HistogramVec
	show   http.Handler
}

// New returns a probe that has not sent anything yet.
func New(o Options) *Probe {
	if o.Every == 0 {
		o.Every = 250 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	reg := prometheus.NewRegistry()
	return &Probe{
		o: o, client: &http.Client{Timeout: o.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: len(o.Fronts) + 1}},
		took: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "probe_request_duration_seconds", Help: "How long requests from outside took.", Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5},
		}, []string{"dc", "service", "version", "result"}),
		show: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
	}
}

// ServeHTTP tells what was measured.
func (p *Probe) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.show.ServeHTTP(w, r) }

// Run probes each front, one request at a time, until ctx ends.
func (p *Probe) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, f := range p.o.Fronts {
		all.Go(func() {
			tick := time.NewTicker(p.o.Every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					p.ask(ctx, f[0], f[1])
				}
			}
		})
	}
	all.Wait()
	p.client.CloseIdleConnections()
}

// ask sends one request.
func (p *Probe) ask(ctx context.Context, dc, service string) {
	began := time.Now()
	version, result := p.answer(ctx, dc, service)
	if ctx.Err() != nil {
		return // it was us who hung up
	}
	for _, r := range []string{ok, failed} { // both are there from the start: a rate sees the first failure
		h := p.took.WithLabelValues(dc, service, version, r)
		if r == result {
			h.Observe(time.Since(began).Seconds())
		}
	}
}

func (p *Probe) answer(ctx context.Context, dc, service string) (version, result string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.o.Base, "/")+p.o.Path+dc+"/"+service, nil)
	if err != nil {
		return "", failed
	}
	res, err := p.client.Do(req)
	if err != nil {
		return "", failed
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode >= http.StatusInternalServerError {
		return res.Header.Get(p.o.Version), failed
	}
	return res.Header.Get(p.o.Version), ok
}
