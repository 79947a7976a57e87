package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tocsin/tocsin/exporters/openapi/values"
)

const (
	maxProbes    = 16                     // that are under way for /probe
	scrapeOffset = 500 * time.Millisecond // an answer has to be back before Prometheus' timeout
	noTimeout    = 30 * time.Second       // where nobody says one
)

// refusals are why /probe may be refused.
func refusals() []string { return []string{"busy", "document", "operation", "service", "target"} }

// served is a service that /probe knows.
type served struct {
	name   string
	prober *Prober
}

// Add makes a service known to /probe, and to Collect.
func (p *Probes) Add(service string, prober *Prober) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services = append(p.services, &served{service, prober})
}

func (p *Probes) find(service string) *Prober {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.services {
		if s.name == service {
			return s.prober
		}
	}
	return nil
}

func (p *Probes) refuse(w http.ResponseWriter, reason string, status int, text string) {
	p.refused[reason].Inc()
	http.Error(w, text, status)
}

// ServeHTTP asks a target: /probe?service=shop&target=http://shop-1:8000, of one
// operation with operation=, and says what it did with debug=true.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	service, target := query.Get("service"), query.Get("target")
	prober := p.find(service)
	if prober == nil {
		p.refuse(w, "service", http.StatusNotFound, fmt.Sprintf("service %q: the config has none of that name with probe", service))
		return
	}
	if target == "" {
		http.Error(w, "target: missing", http.StatusBadRequest)
		return
	}
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	default:
		p.refuse(w, "busy", http.StatusServiceUnavailable, "too many probes at a time")
		return
	}
	ctx, stop := context.WithTimeout(r.Context(), timeout(r))
	defer stop()
	reg := prometheus.NewRegistry()
	take := func(values.Answer) {}
	if prober.values != nil {
		once := prober.values.Once()
		reg.MustRegister(once)
		take = once.Take
	}
	round, err := prober.Once(ctx, target, query.Get("operation"), take)
	switch {
	case errors.Is(err, errTarget):
		p.refuse(w, "target", http.StatusForbidden, err.Error())
	case errors.Is(err, errOperation):
		p.refuse(w, "operation", http.StatusNotFound, err.Error())
	case err != nil:
		p.refuse(w, "document", http.StatusServiceUnavailable, err.Error())
	case query.Get("debug") == "true":
		told(w, round, prober.plan.Load())
	default:
		reg.MustRegister(single{newDescriber("probe_"), round})
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
	}
}

// timeout is what Prometheus leaves for an answer.
func timeout(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0 && seconds < 3600) {
		return noTimeout
	}
	all := time.Duration(seconds * float64(time.Second))
	return max(all-scrapeOffset, all/2)
}

// single is a collector of one round.
type single struct {
	*describer
	round *Round
}

// Describe says what Collect sends.
func (s single) Describe(out chan<- *prometheus.Desc) {
	for _, d := range s.desc {
		out <- d
	}
}

// Collect sends the round.
func (s single) Collect(out chan<- prometheus.Metric) { s.collect(out, s.round) }

// told is a round for people.
func told(w http.ResponseWriter, round *Round, p *plan) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s: %d operations in %v\n", round.Target, len(round.Results), round.Took.Round(time.Microsecond))
	for _, x := range round.Results {
		result := "ok"
		if x.Reason != "" {
			result = "failed (" + x.Reason + "): " + x.Text
		}
		fmt.Fprintf(w, "%s: %s: status %d, %d bytes: %s\n", x.Operation, x.Request, x.Status, x.Size, result)
		for _, f := range x.Findings {
			if f.Broken {
				fmt.Fprintf(w, "  %s: %s\n", f.Check, f.What)
			}
		}
	}
	for _, s := range p.skipped {
		fmt.Fprintf(w, "%s\n", s)
	}
}
