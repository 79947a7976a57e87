package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// newTracer returns the tracer of the house and how to flush it. Without an
// endpoint it costs nothing. Exporting happens in the background: a collector
// that is down loses spans, never a page.
func newTracer(ctx context.Context, t Tracing, version string, log *slog.Logger) (trace.Tracer, func(context.Context) error, error) {
	if t.OTLPEndpoint == "" {
		return noop.NewTracerProvider().Tracer("tocsin"), func(context.Context) error { return nil }, nil
	}
	at, err := url.Parse(t.OTLPEndpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("open trace exporter: %w", err)
	}
	if strings.Trim(at.Path, "/") == "" {
		at.Path = "/v1/traces" // the exporter would post to / and the collector answer 404
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(at.String()))
	if err != nil {
		return nil, nil, fmt.Errorf("open trace exporter: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("export traces", "err", err) }))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(t.SampleRatio))),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL,
			semconv.ServiceName("tocsin"), semconv.ServiceVersion(version))),
	)
	return provider.Tracer("tocsin"), provider.Shutdown, nil
}
