package exporters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// WebFlags are the flags of every exporter's listener.
type WebFlags struct {
	ListenAddress []string      `name:"web.listen-address" default:"${listen}" placeholder:"ADDR" help:"Where to serve /metrics; repeat for several (default ${listen})."`
	SystemdSocket bool          `name:"web.systemd-socket" help:"Take the listeners from systemd's socket activation."`
	ConfigFile    string        `name:"web.config.file" placeholder:"FILE" help:"TLS and basic auth, in the format of Prometheus' exporter-toolkit."`
	Timeout       time.Duration `name:"web.timeout" default:"10s" help:"Time for a scrape that does not bring its own timeout."`
	TimeoutOffset time.Duration `name:"web.timeout-offset" default:"500ms" help:"How long before the scraper's timeout to send what there is."`
}

// LogFlags are the flags of every exporter's log.
type LogFlags struct {
	Level  slog.Level `name:"log.level" default:"info" help:"debug, info, warn or error."`
	Format string     `name:"log.format" default:"logfmt" enum:"logfmt,json" help:"logfmt or json."`
}

// Serve serves until ctx ends, then lets scrapes under way finish for up to 5 s.
// A listener that cannot be opened ends it with an error.
func (e *Exporter) Serve(ctx context.Context, flags WebFlags) error {
	handler, err := e.Handler()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: bounded(handler, 64), ErrorLog: slog.NewLogLogger(e.options.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	broken := make(chan error, 1)
	go func() {
		broken <- web.ListenAndServe(server, &web.FlagConfig{
			WebListenAddresses: &flags.ListenAddress, WebSystemdSocket: &flags.SystemdSocket, WebConfigFile: &flags.ConfigFile,
		}, e.options.Log)
	}()
	select {
	case err := <-broken:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	e.options.Log.Info("closing")
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // a scraper scrapes again
	}
	if b := <-broken; !errors.Is(b, http.ErrServerClosed) {
		err = errors.Join(err, b)
	}
	return err
}

// bounded answers 503 where more than n requests are under way.
func bounded(next http.Handler, n int) http.Handler {
	room := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		}
	})
}
