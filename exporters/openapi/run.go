package openapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/tocsin/tocsin/exporters/openapi/generate"
	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Commands are the command line. Their help is the operator's documentation.
type Commands struct {
	Serve    Serve            `cmd:"" help:"Pass requests on, read logs, ask targets; serve /metrics and /probe. SIGHUP looks at the documents at once."`
	Check    Check            `cmd:"" help:"Say what is wrong in the config file and in its documents, and which operations are not probed. Exit code 1 if a document or a metric of values cannot be used, with --strict if anything is wrong."`
	Generate Generate         `cmd:"" help:"Write recording rules, alerts, a Grafana dashboard and a runbook to be filled in, for every service."`
	Version  kong.VersionFlag `help:"Print the version."`
}

// Help stands under the commands.
func (Commands) Help() string {
	return `openapi.yml, to begin with:

  services:
    - name: shop
      document: http://127.0.0.1:8000/openapi.json
      proxy: {listen: ":8080", upstream: "http://127.0.0.1:8000"}

Examples:

  openapi_exporter check --config.file openapi.yml
  openapi_exporter serve --config.file openapi.yml --web.listen-address 127.0.0.1:9418
  openapi_exporter generate --config.file openapi.yml --out watch/
  curl 'localhost:9418/probe?service=shop&target=http://shop-1:8000&debug=true'
  kill -HUP $(pidof openapi_exporter)                look at the documents now`
}

// Serve is a command.
type Serve struct {
	Config    string `name:"config.file" default:"openapi.yml" placeholder:"FILE" help:"The config file."`
	Listen    string `name:"web.listen-address" default:":9418" placeholder:"ADDRESS" help:"Where /metrics is served."`
	WebConfig string `name:"web.config.file" placeholder:"FILE" help:"TLS and basic auth of /metrics, as Prometheus' exporter-toolkit reads them."`
	LogLevel  string `name:"log.level" default:"info" enum:"debug,info,warn,error" help:"Lowest level to log: debug, info, warn, error."`
}

// Generate is a command.
type Generate struct {
	Config     string        `name:"config.file" default:"openapi.yml" placeholder:"FILE" help:"The config file."`
	Out        string        `required:"" placeholder:"DIR" help:"Where <service>.rules.yml, <service>.dashboard.json and <service>.md are written. A runbook that is there is left alone."`
	ErrorShare float64       `default:"0.05" help:"Share of server errors above which an operation without x-slo alerts."`
	Latency    time.Duration `default:"1s" help:"Time in which 99 % of an operation's requests are answered, where it has no x-slo."`
	Native     bool          `name:"native-histograms" help:"Prometheus scrapes native histograms: the quantile is exact."`
	RunbookURL string        `name:"runbook-url" placeholder:"URL" help:"Folder that runbook_url points into."`
	GrafanaURL string        `name:"grafana-url" placeholder:"URL" help:"Grafana that has the dashboard: dashboard_url of every alert opens it at the operation."`
}

// output is where a command writes.
type output struct{ stdout, stderr io.Writer }

// exited carries the status kong wants to leave with, through its own call stack.
type exited int

// Run is the program. Exit codes: 0 done, 1 it did not work, 2 the command line
// or the config file is wrong.
func Run(args []string, version string, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	parser, err := kong.New(&Commands{}, kong.Name("openapi_exporter"),
		kong.Description("Prometheus metrics for any web API, from its OpenAPI document."),
		kong.Vars{"version": version}, kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "openapi_exporter: %v\nopenapi_exporter --help lists the commands\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(output{stdout, stderr}); err != nil {
		fmt.Fprintf(stderr, "openapi_exporter: %v\n", err)
		if errors.Is(err, errConfig) {
			return 2
		}
		return 1
	}
	return 0
}

// errConfig marks what is wrong before anything was done.
var errConfig = errors.New("config")

// Run serves until ctx ends.
func (s *Serve) Run(ctx context.Context, out output) error {
	c, err := Read(s.Config)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	log := slog.New(slog.NewTextHandler(out.stderr, &slog.HandlerOptions{Level: level}))
	house, err := New(c, log)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	server := &http.Server{Handler: house.Handler(), ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		systemd := false
		served <- web.ListenAndServe(server, &web.FlagConfig{
			WebListenAddresses: &[]string{s.Listen}, WebConfigFile: &s.WebConfig, WebSystemdSocket: &systemd,
		}, log)
		cancel()
	}()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				house.Reload()
			}
		}
	}()
	err = house.Run(ctx)
	_ = server.Close() // scrapes are not waited for
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Run generates.
func (g *Generate) Run(ctx context.Context, out output) error {
	if !(g.ErrorShare > 0 && g.ErrorShare < 1) || g.Latency <= 0 {
		return fmt.Errorf("%w: --error-share is between 0 and 1, --latency above 0", errConfig)
	}
	config, err := Read(g.Config)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	if err := os.MkdirAll(g.Out, 0o755); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	for _, s := range config.Services {
		api, err := model.Load(ctx, s.model())
		if err == nil {
			err = api.Broken()
		}
		if err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
		if err := g.write(api, &s, out); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}

func (g *Generate) write(api *model.API, s *Service, out output) error {
	o := generate.Options{
		Service: s.Name, ErrorShare: g.ErrorShare, Latency: g.Latency, Native: g.Native, RunbookURL: g.RunbookURL, GrafanaURL: g.GrafanaURL,
		Probe: s.Probe != nil && len(s.Probe.Targets) > 0, Values: s.Values != nil,
		ProbedOnly: s.Probe != nil && s.Proxy == nil && len(s.Logs) == 0, // else a middleware counts for the document
	}
	rules, err := generate.Rules(api, o)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	dashboard, err := generate.Dashboard(api, o)
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	for _, file := range []struct {
		name string
		data []byte
		keep bool
	}{{".rules.yml", rules, false}, {".dashboard.json", dashboard, false}, {".md", generate.Runbook(api, o), true}} {
		name := filepath.Join(g.Out, s.Name+file.name)
		if _, err := os.Stat(name); err == nil && file.keep {
			fmt.Fprintf(out.stdout, "%s is left as it is\n", name)
			continue
		}
		if err := os.WriteFile(name, file.data, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out.stdout, "%s\n", name)
	}
	return nil
}
