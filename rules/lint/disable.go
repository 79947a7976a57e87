package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// comment switches a check off, for a rule or for a file.
type comment struct {
	at     Place
	check  string
	whole  bool
	from   int // lines that it is about
	to     int
	worked bool
}

// disable leaves out what comments suppress, and adds what is wrong with them.
func disable(found []Finding, sources []Source, texts map[string][]byte) []Finding {
	var comments []*comment
	for path, text := range texts {
		some, wrong := readComments(path, string(text), heads(path, sources, found))
		comments, found = append(comments, some...), append(found, wrong...)
	}
	kept := slices.DeleteFunc(found, func(f Finding) bool {
		off := false
		for _, c := range comments {
			if f.Check == c.check && f.Check != checkDisable && (c.covers(Place{f.File, f.Line}) || c.covers(f.Home)) {
				c.worked, off = true, true
			}
		}
		return off
	})
	broken := slices.ContainsFunc(sources, func(s Source) bool { return len(s.Broken) > 0 })
	for _, c := range comments {
		if !c.worked && !broken { // a mistake hides what is behind it
			kept = append(kept, misused(c.at, "the comment suppresses nothing: "+c.check+" finds nothing there", "take it out"))
		}
	}
	return kept
}

func misused(at Place, message, fix string) Finding {
	return Finding{File: at.File, Line: at.Line, Severity: Warning, Check: checkDisable, Message: message, Fix: fix, Home: at}
}

func (c *comment) covers(p Place) bool {
	return p.File == c.at.File && (c.whole || c.from <= p.Line && p.Line <= c.to)
}

// heads are the lines where rules of a file begin.
func heads(path string, sources []Source, found []Finding) []int {
	var out []int
	for i := range sources {
		s := &sources[i]
		for g := range s.Groups {
			for k := range s.Groups[g].Rules {
				r := &s.Groups[g].Rules[k]
				at := Place{s.Path, r.Line}
				if s.At != nil {
					at = s.At(r, "")
				}
				if at.File == path {
					out = append(out, at.Line)
				}
			}
		}
	}
	for _, f := range found {
		if f.Home.File == path && f.Check == checkSyntax {
			out = append(out, f.Line)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readComments reads the comments of a text. One within a rule, or between it
// and the rule before, is about that rule.
func readComments(path, text string, heads []int) ([]*comment, []Finding) {
	var out []*comment
	var wrong []Finding
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		at := Place{path, i + 1}
		_, rest, ok := strings.Cut(line, "# tocsin: disable")
		if !ok {
			continue
		}
		c := &comment{at: at, from: at.Line, to: len(lines)}
		if after, ok := strings.CutPrefix(rest, "-file"); ok {
			c.whole, rest = true, after
		} else {
			c.about(lines, heads)
		}
		check, reason, _ := strings.Cut(rest, ":")
		c.check = strings.TrimSpace(check)
		switch {
		case !known(c.check):
			wrong = append(wrong, misused(at, fmt.Sprintf("there is no check %q%s", c.check, near(c.check)), "tocsin rules lint --checks lists them"))
		case strings.TrimSpace(reason) == "":
			wrong = append(wrong, misused(at, "the comment gives no reason, and suppresses nothing", "write why: # tocsin: disable "+c.check+": …"))
		default:
			out = append(out, c)
		}
	}
	return out, wrong
}

// about finds the rule of a comment: the next one where it stands above it, else
// the one it stands in.
func (c *comment) about(lines []string, heads []int) {
	line := c.at.Line
	above := strings.HasPrefix(strings.TrimSpace(lines[line-1]), "#")
	for above && line < len(lines) {
		next := strings.TrimSpace(lines[line])
		if next != "" && !strings.HasPrefix(next, "#") {
			break
		}
		line++
	}
	next, found := slices.BinarySearch(heads, line+1)
	switch {
	case len(heads) == 0: // a layer: the next line, or its own
		c.from, c.to = line, line
		if above {
			c.to++
		}
		return
	case above && found: // right above the rule
	case next > 0:
		next--
	default:
		c.from, c.to = c.at.Line, c.at.Line // above all rules, and of none
		return
	}
	c.from = heads[next]
	if next+1 < len(heads) {
		c.to = heads[next+1] - 1
	}
}

func known(check string) bool {
	return slices.ContainsFunc(Checks(), func(c Check) bool { return c.Name == check })
}

func near(check string) string {
	var names []string
	for _, c := range Checks() {
		names = append(names, c.Name)
	}
	if n := config.Nearest(check, names); n != "" {
		return "; do you mean " + n + "?"
	}
	return ""
}
