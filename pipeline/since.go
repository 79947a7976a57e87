package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Dater finds out since when a problem's context holds, and after which of the
// known changes. It is false where it cannot tell (yet).
type Dater interface {
	Since(ctx context.Context, p page.Problem, known []page.Change) (page.Context, bool)
}

const (
	// sinceTries bounds the looks at one context. The first is as early as can
	// be, when the rates of a young fault have barely begun to rise.
	sinceTries = 4
	// sinceAgain is the time between them; it grows with each.
	sinceAgain = 20 * time.Second
	// knownFor is how far back changes are looked up.
	knownFor = 2 * time.Hour
	// mostKnown bounds them, the latest first.
	mostKnown = 500
)

// undated reports whether a step left a page that says what is shared and not
// since when.
func (w *Worker) undated(s Step, e page.Event) bool {
	p := s.Problem
	if w.Dater == nil || p.Self || p.Folded != "" || p.State != page.Open || p.Context.Onset != nil {
		return false
	}
	if _, _, ok := p.Context.Dating(); !ok {
		return false
	}
	return s.Opened || s.Changed && e.Kind == page.Enriched
}

// since looks for the onset. The page has left long before.
func (w *Worker) since(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	if p.State != page.Open || p.Context.Onset != nil {
		return w.Store.Apply(ctx, store.Done(l))
	}
	known, err := Changes(ctx, w.Store, w.Now().Add(-knownFor))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, contextFor)
	found, ok := w.Dater.Since(ctx, p, known)
	cancel()
	ctx = context.WithoutCancel(ctx)
	if !ok {
		if l.Attempt+1 < sinceTries {
			return w.Store.Apply(ctx, store.Retry(l, w.Now().Add(time.Duration(l.Attempt+1)*sinceAgain)))
		}
		return w.Store.Apply(ctx, store.Done(l))
	}
	e.Kind, e.Context = page.Dated, &found
	return w.submit(ctx, l, p, e)
}

// Changes reads the changes that were reported since a time, in order.
func Changes(ctx context.Context, s store.Store, since time.Time) ([]page.Change, error) {
	var out []page.Change
	after := store.ChangesSince(since)
	for {
		recs, err := s.Scan(ctx, store.ChangePrefix, after, 100)
		if err != nil {
			return nil, fmt.Errorf("read changes: %w", err)
		}
		for _, rec := range recs {
			var c page.Change
			if err := store.Unmarshal(rec.Value, &c); err != nil {
				return nil, fmt.Errorf("read change %s: %w", rec.Key, err)
			}
			out = append(out, c)
			after = rec.Key
		}
		if len(recs) < 100 {
			return out[max(0, len(out)-mostKnown):], nil
		}
	}
}

// since takes in when it began. The page may say something else by now than
// what was dated.
func (s *Step) since(e page.Event) {
	p := s.Problem
	switch {
	case e.Context == nil || e.Context.Onset == nil || p.ID == "":
		s.Why = "a date without a problem"
	case e.Episode != p.Episode || p.State != page.Open:
		s.Why = "date of an episode that is over"
	case !e.Context.SameCause(p.Context):
		s.Why = "date of something that the page no longer says"
	case p.Context.Onset != nil:
		s.Why = "the page has its date"
	default:
		s.Problem = clone(p)
		c := &s.Problem.Context
		c.Onset, c.Changes, c.Queries = e.Context.Onset, e.Context.Changes, e.Context.Queries
		s.Why = "dated: " + page.Headline(*c)
		s.learn(p.Context, e.At)
		s.revise(e.At)
	}
}

// keepDate carries the onset, and what single events told, over to a context
// that says the same.
func keepDate(old page.Context, now *page.Context) {
	if now.Exemplars == nil && now.SameCause(old) {
		now.Exemplars = old.Exemplars
	}
	if now.Onset == nil && old.Onset != nil && now.SameCause(old) {
		now.Onset, now.Changes = old.Onset, old.Changes
	}
}
