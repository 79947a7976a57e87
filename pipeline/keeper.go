package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Keeper drops what is over: a problem that was closed for longer than
// Retention goes with its pages, receipts, timelines and charts, and so do old
// episodes of those that live on. Should the store outgrow MaxBytes, closed problems go before
// their time, the oldest first. Work for targets that nobody takes any more is
// told of, and goes once its problem has gone. The engine only frees the space.
type Keeper struct {
	Store     store.Store
	Retention time.Duration   // 0: for ever
	MaxBytes  int64           // 0: any size
	Used      func() int64    // bytes in use; nil: the engine cannot tell
	History   *History        // where problems go before they are dropped; nil: nowhere
	Lanes     map[string]bool // of targets: those that somebody takes
	Log       *slog.Logger
	Now       func() time.Time
	Metrics   *Metrics
}

const (
	sweepEvery = 10 * time.Minute
	// settled is how long a problem must have been closed to go before its time:
	// its targets may still be told of its end.
	settled = time.Hour
	// scanned is how many records are read at once.
	scanned = 100
)

// Run sweeps now and then until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.Sweep(ctx); err != nil && ctx.Err() == nil {
			k.Metrics.sweepFailures.Inc()
			k.Log.Error("sweep the store", "err", err)
		}
		pause(ctx, sweepEvery)
	}
}

// over is a closed problem that may go before its time.
type over struct {
	id    string
	rev   uint64
	ended time.Time
}

// Sweep drops all that may go now.
func (k *Keeper) Sweep(ctx context.Context) error {
	closed, err := k.expire(ctx)
	if err != nil {
		return err
	}
	if err := k.shrink(ctx, closed); err != nil {
		return err
	}
	return k.orphans(ctx)
}

// expire drops what is older than the retention, and returns the closed
// problems that stay.
func (k *Keeper) expire(ctx context.Context) (closed []over, err error) {
	var before time.Time // nothing is older
	if k.Retention > 0 {
		before = k.Now().Add(-k.Retention)
	}
	after := ""
	for {
		recs, err := k.Store.Scan(ctx, store.ProblemPrefix, after, scanned)
		if err != nil {
			return nil, fmt.Errorf("read problems: %w", err)
		}
		for _, rec := range recs {
			after = rec.Key
			var p page.Problem
			if err := store.Unmarshal(rec.Value, &p); err != nil {
				return nil, fmt.Errorf("read problem %s: %w", rec.Key, err)
			}
			o := over{p.ID, rec.Rev, p.Ended}
			switch {
			case p.State == page.Open:
				err = k.episodes(ctx, p, before)
			case p.IsCanary() && k.Now().Sub(p.Ended) >= settled:
				err = k.forget(ctx, o)
			case p.Ended.Before(before):
				err = k.drop(ctx, o, "retention")
			default:
				closed = append(closed, o)
				err = k.episodes(ctx, p, before)
			}
			if err != nil {
				return nil, err
			}
		}
		if len(recs) < scanned {
			return closed, nil
		}
	}
}

// shrink drops closed problems, the oldest first, until the store is small enough.
func (k *Keeper) shrink(ctx context.Context, closed []over) error {
	if k.Used == nil || k.MaxBytes == 0 || k.Used() <= k.MaxBytes {
		k.Metrics.overfull.Set(0)
		return nil
	}
	slices.SortFunc(closed, func(a, b over) int { return a.ended.Compare(b.ended) })
	enough := k.MaxBytes - k.MaxBytes/10
	for _, o := range closed {
		if k.Used() <= enough {
			break
		}
		if k.Now().Sub(o.ended) < settled {
			break
		}
		if err := k.drop(ctx, o, "size"); err != nil {
			return err
		}
	}
	if used := k.Used(); used > k.MaxBytes {
		k.Metrics.overfull.Set(1)
		k.Log.Error("store is larger than it may be, and nothing more in it may go: raise store.bolt.max_bytes",
			"used", used, "max", k.MaxBytes)
		return nil
	}
	k.Metrics.overfull.Set(0)
	return nil
}

// episodes drops what is left of a problem's former episodes that are
// older than before.
func (k *Keeper) episodes(ctx context.Context, p page.Problem, before time.Time) error {
	if p.Episode < 2 {
		return nil
	}
	t, err := k.read(ctx, p.ID)
	if err != nil {
		return err
	}
	var old trail
	for episode := range p.Episode {
		e := t.of(p.ID, episode)
		if last := e.last(); !last.IsZero() && last.Before(before) {
			old.pages = append(old.pages, e.pages...)
			old.receipts = append(old.receipts, e.receipts...)
			old.timeline = append(old.timeline, e.timeline...)
			old.charts = append(old.charts, e.charts...)
		}
	}
	if len(old.keys()) == 0 {
		return nil
	}
	if err := k.remember(p.ID, old); err != nil {
		return err
	}
	return k.remove(ctx, old.keys())
}

// drop writes a problem to the history and removes it with all that belongs to
// it, unless it has changed since it was read.
func (k *Keeper) drop(ctx context.Context, o over, why string) error {
	t, err := k.read(ctx, o.id)
	if err != nil {
		return err
	}
	if err := k.remember(o.id, t); err != nil {
		return err
	}
	return k.discard(ctx, o, t, why)
}

// forget removes a problem of which no history is kept.
func (k *Keeper) forget(ctx context.Context, o over) error {
	t, err := k.read(ctx, o.id)
	if err != nil {
		return err
	}
	return k.discard(ctx, o, t, "canary")
}

func (k *Keeper) discard(ctx context.Context, o over, t trail, why string) error {
	err := k.remove(ctx, t.keys(), store.DeleteIf(store.ProblemKey(o.id), o.rev))
	if errors.Is(err, store.ErrConflict) {
		return nil // it is open again
	}
	if err == nil {
		k.Metrics.dropped.WithLabelValues(why).Inc()
	}
	return err
}

// remove deletes records in batches; last goes with the last of them.
func (k *Keeper) remove(ctx context.Context, keys []string, last ...store.Op) error {
	for len(keys) > 0 || len(last) > 0 {
		n := min(len(keys), store.MaxOps-1)
		var ops []store.Op
		for _, key := range keys[:n] {
			ops = append(ops, store.Delete(key))
		}
		if keys = keys[n:]; len(keys) == 0 {
			ops, last = append(ops, last...), nil
		}
		if err := k.Store.Apply(ctx, ops...); err != nil {
			return fmt.Errorf("drop: %w", err)
		}
	}
	return nil
}

// remember writes the trail of a problem to the history.
func (k *Keeper) remember(problem string, t trail) error {
	if k.History == nil {
		return nil
	}
	line, err := json.Marshal(t.line(problem, k.Now()))
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	return k.History.Append(line)
}

// orphans tells of work in lanes that nobody takes, and drops that of problems
// that are gone.
func (k *Keeper) orphans(ctx context.Context) error {
	stats, err := k.Store.Lanes(ctx)
	if err != nil {
		return fmt.Errorf("read lanes: %w", err)
	}
	left := 0
	for _, s := range stats {
		if !strings.HasPrefix(s.Lane, store.LaneDeliver) || k.Lanes[s.Lane] {
			continue
		}
		gone, err := k.orphan(ctx, s)
		if err != nil {
			return err
		}
		left += s.Items - gone
		k.Log.Warn("work waits for a target that is not in the config", "lane", s.Lane, "items", s.Items-gone, "dropped", gone)
	}
	k.Metrics.orphans.Set(float64(left))
	return nil
}

// orphan drops the items of a lane whose problem is gone; the others are let go
// of at once.
func (k *Keeper) orphan(ctx context.Context, s store.LaneStat) (gone int, err error) {
	for range s.Items {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		l, err := k.Store.Take(wait, s.Lane, time.Minute)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return gone, nil // no more of them are due
		}
		if err != nil {
			return gone, fmt.Errorf("take from lane: %w", err)
		}
		op := store.Retry(l, k.Now().Add(time.Minute))
		if _, rev, err := Load(ctx, k.Store, l.Key); err == nil && rev == 0 {
			op = store.Done(l)
			gone++
		}
		if err := k.Store.Apply(ctx, op); err != nil && !errors.Is(err, store.ErrFenced) {
			return gone, fmt.Errorf("drop item: %w", err)
		}
	}
	return gone, nil
}
