package enrich

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/page"
)

// Named is a source under its configured name.
type Named struct {
	Name   string
	Source Source
}

// Options of an Enricher.
type Options struct {
	Sources   []Named
	Explainer Explainer
	Dater     Dater // nil: nobody asks since when
	Roles     Roles
	Redact    []string      // roles whose values never leave the house
	Traces    Traces        // where the traces of single events are shown
	CacheFor  time.Duration // how long an answer serves further questions; 0 is 10 s
	GroupBy   []string      // how Alertmanager groups alerts of which no page was seen yet
	Log       *slog.Logger
	Now       func() time.Time
	Metrics   *Metrics     // nil for none
	Tracer    trace.Tracer // nil for none
}

// Enricher answers what the failing members of a problem have in common. It is
// safe for concurrent use: questions that are alike share one answer.
type Enricher struct {
	Options
	turns map[string]chan struct{} // for first answers
	late  map[string]chan struct{} // for the past

	warming map[string]chan struct{} // for what is asked ahead
	ahead   chan struct{}            // batches of that

	mu       sync.Mutex
	flights  map[string]*flight
	grouping map[string][]string // names of the group's labels, by alertname
}

// perSource is how many questions one source is asked at a time; a storm waits
// in our house, not in its.
const (
	perSource = 8
	pasts     = 2 // of the past, which nobody waits for
)

// New returns an Enricher.
func New(o Options) *Enricher {
	if o.CacheFor == 0 {
		o.CacheFor = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	e := &Enricher{
		Options: o, turns: map[string]chan struct{}{}, late: map[string]chan struct{}{}, flights: map[string]*flight{},
		warming: map[string]chan struct{}{}, ahead: make(chan struct{}, batches), grouping: map[string][]string{},
	}
	for _, s := range o.Sources {
		e.warming[s.Name] = make(chan struct{}, warms)
		e.turns[s.Name] = make(chan struct{}, perSource)
		e.late[s.Name] = make(chan struct{}, pasts)
	}
	return e
}

// Context asks every source about the rules of a problem and returns what is
// known when ctx ends at the latest. It has no error to return: what is missing
// stands in the notes. While Pending, the sources are still at it, and a later
// call finds their answers.
//
// A problem without context gets the first answer, for its page is to leave; one
// that has some already waits for the last, which knows the past as well.
func (e *Enricher) Context(ctx context.Context, p page.Problem) page.Context {
	ctx, span := e.Tracer.Start(ctx, "enrich", trace.WithAttributes(attribute.String("page", p.ID)))
	defer span.End()
	began := e.Now()
	rules, rest := rulesOf(p)
	e.learn(p, rules)
	asked := e.ask(ctx, p, rules)
	again := p.Context.Pending || p.Context.Known()
	wait(ctx, asked, again)
	out := e.merge(rules, asked, rest, allowed(ctx, began, e.Now()))
	if !again {
		e.firstLook(asked, out, began)
	}
	e.Metrics.contexts.WithLabelValues(spoken(out)).Inc()
	span.SetAttributes(attribute.Int("traits", len(out.Traits)), attribute.Bool("pending", out.Pending))
	return out
}

// inquiry is one rule asked of one source.
type inquiry struct {
	rule   rule
	source Named
	flight *flight
	found
}

// ask starts, or joins, one flight for each rule and source.
func (e *Enricher) ask(ctx context.Context, p page.Problem, rules []rule) []inquiry {
	var out []inquiry
	for _, r := range rules {
		q := e.question(ctx, p, r)
		for _, s := range e.Sources {
			f, how := e.join(ctx, s, q)
			out = append(out, inquiry{r, s, f, how})
		}
	}
	return out
}

// question is what sources are asked about one rule of a problem.
func (e *Enricher) question(ctx context.Context, p page.Problem, r rule) Question {
	deadline, _ := ctx.Deadline()
	var since time.Time
	for _, a := range p.Firing() {
		if a.Name() == r.name && (since.IsZero() || a.StartsAt.Before(since)) {
			since = a.StartsAt
		}
	}
	return Question{
		Alert: r.name, Expr: r.expr, Labels: r.shared, Group: p.Group.GroupLabels,
		Firing: r.firing, At: e.Now(), Since: since, Deadline: deadline,
	}
}

// wait returns when every flight has landed, or has its last answer, or ctx has ended.
func wait(ctx context.Context, asked []inquiry, whole bool) {
	for _, i := range asked {
		until := i.flight.landed
		if whole {
			until = i.flight.settled
		}
		select {
		case <-until:
		case <-ctx.Done():
			return
		}
	}
}

// allowed is the time there was for an answer.
func allowed(ctx context.Context, began, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline.Sub(began)
	}
	return now.Sub(began)
}

func spoken(c page.Context) string {
	switch {
	case len(c.Traits) > 0:
		return "trait"
	case c.None:
		return "none"
	case c.Pending:
		return "pending"
	}
	return "unknown"
}
