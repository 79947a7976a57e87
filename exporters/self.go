package exporters

import (
	"context"
	"io"
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Self is the collector "self": the exporter's own process, Go runtime and build.
func Self(name, version string) Collector {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: name + "_build_info", Help: "1, with what the exporter was built from.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	return self{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build}
}

type self []prometheus.Collector

// Name is "self".
func (self) Name() string { return "self" }

// Describe describes all of them.
func (s self) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s {
		c.Describe(ch)
	}
}

// Collect collects from all of them.
func (s self) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	for _, c := range s {
		c.Collect(ch)
	}
	return nil
}

// Logger writes to w as the flags say.
func (f LogFlags) Logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: f.Level}
	if f.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
