package remediate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// what names a launch: which template, on what.
func (d *Dispatch) what() string {
	s := fmt.Sprintf("%q", d.Step.Template)
	if d.Mode == Check {
		s += " in check mode"
	}
	if d.Target.Name != "" {
		s += " on " + d.Target.words()
	}
	return s
}

// Title names a dispatch in a line of its own.
func (d *Dispatch) Title() string {
	s := d.Policy
	if d.Step.Name != "" {
		s += ", step " + d.Step.Name
	}
	if d.Target.Name != "" {
		s += ", " + d.Target.words()
	}
	return s
}

// words is a target as people read it.
func (t Target) words() string {
	s := string(t.Kind) + " " + t.Name
	if t.Value != "" && t.Value != t.Name {
		s += " (" + t.Value + ")"
	}
	return s
}

// run is the dispatch as the page shows it.
func (d *Dispatch) run(now time.Time) page.Run {
	r := page.Run{
		Dispatch: d.ID, Policy: d.Policy, Step: d.Step.Name, Target: d.Target.words(), State: string(d.Stage), At: now,
		Over: d.Stage.Over(), N: d.Lines + 1,
	}
	if d.Stage == Awaiting {
		r.Asks, r.Roles = d.Expires, d.Roles
	}
	if d.Job != nil {
		r.Link = d.Job.Link
	}
	return r
}

func guardsPass(n int) string {
	if n == 1 {
		return "1 guard passes"
	}
	return fmt.Sprintf("all %d guards pass", n)
}

// maxTail is how much of a job's output the page is told, in runes: its very end,
// which Ansible's recap is. More does not fit into a line with the rest.
const maxTail = 100

// words says what a job did and how its output ends.
func (e *Evidence) words() string {
	if e == nil {
		return ""
	}
	out := e.hosts()
	said := slices.DeleteFunc(strings.Fields(e.Tail), func(word string) bool { return strings.Trim(word, "*") == "" }) // Ansible's rulers
	if tail := strings.Join(said, " "); tail != "" {
		if r := []rune(tail); len(r) > maxTail { // before it is made a line, which keeps the beginning
			tail = "…" + string(r[len(r)-maxTail:])
		}
		out = append(out, "output ends: "+page.OneLine(tail))
	}
	return strings.Join(out, "; ")
}

// hosts says what a job did on the first of its hosts.
func (e *Evidence) hosts() []string {
	var out []string
	for i, h := range e.Hosts {
		if i == 3 {
			return append(out, fmt.Sprintf("%d hosts more", len(e.Hosts)-i))
		}
		out = append(out, fmt.Sprintf("%s: %d ok, %d changed, %d failed, %d unreachable", h.Host, h.OK, h.Changed, h.Failed, h.Dark))
	}
	return out
}

// Quoted shows a text from outside for what it is, cut.
func Quoted(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// with appends what there is to say to a sentence.
func with(s string, more ...string) string {
	for _, m := range more {
		if m != "" {
			s += "; " + m
		}
	}
	return s
}
