// Package app furnishes the house: it reads the config, builds every room from
// it, wires them, runs them, and swaps them on reload.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// Options are what Run is given beside the config file.
type Options struct {
	ConfigFile string
	Log        *slog.Logger
	Version    string
	Reload     <-chan struct{} // each receive reads the config again
	// Store and Now are for tests of faults: what stands between the rooms and
	// the engine, and the wall clock. nil: nothing, and the machine's.
	Store func(store.Store) store.Store
	Now   func() time.Time
}

// shutdownFor bounds how long the steps under way may take once the house
// closes; what is not done by then is in the store and is taken up at the start.
const shutdownFor = 15 * time.Second

// Run serves until ctx ends. The order of a page's way stands here and in
// newRooms, and nowhere else: webhook → store → pipeline: enrich → notify.
func Run(ctx context.Context, o Options) error {
	p, err := load(o.ConfigFile)
	if err != nil {
		return err
	}
	reg := newRegistry(o.Version)
	metrics := newMetrics(reg)
	tracer, flush, err := newTracer(ctx, p.Tracing, o.Version, o.Log)
	if err != nil {
		return err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e, err := p.openStore(ctx, o.Log, o.Now, reg)
	if err != nil {
		return err
	}
	st := e.Store
	if o.Store != nil {
		st = o.Store(st)
	}
	h := &house{
		options: o, store: st, file: e.file, metrics: metrics, tracer: tracer,
		lent: lent{transport: newTransport(), log: o.Log, now: o.Now, requests: metrics.requests},
	}
	h.archive = newArchive(st, h.redacted)
	h.board = web.NewBoard(h.archive, o.Log)
	h.watch()
	if err := h.furnish(p); err != nil {
		return errors.Join(err, st.Close())
	}
	watching, stop := context.WithCancel(ctx)
	for _, work := range append(h.watchers(), h.vigil.Run, h.roll.run, h.rereads, h.board.Run) {
		h.running.Go(func() { work(watching) })
	}
	h.tellDamage(ctx, e.saved)
	h.reread()
	err = h.serve(ctx, p, reg)
	stop()
	h.close()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, st.Close(), flush(end))
}

// house is what outlives a reload, and the generation of rooms that serves now.
type house struct {
	options Options
	store   store.Store
	file    *bolt.Store // what is below store, where that is a file
	metrics *metrics
	tracer  trace.Tracer
	lent    lent
	vigil   *webhook.Vigil
	roll    *roll
	archive *web.Archive
	board   *web.Board
	asked   chan struct{} // to read the open alerts again

	rooms atomic.Pointer[rooms]
	ready atomic.Bool

	reloading sync.Mutex // one reload at a time
	running   sync.WaitGroup
}

// watch makes what looks after the store, whatever is reloaded.
func (h *house) watch() {
	h.asked = make(chan struct{}, 1)
	h.roll = &roll{store: h.store, log: h.options.Log}
	h.vigil = &webhook.Vigil{
		Store: h.store, Log: h.options.Log, Now: h.lent.now,
		Opened: h.openFailing, Over: h.storeWorks,
	}
}

// reread asks for the open alerts of every cluster.
func (h *house) reread() {
	select {
	case h.asked <- struct{}{}:
	default:
	}
}

// rereads does what reread asks for, until ctx ends.
func (h *house) rereads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.asked:
			h.rooms.Load().rereader.run(ctx)
		}
	}
}

// furnish builds a generation of rooms from a plan and lets it take over: the
// door is swapped, the old workers take no further item and finish theirs. Both
// generations work on one store, where a lease is one worker's only.
func (h *house) furnish(p *plan) error {
	next, err := h.newRooms(p)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	next.stop = stop
	h.running.Go(func() { next.run(ctx) })
	old := h.rooms.Swap(next)
	if old != nil {
		old.stop()
	}
	h.running.Go(func() { h.surface(ctx, old, next) })
	return nil
}

// reload reads the config again. Whatever is wrong with it, the old rooms go on.
func (h *house) reload() error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	p, err := load(h.options.ConfigFile)
	if err == nil {
		err = h.sameFrame(p)
	}
	if err == nil {
		err = h.furnish(p)
	}
	if err != nil {
		h.metrics.reloadOK.Set(0)
		h.options.Log.Error("reload refused: the old config goes on", "err", err)
		return err
	}
	h.board.Reread() // other labels may be redacted by now
	h.metrics.reloadOK.Set(1)
	h.metrics.reloadAt.SetToCurrentTime()
	h.options.Log.Info("config reloaded", "receivers", len(p.Receivers))
	return nil
}

// sameFrame refuses changes of what only a restart can change.
func (h *house) sameFrame(p *plan) error {
	old := h.rooms.Load().parts.plan
	for _, f := range []struct{ key, was, is string }{
		{"listen", old.Listen, p.Listen},
		{"operators.listen", old.Operators.Listen, p.Operators.Listen},
		{"store", old.storeName(), p.storeName()},
		{"web_config_file", string(old.WebConfigFile), string(p.WebConfigFile)},
		{"tracing.otlp_endpoint", old.Tracing.OTLPEndpoint, p.Tracing.OTLPEndpoint},
		{"tracing.sample_ratio", fmt.Sprint(old.Tracing.SampleRatio), fmt.Sprint(p.Tracing.SampleRatio)},
	} {
		if f.was != f.is {
			return fmt.Errorf("%s changed from %q to %q: that takes a restart", f.key, f.was, f.is)
		}
	}
	return nil
}

// close stops taking work and waits for what is under way.
func (h *house) close() {
	h.ready.Store(false)
	h.rooms.Load().stop()
	done := make(chan struct{})
	go func() { h.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(shutdownFor):
		h.options.Log.Warn("work under way was not done in time: it goes on at the next start")
	}
}

// webhook answers with the door of the generation that serves now.
func (h *house) webhook(w http.ResponseWriter, r *http.Request) {
	h.rooms.Load().door.ServeHTTP(w, r)
}

// change answers with the same door.
func (h *house) change(w http.ResponseWriter, r *http.Request) {
	h.rooms.Load().door.ServeChange(w, r)
}

// alerts and events answer with it too.
func (h *house) alerts(w http.ResponseWriter, r *http.Request) {
	h.rooms.Load().door.ServeAlerts(w, r)
}

func (h *house) events(w http.ResponseWriter, r *http.Request) {
	h.rooms.Load().door.ServeEvents(w, r)
}

// newRegistry returns a registry with what every Go program tells about itself.
func newRegistry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(processCollectors(version)...)
	return reg
}
