package enrich

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Bounds of what is asked ahead of pages.
const (
	warms     = 2                // questions that one source is asked ahead at a time
	batches   = 16               // batches under way; those beyond are dropped
	maxAhead  = 20               // questions of one batch, the worst first
	warmAgain = 10 * time.Second // an answer so old is asked for again
	warmFresh = 15 * time.Second // so long it serves a page as it is
	warmFor   = time.Minute      // and so long as the first answer of one, which then has it asked anew
	warmLead  = 20 * time.Second // before the page's alerts began it may have been asked: while they are pending it is asked again and again
)

// Warm asks, ahead of any page, what the members of alerts have in common that
// may become one: the page finds the answer. by are the labels they will be
// grouped by, nil where nobody knows: then it is those of the last page of such an
// alert, or GroupBy. way says how they were learned of, for the metrics.
//
// It returns at once and tells nobody. It takes none of the turns that pages
// have; what comes while sources are busy with pages is dropped.
func (e *Enricher) Warm(ctx context.Context, way string, alerts []page.Alert, by []string) {
	select {
	case e.ahead <- struct{}{}:
	default:
		e.Metrics.prewarm.WithLabelValues(way, "dropped").Inc()
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), longest)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				e.Metrics.panics.Inc()
				e.Log.Error("panic while asking ahead", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			}
			stop()
			<-e.ahead
		}()
		e.warm(ctx, way, alerts, by)
	}()
}

func (e *Enricher) warm(ctx context.Context, way string, alerts []page.Alert, by []string) {
	left := maxAhead
	for _, p := range e.foreseen(alerts, by) {
		rules, _ := rulesOf(p)
		for _, r := range rules {
			if left--; left < 0 || ctx.Err() != nil {
				e.Metrics.prewarm.WithLabelValues(way, "dropped").Inc()
				return
			}
			for _, s := range e.Sources {
				q := e.question(ctx, p, r)
				if ruler, ok := s.Source.(Ruler); ok && q.Expr == "" { // the page's own alerts will name it
					q.Expr, _ = ruler.Expr(ctx, q.Alert, q.Labels)
				}
				e.Metrics.prewarm.WithLabelValues(way, e.prepare(ctx, s, q)).Inc()
			}
		}
	}
}

// foreseen are the problems that alerts would be, the worst first: as a page's
// question is made of its group and of what its alerts share, so is theirs.
func (e *Enricher) foreseen(alerts []page.Alert, by []string) []page.Problem {
	at := map[string]int{}
	var out []page.Problem
	for _, a := range alerts {
		a.Status, a.ID = page.Firing, a.Labels.ID()
		group := page.Labels{}
		names := by
		if names == nil {
			names = e.groupingOf(a.Name())
		}
		for _, name := range names {
			if v, ok := a.Labels[name]; ok {
				group[name] = v
			}
		}
		i, ok := at[group.ID()]
		if !ok {
			i = len(out)
			at[group.ID()] = i
			out = append(out, page.Problem{Group: page.Notification{GroupLabels: group}, Members: map[string]page.Member{}})
		}
		out[i].Members[a.ID] = page.Member{Alert: a, Open: true}
	}
	slices.SortStableFunc(out, func(a, b page.Problem) int {
		return cmp.Or(cmp.Compare(a.Severity().Rank(), b.Severity().Rank()), cmp.Compare(len(b.Members), len(a.Members)))
	})
	return out
}

// learn remembers how alerts are grouped.
func (e *Enricher) learn(p page.Problem, rules []rule) {
	by := p.Group.GroupLabels.Names()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.grouping) >= maxAnswered {
		clear(e.grouping)
	}
	for _, r := range rules {
		e.grouping[r.name] = by
	}
}

func (e *Enricher) groupingOf(alertname string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if by, ok := e.grouping[alertname]; ok {
		return by
	}
	return e.GroupBy
}

// prepare starts a flight that no page waits for yet, and says what came of it:
// asked, known, or dropped.
func (e *Enricher) prepare(ctx context.Context, s Named, q Question) string {
	k := keyOf(s, q)
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	old, ok := e.flights[k]
	switch {
	case ok && !old.stale(now) && (!old.done() || now.Sub(old.at) < warmAgain):
		return "known"
	case e.busy(s):
		return "dropped"
	}
	e.sweep(now)
	f := e.launch(ctx, s, q, k, true)
	if ok && old.serves(now, q.Since) {
		f.prior = old
		old.prior = nil
	}
	return "asked"
}

// busy reports whether pages take up a good part of a source's turns.
func (e *Enricher) busy(s Named) bool { return len(e.turns[s.Name]) > perSource/2 }

// serves reports whether a page may have the answer of a flight that was asked
// ahead. One that explains nothing is asked for anew: it may have been too early.
func (f *flight) serves(now, since time.Time) bool {
	if !f.warm || !f.done() {
		return !f.stale(now)
	}
	if f.at.Before(since.Add(-warmLead)) {
		return false // it was asked about another fault, which is over
	}
	return f.first.err == nil && len(f.first.finding.Traits) > 0 && now.Sub(f.landedAt) <= warmFor
}

// foresight finds the answer that was asked ahead, for a page. With renew it is to
// be asked anew all the same. e.mu is held.
func (f *flight) foresight(now, since time.Time) (found *flight, renew bool) {
	if !f.done() && f.prior != nil && f.prior.serves(now, since) {
		return f.prior, false // f is what renews it
	}
	return f, f.whole() && f.owing || f.done() && now.Sub(f.at) > warmFresh
}

// turn waits until a source may be asked. What is asked ahead has turns of its own,
// gives way to pages, and takes a page's turn only once a page wants it.
func (e *Enricher) turn(ctx context.Context, s Named, f *flight) (done func(), err error) {
	if f.warm {
		select {
		case e.warming[s.Name] <- struct{}{}:
			if !e.yields(s, f) {
				return func() { <-e.warming[s.Name] }, nil
			}
			<-e.warming[s.Name]
			return nil, errYielded
		case <-f.wanted:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case e.turns[s.Name] <- struct{}{}:
		return func() { <-e.turns[s.Name] }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// yields takes a flight that nobody wants out of the way of pages.
func (e *Enricher) yields(s Named, f *flight) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.busy(s) || closed(f.wanted) {
		return false
	}
	maps.DeleteFunc(e.flights, func(_ string, have *flight) bool { return have == f })
	return true
}

// firstLook counts where the context of a page's first look came from.
func (e *Enricher) firstLook(asked []inquiry, out page.Context, now time.Time) {
	from := "asked"
	switch warm := len(asked) > 0 && !slices.ContainsFunc(asked, func(i inquiry) bool { return !i.ahead }); {
	case out.Pending && !out.Known():
		from = "late"
	case warm:
		from = "warm"
		for _, i := range asked {
			e.Metrics.lead.Observe(max(0, now.Sub(i.flight.landedAt)).Seconds())
		}
	}
	e.Metrics.looks.WithLabelValues(from).Inc()
}
