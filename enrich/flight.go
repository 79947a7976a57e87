package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	at      time.Time     // the time it is evaluated for
	landed  chan struct{} // closed when the first answer stands
	first   answer
	settled chan struct{} // closed when the last one does: the first, held against the past
	last    answer
	until   time.Time // the last answer serves until then

	warm     bool          // it was asked ahead of any page
	wanted   chan struct{} // closed when a page waits for it
	want     func()        // closes it
	prior    *flight       // answers while this one is under way
	landedAt time.Time     // when the first answer stood
	owing    bool          // the last answer is the first: there was no room to ask for more
}

// answer is what a source and the explainer said.
type answer struct {
	finding Finding
	queries []page.Query
	show    func(page.Labels) string
	course  func(by string, labels page.Labels) page.Course
	sample  func(ctx context.Context, labels page.Labels) (Exemplars, error)
	labels  []string // of the members
	events  *page.Exemplars
	rows    int
	gone    time.Time // when the last of the failing was there, where they are not
	impact  *page.Impact
	partial bool
	cut     bool
	lacking bool
	err     error
	before  func(context.Context) *Table // nil when there is no past to ask for
}

// found is how a question came by its flight.
type found struct {
	reused bool // somebody else had asked
	ahead  bool // before there was a page
	renew  bool // and it is asked anew: more is to come
}

// join returns the flight of a page's question, and how it was come by.
func (e *Enricher) join(ctx context.Context, s Named, q Question) (*flight, found) {
	k := keyOf(s, q)
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if f, ok := e.flights[k]; ok && !f.stale(now) && f.serves(now, q.Since) {
		how := found{reused: true}
		from := "flight"
		if f.done() {
			from = "cache"
		}
		if f.warm {
			f.want()
			have, renew := f.foresight(now, q.Since)
			how.ahead, how.renew = have.done(), renew || have != f
			if renew {
				e.launch(ctx, s, q, k, false)
			}
			f, from = have, "ahead"
		}
		e.Metrics.answers.WithLabelValues(s.Name, from).Inc()
		return f, how
	}
	e.sweep(now)
	e.Metrics.answers.WithLabelValues(s.Name, "source").Inc()
	return e.launch(ctx, s, q, k, false), found{}
}

// launch starts a flight. e.mu is held.
func (e *Enricher) launch(ctx context.Context, s Named, q Question, key string, warm bool) *flight {
	f := &flight{landed: make(chan struct{}), settled: make(chan struct{}), at: q.At, warm: warm, wanted: make(chan struct{})}
	f.want = sync.OnceFunc(func() { close(f.wanted) })
	e.flights[key] = f
	// The page may leave before the answer is there; its edit wants it still.
	go e.fly(context.WithoutCancel(ctx), s, q, f)
	return f
}

// done reports whether the first answer stands, whole whether the last one does.
func (f *flight) done() bool { return closed(f.landed) }

func (f *flight) whole() bool { return closed(f.settled) }

// owes reports whether more is to come after the first answer, which must stand.
func (f *flight) owes() bool {
	return !f.whole() && (f.first.before != nil || f.first.sample != nil)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// answer is the last one that stands.
func (f *flight) answer() answer {
	if f.whole() {
		return f.last
	}
	return f.first
}

func (f *flight) stale(now time.Time) bool { return f.whole() && now.After(f.until) }

// sweep forgets answers that serve nobody any more. e.mu is held.
func (e *Enricher) sweep(now time.Time) {
	full := len(e.flights) >= maxAnswered
	for k, f := range e.flights {
		if f.stale(now) || (full && f.whole()) {
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
	done, err := e.turn(ctx, s, f)
	if err == nil {
		began := e.Now()
		f.first = e.contained(s, q, func() (*Table, error) { return e.table(ctx, s, &q) })
		done()
		e.measure(s, f.first, e.Now().Sub(began))
	} else {
		f.first.err = err
	}
	span.SetAttributes(attribute.Int("queries", len(f.first.queries)), attribute.Bool("failed", f.first.err != nil))
	f.landedAt = e.Now()
	close(f.landed)
	f.last = e.later(ctx, s, q, f)
	f.until = e.Now().Add(e.CacheFor)
	if f.warm {
		f.until = f.landedAt.Add(max(e.CacheFor, warmFor))
	}
	if f.first.err != nil && !errors.Is(f.first.err, errYielded) {
		f.until = e.Now().Add(min(e.CacheFor, failedFor))
		level := slog.LevelWarn
		if errors.Is(f.first.err, ErrNoRule) || f.warm && !closed(f.wanted) {
			level = slog.LevelDebug // nothing is wrong with the source, or no page asked it
		}
		e.Log.Log(ctx, level, "source has no answer", "source", s.Name, "alert", q.Alert, "err", f.first.err)
	}
	close(f.settled)
}

// errYielded ends what was asked ahead where pages need the source.
var errYielded = errors.New("pages go first")

// errPanic stands for a panic of a source or of the explainer.
var errPanic = errors.New("panic")

// later asks what no page waits for, in a turn that takes none from first
// answers: what was before, and what single events carry.
func (e *Enricher) later(ctx context.Context, s Named, q Question, f *flight) answer {
	first := f.first
	if first.before == nil && first.sample == nil {
		return first
	}
	if f.warm && !closed(f.wanted) && len(e.late[s.Name]) > 0 {
		f.owing = true
		return first
	}
	select {
	case e.late[s.Name] <- struct{}{}:
		defer func() { <-e.late[s.Name] }()
	case <-ctx.Done():
		return first
	}
	out := e.exemplars(ctx, s, q, e.before(ctx, s, q, first))
	e.count(s, out.queries[min(len(first.queries), len(out.queries)):])
	return out
}

// before holds an answer against the past. Where that fails the first answer stands.
func (e *Enricher) before(ctx context.Context, s Named, q Question, first answer) answer {
	if first.before == nil {
		return first
	}
	a := e.contained(s, q, func() (*Table, error) { return first.before(ctx), nil })
	if a.err != nil {
		return first
	}
	return a
}

// table asks the source, once the expression is known, if it can be.
func (e *Enricher) table(ctx context.Context, s Named, q *Question) (*Table, error) {
	if ruler, ok := s.Source.(Ruler); ok && q.Expr == "" {
		text, err := ruler.Expr(ctx, q.Alert, q.Labels)
		if err != nil {
			return nil, err
		}
		q.Expr = text
	}
	return s.Source.Table(ctx, *q)
}

// contained asks and explains, and turns a panic into an answer.
func (e *Enricher) contained(s Named, q Question, ask func() (*Table, error)) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			e.Metrics.panics.Inc()
			a.err = fmt.Errorf("%w: %v", errPanic, r)
			e.Log.Error("panic while asking", "source", s.Name, "alert", q.Alert, "stack", string(debug.Stack()))
		}
	}()
	t, err := ask()
	if t != nil {
		a.queries, a.partial, a.cut, a.show, a.course, a.before = t.Queries, t.Partial, t.Cut, t.Query, t.Course, t.Before
		a.sample, a.gone, a.rows, a.lacking = t.Exemplars, t.LastSeen, t.Rows(), t.Lacking
		for _, c := range t.Cols {
			a.labels = append(a.labels, c.Name)
		}
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
		a.finding.Traits[i].Versions = versionsOf(t, trait)
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
	e.count(s, a.queries)
}

func (e *Enricher) count(s Named, queries []page.Query) {
	for _, q := range queries {
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
