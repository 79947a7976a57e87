package pipeline

import (
	"cmp"
	"maps"
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

// absent closes the open members that a whole snapshot does not hold, and
// returns their alerts in a fixed order.
func absent(members map[string]page.Member, seen map[string]bool, now time.Time) []page.Alert {
	var out []page.Alert
	for id, m := range members {
		if m.Open && !seen[id] {
			m.Open, m.LeftOnly, m.Closed = false, true, now
			members[id] = m
			out = append(out, m.Alert)
		}
	}
	slices.SortFunc(out, func(a, b page.Alert) int { return cmp.Compare(a.ID, b.ID) })
	return out
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
	p.Updates, p.Ack, p.Silences, p.Useless, p.Runs = nil, nil, nil, nil, nil
	p.Entries, p.Repeated, p.Charted = 0, false, time.Time{}
	p.Flapping, p.Settling, p.Folded = 0, time.Time{}, ""
	s.opens(at)
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
	p.Peak = page.Peak{Severity: p.Severity(), Critical: remember(nil, criticals(*p)...), Alerts: openCount(*p)}
}

// clone copies what Advance writes to.
func clone(p page.Problem) page.Problem {
	p.Members = maps.Clone(p.Members)
	if p.Storm != nil {
		storm := *p.Storm
		storm.Rules = maps.Clone(storm.Rules)
		p.Storm = &storm
		p.Group.CommonLabels = p.Group.CommonLabels.Clone()
	}
	if p.Members == nil && p.ID != "" {
		p.Members = map[string]page.Member{}
	}
	return p
}
