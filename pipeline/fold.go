package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// gauge counts new problems by receiver. It is this replica's alone: with
// several, each folds from its own count on.
type gauge struct {
	mu     sync.Mutex
	opened map[string][]opening // by receiver, in the order of time
}

// opening is an episode that began.
type opening struct {
	problem string
	episode int
	at      time.Time
}

// stormy counts an opening, once however often it is tried, and reports whether
// it is one too many.
func (g *gauge) stormy(r Storms, receiver string, o opening) bool {
	if r.Problems == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = map[string][]opening{}
	}
	all := g.opened[receiver]
	for len(all) > 0 && o.at.Sub(all[0].at) >= r.Within {
		all = all[1:]
	}
	counted := false
	for i := len(all) - 1; i >= 0 && i >= len(all)-1000 && !counted; i-- {
		counted = all[i].problem == o.problem && all[i].episode == o.episode
	}
	if !counted {
		all = append(all, o)
	}
	g.opened[receiver] = all
	return len(all) > r.Problems
}

// folds reports whether a problem that has just opened is told by a storm.
// Tocsin's own alarms and tests are told whatever happens.
func (w *Worker) folds(p page.Problem) bool {
	return !p.Self && !p.Test && p.Storm == nil &&
		w.gauge.stormy(w.Rules.Storms, p.Receiver, opening{p.ID, p.Episode, w.Now()})
}

// fold leaves a problem that has just opened to the storm of its receiver:
// nobody is told of it by itself, and no source is asked about it.
func (s *Step) fold(at time.Time) {
	p := &s.Problem
	p.Folded = page.StormID(p.Receiver)
	p.Clock.Decided = at
	s.say(page.UpdateStorm, at, "one of too many new problems: the message of the storm tells of it")
	s.Why += "; folded into the storm of its receiver, whose message tells of it: too many new problems"
	s.gust, s.storm = s.part(false), p.Folded
}

// unfold has a problem of a storm told by itself from now on.
func (s *Step) unfold(at time.Time, why string) {
	p := &s.Problem
	s.gust, s.storm = s.part(true), p.Folded
	p.Folded = ""
	p.Context.Pending = !p.Context.Known()
	s.Unfolded = true
	s.say(page.UpdateStorm, at, "told by itself from now on: "+why)
	s.Why += "; no longer folded into the storm: " + why
}

// gustLabels bounds the labels a storm learns of one problem.
const gustLabels = 20

// part is the problem's part in a storm. Its rule is the one its group is of,
// else that of its worst alert.
func (s *Step) part(over bool) *page.Gust {
	p := s.Problem
	g := page.Gust{Problem: p.ID, Receiver: p.Receiver, Severity: p.Severity(), Over: over, Alert: p.Group.GroupLabels["alertname"]}
	if alerts := append(p.Firing(), p.Ceased()...); g.Alert == "" && len(alerts) > 0 {
		g.Alert = alerts[0].Name()
	}
	g.Alert = page.OneLine(g.Alert) // a storm keeps a hundred of them
	if !over {
		g.Labels = page.Labels{}
		group := s.hidden().Labels(p.Group.GroupLabels)
		names := group.Names()
		for _, name := range names[:min(len(names), gustLabels)] {
			g.Labels[name] = page.OneLine(group[name])
		}
	}
	return &g
}

// gusts is the event by which the storm learns of a step.
func (w *Worker) gusts(s Step) ([]store.Op, error) {
	if s.gust == nil {
		return nil, nil
	}
	blown := page.Event{
		Problem: s.storm, Kind: page.Blown, Actor: "tocsin", At: w.Now(), Gust: s.gust, Trace: s.Problem.Trace,
		ID: fmt.Sprintf("gust/%s/%d/%d/%t", s.Problem.ID, s.Problem.Episode, s.Problem.Revision, s.gust.Over),
	}
	value, err := store.Marshal(blown)
	if err != nil {
		return nil, err
	}
	return []store.Op{store.Enqueue(store.Item{
		Lane: store.LaneEvents, ID: blown.ID, Key: blown.Problem, Priority: -s.gust.Severity.Rank(), Value: value,
	})}, nil
}

// lull ends a storm that nothing was folded into for a while: what is critical
// in it and still fires is told by itself, then the storm says that it is calm.
func (w *Worker) lull(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	switch {
	case p.State != page.Open || p.Storm == nil || p.Storm.Calmed:
		return w.Store.Apply(ctx, store.Done(l))
	case w.Now().Before(p.Settling):
		return w.Store.Apply(ctx, store.Retry(l, p.Settling))
	}
	e.Kind = page.Calmed
	if err := w.unfold(ctx, p.ID, e); err != nil {
		return err
	}
	return w.submit(ctx, l, p, e)
}

// unfold sends the event to every critical problem that is folded into a storm.
// Done twice, it changes nothing.
func (w *Worker) unfold(ctx context.Context, storm string, e page.Event) error {
	for after := ""; ; {
		recs, err := w.Store.Scan(ctx, store.ProblemPrefix, after, scanned)
		if err != nil {
			return fmt.Errorf("read problems: %w", err)
		}
		var ops []store.Op
		for _, rec := range recs {
			after = rec.Key
			var p page.Problem
			if err := store.Unmarshal(rec.Value, &p); err != nil {
				return fmt.Errorf("read problem %s: %w", rec.Key, err)
			}
			if p.Folded != storm || p.State != page.Open || p.Severity() != page.Critical {
				continue
			}
			e.Problem, e.Episode, e.ID = p.ID, p.Episode, fmt.Sprintf("unfold/%s/%d", p.ID, p.Episode)
			value, err := store.Marshal(e)
			if err != nil {
				return err
			}
			ops = append(ops, store.Enqueue(store.Item{Lane: store.LaneEvents, ID: e.ID, Key: p.ID, Value: value}))
		}
		if len(ops) > 0 {
			if err := w.Store.Apply(ctx, ops...); err != nil {
				return fmt.Errorf("unfold: %w", err)
			}
		}
		if len(recs) < scanned {
			return nil
		}
	}
}

// show has a storm show its counts.
func (w *Worker) show(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	if p.State != page.Open || p.Storm == nil {
		return w.Store.Apply(ctx, store.Done(l))
	}
	e.Kind = page.Blown
	e.ID += "/" + w.Now().UTC().Format(time.RFC3339Nano) // the job's own is the same each time
	return w.submit(ctx, l, p, e)
}
