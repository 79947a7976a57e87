package pipeline

import (
	"fmt"
	"slices"
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
	Why     string       // the decision in words, without values that must not leave the house
	Again   bool         // it brought nothing, as such events do all the time
	Refused bool         // somebody asked for something that is not done

	Unfolded bool // the problem is told by itself from now on

	decides bool // somebody said whether a dispatch may go on

	votes []string   // rules whose page was found not useful
	ask   *page.Act  // what Alertmanager is to be told
	wake  time.Time  // when a silence is over: what fires then is asked for
	gust  *page.Gust // the problem's part in a storm
	storm string     // the problem that the storm is
	chart *page.Chart
	post  bool      // the chart is the episode's first: targets are handed it
	blows bool      // a storm is to be looked at when it may be calm
	later time.Time // when a storm shows its counts

	besides []page.Receipt // who was told of a known episode past the store, and nobody here knew

	rules Rules
	veil  *page.Veil // made when the first text is
}

// Rules are the numbers by which problems live. The zero Rules redact nothing
// and know neither storms nor flapping.
type Rules struct {
	Redact     []string      // labels whose values stand in no text
	SilenceMax time.Duration // the longest silence a person may ask for; 0: any
	Flapping   Flapping
	Storms     Storms
}

// Advance applies an event by the zero Rules.
func Advance(p page.Problem, e page.Event) Step { return Rules{}.Advance(p, e) }

// Advance applies an event to a problem. It is a pure function of its
// arguments: the same events in the same order give the same problem. The zero
// Problem is one that nothing is known of yet.
func (r Rules) Advance(p page.Problem, e page.Event) Step {
	s := Step{Problem: p, rules: r}
	switch e.Kind {
	case page.Notified, page.Alarmed:
		s.group(e, false)
	case page.Recheck:
		s.group(e, true)
	case page.Enriched:
		s.context(e)
	case page.Dated:
		s.since(e)
	case page.Unshadowed:
		s.unshadow(e)
	case page.Acted:
		s.act(e)
	case page.Silenced:
		s.silenced(e)
	case page.Ran:
		s.ran(e)
	case page.Told:
		s.told(e)
	case page.Calmed:
		s.calm(e)
	case page.Blown:
		s.blow(e)
	case page.Charted:
		s.charted(e)
	default:
		s.Why = "an event of unknown kind " + string(e.Kind)
	}
	s.Why = s.hidden().Text(s.Why)
	return s
}

// revise makes a new revision of the problem: there is something new to show.
func (s *Step) revise(at time.Time) {
	s.Problem.Updated = at
	s.Problem.Revision++
	s.Changed = true
}

// swing is what a snapshot did to the alerts of a problem.
type swing struct {
	fired  int             // that fired before
	worst  page.Severity   // of those
	known  map[string]bool // alertnames of the episode before
	joined []page.Alert
	left   []page.Alert // resolved
	gone   []page.Alert // no longer in the group, although nobody said that they resolved
}

// group applies a snapshot of the group. confirmed says that Alertmanager
// itself was asked and that these alerts do fire.
func (s *Step) group(e page.Event, confirmed bool) {
	n := e.Notification
	if n == nil {
		s.Why = "an event without its notification"
		return
	}
	s.Problem = clone(s.Problem)
	q := &s.Problem
	if q.ID == "" {
		*q = page.Problem{
			ID: e.Problem, Cluster: n.Cluster, Receiver: n.Receiver, GroupKey: n.GroupKey,
			State: page.Closed, Members: map[string]page.Member{}, Self: e.Kind == page.Alarmed,
		}
	}
	c := swing{fired: openCount(*q), worst: q.Severity(), known: alertnames(*q)}
	seen := make(map[string]bool, len(n.Alerts))
	for _, a := range n.Alerts {
		seen[a.ID] = true
		m := q.Members[a.ID]
		late := a.Status == page.Firing && !m.Open && !confirmed && echo(m, a, e.At)
		if late {
			s.Held = append(s.Held, a)
		}
		switch {
		// Where somebody was told past the store of an episode that is not known
		// here, what stands there must be ended, be it an echo or not: it opens,
		// and Alertmanager is asked then.
		case late && (len(e.Receipts) == 0 || s.knows(e.Receipts)):
		case a.Status == page.Firing:
			q.Members[a.ID] = fire(m, a, e.At)
			if !m.Open {
				c.joined = append(c.joined, a)
			}
		case stale(m, a):
		default:
			q.Members[a.ID] = cease(m, a, e.At)
			if m.Open {
				c.left = append(c.left, a)
			}
		}
	}
	// A snapshot holds every firing alert, so one that is missing has left
	// without resolving: silenced, inhibited or expired. A truncated snapshot,
	// and one that only confirms a few alerts, prove nothing by absence.
	if n.Truncated == 0 && !confirmed {
		c.gone = absent(q.Members, seen, e.At)
	}
	if !confirmed {
		q.Group = *n
		q.Group.Alerts = nil
	}
	if confirmed && len(n.Alerts) == 0 {
		s.Why = "an echo: Alertmanager knows of none of the alerts that were held"
		return
	}
	s.settle(c, e.At)
	if len(s.Held) > 0 && !s.Changed && s.knows(e.Receipts) {
		s.endAgain(e)
	}
}

// knows reports whether what was told past the store was told of the episode
// that is the last one here.
func (s *Step) knows(told []page.Receipt) bool {
	return len(told) > 0 && !slices.ContainsFunc(told, func(r page.Receipt) bool { return r.Episode != s.Problem.Episode })
}

// endAgain tells once more that an episode is over: somebody was told of it past
// the store while others told of it and of its end, so nobody knows which came last.
func (s *Step) endAgain(e page.Event) {
	q := &s.Problem
	if q.State != page.Closed || !q.Settling.IsZero() {
		return // its end is told when it comes
	}
	for _, r := range e.Receipts {
		if !slices.Contains(q.Told, r.Target) {
			q.Told, s.besides = append(slices.Clip(q.Told), r.Target), append(s.besides, r)
		}
	}
	s.Why += "; its end is told again where it was told past the store"
	s.revise(e.At)
}

// settle decides what a swing means for the problem as a whole.
func (s *Step) settle(c swing, at time.Time) {
	p, open := &s.Problem, openCount(s.Problem)
	p.Updated = at
	switch {
	case c.fired == 0 && open > 0 && !p.Settling.IsZero():
		s.comeBack(c, at)
	case c.fired == 0 && open > 0:
		s.Opened = true
		s.Why = fmt.Sprintf("opened: %s", alertsFire(open))
		s.begin(at)
	case c.fired > 0 && open == 0 && s.flaps(at):
		s.hold(at)
	case c.fired > 0 && open == 0:
		s.close(at)
	case len(c.joined)+len(c.left)+len(c.gone) > 0:
		s.Grew = len(c.joined) > 0
		s.Why = fmt.Sprintf("changed: %d joined, %d left", len(c.joined), len(c.left)+len(c.gone))
		s.move(c, at)
	case len(s.Held) > 0:
		s.Why = fmt.Sprintf("held: %s that resolved a moment ago; Alertmanager is asked", alertsFire(len(s.Held)))
		return
	case open > 0:
		s.Why, s.Again = "repeated: nothing new", true
		return
	case !p.Settling.IsZero():
		s.Why, s.Again = "repeated: it is quiet", true
		return
	default:
		s.Why, s.Again = "nothing fires and nothing was open: not a page", true
		return
	}
	s.revise(at)
}

// close ends the episode.
func (s *Step) close(at time.Time) {
	p := &s.Problem
	s.Closed = true
	s.Why = "closed: no alert fires any more"
	p.State, p.Ended, p.Settling = page.Closed, at, time.Time{}
	if p.Folded != "" {
		s.gust, s.storm = s.part(true), p.Folded
	}
	s.say(page.UpdateResolved, at, "resolved after "+page.Span(at.Sub(p.Opened)))
}

func alertsFire(n int) string {
	if n == 1 {
		return "1 alert fires"
	}
	return fmt.Sprintf("%d alerts fire", n)
}
