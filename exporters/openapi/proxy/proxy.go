// Package proxy stands in front of a service and passes everything on: HTTP/1,
// HTTP/2, streams, WebSockets. To the service it looks as if nobody stood there,
// but for its address in X-Forwarded-For.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Options of one proxy.
type Options struct {
	Service       string
	Upstream      *url.URL      // http or https; its path stands in front of every path
	UpstreamHTTP2 bool          // HTTP/2 without TLS to an http upstream (gRPC)
	MaxInFlight   int           // requests above are answered 503; 0: no limit
	MaxBody       int64         // bytes; a longer request is answered 413; 0: no limit
	HeaderTimeout time.Duration // for the first byte of an answer; 0: none
	Drain         time.Duration // for requests under way when the proxy ends
}

// Metrics are those of all proxies of a process.
type Metrics struct{ errors *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	return &Metrics{errors: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "openapi_proxy_errors_total",
		Help: "Requests that the proxy itself answered: upstream unreachable (502) or silent (504), too many (503) or too long (413), or the client went away.",
	}, []string{"service", "reason"})}
}

func reasons() []string { return []string{"body", "client", "overload", "timeout", "upstream"} }

// statusClientGone is what is counted where there is nobody left to answer.
const statusClientGone = 499

// Proxy passes requests on.
type Proxy struct {
	options   Options
	transport *http.Transport
	reverse   *httputil.ReverseProxy
	errors    map[string]prometheus.Counter
	places    chan struct{} // nil: no limit
	log       *slog.Logger
}

// New makes a Proxy.
func New(o Options, m *Metrics, log *slog.Logger) *Proxy {
	p := &Proxy{options: o, errors: map[string]prometheus.Counter{}, log: log}
	for _, reason := range reasons() {
		p.errors[reason] = m.errors.WithLabelValues(o.Service, reason)
	}
	if o.MaxInFlight > 0 {
		p.places = make(chan struct{}, o.MaxInFlight)
	}
	p.transport = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConns:          512,
		MaxIdleConnsPerHost:   512, // there is one host
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: o.HeaderTimeout,
		DisableCompression:    true, // the client's Accept-Encoding is the client's
		ForceAttemptHTTP2:     true,
	}
	if o.UpstreamHTTP2 {
		p.transport.Protocols = new(http.Protocols)
		p.transport.Protocols.SetHTTP2(true)
		p.transport.Protocols.SetUnencryptedHTTP2(true)
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: p.transport, ErrorHandler: p.failed, BufferPool: newBuffers(),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

// rewrite leaves a request as it came.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.options.Upstream)
	r.Out.Host = r.In.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // what cannot be parsed too
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
		if came := r.In.Header[name]; came != nil { // from a proxy in front of us, who knows better
			r.Out.Header[name] = came
		}
	}
	if forwarded := r.In.Header["Forwarded"]; forwarded != nil {
		r.Out.Header["Forwarded"] = forwarded
	}
}

// ServeHTTP passes a request on within the limits.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.places != nil {
		select {
		case p.places <- struct{}{}:
			defer func() { <-p.places }()
		default:
			p.refuse(w, "overload", http.StatusServiceUnavailable)
			return
		}
	}
	if limit := p.options.MaxBody; limit > 0 {
		if r.ContentLength > limit {
			p.refuse(w, "body", http.StatusRequestEntityTooLarge)
			return
		}
		if r.ContentLength != 0 && r.Body != nil {
			body := http.MaxBytesReader(w, r.Body, limit)
			r = r.WithContext(r.Context())
			r.Body = body
		}
	}
	p.reverse.ServeHTTP(w, r)
}

func (p *Proxy) refuse(w http.ResponseWriter, reason string, status int) {
	p.errors[reason].Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "openapi_exporter: %s\n", http.StatusText(status))
}

// failed answers where the upstream did not.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	_, tooLong := errors.AsType[*http.MaxBytesError](err)
	var timeout net.Error
	switch {
	case tooLong:
		p.refuse(w, "body", http.StatusRequestEntityTooLarge)
	case r.Context().Err() != nil:
		p.errors["client"].Inc()
		w.WriteHeader(statusClientGone)
	case errors.As(err, &timeout) && timeout.Timeout():
		p.refuse(w, "timeout", http.StatusGatewayTimeout)
	default:
		p.refuse(w, "upstream", http.StatusBadGateway)
	}
	p.log.DebugContext(r.Context(), "the upstream did not answer", "service", p.options.Service, "err", err)
}

// Serve serves handler, which ends in the Proxy, until ctx ends; then it takes
// no more, and waits as long as Drain says for what is under way, WebSockets
// included.
func (p *Proxy) Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var underWay atomic.Int64
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			underWay.Add(1)
			defer underWay.Add(-1)
			handler.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,
		Protocols:         new(http.Protocols),
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	p.log.InfoContext(ctx, "passing requests on", "listen", listener.Addr().String(), "upstream", p.options.Upstream.Redacted())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("proxy: %w", err)
	case <-ctx.Done():
	}
	limit, stop := context.WithTimeout(base, p.options.Drain)
	defer stop()
	err := server.Shutdown(limit)
	// Shutdown does not know of WebSockets: their handlers run until they end
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for err == nil && underWay.Load() > 0 {
		select {
		case <-look.C:
		case <-limit.Done():
			err = limit.Err()
		}
	}
	cut()
	_ = server.Close() // what is left of it was told above
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	p.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("proxy: requests were cut off after %v: %w", p.options.Drain, err)
	}
	return nil
}

// buffers are reused between answers.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}
}

// Get is for httputil.ReverseProxy.
func (b *buffers) Get() []byte { return *b.pool.Get().(*[]byte) }

// Put is for httputil.ReverseProxy.
func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
