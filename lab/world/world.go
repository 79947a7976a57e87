// Package world puts a whole world in a box: a simulated fleet, real Prometheus
// with real rules, real Thanos where asked, real Alertmanager, a fake Slack and
// a fake PagerDuty, and Tocsin in the middle. All of it on loopback, all of it
// in one folder, none of it left over.
package world

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

// Options say how large a world is.
type Options struct {
	Dir           string // run folder: configs, data, logs; emptied first
	Finder        Finder
	Settings      ttn.Settings
	Targets       int
	Replicas      int  // of Prometheus, 1 or 2; 0: only Tocsin and the fakes
	Alertmanagers int  // 1 or 2
	Thanos        bool // sidecars and Query between Prometheus and Tocsin
	Unlimited     bool // the fakes know no rate limits
	Seed          uint64
	Services      []string                 // of the fleet; nil: its own five
	PerHost       int                      // instances of one service on one host; 0: the fleet's own
	Expressions   []expressions.Expression // the rules, in place of the lab's own three; the fleet tells what they ask for
	Rules         map[string][]byte        // files of rules beside the lab's own, by name
	Guests        []Guest                  // targets beside the fleet's
	Native        bool                     // Prometheus scrapes native histograms
	Remediation   *Remediation             // an AWX, and what Tocsin may have it do; nil: none
	Out           io.Writer                // is told what happens
}

// Guest is a target that somebody else has brought up.
type Guest struct {
	Addr   string
	Labels map[string]string // job and instance among them
}

// World is a running world.
type World struct {
	Plan
	Dir       string
	Fleet     *fleet.Fleet
	Board     *scenario.Board
	FakeSlack *fakeslack.Fake
	FakePD    *fakepagerduty.Fake
	FakeAWX   *fakeawx.Fake // nil without Options.Remediation
	Gateway   *Process      // tocsin

	options    Options
	hookSecret string // signs what the fake PagerDuty calls back with
	out        io.Writer
	servers    []*http.Server
	procs      []*Process // in the order in which they were started
	failed     chan error
	stop       sync.Once
	ending     chan struct{}
}

// startTries is how often a world is started anew because somebody took one of
// its ports in the meantime.
const startTries = 3

// Start brings a world up and returns once all of it is ready. ctx bounds the
// start only.
func Start(ctx context.Context, o Options) (*World, error) {
	paths, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		w, err := start(ctx, o, paths)
		if err == nil || try == startTries || !strings.Contains(err.Error(), "address already in use") {
			return w, err
		}
		fmt.Fprintln(o.Out, "  a port was taken meanwhile: starting over")
	}
}

func find(ctx context.Context, o Options) (map[string]string, error) {
	names := []string{"tocsin"}
	if o.Replicas > 0 {
		names = append(names, "prometheus", "alertmanager")
	}
	if o.Thanos {
		names = append(names, "thanos")
	}
	if o.Expressions != nil || o.Native {
		o.Finder.Oldest = map[string][2]int{"prometheus": {3, 8}} // scrape_native_histograms
	}
	paths := map[string]string{}
	for _, name := range names {
		path, err := o.Finder.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(o.Out, "  %-13s %s\n", name, path)
		paths[name] = path
	}
	return paths, nil
}

func start(ctx context.Context, o Options, paths map[string]string) (*World, error) {
	f, err := fleet.New(fleet.Options{
		Targets: o.Targets, Seed: o.Seed, Services: o.Services, PerHost: o.PerHost, Signals: o.Expressions != nil,
	})
	if err != nil {
		return nil, err
	}
	w := &World{
		Plan: Plan{Expressions: o.Expressions, Services: f.Services(), RuleFiles: slices.Sorted(maps.Keys(o.Rules)), Native: o.Native},
		Dir:  o.Dir, Fleet: f, Board: scenario.NewBoard(f, o.Seed),
		FakeSlack: fakeslack.New(fakeslack.Options{
			Channels:     []fakeslack.Channel{{ID: channelID, Name: "pages"}},
			NoRateLimits: o.Unlimited, Seed: o.Seed,
		}),
		FakePD: fakepagerduty.New(fakepagerduty.Options{
			RoutingKeys:  map[string]string{fakepagerduty.DefaultKey: "pages", spareKey: "spare"},
			NoRateLimits: o.Unlimited, Seed: o.Seed,
		}),
		options: o, hookSecret: rand.Text(), out: o.Out, failed: make(chan error, 1), ending: make(chan struct{}),
	}
	if err := w.raise(ctx, o, paths); err != nil {
		w.Stop()
		return nil, err
	}
	return w, nil
}

func (w *World) raise(ctx context.Context, o Options, paths map[string]string) error {
	if err := clean(w.Dir); err != nil {
		return err
	}
	if err := w.serve(ctx); err != nil {
		return err
	}
	if err := w.employ(ctx, o); err != nil {
		return err
	}
	if err := w.plan(ctx, o); err != nil {
		return err
	}
	if err := w.write(); err != nil {
		return err
	}
	if w.Manned() {
		w.callBack(ctx)
	}
	if w.AWX != "" {
		w.FakeSlack.SetApp("http://"+w.Tocsin+"/callback/slack/lab", fakeslack.DefaultSigningSecret)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 90*time.Second, errors.New("the world had 90 s"))
	defer cancel()
	for _, wave := range w.waves(paths) {
		if err := w.launch(ctx, wave); err != nil {
			return err
		}
	}
	return nil
}

// callBack has the fake PagerDuty tell Tocsin what people do there, until the
// world ends.
func (w *World) callBack(ctx context.Context) {
	w.FakePD.Subscribe(fakepagerduty.Subscription{
		URL: "http://" + w.Tocsin + "/callback/pagerduty/lab", Secrets: []string{w.hookSecret},
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go w.FakePD.Run(ctx)
	go func() {
		<-w.ending
		cancel()
	}()
}

// launch starts a wave of programs together and waits for all of them.
func (w *World) launch(ctx context.Context, wave []*Process) error {
	for _, p := range wave {
		if err := p.Start(); err != nil {
			return err
		}
		w.procs = append(w.procs, p)
	}
	for _, p := range wave {
		if err := p.Await(ctx); err != nil {
			return err
		}
		if p != w.Gateway { // a drill may kill that one
			go w.watch(p)
		}
	}
	return nil
}

// Failed yields the first program that ended without being asked to.
func (w *World) Failed() <-chan error { return w.failed }

func (w *World) watch(p *Process) {
	select {
	case <-w.ending:
	case <-p.Done():
		select {
		case w.failed <- fmt.Errorf("%s ended (%w); the end of %s:\n%s", p.Name, exitOf(p.err), p.Log, p.Tail(15)):
		default: // another was first
		}
	}
}

// Stop ends everything and waits for it. Logs, data and the ledgers of the
// fakes stay in the folder.
func (w *World) Stop() {
	w.stop.Do(func() {
		close(w.ending)
		var wg sync.WaitGroup
		for _, p := range w.procs {
			wg.Go(func() { p.Stop(10 * time.Second) })
		}
		wg.Wait()
		for _, s := range w.servers {
			_ = s.Close() // nobody is left to answer
		}
		if len(w.procs) == 0 {
			return // nothing ever ran, and the folder may not be ours
		}
		if err := w.record(); err != nil {
			fmt.Fprintf(w.out, "  keep the ledgers: %v\n", err)
		}
	})
}

// record writes what the fakes saw beside the logs.
func (w *World) record() error {
	var errs []error
	ledgers := map[string]any{"slack.json": w.FakeSlack.Ledger(), "pagerduty.json": w.FakePD.Ledger()}
	if w.FakeAWX != nil {
		ledgers["awx.json"] = w.FakeAWX.Ledger()
	}
	for name, ledger := range ledgers {
		b, err := json.MarshalIndent(ledger, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(w.Dir, "logs", name), b, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// serve opens the addresses that live in our own process.
func (w *World) serve(ctx context.Context) error {
	lab := http.NewServeMux()
	lab.Handle("/t/", w.Fleet)
	lab.Handle(fleet.FrontPath, w.Fleet)
	lab.Handle("/fault", w.Board)
	lab.Handle("/fault/", w.Board)
	for _, s := range []struct {
		addr    *string
		handler http.Handler
	}{{&w.Plan.Fleet, lab}, {&w.Slack, w.FakeSlack}, {&w.PagerDuty, w.FakePD}} {
		var err error
		if *s.addr, err = w.open(ctx, s.handler); err != nil {
			return err
		}
	}
	return nil
}

// open serves a handler until the world ends, and returns where.
func (w *World) open(ctx context.Context, handler http.Handler) (addr string, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // a target that is down hangs up on purpose
	}
	w.servers = append(w.servers, srv)
	go func() { _ = srv.Serve(l) }() // ends with Close
	return l.Addr().String(), nil
}

// clean empties a run folder. It touches no folder that is not one.
func clean(dir string) error {
	marker := filepath.Join(dir, ".tocsin-lab")
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("%s is not empty and not a run folder of the lab: name another", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, d := range []string{"logs", "data", "secrets"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(marker, []byte("The lab made this folder and will empty it.\n"), 0o644)
}
