//go:build linux

// Package netns is netns_exporter: what every network namespace and cgroup of a
// machine suffers, at the cost of reading it.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/nsproc"
)

// Flags are the command line. Their help is the operator's documentation.
type Flags struct {
	exporters.WebFlags
	exporters.LogFlags

	ProcFS string `name:"path.procfs" default:"/proc" placeholder:"DIR" help:"The proc file system of the machine."`
	SysFS  string `name:"path.sysfs" default:"/sys" placeholder:"DIR" help:"The sys file system of the machine."`

	InlineLabels bool `name:"labels.inline" help:"Put namespace, pod, container and app on every series, not only on netns_info."`

	Namespaces bool `name:"collector.namespaces" default:"true" negatable:"" help:"What network namespaces there are, and who lives in them."`
	Interfaces bool `name:"collector.interfaces" default:"true" negatable:"" help:"Bytes, packets, errors and drops of each network device of each namespace."`
	Counters   bool `name:"collector.counters" default:"true" negatable:"" help:"What the kernel counts of IP, TCP and UDP in each namespace."`
	Sockets    bool `name:"collector.sockets" default:"true" negatable:"" help:"Sockets in use in each namespace, and the machine's memory for them."`
	Conntrack  bool `name:"collector.conntrack" default:"true" negatable:"" help:"Tracked connections of each namespace, and what came of a full table."`
	Listen     bool `name:"collector.listen" default:"true" negatable:"" help:"Queues of listening TCP sockets. Takes CAP_SYS_ADMIN."`
	Self       bool `name:"collector.self" default:"true" negatable:"" help:"The exporter's own process and Go runtime."`

	CounterFields string `name:"collector.counters.fields" placeholder:"REGEXP" help:"Fields to expose, as Proto_Field: Tcp_RetransSegs, TcpExt_ListenDrops, Ip6_InDiscards. .* is all of them (default: about 45 that people look at)."`

	DeviceExclude     string `name:"collector.interfaces.exclude" default:"${exclude}" placeholder:"REGEXP" help:"Devices to leave out in every namespace (default: lo and those the kernel makes by itself)."`
	DeviceHostExclude string `name:"collector.interfaces.host-exclude" default:"${hostexclude}" placeholder:"REGEXP" help:"Devices to leave out in the host's namespace (default: the outer ends of containers' devices)."`
	DeviceColumns     string `name:"collector.interfaces.columns" default:"${columns}" placeholder:"REGEXP" help:"Columns to expose: receive_bytes, transmit_fifo_errors … .* is all of them (default ${columns})."`

	ListenBudget time.Duration `name:"collector.listen.budget" default:"1s" help:"Time for the listening sockets of all namespaces; what is left comes first at the next scrape."`
	ListenPorts  int           `name:"collector.listen.max-ports" default:"64" help:"Ports to expose per namespace, the fullest ones first."`

	Version kong.VersionFlag `help:"Print the version."`
}

// Help stands under the flags.
func (Flags) Help() string {
	return `Examples:

  netns_exporter --web.listen-address 127.0.0.1:9417
  netns_exporter --no-collector.listen                          without CAP_SYS_ADMIN
  netns_exporter --collector.counters.fields '.*'               all 400 counters
  netns_exporter --path.procfs /host/proc --path.sysfs /host/sys   in a container

  curl -s localhost:9417/metrics?collect[]=counters             one collector alone`
}

func vars(version string) kong.Vars {
	return kong.Vars{
		"version": version, "listen": ":9417",
		"exclude":     `lo|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|sit0|ip6tnl0|ip6gre0|ifb\d+|dummy0|teql0`,
		"hostexclude": `veth.*|cali.*|lxc.*|lxd.*|tap.*|eni[0-9a-f]{11}|gke[0-9a-f]{11}|azv.*|br-[0-9a-f]{12}`,
		"columns":     `(receive|transmit)_(bytes|packets|errors|dropped)`,
	}
}

// exited carries the status kong wants to leave with, through its own call stack.
type exited int

// Run is the program. Exit codes: 0 done, 1 it did not work, 2 the command line
// is wrong.
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
	var flags Flags
	parser, err := parser(&flags, version, kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	if _, err := parser.Parse(args); err != nil {
		fmt.Fprintf(stderr, "netns_exporter: %v\nnetns_exporter --help lists the flags\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	house, err := New(flags, version, flags.Logger(stderr))
	if err != nil {
		fmt.Fprintf(stderr, "netns_exporter: %v\n", err)
		return 2
	}
	if err := house.Serve(ctx, flags.WebFlags); err != nil {
		fmt.Fprintf(stderr, "netns_exporter: %v\n", err)
		return 1
	}
	return 0
}

func parser(flags *Flags, version string, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(flags, append(more,
		kong.Name("netns_exporter"),
		kong.Description("What every network namespace and cgroup suffers: a Prometheus exporter."),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		vars(version),
	)...)
}

// Parse reads a command line without its first word.
func Parse(args []string) (Flags, error) {
	var flags Flags
	p, err := parser(&flags, "")
	if err != nil {
		return flags, err
	}
	_, err = p.Parse(args)
	return flags, err
}

// House is the exporter with what it holds.
type House struct {
	Exporter   *exporters.Exporter
	background []func(context.Context) // run while it serves, until their context ends
	close      []func() error
}

// Serve serves until ctx ends, with what works in the background, and gives
// back what is held when that has ended too.
func (h *House) Serve(ctx context.Context, web exporters.WebFlags) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	for _, run := range h.background {
		group.Go(func() { run(ctx) })
	}
	err := h.Exporter.Serve(ctx, web)
	stop()
	group.Wait()
	return errors.Join(err, h.Close())
}

// Close gives back what is held.
func (h *House) Close() error {
	var err error
	for _, c := range h.close {
		err = errors.Join(err, c())
	}
	return err
}

// New furnishes the exporter. An error is one of the flags'.
func New(flags Flags, version string, log *slog.Logger) (*House, error) {
	h := &House{}
	exposers, err := h.collectors(flags, version)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.Exporter, err = exporters.New(exporters.Options{
		Prefix: "netns", Name: "netns_exporter", Version: version,
		Description: "What every network namespace and cgroup of this machine suffers.",
		Exposers:    exposers, Timeout: flags.Timeout, TimeoutOffset: flags.TimeoutOffset, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// collectors is the menu: each is a line.
func (h *House) collectors(flags Flags, version string) (on []exporters.Exposer, err error) {
	re := expressions{}
	fields := re.optional("collector.counters.fields", flags.CounterFields)
	exclude := re.whole("collector.interfaces.exclude", flags.DeviceExclude)
	hostExclude := re.whole("collector.interfaces.host-exclude", flags.DeviceHostExclude)
	columns := re.whole("collector.interfaces.columns", flags.DeviceColumns)
	if re.err != nil {
		return nil, re.err
	}
	table := nsproc.NewTable(nsproc.Options{ProcFS: flags.ProcFS, Inline: flags.InlineLabels, Namer: nil})
	h.close = append(h.close, table.Close)
	for _, c := range []struct {
		on      bool
		exposer exporters.Exposer
	}{
		{flags.Namespaces, nsproc.NewNamespaces(table)},
		{flags.Interfaces, nsproc.NewInterfaces(table, exclude, hostExclude, columns)},
		{flags.Counters, nsproc.NewCounters(table, fields)},
		{flags.Sockets, nsproc.NewSockets(table)},
		{flags.Conntrack, nsproc.NewConntrack(table)},
		{flags.Listen, nsproc.NewListen(table, flags.ListenBudget, flags.ListenPorts)},
		{flags.Self, exporters.Gather(exporters.Self("netns_exporter", version))},
	} {
		if c.on {
			on = append(on, c.exposer)
		}
	}
	return on, nil
}

// expressions compiles flags that are regular expressions of whole words.
type expressions struct{ err error }

func (e *expressions) whole(flag, text string) *regexp.Regexp {
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		e.err = errors.Join(e.err, fmt.Errorf("--%s: %w", flag, err))
	}
	return re
}

func (e *expressions) optional(flag, text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return e.whole(flag, text)
}
