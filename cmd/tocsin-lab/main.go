// Command tocsin-lab is a world in a box: a simulated fleet, real Prometheus,
// Thanos and Alertmanager, fakes of Slack and PagerDuty, and Tocsin between
// them; and the drills that measure it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

func main() {
	if inside, err := insideANode(os.Args[1:]); inside {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], &screen{out: os.Stdout, live: term.IsTerminal(int(os.Stdout.Fd()))}, os.Stderr))
}

// exited carries the status kong wants to leave with, through its own call stack.
type exited int

// run is main without its globals. Exit codes: 0 done, 1 it did not work or was
// not right, 2 the command line is wrong.
func run(ctx context.Context, args []string, out *screen, stderr io.Writer) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("tocsin-lab"),
		kong.Description("The world in a box: a simulated fleet, real Prometheus, Thanos and Alertmanager, fakes of Slack and PagerDuty, Tocsin; and drills that measure it."),
		kong.Writers(out.out, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(out),
	)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "tocsin-lab: %v\ntocsin-lab --help lists the commands\n", err)
		return 2
	}
	if err := k.Run(); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("stopped")
		}
		fmt.Fprintf(stderr, "tocsin-lab: %v\n", err)
		return 1
	}
	return 0
}

type cli struct {
	machine

	Demo       demoCmd       `cmd:"" help:"A fault strikes; watch its page arrive."`
	Up         upCmd         `cmd:"" help:"Bring a world up and keep it until Ctrl-C."`
	Fault      faultCmd      `cmd:"" help:"Strike or heal a fault in a world that is up."`
	Measure    measureCmd    `cmd:"" help:"Measure fault to page over many faults, by stage."`
	E2E        e2eCmd        `cmd:"" name:"e2e" help:"Every kind of fault on the full chain: one page, the trait, the edits, the resolve."`
	Repair     repairCmd     `cmd:"" help:"Faults that an approved playbook ends: from the page to the verified repair, and what does not repair."`
	Matrix     matrixCmd     `cmd:"" help:"Every kind of fault × alert expressions of every shape: what does the first message say?"`
	OpenAPI    openapiCmd    `cmd:"" name:"openapi" help:"A web API behind openapi_exporter: one operation fails, one is slow; two pages, each names its operation."`
	Kill       killCmd       `cmd:"" help:"SIGKILL Tocsin at random under load, then ask the ledgers what was lost or doubled."`
	Contest    contestCmd    `cmd:"" help:"Alertmanager telling Slack and PagerDuty itself, beside Alertmanager and Tocsin."`
	Dashboards dashboardsCmd `cmd:"" help:"Ask a Prometheus every query of dashboards, as Grafana would: which have no data?"`
	Configs    configsCmd    `cmd:"" help:"Write the lab's config files, to read or to begin from."`
	Fake       fakeCmd       `cmd:"" help:"Serve a fake Slack, PagerDuty or AWX alone."`
}

// worldFlags are what all commands that start a world share.
type worldFlags struct {
	Tocsin   string            `placeholder:"PATH" help:"The tocsin binary; default: beside this one, else built from the sources."`
	Bin      map[string]string `placeholder:"NAME=PATH" help:"Path of prometheus, alertmanager or thanos; default: PATH, then .cache/bin, else built once."`
	Dir      string            `placeholder:"FOLDER" help:"Run folder for configs, data and logs; default: .lab/<command>."`
	Targets  int               `default:"300" help:"How many scrape targets the fleet has."`
	Seed     uint64            `default:"1" help:"Decides traffic and where faults strike."`
	Settings string            `default:"fast" placeholder:"fast|stock|FILE" help:"Intervals of rules and routes: fast (shipped), stock (kube-prometheus, Alertmanager's defaults), or a .yml file of one's own (docs/doctor.md)."`
}

func (f worldFlags) options(name string, out *screen) (world.Options, error) {
	settings, err := ttn.Named(f.Settings)
	if err != nil {
		return world.Options{}, err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return world.Options{}, err
	}
	root := world.Root(cwd)
	dir := f.Dir
	if dir == "" {
		if dir = root; dir == "" {
			dir = cwd
		}
		dir = filepath.Join(dir, ".lab", name)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return world.Options{}, err
	}
	given := map[string]string{}
	maps.Copy(given, f.Bin)
	if f.Tocsin != "" {
		given["tocsin"] = f.Tocsin
	}
	var beside string
	if self, err := os.Executable(); err == nil {
		beside = filepath.Dir(self)
	}
	return world.Options{
		Dir: dir, Settings: settings, Targets: f.Targets, Replicas: 1, Alertmanagers: 1, Seed: f.Seed, Out: out,
		Finder: world.Finder{Root: root, Given: given, Beside: beside, Out: out, Live: out.live},
	}, nil
}

// begin starts a world and lets the fleet be scraped for a while: at least
// three times, so that a rate has something to stand on.
func begin(ctx context.Context, o world.Options, out *screen, warm time.Duration) (*world.World, error) {
	at := time.Now()
	out.title("starting the world")
	w, err := world.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	warm = max(warm, 3*o.Settings.Scrape)
	out.line("  up in %s: %d targets, Prometheus ×%d, Alertmanager ×%d%s; configs and logs in %s",
		seconds(time.Since(at)), w.Fleet.Size(), o.Replicas, o.Alertmanagers, map[bool]string{true: ", Thanos"}[o.Thanos], o.Dir)
	out.line("  letting it be scraped for %s", seconds(warm))
	if err := pause(ctx, w, warm); err != nil {
		w.Stop()
		return nil, err
	}
	return w, nil
}

// pause waits, unless the world falls apart meanwhile.
func pause(ctx context.Context, w *world.World, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-w.Failed():
		return err
	case <-timer.C:
		return nil
	}
}
