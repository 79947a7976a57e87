package enrich

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Pender is a Source that knows which alerts its rules hold back (`for`): those
// that will fire within a while, with all labels that Alertmanager will see and
// their expression in the generator URL. ErrNoRule says that it never will.
type Pender interface {
	Pending(ctx context.Context, within time.Duration) ([]page.Alert, error)
}

// Poll is how pending alerts are asked for.
type Poll struct {
	Every time.Duration // 0: never
	Lead  time.Duration // how long before an alert fires it is looked at
	Max   int           // alerts of one look, the worst first
}

// leastPoll bounds a look at pending alerts, however often there is one.
const leastPoll = 10 * time.Second

// PollPending asks all sources that can tell for pending alerts until ctx ends,
// and warms what they will be asked about.
func (e *Enricher) PollPending(ctx context.Context, p Poll) {
	if p.Every <= 0 {
		return
	}
	var all sync.WaitGroup
	for _, s := range e.Sources {
		if pender, ok := s.Source.(Pender); ok {
			all.Go(func() { e.poll(ctx, p, s, pender) })
		}
	}
	all.Wait()
}

func (e *Enricher) poll(ctx context.Context, p Poll, s Named, pender Pender) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if e.busy(s) {
			continue
		}
		look, stop := context.WithTimeout(ctx, max(p.Every, leastPoll))
		alerts, err := pender.Pending(look, p.Lead)
		stop()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrNoRule):
			e.Log.Info("source has no alerts to poll: pages are not prepared from it", "source", s.Name)
			return
		case err != nil:
			if failed++; failed == 1 { // once, until it is well again
				e.Log.Warn("poll pending alerts", "source", s.Name, "err", err)
			}
			continue
		}
		failed = 0
		slices.SortStableFunc(alerts, func(a, b page.Alert) int { return cmp.Compare(a.Severity().Rank(), b.Severity().Rank()) })
		if alerts = alerts[:min(len(alerts), p.Max)]; len(alerts) > 0 {
			e.Warm(ctx, "poll", alerts, nil)
		}
	}
}
