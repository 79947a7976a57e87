package enrich

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/page"
)

// Bounds of a flight.
const (
	longest     = 2 * time.Minute // a source that ignores its own timeout is left alone then
	failedFor   = 2 * time.Second // how long an error is not asked for again
	maxAnswered = 1000            // answers that are kept, whatever their age
)

// flight is one question under way to one source, and then its answer. Those
// who ask the same meanwhile, or shortly after, share it.
type flight struct {
	landed chan struct{} // closed when the fields below stand
	until  time.Time     // the answer serves until then
	at     time.Time     // the time it was evaluated for
	answer answer
}

// answer is what a source and the explainer said.
type answer struct {
	finding Finding
	queries []page.Query
	show    func(page.Labels) string
	course  func(by string, labels page.Labels) page.Course
	impact  *page.Impact
	partial bool
	cut     bool
	err     error
}

// join returns the flight of a question, and whether it was there already.
func (e *Enricher) join(ctx context.Context, s Named, q Question) (*flight, bool) {
	k := keyOf(s, q)
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if f, ok := e.flights[k]; ok && !f.stale(now) {
		from := "flight"
		if f.done() {
			from = "cache"
		}
		e.Metrics.answers.WithLabelValues(s.Name, from).Inc()
		return f, true
	}
	e.sweep(now)
	f := &flight{landed: make(chan struct{}), at: q.At}
	e.flights[k] = f
	e.Metrics.answers.WithLabelValues(s.Name, "source").Inc()
	// The page may leave before the answer is there; its edit wants it still.
	go e.fly(context.WithoutCancel(ctx), s, q, f)
	return f, false
}

func (f *flight) done() bool {
	select {
	case <-f.landed:
		return true
	default:
		return false
	}
}

func (f *flight) stale(now time.Time) bool { return f.done() && now.After(f.until) }

// sweep forgets answers that serve nobody any more. e.mu is held.
func (e *Enricher) sweep(now time.Time) {
	full := len(e.flights) >= maxAnswered
	for k, f := range e.flights {
		if f.stale(now) || (full && f.done()) {
			delete(e.flights, k)
		}
	}
}

// fly asks the source, in its turn, and explains what it says.
func (e *Enricher) fly(ctx context.Context, s Named, q Question, f *flight) {
	ctx, stop := context.WithTimeout(ctx, longest)
	defer stop()
	ctx, span := e.Tracer.Start(ctx, "enrich.source", trace.WithAttributes(attribute.String("source", s.Name)))
	defer span.End()
	var a answer
	select {
	case e.turns[s.Name] <- struct{}{}:
		began := e.Now()
		a = e.contained(ctx, s, q)
		<-e.turns[s.Name]
		e.measure(s, a, e.Now().Sub(began))
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	span.SetAttributes(attribute.Int("queries", len(a.queries)), attribute.Bool("failed", a.err != nil))
	f.answer = a
	f.until = e.Now().Add(e.CacheFor)
	if a.err != nil {
		f.until = e.Now().Add(min(e.CacheFor, failedFor))
		e.Log.Warn("source has no answer", "source", s.Name, "alert", q.Alert, "err", a.err)
	}
	close(f.landed)
}

// errPanic stands for a panic of a source or of the explainer.
var errPanic = errors.New("panic")

// contained asks and explains, and turns a panic into an answer.
func (e *Enricher) contained(ctx context.Context, s Named, q Question) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			e.Metrics.panics.Inc()
			a.err = fmt.Errorf("%w: %v", errPanic, r)
			e.Log.Error("panic while asking", "source", s.Name, "alert", q.Alert, "stack", string(debug.Stack()))
		}
	}()
	if q.Expr == "" {
		ruler, ok := s.Source.(Ruler)
		if !ok {
			return answer{err: errors.New("no expression")}
		}
		var err error
		if q.Expr, err = ruler.Expr(ctx, q.Alert, q.Labels); err != nil {
			return answer{err: err}
		}
	}
	t, err := s.Source.Table(ctx, q)
	if t != nil {
		a.queries, a.partial, a.cut, a.show, a.course = t.Queries, t.Partial, t.Cut, t.Query, t.Course
	}
	if a.err = err; err == nil {
		a.finding = e.Explainer.Explain(t)
		a.finding.Notes = append(slices.Clone(t.Notes), a.finding.Notes...)
		a.measureImpact(t)
	}
	return a
}

// measureImpact says of the table how much is hit, while it is at hand.
func (a *answer) measureImpact(t *Table) {
	var inside page.Labels
	for i, trait := range a.finding.Traits {
		a.finding.Traits[i].Versions = versionsOf(t, trait.Labels)
		if i == 0 {
			inside = trait.Labels
		}
	}
	a.impact = impactOf(t, inside)
}

// measure counts what an answer cost.
func (e *Enricher) measure(s Named, a answer, took time.Duration) {
	outcome := "ok"
	switch {
	case errors.Is(a.err, context.DeadlineExceeded):
		outcome = "timeout"
	case a.err != nil:
		outcome = "error"
	case a.partial || a.cut:
		outcome = "partial"
	}
	e.Metrics.seconds.WithLabelValues(s.Name, outcome).Observe(took.Seconds())
	for _, q := range a.queries {
		e.Metrics.series.WithLabelValues(s.Name).Add(float64(q.Series))
		e.Metrics.bytes.WithLabelValues(s.Name).Add(float64(q.Bytes))
	}
}

// keyOf writes what an answer depends on, so that no two questions are written alike.
func keyOf(s Named, q Question) string {
	own := []string{q.Expr, q.Labels.ID(), q.Group.ID()}
	if k, ok := s.Source.(Keyer); ok && q.Expr != "" {
		own = []string{k.Key(q)}
	}
	var b strings.Builder
	for _, part := range append([]string{s.Name, q.Alert}, own...) {
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	return b.String()
}
