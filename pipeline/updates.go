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
	// gathering is how long after its opening a problem's size is not worse,
	// however it grows: an outage reaches Alertmanager alert by alert, and the
	// page that was sent for the first of them tells of all.
	gathering = time.Minute
	// A problem is worse by its size when it fires in jumpTimes as many alerts as
	// people were told of last, and in jumpBy more.
	jumpTimes = 2
	jumpBy    = 10
	// A problem of calmFrom alerts and more is better once at most one of
	// calmShare still fires.
	calmFrom  = 8
	calmShare = 4
	// peaks bounds each list of what people were rung for.
	peaks = 100
)

// hidden hides what must not stand in texts.
func (s *Step) hidden() page.Veil {
	if s.veil == nil {
		v := s.Problem.Veil(s.rules.Redact...)
		s.veil = &v
	}
	return *s.veil
}

// say adds a line to what changed in this episode.
func (s *Step) say(kind page.UpdateKind, at time.Time, text string) *page.Update {
	p := &s.Problem
	n := 1
	if len(p.Updates) > 0 {
		n = p.Updates[len(p.Updates)-1].N + 1
	}
	kept := p.Updates[max(0, len(p.Updates)-page.MaxUpdates+1):]
	p.Updates = append(slices.Clone(kept), page.Update{N: n, Kind: kind, At: at, Text: page.OneLine(s.hidden().Text(text))})
	return &p.Updates[len(p.Updates)-1]
}

// aloud adds a line that is worth a ring.
func (s *Step) aloud(kind page.UpdateKind, at time.Time, text string) {
	s.say(kind, at, text).Aloud = true
}

// worse rings, and counts how often.
func (s *Step) worse(at time.Time, text string) {
	p := &s.Problem
	if p.Folded != "" { // nobody was told of it: its own page rings
		s.unfold(at, "it got worse: "+text)
		return
	}
	p.Peak.Times++
	p.Peak.At = at
	s.aloud(page.UpdateWorse, at, "worse: "+text)
	s.Why += "; worse: " + text
}

// move says what a swing changed while the problem stays open.
func (s *Step) move(c swing, at time.Time) {
	p := &s.Problem
	v := s.hidden()
	firing := v.Alerts(p.Firing())
	all := slices.Concat(firing, v.Alerts(p.Ceased()))
	if n := len(c.joined); n > 0 {
		s.say(page.UpdateJoined, at, fmt.Sprintf("%d joined: %s", n, page.Names(v.Alerts(c.joined), all)))
	}
	still := fmt.Sprintf(", %d still fire", len(firing))
	if len(firing) == 1 {
		still = ", 1 still fires"
	}
	if n := len(c.left); n > 0 {
		s.say(page.UpdateLeft, at, fmt.Sprintf("%d resolved: %s%s", n, page.Names(v.Alerts(c.left), all), still))
	}
	if n := len(c.gone); n > 0 {
		s.say(page.UpdateLeft, at, fmt.Sprintf("%d left (silenced, inhibited or expired): %s%s", n, page.Names(v.Alerts(c.gone), all), still))
	}
	if why := s.raise(c, at); why != "" {
		s.worse(at, why)
	} else if why := s.ease(c, len(firing), len(all)); why != "" {
		s.say(page.UpdateBetter, at, "better: "+why)
	}
}

// raise compares what fires with the worst of the episode so far, notes what
// goes beyond it, and returns it in words; "" where nothing does.
func (s *Step) raise(c swing, at time.Time) string {
	p := &s.Problem
	var why []string
	for _, name := range criticals(*p) {
		if slices.Contains(p.Peak.Critical, name) || len(p.Peak.Critical) >= peaks {
			continue
		}
		switch {
		case !c.known[name]:
			why = append(why, named(name)+" (critical) joined")
		case p.Peak.Severity == page.Critical:
			why = append(why, named(name)+" is critical now")
		}
		p.Peak.Critical = remember(p.Peak.Critical, name)
	}
	if now := p.Severity(); now.Rank() < p.Peak.Severity.Rank() {
		if len(why) == 0 {
			why = append(why, fmt.Sprintf("severity %s → %s", p.Peak.Severity, now))
		}
		p.Peak.Severity = now
	}
	if p.Storm != nil {
		if jump := s.jump(p.Storm.Open, at); jump != "" {
			why = append(why, jump+" problems open")
		}
	} else if jump := s.jump(openCount(*p), at); jump != "" {
		why = append(why, jump+" alerts")
	}
	return strings.Join(why, "; ")
}

// jump compares how much fires with what people were told of last, and returns
// it in words, "12 → 61", where it is worse.
func (s *Step) jump(n int, at time.Time) string {
	told := s.Problem.Peak.Alerts
	switch {
	case at.Sub(s.Problem.Opened) < gathering:
		s.Problem.Peak.Alerts = max(told, n)
	case n >= jumpTimes*told && n-told >= jumpBy:
		s.Problem.Peak.Alerts = n
		return fmt.Sprintf("%d → %d", told, n)
	}
	return ""
}

// ease returns in words how the problem got better, "" where it did not.
func (s *Step) ease(c swing, firing, all int) string {
	now := s.Problem.Severity()
	switch {
	case now.Rank() > c.worst.Rank():
		return fmt.Sprintf("%s → %s", c.worst, now)
	case all >= calmFrom && c.fired*calmShare > all && firing*calmShare <= all:
		return fmt.Sprintf("%d of %d still fire", firing, all)
	}
	return ""
}

// criticals returns the names of the critical alerts that fire, each once.
func criticals(p page.Problem) []string {
	var out []string
	for _, m := range p.Members {
		if m.Open && m.Alert.Severity() == page.Critical && !slices.Contains(out, m.Alert.Name()) {
			out = append(out, m.Alert.Name())
		}
	}
	slices.Sort(out)
	return out
}

// alertnames are those of the alerts of this episode.
func alertnames(p page.Problem) map[string]bool {
	out := map[string]bool{}
	for _, m := range p.Members {
		if m.Open || !m.Closed.Before(p.Opened) {
			out[m.Alert.Name()] = true
		}
	}
	return out
}

func named(alertname string) string { return cmp.Or(alertname, "an alert without a name") }

// remember adds what a list does not hold yet, until it is full.
func remember(list []string, more ...string) []string {
	list = slices.Clip(list)
	for _, s := range more {
		if len(list) < peaks && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
