package pipeline

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// echo reports whether a firing alert may be the past speaking: it is closed
// since less than lateWindow, and claims to have begun before it ended.
func echo(m page.Member, a page.Alert, now time.Time) bool {
	if m.Closed.IsZero() || m.LeftOnly || now.Sub(m.Closed) >= lateWindow {
		return false
	}
	ended := m.Ended
	if ended.IsZero() {
		ended = m.Closed
	}
	return !a.StartsAt.After(ended)
}

// stale reports whether a resolve speaks of an earlier firing than the one that
// is open: the slower peer's snapshot, which comes after the alert fired anew.
func stale(m page.Member, a page.Alert) bool {
	return m.Open && !a.EndsAt.IsZero() && a.EndsAt.Before(m.Began)
}

func fire(m page.Member, a page.Alert, now time.Time) page.Member {
	if !m.Open {
		m = page.Member{Episode: m.Episode + 1, Began: a.StartsAt, Open: true}
	}
	m.Alert, m.Seen = a, now
	return m
}

// cease closes a member. One that was never seen firing is kept as closed: a
// firing of it that comes late is then known for what it is. One that had left
// only, silenced say, has resolved now.
func cease(m page.Member, a page.Alert, now time.Time) page.Member {
	if m.Open || m.LeftOnly || m.Closed.IsZero() {
		m.Open, m.LeftOnly, m.Closed = false, false, now
	}
	if m.Began.IsZero() {
		m.Began = a.StartsAt
	}
	m.Alert, m.Seen, m.Ended = a, now, a.EndsAt
	return m
}

func openCount(p page.Problem) int {
	n := 0
	for _, m := range p.Members {
		if m.Open {
			n++
		}
	}
	return n
}

// begin opens a new episode of s.Problem: what the last one left behind is
// dropped, but for members closed so lately that an echo of them may come.
func (s *Step) begin(at time.Time) {
	p := &s.Problem
	p.State, p.Episode, p.Opened, p.Ended = page.Open, p.Episode+1, at, time.Time{}
	p.Context, p.Told = page.Context{}, nil
	p.Clock = page.Clock{Received: at}
	for id, m := range p.Members {
		switch {
		case m.Open:
			began := m.Alert.StartsAt
			if !began.IsZero() && began.Before(at) && (p.Clock.Started.IsZero() || began.Before(p.Clock.Started)) {
				p.Clock.Started = began
			}
		case at.Sub(m.Closed) >= lateWindow:
			delete(p.Members, id)
		}
	}
	if p.Clock.Started.IsZero() { // a clock ahead of ours, or none at all
		p.Clock.Started = at
	}
}

// advanceContext takes in context that came after the page had left.
func advanceContext(p page.Problem, e page.Event) Step {
	s := Step{Problem: p}
	switch {
	case e.Context == nil || p.ID == "":
		s.Why = "context without a problem"
	case e.Episode != p.Episode || p.State != page.Open:
		s.Why = "context of an episode that is over"
	case !better(p.Context, *e.Context):
		s.Why = "context brought nothing new"
	default:
		s.Problem = clone(p)
		s.Problem.Context = *e.Context
		keepDate(p.Context, &s.Problem.Context)
		if s.Problem.Clock.Enriched.IsZero() && e.Context.Known() {
			s.Problem.Clock.Enriched = e.At
		}
		s.Problem.Updated = e.At
		s.Problem.Revision++
		s.Changed = true
		s.Why = "context arrived: " + page.Headline(s.Problem.Context)
	}
	return s
}

// better reports whether now should replace old on the page. A trait once said
// is taken back for another trait only: a fault that fades looks like "nothing
// in common", and so does a source that has gone.
func better(old, now page.Context) bool {
	sampled := old.Exemplars == nil && now.Exemplars != nil
	switch {
	case len(now.Traits) > 0:
		return !sameTraits(old.Traits, now.Traits) || old.Pending || old.Onset == nil && now.Onset != nil || sampled
	case len(old.Traits) > 0:
		return false
	case now.None:
		return !old.None || sampled
	case old.None:
		return false
	default: // neither knows: only the reasons may differ
		return old.Pending != now.Pending || !reflect.DeepEqual(texts(old.Notes), texts(now.Notes))
	}
}

func sameTraits(a, b []page.Trait) bool {
	return slices.EqualFunc(a, b, func(x, y page.Trait) bool {
		return maps.Equal(x.Labels, y.Labels) && x.Failing == y.Failing && x.Healthy == y.Healthy
	})
}

func texts(notes []page.Note) []string {
	out := make([]string, len(notes))
	for i, n := range notes {
		out[i] = n.Text
	}
	return out
}

// clone copies what Advance writes to.
func clone(p page.Problem) page.Problem {
	p.Members = maps.Clone(p.Members)
	if p.Members == nil && p.ID != "" {
		p.Members = map[string]page.Member{}
	}
	return p
}
