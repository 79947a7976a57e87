package app

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

// rooms are one generation: all that a reload replaces.
type rooms struct {
	parts    *parts
	door     *webhook.Handler
	pipeline *pipeline.Worker
	notify   *notify.Worker
	rereader *rereader
	engine   *remediate.Engine // nil: nothing acts
	keeper   *pipeline.Keeper
	stop     context.CancelFunc
	done     chan struct{} // closed when run has ended

	callbacks map[string]http.Handler // by kind/name of the target
	listeners []listener
}

// run works until ctx ends and what is under way is done; then nobody asks this
// generation's sources any more.
func (r *rooms) run(ctx context.Context) {
	defer close(r.done)
	var workers sync.WaitGroup
	workers.Go(func() { r.pipeline.Run(ctx) })
	workers.Go(func() { r.notify.Run(ctx) })
	workers.Go(func() { r.keeper.Run(ctx) })
	if r.engine != nil {
		workers.Go(func() { r.engine.Run(ctx) })
	}
	for _, l := range r.listeners {
		workers.Go(func() { l.run(ctx) })
	}
	workers.Go(func() { r.parts.enricher.PollPending(ctx, r.parts.plan.poll()) })
	workers.Wait()
	for _, s := range r.parts.sources {
		if c, ok := s.Source.(io.Closer); ok {
			_ = c.Close() // what it still held it has let go of
		}
	}
}

// writers is how many problems are worked on at once. Each may wait for context
// until its deadline: a burst of so many new problems is not held up by it.
const writers = 256

// newRooms wires one generation: webhook → store → pipeline: enrich → notify.
func (h *house) newRooms(p *plan) (*rooms, error) {
	b, err := build(p, h.lent, h.metrics.enrich, h.tracer)
	if err != nil {
		return nil, err
	}
	var users []string
	if p.WebConfigFile != "" {
		if users, err = webhook.WebUsers(string(p.WebConfigFile)); err != nil {
			return nil, err
		}
	}
	door := &webhook.Door{Store: h.store}
	r := &rooms{
		parts: b, done: make(chan struct{}), callbacks: h.callbacks(b), listeners: h.listeners(b),
		door: &webhook.Handler{
			Clusters: b.clusters, Users: users, Anonymous: p.anonymous(), GitHubSecrets: b.github, Watchdogs: p.watchdogs(), Limits: webhook.DefaultLimits(), Door: door,
			Log: h.options.Log, Now: h.lent.now, Tracer: h.tracer, Metrics: h.metrics.webhook,
			Warmer: b.enricher,
			Vigil:  h.vigil, Teller: &past{parts: b, episodes: h.roll, direct: &notify.Direct{
				Router: b.router, Owners: p.owners(), Log: h.options.Log, Now: h.lent.now, Metrics: h.metrics.notify,
				PageURL: p.pageURL(),
			}},
		},
		rereader: &rereader{
			clusters: b.asker, serves: b.router.Serves, door: door,
			log: h.options.Log, now: h.lent.now, metrics: h.metrics,
		},
		pipeline: &pipeline.Worker{
			Store: h.store, Enricher: b.enricher, Dater: b.enricher, Charter: b.enricher, Outbox: b.router, Asker: b.asker, Silencer: b.asker,
			Writers: writers, Rules: p.rules(),
			Deadline: p.deadline(),
			Log:      h.options.Log, Now: h.lent.now, Tracer: h.tracer,
			Metrics: h.metrics.pipeline, Observe: h.metrics.observe,
		},
		notify: &notify.Worker{
			Store: h.store, Targets: b.router.Targets(), Router: b.router, Owners: p.owners(), Timing: notify.DefaultTiming(),
			PageURL: p.pageURL(),
			Log:     h.options.Log, Now: h.lent.now, Tracer: h.tracer,
			Metrics: h.metrics.notify, Observe: h.metrics.observe,
			Alarm: h.alarm(door, b.router),
		},
		keeper: h.keeper(p, b.router),
	}
	if r.engine = h.engine(b); r.engine != nil {
		r.pipeline.Remedies = b.remedies.inbox()
	}
	return r, nil
}

// pageURL returns the addresses of problems' own pages; nil where there are none.
func (p *plan) pageURL() func(problem string) string {
	if p.PublicURL == "" {
		return nil
	}
	base := strings.TrimRight(p.PublicURL, "/")
	return func(problem string) string { return base + "/pages/" + url.PathEscape(problem) }
}

// poll is how pending alerts are asked for.
func (p *plan) poll() enrich.Poll {
	return enrich.Poll{Every: p.Prewarm.Poll.D(), Lead: p.Prewarm.Lead.D(), Max: p.Prewarm.Max}
}

// keeper drops what is over, as the store's section says.
func (h *house) keeper(p *plan, r *notify.Router) *pipeline.Keeper {
	c, used := p.Store, func() int64 { return 0 } // an etcd has a quota of its own
	if h.file != nil {
		used = func() int64 { return h.file.Size().Used }
	}
	k := &pipeline.Keeper{
		Store: h.store, Retention: c.Retention.D(), MaxBytes: c.Bolt.MaxBytes, Lanes: map[string]bool{},
		Used: used,
		Log:  h.options.Log, Now: h.lent.now, Metrics: h.metrics.pipeline,
	}
	if c.History != "" {
		k.History = &pipeline.History{Path: c.History, Now: h.lent.now}
	}
	for _, t := range r.Targets() {
		k.Lanes[store.LaneDeliver+t.String()] = true
	}
	return k
}

// alarm tells people that a target takes no pages, by another target. Where
// there is no last resort to tell, the log and the metrics have to do: an alarm
// about a broken target would only queue up behind it.
func (h *house) alarm(door *webhook.Door, r *notify.Router) func(context.Context, string, page.Page, error) {
	return func(ctx context.Context, target string, p page.Page, err error) {
		if len(r.LastResort) == 0 || p.Self {
			return
		}
		e := webhook.Alarm("TocsinTargetRefuses",
			target+" takes no pages: "+err.Error(),
			"The page \""+p.Title+"\" waits and is tried again and again. Mend the target or its config.",
			page.Labels{"target": target}, h.lent.now())
		if err := door.Put(ctx, e); err != nil {
			h.options.Log.Error("raise alarm", "notifier", target, "err", err)
		}
	}
}

// anonymous names the cluster of webhooks without credentials, "" when they are
// refused: only a single cluster that is given no credentials can be meant.
func (p *plan) anonymous() string {
	if len(p.Alertmanagers) != 1 {
		return ""
	}
	am := p.Alertmanagers[0]
	if len(am.InboundTokenFiles)+len(am.InboundUsers)+len(am.InboundCerts) > 0 {
		return ""
	}
	return am.Name
}
