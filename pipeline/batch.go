package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// batch is what a step writes, all of it or nothing: the problem, the page it
// shows, the work for its targets, its line of the timeline, and what is owed
// later. At most a dozen operations come to those for targets.
type batch struct {
	ops []store.Op
	err error // the first
}

// add appends the operation that writes a value.
func (b *batch) add(v any, op func(value []byte) store.Op) {
	value, err := store.Marshal(v)
	if b.err == nil {
		b.err = err
	}
	b.ops = append(b.ops, op(value))
}

func (w *Worker) batch(ctx context.Context, s *Step, e page.Event, rev uint64) ([]store.Op, error) {
	var b batch
	p := &s.Problem
	var work []store.Op
	if s.Changed || s.gust != nil {
		p.Trace = traceparent(ctx)
	}
	if s.Changed || s.chart != nil {
		b.add(p.View().Redact(w.Rules.Redact...), func(v []byte) store.Op { return store.Put(store.PageKey(p.ID, p.Episode), v) })
		if s.Changed && p.Folded == "" {
			work = w.Outbox.Ops(*p)
			p.Told = told(p.Told, work)
			b.ops = append(b.ops, work...)
		}
	}
	if s.chart != nil {
		b.add(*s.chart, func(v []byte) store.Op { return store.Put(store.ChartKey(p.ID, p.Episode), v) })
		if o, ok := w.Outbox.(ChartOutbox); ok && s.post {
			b.ops = append(b.ops, o.Chart(*p)...)
		}
	}
	if p.ID != "" {
		if line, n, ok := entry(s, e, work); ok {
			b.add(line, func(v []byte) store.Op { return store.Put(store.TimelineKey(p.ID, p.Episode, line.Room, n), v) })
		}
		b.add(*p, func(v []byte) store.Op { return store.Swap(store.ProblemKey(p.ID), rev, v) })
	}
	b.ops = append(b.ops, w.followUps(*s, e)...)
	if w.Remedies != nil && p.ID != "" && (s.Changed || s.decides) {
		more, err := w.Remedies.Ops(*p, e)
		if err != nil {
			return nil, err
		}
		b.ops = append(b.ops, more...)
	}
	votes, err := w.votes(ctx, *s, e)
	if err != nil {
		return nil, err
	}
	gusts, err := w.gusts(*s)
	if err != nil {
		return nil, err
	}
	b.ops = append(append(b.ops, votes...), gusts...)
	past := s.besides
	if s.Opened {
		past = e.Receipts
	}
	for _, r := range past {
		// Who was told of the episode past the store, before it knew of it: what
		// follows at these targets changes what stands there.
		r.Episode = p.Episode
		b.add(r, func(v []byte) store.Op { return store.Put(store.ReceiptKey(p.ID, p.Episode, r.Target), v) })
	}
	return b.ops, b.err
}

// told adds the targets in whose lanes there is work now.
func told(before []string, work []store.Op) []string {
	all := slices.Clone(before)
	for _, op := range work {
		if name, ok := strings.CutPrefix(op.Item.Lane, store.LaneDeliver); ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
