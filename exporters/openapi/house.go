// Package openapi is openapi_exporter: Prometheus metrics for any web API, from
// its OpenAPI document.
package openapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tocsin/tocsin/exporters/openapi/logs"
	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/proxy"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// House is the exporter with what it observes.
type House struct {
	registry *prometheus.Registry
	metrics  *observe.Metrics
	services []*service
	probes   *probe.Probes
	log      *slog.Logger
}

// service is one API with what stands in front of it.
type service struct {
	config   Service
	observer *observe.Observer
	proxy    *proxy.Proxy // nil where there is none
	tails    []*logs.Tail
	prober   *probe.Prober   // nil where there is none
	values   *values.Service // likewise
	metrics  *observe.Metrics
	log      *slog.Logger
	look     chan struct{} // looks at the document at once

	api    *model.API      // in use; nil before the first
	unread []model.Problem // annotations that are wrong
	wrong  string          // why the last load failed, so that it is logged once
}

// New furnishes the exporter.
func New(c *Config, log *slog.Logger) (*House, error) {
	h := &House{registry: prometheus.NewRegistry(), log: log}
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("openapi_exporter"))
	h.metrics = observe.NewMetrics(h.registry, observe.Options{Buckets: c.Buckets})
	proxies, tailed := proxy.NewMetrics(h.registry), logs.NewMetrics(h.registry)
	read := values.New(h.registry)
	h.probes = probe.NewProbes(h.registry)
	for _, s := range c.Services {
		l := log.With("service", s.Name)
		made := &service{
			config: s, metrics: h.metrics, log: l, look: make(chan struct{}, 1),
			observer: h.metrics.Service(s.Name, s.sampling(), log),
		}
		if s.Proxy != nil {
			made.proxy = proxy.New(s.proxy(), proxies, l)
		}
		for _, each := range s.Logs {
			parse, err := logs.NewParser(each.Format, each.Fields)
			if err != nil {
				return nil, fmt.Errorf("service %s: %w", s.Name, err)
			}
			made.tails = append(made.tails, logs.NewTail(s.Name, each.File, parse, made.observer.Record, tailed, l))
		}
		if err := made.feed(read, h.probes); err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		h.services = append(h.services, made)
	}
	return h, nil
}

// feed makes what asks the service, and reads its answers.
func (s *service) feed(read *values.Values, probes *probe.Probes) (err error) {
	if s.config.Values != nil {
		s.values = read.Service(s.config.Name, s.config.values(), s.log)
		if s.config.Values.Sample {
			s.observer.ReadBy(sampled{s.values})
		}
	}
	if s.config.Probe != nil {
		if s.prober, err = probe.New(s.config.probe(), s.values, s.log); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		probes.Add(s.config.Name, s.prober)
	}
	return nil
}

// Handler serves /metrics with exemplars and native histograms where the scraper
// takes them, /probe, and health.
func (h *House) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.InstrumentMetricHandler(h.registry, promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 10, Registry: h.registry,
	})))
	mux.Handle("GET /probe", h.probes)
	for _, path := range []string{"GET /-/healthy", "GET /-/ready"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>openapi_exporter</title><h1>openapi_exporter</h1><p><a href="/metrics">Metrics</a><p>/probe?service=…&amp;target=…`)
	})
	return mux
}

// Reload looks at every document at once.
func (h *House) Reload() {
	for _, s := range h.services {
		select {
		case s.look <- struct{}{}:
		default: // it is about to
		}
	}
}

// firstLoad is how long a start waits for documents. What has not come by then
// comes later: the proxies pass requests on without it.
const firstLoad = 10 * time.Second

// Run passes requests on and keeps the documents fresh until ctx ends or a
// listener fails.
func (h *House) Run(ctx context.Context) error {
	listeners := map[*service]net.Listener{}
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for _, s := range h.services {
		if s.proxy == nil {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Proxy.Listen)
		if err != nil {
			return fmt.Errorf("service %s: %w", s.config.Name, err)
		}
		listeners[s] = l
	}
	var loading sync.WaitGroup
	first, stop := context.WithTimeout(ctx, firstLoad)
	for _, s := range h.services {
		loading.Go(func() { s.refresh(first) })
	}
	loading.Wait()
	stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(h.services))
	var group sync.WaitGroup
	for _, s := range h.services {
		group.Go(func() { s.observer.Run(ctx) })
		group.Go(func() { s.keep(ctx) })
		for _, tail := range s.tails {
			group.Go(func() { tail.Run(ctx) })
		}
		if s.prober != nil {
			group.Go(func() { s.prober.Run(ctx) })
		}
		if s.proxy == nil {
			continue
		}
		group.Go(func() {
			err := s.proxy.Serve(ctx, listeners[s], s.observer.Handler(s.proxy))
			if err != nil {
				failed <- fmt.Errorf("service %s: %w", s.config.Name, err)
				cancel() // without one of its proxies the exporter is not what it should be
			}
		})
	}
	group.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// firstTries is how often a document is asked for until there is one: a sidecar
// is often up before its service.
const firstTries = 2 * time.Second

// keep looks at the document now and then.
func (s *service) keep(ctx context.Context) {
	s.validate(ctx)
	for {
		wait := s.config.Reload
		if s.api == nil {
			wait = min(wait, firstTries)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.look:
			timer.Stop()
		}
		if s.refresh(ctx) {
			s.validate(ctx)
		}
	}
}

// refresh takes a changed document into use, and keeps the old one where the new
// one is broken, in a folder each for itself. It reports whether there is
// anything new.
func (s *service) refresh(ctx context.Context) bool {
	o := s.config.model()
	if s.api != nil && s.wrong == "" {
		if same, err := s.api.Same(ctx, o); err == nil && same {
			return false
		}
	}
	api, err := s.api.Reload(ctx, o)
	if ctx.Err() != nil && err != nil && s.api != nil {
		return false
	}
	if err != nil {
		s.metrics.Documents(s.config.Name, []model.Document{{Name: o.Name(), Err: err}})
		s.fails(ctx, err)
		return false
	}
	s.fails(ctx, api.Broken())
	if s.api != nil && s.api.Hash == api.Hash { // what is new is broken, or is as before again
		s.api = api
		s.metrics.Documents(s.config.Name, api.Documents)
		return false
	}
	s.api = api
	if s.values != nil {
		s.unread = s.values.Load(api)
	}
	if s.prober != nil {
		s.prober.Load(api)
		if unknown := probe.Unknown(api, s.config.probe()); len(unknown) > 0 {
			s.log.WarnContext(ctx, "the config of probe names what the document does not have", "names", unknown)
		}
	}
	s.observer.Load(api) // and says that the document is in use: by all
	problems := slices.Concat(s.unread, api.Problems)
	s.metrics.Problems(s.config.Name, problems)
	s.log.InfoContext(ctx, "the document is in use", "version", api.Version, "openapi", api.OpenAPI, "operations", len(api.Operations), "hash", api.Hash)
	s.tell(ctx, problems)
	return true
}

// fails logs what cannot be loaded, once for each reason. No error is the end of
// the last one.
func (s *service) fails(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.wrong = ""
	case err.Error() != s.wrong:
		s.wrong = err.Error()
		s.log.ErrorContext(ctx, "the document cannot be loaded", "document", s.config.Document, "keeps_old", s.api != nil, "err", err)
	}
}

// validate adds what strict validation finds, which takes long, to what is known
// to be wrong.
func (s *service) validate(ctx context.Context) {
	if s.api == nil {
		return
	}
	problems, err := model.Validate(ctx, s.config.model())
	if err != nil { // it was loaded a moment ago; the next look will tell
		s.log.DebugContext(ctx, "the document cannot be validated", "err", err)
		return
	}
	s.tell(ctx, problems)
	s.metrics.Problems(s.config.Name, slices.Concat(problems, s.api.Problems, s.unread))
}

// tell logs the first problems: check lists them all.
func (s *service) tell(ctx context.Context, problems []model.Problem) {
	const most = 5
	for _, p := range problems[:min(len(problems), most)] {
		s.log.WarnContext(ctx, "the document is wrong", "kind", p.Kind, "where", p.Where, "what", p.Text)
	}
	if n := len(problems) - most; n > 0 {
		s.log.WarnContext(ctx, "the document is wrong in more places: check lists them", "more", n)
	}
}
