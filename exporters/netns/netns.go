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
	"path/filepath"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/names"
	"github.com/tocsin/tocsin/exporters/netns/nsproc"
	"github.com/tocsin/tocsin/exporters/netns/throttle"
)

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
	exposers, absent, err := h.collectors(flags, version, log)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.Exporter, err = exporters.New(exporters.Options{
		Prefix: "netns", Name: "netns_exporter", Version: version,
		Description: "What every network namespace and cgroup of this machine suffers.",
		Exposers:    exposers, Absent: absent, Timeout: flags.Timeout, TimeoutOffset: flags.TimeoutOffset, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// collectors is the menu: each is a line.
func (h *House) collectors(flags Flags, version string, log *slog.Logger) (on []exporters.Exposer, absent []string, err error) {
	re := expressions{}
	fields := re.optional("collector.counters.fields", flags.CounterFields)
	exclude := re.whole("collector.interfaces.exclude", flags.DeviceExclude)
	hostExclude := re.whole("collector.interfaces.host-exclude", flags.DeviceHostExclude)
	columns := re.whole("collector.interfaces.columns", flags.DeviceColumns)
	people, named := h.names(flags, log)
	if err := errors.Join(re.err, named, flags.check()); err != nil {
		return nil, nil, err
	}
	table := nsproc.NewTable(nsproc.Options{ProcFS: flags.ProcFS, Inline: flags.InlineLabels, Namer: people})
	h.close = append(h.close, table.Close)
	cgroups := filepath.Join(flags.SysFS, "fs/cgroup")
	for _, c := range []struct {
		name string
		on   bool
		open func() (exporters.Exposer, error)
	}{
		{"namespaces", flags.Namespaces, there(nsproc.NewNamespaces(table))},
		{"interfaces", flags.Interfaces, there(nsproc.NewInterfaces(table, exclude, hostExclude, columns))},
		{"counters", flags.Counters, there(nsproc.NewCounters(table, fields))},
		{"sockets", flags.Sockets, there(nsproc.NewSockets(table))},
		{"conntrack", flags.Conntrack, there(nsproc.NewConntrack(table))},
		{"listen", flags.Listen, there(nsproc.NewListen(table, flags.ListenBudget, flags.ListenPorts))},
		{"cgroup", flags.Cgroup, func() (exporters.Exposer, error) {
			return cgroup.NewCollector(cgroup.Options{Root: cgroups, Names: people, Inline: flags.InlineLabels})
		}},
		{"throttle", flags.Throttle, func() (exporters.Exposer, error) {
			s, err := throttle.New(throttle.Options{
				Root: cgroups, Names: people, Inline: flags.InlineLabels, Log: log,
				Interval: flags.ThrottleInterval, Window: flags.ThrottleWindow, Budget: flags.ThrottleBudget,
			})
			if err != nil {
				return nil, err
			}
			h.background = append(h.background, s.Run)
			return exporters.Gather(s), nil
		}},
		{"self", flags.Self, there(exporters.Gather(exporters.Self("netns_exporter", version)))},
	} {
		if !c.on {
			continue
		}
		exposer, err := c.open()
		if err != nil { // the machine lacks it: the others are no worse for that
			log.Warn("collector is off", "collector", c.name, "err", err)
			absent = append(absent, c.name)
			continue
		}
		on = append(on, exposer)
	}
	return on, absent, nil
}

// there is a collector that every machine has something for.
func there(e exporters.Exposer) func() (exporters.Exposer, error) {
	return func() (exporters.Exposer, error) { return e, nil }
}

// names opens the sources of names. They are asked while the exporter serves.
func (h *House) names(flags Flags, log *slog.Logger) (*names.Resolver, error) {
	o := names.Options{Log: log}
	var errs []error
	if flags.NamesMapping != "" {
		mapping, err := names.LoadMapping(flags.NamesMapping)
		o.Mapping, errs = mapping, append(errs, err)
	}
	if flags.NamesCRI != "" {
		cri, err := names.NewCRI(flags.NamesCRI)
		if errs = append(errs, err); err == nil {
			o.Sources = append(o.Sources, cri)
			h.close = append(h.close, cri.Close)
		}
	}
	if flags.NamesDocker != "" {
		docker := names.NewDocker(flags.NamesDocker)
		o.Sources = append(o.Sources, docker)
		h.close = append(h.close, docker.Close)
	}
	if flags.NamesLogs != "" {
		o.Sources = append(o.Sources, names.NewLogs(flags.NamesLogs))
	}
	resolver := names.New(o)
	h.background = append(h.background, resolver.Run)
	return resolver, errors.Join(errs...)
}
