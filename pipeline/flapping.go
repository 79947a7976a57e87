package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Flapping says which problems come and go: from the Openings'th opening within
// Within on, one is closed only after it was quiet for Quiet, and what comes
// back until then is the same episode. Openings 0: nothing flaps.
type Flapping struct {
	Openings int
	Within   time.Duration
	Quiet    time.Duration
}

// flapEvery is the time between two lines about one problem's coming and going.
const flapEvery = 5 * time.Minute

// openings returns the times of openings that count by now, as many as tell
// whether the problem flaps.
func (f Flapping) openings(all []time.Time, now time.Time) []time.Time {
	if f.Openings == 0 {
		return nil
	}
	recent := slices.DeleteFunc(slices.Clone(all), func(t time.Time) bool { return now.Sub(t) >= f.Within })
	return recent[max(0, len(recent)-f.Openings):]
}

// flaps reports whether the problem has opened so often lately that it is not
// closed yet.
func (s *Step) flaps(at time.Time) bool {
	f, p := s.rules.Flapping, s.Problem
	return f.Openings > 0 && !p.Self && p.Storm == nil && len(f.openings(p.Openings, at)) >= f.Openings
}

// opens counts an opening, or a coming back that would have been one.
func (s *Step) opens(at time.Time) {
	p := &s.Problem
	p.Openings = append(s.rules.Flapping.openings(p.Openings, at), at)
	p.Openings = s.rules.Flapping.openings(p.Openings, at)
}

// hold keeps a flapping problem open although nothing fires.
func (s *Step) hold(at time.Time) {
	p, f := &s.Problem, s.rules.Flapping
	p.Settling = at.Add(f.Quiet)
	s.Why = fmt.Sprintf("quiet, but it comes and goes: it closes at %s unless it comes back", page.Moment(p.Settling, at))
	if p.Flapping == 0 {
		s.say(page.UpdateFlapping, at, fmt.Sprintf("comes and goes (%d times within %s): it stays open, and closes when it was quiet for %s",
			f.Openings, page.Span(f.Within), page.Span(f.Quiet)))
	}
}

// comeBack goes on with an episode that was quiet for a while.
func (s *Step) comeBack(c swing, at time.Time) {
	p := &s.Problem
	p.Flapping++
	p.Settling = time.Time{}
	s.opens(at)
	s.Why = fmt.Sprintf("came back for the %s time: it flaps, so this is the same episode", ordinal(p.Flapping))
	recent := func(u page.Update) bool { return u.Kind == page.UpdateFlapping && at.Sub(u.At) < flapEvery }
	if !slices.ContainsFunc(p.Updates, recent) {
		s.say(page.UpdateFlapping, at, fmt.Sprintf("came back for the %s time", ordinal(p.Flapping)))
	}
	if why := s.raise(c, at); why != "" {
		s.worse(at, why)
	}
	if p.Folded != "" && p.Severity() == page.Critical { // the storm may have passed while it was quiet
		s.unfold(at, "it came back")
	}
}

// calm closes a flapping problem that stayed quiet, ends a storm, or brings a
// problem out of one.
func (s *Step) calm(e page.Event) {
	p := s.Problem
	if p.ID == "" || p.State != page.Open || e.Episode != p.Episode {
		s.Why = "calm: the episode is over"
		return
	}
	s.Problem = clone(p)
	switch {
	case !p.Settling.IsZero() && openCount(p) == 0 && p.Storm == nil:
		if e.At.Before(p.Settling) {
			s.Why = "not quiet for long enough"
			return
		}
		s.close(e.At)
		s.Why = fmt.Sprintf("closed: quiet for %s after it came and went", page.Span(s.rules.Flapping.Quiet))
		s.revise(e.At)
	case p.Storm != nil:
		s.lull(e.At)
	case p.Folded != "" && openCount(p) > 0:
		s.Why = "calm: the storm has passed"
		s.unfold(e.At, "the storm has passed, and it still fires")
		s.revise(e.At)
	default:
		s.Why = "calm: nothing waits for that"
	}
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}

// settled closes a flapping problem unless it came back meanwhile.
func (w *Worker) settled(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	switch {
	case p.State != page.Open || p.Settling.IsZero():
		return w.Store.Apply(ctx, store.Done(l))
	case w.Now().Before(p.Settling):
		return w.Store.Apply(ctx, store.Retry(l, p.Settling))
	}
	e.Kind = page.Calmed
	return w.submit(ctx, l, p, e)
}
