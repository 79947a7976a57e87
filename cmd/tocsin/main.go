// Command tocsin is the gateway between Alertmanager and those an alert must
// reach, and its authors' tool.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time_zone works where the machine has no zones, as in a container

	"github.com/alecthomas/kong"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exited carries the status kong wants to leave with, through its own call stack.
type exited int

// run is main without its globals. Exit codes: 0 done, 1 it did not work, 2 the
// command line or the config is wrong.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
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
		kong.Name("tocsin"),
		kong.Description("Rings once, within a minute, and says why: a gateway between Prometheus Alertmanager and Slack, PagerDuty and machines."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": version},
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "tocsin: %v\n", err)
		fmt.Fprintln(stderr, "tocsin --help lists the commands")
		return 2
	}
	if err := ctx.Run(&streams{stdin, stdout, stderr}, &c); err != nil {
		printError(stderr, err)
		if _, wrong := errors.AsType[*config.Mistake](err); wrong {
			return 2
		}
		return 1
	}
	return 0
}

// printError writes one line per joined error.
func printError(w io.Writer, err error) {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			printError(w, e)
		}
		return
	}
	fmt.Fprintf(w, "tocsin: %v\n", err)
}

type cli struct {
	LogLevel  slog.Level `name:"log.level" default:"info" help:"debug, info, warn or error."`
	LogFormat string     `name:"log.format" default:"logfmt" enum:"logfmt,json" help:"logfmt or json."`

	Serve       serveCmd         `cmd:"" help:"Run the gateway."`
	Init        initCmd          `cmd:"" help:"Write a first config, from an alertmanager.yml or a minimal one."`
	Check       checkCmd         `cmd:"" help:"Read a config and say what is wrong with it."`
	Doctor      doctorCmd        `cmd:"" help:"Predict the time from fault to page of each rule, and name the line that would shorten it."`
	Preview     previewCmd       `cmd:"" help:"Show the page that a rule, or a webhook body, would become; nothing is sent."`
	Page        pageCmd          `cmd:"" help:"Send test pages."`
	Pages       pagesCmd         `cmd:"" help:"Look at the pages of the gateway that runs, and act on them."`
	Remediation remediationCmd   `cmd:"" help:"Look at what machines do about pages, approve it, stop it."`
	Shadow      shadowCmd        `cmd:"" help:"Look at what receivers in shadow would have sent."`
	Replay      replayCmd        `cmd:"" help:"Tell what rules would have paged in the past, and what changes against others."`
	Rules       rulesCmd         `cmd:"" help:"Compile layered rules, and tell where their values come from."`
	Traits      traitsCmd        `cmd:"" help:"Explain tables offline: what do the failing members share?"`
	Backup      backupCmd        `cmd:"" help:"Copy the state of a running gateway to a file, and check the copy."`
	Restore     restoreCmd       `cmd:"" help:"Put a backup in the place of the state."`
	Version     kong.VersionFlag `help:"Print the version."`
}

func (c *cli) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

type configFlag struct {
	ConfigFile string `name:"config.file" default:"tocsin.yml" placeholder:"FILE" help:"The config file."`
}

type serveCmd struct {
	configFlag
}

// Help shows examples under the flags.
func (serveCmd) Help() string {
	return `SIGHUP or POST /-/reload on the operators' listener reads the config again:
everything new is built first, then swapped in; if it cannot be built, the old goes on.

  tocsin serve --config.file /etc/tocsin/tocsin.yml`
}

// Run serves until SIGINT or SIGTERM.
func (s *serveCmd) Run(std *streams, c *cli) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	reload := make(chan struct{}, 1)
	go func() {
		for range hup {
			select {
			case reload <- struct{}{}:
			default: // one is waiting already
			}
		}
	}()
	return app.Run(ctx, app.Options{
		ConfigFile: s.ConfigFile, Log: c.logger(std.err), Version: version, Reload: reload,
	})
}

type checkCmd struct {
	configFlag
	Connect bool   `help:"Also reach out: sources, Alertmanagers, Slack; nothing is sent to people."`
	Schema  bool   `help:"Print the JSON Schema of the config file instead."`
	Output  string `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (checkCmd) Help() string {
	return `Exit status: 0 all well, 1 something could not be reached, 2 the config is wrong.

  tocsin check --config.file tocsin.yml
  tocsin check --connect -o json
  tocsin check --schema > tocsin.schema.json`
}

// Run checks.
func (k *checkCmd) Run(std *streams) error {
	if k.Schema {
		return app.WriteSchema(std.out)
	}
	return app.Check(context.Background(), std.out, app.CheckOptions{
		ConfigFile: k.ConfigFile, Connect: k.Connect, JSON: k.Output == "json",
	})
}

type pageCmd struct {
	Test pageTestCmd `cmd:"" help:"Send a clearly marked test page to a receiver's real targets, then resolve it."`
}

type pageTestCmd struct {
	configFlag
	Receiver string `arg:"" help:"Alertmanager's receiver name, as in the config."`
	Severity string `default:"info" enum:"critical,error,warning,info" help:"Severity of the test page; critical may wake somebody."`
	Keep     bool   `help:"Leave it open instead of resolving it."`
	DryRun   bool   `help:"Show what would be sent; send nothing."`
}

// Help shows examples under the flags.
func (pageTestCmd) Help() string {
	return `  tocsin page test team-payments
  tocsin page test team-payments --dry-run
  tocsin page test team-payments --severity critical --keep`
}

// Run sends the test page.
func (p *pageTestCmd) Run(std *streams, c *cli) error {
	return app.TestPage(context.Background(), std.out, app.TestPageOptions{
		ConfigFile: p.ConfigFile, Receiver: p.Receiver, Severity: p.Severity,
		Keep: p.Keep, DryRun: p.DryRun, Log: c.logger(std.err),
	})
}
