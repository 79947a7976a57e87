package pipeline

import (
	"fmt"
	"time"

	"github.com/tocsin/tocsin/page"
)

// lateWindow is how long after an alert resolved a firing that began before
// that may still be an echo: the slower of two Alertmanager peers, which waits
// peer-timeout (15 s by default) per position. Twice that, doubled for its retries.
const lateWindow = time.Minute

// Step is what one event did to a problem.
type Step struct {
	Problem page.Problem
	Changed bool         // there is something new to show: Revision grew
	Opened  bool         // a new episode began: people are to be told
	Closed  bool         // the last firing alert is gone
	Grew    bool         // alerts joined an open problem
	Held    []page.Alert // firing, but perhaps an echo: ask Alertmanager before believing it
	Why     string       // the decision in words
}

// Advance applies an event to a problem. It is a pure function of its
// arguments: the same events in the same order give the same problem. The zero
// Problem is one that nothing is known of yet.
func Advance(p page.Problem, e page.Event) Step {
	switch e.Kind {
	case page.Notified, page.Alarmed:
		return advanceGroup(p, e, false)
	case page.Recheck:
		return advanceGroup(p, e, true)
	case page.Enriched:
		return advanceContext(p, e)
	case page.Dated:
		return advanceSince(p, e)
	case page.Unshadowed:
		return advanceUnshadowed(p, e)
	default:
		return Step{Problem: p, Why: "an event of unknown kind " + string(e.Kind)}
	}
}

// advanceGroup applies a snapshot of the group. confirmed says that Alertmanager
// itself was asked and that these alerts do fire.
func advanceGroup(p page.Problem, e page.Event, confirmed bool) Step {
	n := e.Notification
	if n == nil {
		return Step{Problem: p, Why: "an event without its notification"}
	}
	s := Step{Problem: clone(p)}
	q := &s.Problem
	if q.ID == "" {
		*q = page.Problem{
			ID: e.Problem, Cluster: n.Cluster, Receiver: n.Receiver, GroupKey: n.GroupKey,
			State: page.Closed, Members: map[string]page.Member{}, Self: e.Kind == page.Alarmed,
		}
	}
	wasOpen := openCount(*q) > 0
	joined, left := 0, 0
	seen := make(map[string]bool, len(n.Alerts))
	for _, a := range n.Alerts {
		seen[a.ID] = true
		switch m := q.Members[a.ID]; {
		case a.Status == page.Firing && !m.Open && !confirmed && echo(m, a, e.At):
			s.Held = append(s.Held, a)
		case a.Status == page.Firing:
			q.Members[a.ID] = fire(m, a, e.At)
			if !m.Open {
				joined++
			}
		case stale(m, a):
		default:
			q.Members[a.ID] = cease(m, a, e.At)
			if m.Open {
				left++
			}
		}
	}
	// A snapshot holds every firing alert, so one that is missing has left
	// without resolving: silenced, inhibited or expired. A truncated snapshot,
	// and one that only confirms a few alerts, prove nothing by absence.
	if n.Truncated == 0 && !confirmed {
		for id, m := range q.Members {
			if m.Open && !seen[id] {
				m.Open, m.LeftOnly, m.Closed = false, true, e.At
				q.Members[id] = m
				left++
			}
		}
	}
	if !confirmed {
		q.Group = *n
		q.Group.Alerts = nil
	}
	s.settle(wasOpen, joined, left, e.At)
	return s
}

// settle decides what the counts mean for the problem as a whole.
func (s *Step) settle(wasOpen bool, joined, left int, at time.Time) {
	p, open := &s.Problem, openCount(s.Problem)
	p.Updated = at
	switch {
	case !wasOpen && open > 0:
		s.Opened = true
		s.Why = fmt.Sprintf("opened: %d alerts fire", open)
		s.begin(at)
	case wasOpen && open == 0:
		s.Closed = true
		s.Why = "closed: no alert fires any more"
		p.State, p.Ended = page.Closed, at
	case joined > 0 || left > 0:
		s.Grew = joined > 0
		s.Why = fmt.Sprintf("changed: %d joined, %d left", joined, left)
	case len(s.Held) > 0:
		s.Why = fmt.Sprintf("held: %d alerts fire that resolved a moment ago; Alertmanager is asked", len(s.Held))
		return
	case open > 0:
		s.Why = "repeated: nothing new"
		return
	default:
		s.Why = "nothing fires and nothing was open: not a page"
		return
	}
	s.Changed = true
	p.Revision++
}
