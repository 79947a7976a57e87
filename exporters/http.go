package exporters

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Handler serves /metrics, /-/healthy, /-/ready and a landing page.
func (e *Exporter) Handler() (http.Handler, error) {
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name: e.options.Name, Description: e.options.Description, Version: e.options.Version, Profiling: "false",
		Links: []web.LandingLinks{
			{Address: "/metrics", Text: "Metrics"},
			{Address: "/-/healthy", Text: "Health"},
		},
		ExtraHTML: "<p>One collector alone: <code>/metrics?collect[]=" + strings.Join(e.names, "</code>, <code>collect[]=") + "</code></p>",
	})
	if err != nil {
		return nil, fmt.Errorf("landing page: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", landing)
	mux.HandleFunc("GET /metrics", e.serveMetrics)
	// the process answers: that is all an exporter without state can say
	for _, path := range []string{"GET /-/healthy", "GET /-/ready"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	}
	return mux, nil
}

func (e *Exporter) serveMetrics(w http.ResponseWriter, r *http.Request) {
	names, err := e.chosen(r.URL.Query()["collect[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, err := e.scrape(r.Context(), names, e.timeout(r.Header))
	if err != nil {
		http.Error(w, "scrape: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	body := f.body
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		body = e.gzip(f)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a scraper that went away has nothing to be told
}

// chosen are the collectors that collect[] names and the machine has, or all.
func (e *Exporter) chosen(collect []string) ([]string, error) {
	if len(collect) == 0 {
		return e.names, nil
	}
	var names []string
	for _, name := range collect {
		switch {
		case e.sources[name] != nil:
			names = append(names, name)
		case !slices.Contains(e.options.Absent, name):
			return nil, fmt.Errorf("collect[]=%s: no such collector, or it is switched off: there are %s", name, strings.Join(e.names, ", "))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// timeout is the scraper's, as Prometheus says it in seconds.
func (e *Exporter) timeout(h http.Header) time.Duration {
	s, err := strconv.ParseFloat(h.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || math.IsNaN(s) || s <= 0 || s > 3600 {
		return e.options.Timeout
	}
	return time.Duration(s * float64(time.Second))
}

func acceptsGzip(headers []string) bool {
	for _, h := range headers {
		for enc := range strings.SplitSeq(h, ",") {
			name, q, _ := strings.Cut(strings.TrimSpace(enc), ";")
			if n := strings.TrimSpace(name); n != "gzip" && n != "*" {
				continue
			}
			weight, found := strings.CutPrefix(strings.ReplaceAll(q, " ", ""), "q=")
			f, err := strconv.ParseFloat(weight, 64)
			return !found || err == nil && f > 0
		}
	}
	return false
}
