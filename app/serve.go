package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// serve opens both listeners and blocks until ctx ends or one of them breaks.
func (h *house) serve(ctx context.Context, p *plan, reg *prometheus.Registry) error {
	front, err := h.listen(p.Listen, h.frontDoor(reg))
	if err != nil {
		return err
	}
	behind, err := h.backDoor(ctx, reg)
	if err != nil {
		return errors.Join(err, front.listener.Close())
	}
	back, err := h.listen(p.Operators.Listen, behind)
	if err != nil {
		return errors.Join(err, front.listener.Close())
	}
	broken := make(chan error, 2)
	for _, s := range []*server{front, back} {
		go func() { broken <- s.run(h, string(p.WebConfigFile)) }()
	}
	h.ready.Store(true)
	h.options.Log.Info("serving", "version", h.options.Version,
		"listen", front.listener.Addr().String(), "operators", back.listener.Addr().String())
	err = h.wait(ctx, broken)
	h.ready.Store(false)
	// a webhook that is being written may finish; new ones find a closed door
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, front.shut(end), back.shut(end))
}

// shut waits for requests under way until ctx ends, then cuts them off: whoever
// sends a webhook sends it again, and a connection on which nothing was ever
// said (a scanner's, a client's that dialled ahead) is no reason to fail.
func (s *server) shut(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.http.Close()
	}
	return err
}

func (h *house) wait(ctx context.Context, broken <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			h.options.Log.Info("closing")
			return nil
		case err := <-broken:
			return err
		case <-h.options.Reload:
			_ = h.reload() // told in the log and by a metric
		}
	}
}

type server struct {
	listener net.Listener
	http     *http.Server
}

func (h *house) listen(addr string, handler http.Handler) (*server, error) {
	l, err := net.Listen("tcp", addr) //nolint:noctx // it lives as long as the process
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &server{listener: l, http: &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(h.options.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 5 * time.Minute,
	}}, nil
}

func (s *server) run(h *house, webConfig string) error {
	addrs := []string{s.listener.Addr().String()}
	none := false
	err := toolkit.Serve(s.listener, s.http, &toolkit.FlagConfig{
		WebListenAddresses: &addrs, WebSystemdSocket: &none, WebConfigFile: &webConfig,
	}, h.options.Log)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", addrs[0], err)
}

// frontDoor is what Alertmanager and Prometheus reach.
func (h *house) frontDoor(reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/webhook/alertmanager", h.webhook)
	mux.HandleFunc("/webhook/alertmanager/{$}", h.webhook) // a 404 would lose the page
	mux.HandleFunc("/webhook/changes", h.change)
	mux.HandleFunc("/callback/{kind}/{name}", h.callback)
	mux.HandleFunc("POST /v1/dispatches/{id}/claim", h.claim)
	mux.HandleFunc("/webhook/events", h.events)
	mux.HandleFunc("/api/v2/alerts", h.alerts) // where Prometheus sends to an Alertmanager
	h.health(mux, reg)
	// reload is here too, for those who know the way from Prometheus; webhook
	// tokens do not open it
	mux.Handle("POST /-/reload", h.operated(true, h.serveReload))
	return mux
}

// backDoor is what operators reach: the API, and the pages for people, which
// are live until ctx ends.
func (h *house) backDoor(ctx context.Context, reg *prometheus.Registry) (http.Handler, error) {
	mux := http.NewServeMux()
	h.health(mux, reg)
	mux.Handle("POST /-/reload", h.operated(true, h.serveReload))
	a := &api{
		store: h.store, log: h.options.Log, redact: h.redacted, archive: h.archive, board: h.board,
		acts: &web.Acts{Archive: h.archive, Door: &webhook.Door{Store: h.store}, Now: h.lent.now},
	}
	mux.Handle("GET /api/v1/pages", h.operated(false, a.list))
	mux.Handle("GET /api/v1/shadow", h.operated(false, a.shadow))
	mux.Handle("GET /api/v1/history", h.operated(false, a.history))
	mux.Handle("GET /api/v1/pages/{id}", h.operated(false, a.show))
	mux.Handle("GET /api/v1/pages/{id}/traits", h.operated(false, a.traits))
	mux.Handle("GET /api/v1/pages/{id}/timeline", h.operated(false, a.timeline))
	mux.Handle("GET /api/v1/pages/{id}/chart", h.operated(false, a.chart))
	mux.Handle("POST /api/v1/pages/{id}/acts", h.operatedBy(true, a.act))
	mux.Handle("GET /api/v1/dead", h.operated(false, a.dead))
	mux.Handle("POST /api/v1/dead/redrive", h.operatedBy(true, a.redrive))
	mux.Handle("GET /api/v1/dispatches", h.operated(false, a.dispatches))
	mux.Handle("GET /api/v1/dispatches/{id}", h.operated(false, a.dispatch))
	mux.Handle("POST /api/v1/dispatches/{id}/decisions", h.operatedBy(true, a.decide))
	mux.Handle("GET /api/v1/switches", h.operated(false, h.serveSwitches))
	mux.Handle("POST /api/v1/switches", h.operatedBy(true, h.serveFlip))
	mux.Handle("GET /api/v1/backup", h.operated(true, h.serveBackup)) // all there is, secrets of labels too
	pages := &web.Server{
		Archive: h.archive, Board: h.board, Acts: a.acts, Operators: h.operators, Log: h.options.Log, Now: h.lent.now,
		Metrics: h.metrics.web, Closing: ctx.Done(), Draw: drawSVG,
		Owner: func(p page.Page) string { return h.rooms.Load().parts.plan.owners().Of(p).Name },
	}
	if err := pages.Routes(mux); err != nil {
		return nil, err
	}
	// what a browser sends for another site is refused, whatever it is
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// redacted lists the labels whose values are not shown now.
func (h *house) redacted() []string { return h.rooms.Load().parts.plan.redacted() }

func (h *house) health(mux *http.ServeMux, reg *prometheus.Registry) {
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	// ready says that webhooks are taken. It never depends on Thanos, Slack or
	// PagerDuty: a page without context, or one that waits, is better than none.
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !h.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, h.readiness(h.lent.now()))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, EnableOpenMetrics: true}))
}

func (h *house) serveReload(w http.ResponseWriter, _ *http.Request) {
	if err := h.reload(); err != nil {
		http.Error(w, "reload refused, the old config goes on:\n"+err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "reloaded")
}

// operated guards a handler with the operators of the generation that serves now.
func (h *house) operated(acts bool, next http.HandlerFunc) http.Handler {
	return h.operatedBy(acts, func(w http.ResponseWriter, r *http.Request, _ web.Operator) { next(w, r) })
}

// operatedBy is operated for a handler that asks who it is.
func (h *house) operatedBy(acts bool, next func(http.ResponseWriter, *http.Request, web.Operator)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(h.operators(), acts, next).ServeHTTP(w, r)
	})
}

// operators are those of the config that serves now.
func (h *house) operators() web.Operators {
	b := h.rooms.Load().parts
	return web.Operators{Tokens: b.operators, Host: b.plan.publicHost()}
}

// publicHost is the host of public_url, "" where it is not set.
func (p *plan) publicHost() string {
	u, err := url.Parse(p.PublicURL)
	if err != nil {
		return ""
	}
	return u.Host
}
