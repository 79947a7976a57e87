package pipeline

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Charter asks for the course of an alert's expression. It is false where there
// is nothing to draw (yet).
type Charter interface {
	Chart(ctx context.Context, p page.Problem) (page.Chart, bool)
}

// ChartOutbox is an Outbox that hands the targets of a problem its chart too.
type ChartOutbox interface {
	Chart(p page.Problem) []store.Op
}

const (
	// chartFirst lets the page be there before its chart is asked for.
	chartFirst = 5 * time.Second
	// chartAgain is the time between two looks at a chart that cannot be drawn
	// yet, or whose page still waits for its context or date.
	chartAgain = 15 * time.Second
	// chartTries bounds them.
	chartTries = 14
	// chartDateTries bounds those that wait for a date: a chart in the thread
	// helps now, and a date that comes later is drawn for the page on the web.
	chartDateTries = 5
)

// charts reports whether a step leaves a page behind that is owed a chart. One
// that was drawn is drawn anew for the page on the web when its date comes late.
func (w *Worker) charts(s Step, e page.Event) bool {
	p := s.Problem
	if w.Charter == nil || p.Self || p.Folded != "" || p.State != page.Open {
		return false
	}
	return s.Opened || s.Unfolded || s.Changed && e.Kind == page.Dated && !p.Charted.IsZero()
}

// draw asks for the chart of a page that has left, once what belongs on it is
// known, or will not be.
func (w *Worker) draw(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	if w.Charter == nil || p.State != page.Open {
		return w.Store.Apply(ctx, store.Done(l))
	}
	last := l.Attempt+1 >= chartTries
	again := func() error { return w.Store.Apply(ctx, store.Retry(l, w.Now().Add(chartAgain))) }
	if !last && (p.Context.Pending || l.Attempt+1 < chartDateTries && w.undatedYet(p)) {
		return again()
	}
	ask, cancel := context.WithTimeout(ctx, contextFor)
	c, ok := w.Charter.Chart(ask, p)
	cancel()
	switch {
	case ok:
		e.Kind, e.Chart = page.Charted, &c
		return w.submit(ctx, l, p, e)
	case last:
		return w.Store.Apply(ctx, store.Done(l))
	}
	return again()
}

// undatedYet reports whether the page waits for the date that its chart shows.
func (w *Worker) undatedYet(p page.Problem) bool {
	_, _, dated := p.Context.Dating()
	return w.Dater != nil && dated && p.Context.Onset == nil
}

// charted takes in a chart. It changes nothing that the message says, so it is
// no revision; the first of an episode goes to the targets.
func (s *Step) charted(e page.Event) {
	p := s.Problem
	switch {
	case e.Chart == nil || p.ID == "":
		s.Why = "a chart without a problem"
	case e.Episode != p.Episode:
		s.Why = "chart of an episode that is over"
	default:
		s.post = p.Charted.IsZero() && p.Folded == "" && p.State == page.Open
		s.Why = "the chart is drawn anew"
		if s.post {
			s.Why = "the chart is there"
		}
		s.Problem.Charted = e.At
		s.chart = e.Chart
	}
}
