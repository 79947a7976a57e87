// Package probe asks an API what its document says it answers: safe operations,
// with the document's own examples, judged by the document. It asks targets of
// the config and no others, since who may choose a target may choose what is
// behind the firewall.
package probe

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// Options of one service.
type Options struct {
	Service     string
	Targets     []string          // asked every Interval
	Interval    time.Duration     // above 0
	Timeout     time.Duration     // of one request, its answer included
	Concurrency int               // requests to a target at a time
	MaxBody     int64             // bytes; a longer answer fails
	Allow       []string          // what /probe may ask beside Targets
	LinkLocal   bool              // link-local addresses may be asked, metadata services among them
	Skip        []string          // operations that are not asked
	Unsafe      []string          // operations that are asked though they are no GET or HEAD
	Parameters  map[string]string // values for "operation parameter"; "* parameter" is of every operation that requires it
	Credentials Credentials
	CAFile      string // PEM; "" is the system's
	Insecure    bool   // certificates are not looked at
}

// Prober asks the targets of one service.
type Prober struct {
	options Options
	allow   []prefix
	client  *client
	values  *values.Service // nil: none
	log     *slog.Logger
	plan    atomic.Pointer[plan]
	loaded  chan struct{} // closed once there is a document
	once    sync.Once

	mu     sync.Mutex
	rounds map[string]*Round // the last one of each target
}

// New makes a Prober, which asks nothing before Load. v may be nil.
func New(o Options, v *values.Service, log *slog.Logger) (*Prober, error) {
	p := &Prober{options: o, values: v, log: log, loaded: make(chan struct{}), rounds: map[string]*Round{}}
	for _, text := range slices.Concat(o.Targets, o.Allow) {
		allowed, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		p.allow = append(p.allow, allowed)
	}
	var err error
	p.client, err = newClient(o)
	return p, err
}

// Load takes a document into use.
func (p *Prober) Load(api *model.API) {
	next := newPlan(api, p.options)
	p.plan.Store(next)
	p.mu.Lock()
	for _, r := range p.rounds { // what is no longer asked is no longer told
		r.Results = slices.DeleteFunc(slices.Clone(r.Results), func(x Result) bool {
			return !slices.ContainsFunc(next.calls, func(c *call) bool { return c.op.ID == x.Operation })
		})
	}
	p.mu.Unlock()
	p.once.Do(func() { close(p.loaded) })
}

// Round is what came of asking a target.
type Round struct {
	Target  string
	At      time.Time
	Took    time.Duration
	Results []Result
}

// Result is what came of one operation.
type Result struct {
	Operation string
	Request   string // method and URL, without the query, which may hold secrets
	Reason    string // why it failed: one of Reasons; "" is a success
	Text      string // the same for people
	Status    int    // 0: there was no answer
	Phases    [phases]time.Duration
	Size      int64
	Expiry    time.Time // of the certificate that ends first; zero: none was used
	Findings  []observe.Finding
}

// Success says whether every operation was answered as it should be.
func (r *Round) Success() bool {
	return len(r.Results) > 0 && !slices.ContainsFunc(r.Results, func(x Result) bool { return x.Reason != "" })
}

// Run asks the targets every Interval until ctx ends. Each begins at another
// moment, and none keeps quite to the second.
func (p *Prober) Run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-p.loaded:
	}
	var group sync.WaitGroup
	for _, target := range p.options.Targets {
		group.Go(func() {
			wait := rand.N(min(p.options.Interval, 10*time.Second))
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				begin := time.Now()
				p.scheduled(ctx, target)
				wait = max(0, p.options.Interval-time.Since(begin)) + rand.N(p.options.Interval/20+1)
			}
		})
	}
	group.Wait()
}

func (p *Prober) scheduled(ctx context.Context, target string) {
	limited, stop := context.WithTimeout(ctx, p.options.Interval)
	defer stop()
	take := func(values.Answer) {}
	if p.values != nil {
		take = p.values.Take
	}
	r := p.round(limited, target, p.plan.Load().calls, take)
	if ctx.Err() != nil {
		return
	}
	for _, x := range r.Results {
		if x.Reason != "" {
			p.log.DebugContext(ctx, "a probe failed", "target", target, "operation", x.Operation, "reason", x.Reason, "what", x.Text)
		}
	}
	p.mu.Lock()
	p.rounds[target] = r
	p.mu.Unlock()
}

// Once asks a target that is allowed, one operation or all of them.
func (p *Prober) Once(ctx context.Context, target, operation string, take func(values.Answer)) (*Round, error) {
	plan := p.plan.Load()
	if plan == nil {
		return nil, errNotLoaded
	}
	if err := allowed(p.allow, target); err != nil {
		return nil, err
	}
	calls := plan.calls
	if operation != "" {
		i := slices.IndexFunc(calls, func(c *call) bool { return c.op.ID == operation })
		if i < 0 {
			return nil, plan.missing(operation)
		}
		calls = calls[i : i+1]
	}
	return p.round(ctx, target, calls, take), nil
}

// missing says why an operation is not asked.
func (p *plan) missing(operation string) error {
	for _, s := range p.skipped {
		if s.Operation == operation {
			return fmt.Errorf("%w: %s", errOperation, s.Text)
		}
	}
	return fmt.Errorf("%w: the document has no %q", errOperation, operation)
}

// round makes the calls, as many at a time as Concurrency says.
func (p *Prober) round(ctx context.Context, target string, calls []*call, take func(values.Answer)) *Round {
	r := &Round{Target: target, At: time.Now(), Results: make([]Result, len(calls))}
	secrets, err := p.options.Credentials.read()
	session := p.client.session()
	defer session.CloseIdleConnections()
	places := make(chan struct{}, p.options.Concurrency)
	var group sync.WaitGroup
	for i, c := range calls {
		into := &r.Results[i]
		into.Operation = c.op.ID
		if err != nil {
			into.Reason, into.Text = "credentials", err.Error()
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			into.Reason, into.Text = "timeout", "there was no time left to ask"
			continue
		}
		group.Go(func() {
			defer func() { <-places }()
			p.ask(ctx, session, target, c, secrets, into, take)
		})
	}
	group.Wait()
	r.Took = time.Since(r.At)
	return r
}

// ask makes one call and judges the answer.
func (p *Prober) ask(ctx context.Context, session *http.Transport, target string, c *call, secrets http.Header, into *Result, take func(values.Answer)) {
	ctx, stop := context.WithTimeout(ctx, p.options.Timeout)
	defer stop()
	base, err := url.Parse(target)
	if err != nil {
		into.Reason, into.Text = "request", err.Error()
		return
	}
	x := &exchange{call: c, base: base, secrets: secrets, allow: p.allow, limit: p.options.MaxBody}
	err = x.do(ctx, session)
	into.Request, into.Status, into.Phases, into.Size, into.Expiry = x.asked, x.status, x.phases(), int64(len(x.body)), x.expiry
	if err != nil {
		into.Reason, into.Text = reason(err), text(err)
		return
	}
	into.Findings = observe.Judge(c.op, x.status, x.header, x.body)
	switch broken := slices.IndexFunc(into.Findings, func(f observe.Finding) bool { return f.Broken }); {
	case x.status >= http.StatusBadRequest:
		into.Reason, into.Text = "status", fmt.Sprintf("status %d", x.status)
	case broken >= 0:
		into.Reason, into.Text = "contract", into.Findings[broken].Check+": "+into.Findings[broken].What
	}
	if model.JSON(x.header.Get("Content-Type")) && len(x.body) > 0 {
		take(values.Answer{Operation: c.op.ID, Code: c.op.Declared(x.status), Target: target, Body: x.body})
	}
}

// last are the last rounds, in order of targets.
func (p *Prober) last() []Round {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Round
	for _, r := range p.rounds {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Round) int { return cmp.Compare(a.Target, b.Target) })
	return all
}

// text is an error without the URL in front, which may be long.
func text(err error) string {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // only the outermost has it in front
		return strings.ToLower(u.Op) + ": " + u.Err.Error()
	}
	return err.Error()
}
