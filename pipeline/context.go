package pipeline

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// context takes in context that came after the page had left.
func (s *Step) context(e page.Event) {
	p := s.Problem
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
		s.Why = "context arrived: " + page.Headline(s.Problem.Context)
		s.learn(p.Context, e.At)
		s.revise(e.At)
	}
}

// know sets the context that the first page of an episode leaves with.
func (s *Step) know(c page.Context, at time.Time) {
	p := &s.Problem
	p.Context = c
	if c.Known() {
		p.Clock.Enriched = at
	}
	p.Peak.Traits = remember(p.Peak.Traits, strong(c)...)
	s.veil = nil // there may be more to hide now
	s.Why += "; " + s.hidden().Text(page.Headline(c))
}

// learn says what context that came after the page brings. A strong trait rings
// once in an episode: as worse where the page told of another before, for then
// the fault has moved or grown. The first one only completes the page.
func (s *Step) learn(old page.Context, at time.Time) {
	p := &s.Problem
	c, told := p.Context, p.Peak.Traits
	p.Peak.Traits = remember(slices.Clone(told), strong(c)...)
	words := page.Headline(c)
	switch {
	case c.SameCause(old) && old.Known():
		if x := c.Exemplars.Words(); x != "" && x != old.Exemplars.Words() {
			s.say(page.UpdateContext, at, "context: "+x)
		} else if c.Onset != nil && old.Onset == nil {
			s.say(page.UpdateContext, at, "context: "+words)
		}
	case !c.Known():
	case len(c.Traits) > 0 && c.Traits[0].Strength == strongest && !slices.Contains(told, c.Traits[0].Labels.ID()):
		if len(old.Traits) > 0 {
			s.worse(at, words)
		} else {
			s.aloud(page.UpdateContext, at, "context: "+words)
		}
	default:
		s.say(page.UpdateContext, at, "context: "+words)
	}
}

// strongest is the word enrichment has for a trait that is beyond doubt.
const strongest = "strong"

// strong returns the identities of the strong traits.
func strong(c page.Context) []string {
	var out []string
	for _, t := range c.Traits {
		if t.Strength == strongest {
			out = append(out, t.Labels.ID())
		}
	}
	return out
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
