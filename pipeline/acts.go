package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

const (
	// mostVotes bounds the rules one press of "not useful" counts for.
	mostVotes = 20
	// longestRule is how long a name may be, in bytes, to be a key of the store.
	longestRule = 256
)

// act does what a person asks for, as far as it still applies.
func (s *Step) act(e page.Event) {
	p, a := s.Problem, e.Act
	switch {
	case a == nil || p.ID == "":
		s.Why = "an act without a problem"
		return
	case e.Episode != p.Episode, p.State != page.Open && a.Verb != page.NotUseful && a.Verb != page.UnsilenceIt:
		s.refuse(fmt.Sprintf("%s by %s: the episode is over", a.Verb, who(e)))
		return
	}
	s.Problem = clone(p)
	switch a.Verb {
	case page.Acknowledge:
		s.ack(e)
	case page.Unacknowledge:
		s.unack(e)
	case page.NotUseful:
		s.vote(e)
	case page.Remark:
		s.remark(e)
	case page.SilenceIt:
		s.silence(e)
	case page.UnsilenceIt:
		s.unsilence(e)
	case page.ApproveIt, page.DenyIt:
		s.decide(e)
	default:
		s.refuse("an act of unknown verb " + string(a.Verb))
	}
}

// who is the person behind an act, as people are called.
func who(e page.Event) string { return page.OneLine(cmp.Or(e.Act.By, e.Actor)) }

// sayOf says what somebody did, and where they did it.
func (s *Step) sayOf(e page.Event, kind page.UpdateKind, text string) {
	u := s.say(kind, e.At, text)
	u.Actor, u.Via = who(e), e.Act.Via
}

func (s *Step) refuse(why string) { s.Why, s.Refused = why, true }

func (s *Step) ack(e page.Event) {
	by, text := who(e), "acknowledged by "+who(e)
	if had := s.Problem.Ack; had != nil && had.By == by {
		s.Why, s.Again = "acknowledged already by "+by, true
		return
	} else if had != nil {
		text += ", who takes it over from " + had.By
	}
	s.Problem.Ack = &page.Ack{By: by, Via: e.Act.Via, At: e.At}
	s.sayOf(e, page.UpdateAcked, text)
	s.Why = text
	s.revise(e.At)
}

func (s *Step) unack(e page.Event) {
	if s.Problem.Ack == nil {
		s.Why, s.Again = "nobody has acknowledged it", true
		return
	}
	s.Problem.Ack = nil
	s.Why = "acknowledgement taken back by " + who(e)
	s.sayOf(e, page.UpdateUnacked, s.Why)
	s.revise(e.At)
}

// vote counts each person once in an episode, for every rule of it. Nothing on
// the page changes, so it may come after the end.
func (s *Step) vote(e page.Event) {
	p, by := &s.Problem, who(e)
	if slices.Contains(p.Useless, by) || len(p.Useless) >= peaks {
		s.Why, s.Again = "not useful: counted already for "+by, true
		return
	}
	p.Useless = append(slices.Clip(p.Useless), by)
	for name := range alertnames(*p) {
		if name != "" && len(name) <= longestRule {
			s.votes = append(s.votes, name)
		}
	}
	slices.Sort(s.votes)
	s.votes = s.votes[:min(len(s.votes), mostVotes)]
	s.Why = "not useful, says " + by
}

func (s *Step) remark(e page.Event) {
	text := page.OneLine(e.Act.Text)
	if text == "" {
		s.refuse("a note without words by " + who(e))
		return
	}
	s.Why = "note by " + who(e)
	s.sayOf(e, page.UpdateNote, who(e)+": "+text)
	s.revise(e.At)
}

// told notes that somebody else was told.
func (s *Step) told(e page.Event) {
	p := s.Problem
	if p.ID == "" || e.Episode != p.Episode || e.Text == "" {
		s.Why = "told somebody else: the episode is over"
		return
	}
	s.Problem = clone(p)
	s.Why = page.OneLine(e.Text)
	if p.State == page.Open {
		s.say(page.UpdateNote, e.At, e.Text)
		s.revise(e.At)
	}
}

// silence asks for a silence of exactly this group.
func (s *Step) silence(e page.Event) {
	p, a, by := &s.Problem, *e.Act, who(e)
	if limit := s.rules.SilenceMax; limit > 0 && a.Until.After(e.At.Add(limit)) {
		a.Until = e.At.Add(limit)
	}
	switch standing := slices.IndexFunc(p.Silences, func(x page.Silence) bool { return stands(x, e.At) && !x.Until.Before(a.Until) }); {
	case len(p.Group.GroupLabels) == 0:
		s.refuse("not silenced for " + by + ": the group has no labels, so a silence would hide every alert")
		s.say(page.UpdateNote, e.At, s.Why).Actor = by
		s.revise(e.At)
	case !a.Until.After(e.At):
		s.refuse("not silenced for " + by + ": the end is in the past")
	case standing >= 0:
		s.Why = "silenced already until " + page.Moment(p.Silences[standing].Until, e.At)
	default:
		s.ask = &a
		s.Why = fmt.Sprintf("silence until %s asked for by %s: Alertmanager is told", page.Moment(a.Until, e.At), by)
	}
}

// unsilence asks for the end of a silence, the last one if none is named.
func (s *Step) unsilence(e page.Event) {
	a := *e.Act
	for _, x := range s.Problem.Silences {
		if stands(x, e.At) && (e.Act.Silence == "" || e.Act.Silence == x.ID) {
			a.Silence = x.ID
			s.ask = &a
		}
	}
	if s.ask == nil {
		s.refuse("nothing to unsilence for " + who(e))
		return
	}
	s.Why = fmt.Sprintf("end of silence %s asked for by %s: Alertmanager is told", a.Silence, who(e))
}

func stands(x page.Silence, now time.Time) bool {
	return x.ID != "" && x.Error == "" && x.Ended.IsZero() && x.Until.After(now)
}

// silenced takes in what came of a silence, or of its undo.
func (s *Step) silenced(e page.Event) {
	if e.Silence == nil || s.Problem.ID == "" {
		s.Why = "a silence without a problem"
		return
	}
	x := *e.Silence
	by := page.OneLine(cmp.Or(x.By, e.Actor))
	s.Problem = clone(s.Problem)
	p := &s.Problem
	p.Silences = slices.Clone(p.Silences)
	at := slices.IndexFunc(p.Silences, func(y page.Silence) bool { return x.ID != "" && y.ID == x.ID })
	kind := page.UpdateSilenced
	switch {
	case x.Error != "":
		kind = page.UpdateNote
		s.refuse("not silenced for " + by + ": " + x.Error)
		if x.ID != "" {
			s.refuse("silence " + x.ID + " not ended for " + by + ": " + x.Error)
		} else {
			p.Silences = append(p.Silences, x)
		}
	case !x.Ended.IsZero() && at >= 0:
		kind = page.UpdateUnsilenced
		p.Silences[at].Ended = x.Ended
		s.wake = x.Ended.Add(wakeAfter)
		s.Why = "silence " + x.ID + " ended by " + by
	case at >= 0:
		s.Why = "silence " + x.ID + " is known"
		return
	default:
		p.Silences = append(p.Silences, x)
		s.wake = x.Until.Add(wakeAfter)
		s.Why = fmt.Sprintf("silenced until %s by %s: %s (id %s)", page.Moment(x.Until, e.At), by,
			strings.Join(s.hidden().Labels(p.Group.GroupLabels).Matchers(), ", "), x.ID)
	}
	p.Silences = p.Silences[max(0, len(p.Silences)-mostSilences):]
	if p.State == page.Open {
		s.say(kind, e.At, s.Why).Actor = by
		s.revise(e.At)
	}
}

// mostSilences bounds the silences an episode remembers.
const mostSilences = 20
