// Package lint tells authors of alerting rules what is provably wrong with them.
// What it cannot prove it leaves alone.
package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/rules"
)

// Severity of a problem.
const (
	Error   = "error"
	Warning = "warning"
)

// Problem is one finding, with how to mend it.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Severity string `json:"severity"`
	Check    string `json:"check"`
	Message  string `json:"message"`
	Fix      string `json:"fix"`
}

// Options of the checks.
type Options struct {
	ScrapeInterval time.Duration // 0: unknown, one minute is assumed and rate only warns
	Require        []string      // labels or annotations that every alert has: "severity", "summary"
}

// Checks returns the names of all checks.
func Checks() []string {
	return []string{"comparison", "duplicate", "filter", "rate", "regexp", "remediate", "require", "template"}
}

// Run judges the rules of a file; data is the file's text, for its comments.
func Run(f rules.File, data []byte, o Options) []Problem {
	lines := strings.Split(string(data), "\n")
	var out []Problem
	seen := map[string]int{}
	for i := range f.Groups {
		g := &f.Groups[i]
		for j := range g.Rules {
			r := &g.Rules[j]
			j := &judge{group: g, rule: r, options: o, file: f.Path}
			j.all()
			j.duplicate(seen)
			off := j.disabled(lines)
			for _, p := range j.found {
				if !slices.Contains(off, p.Check) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// disabled returns the checks that comments above or within the rule switch
// off; a comment without a reason is a problem itself.
func (j *judge) disabled(lines []string) []string {
	first, last := j.rule.Line, j.rule.Line
	for _, l := range j.rule.Lines {
		last = max(last, l)
	}
	for first > 1 && first-2 < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[first-2]), "#") {
		first--
	}
	var off []string
	for n := max(first, 1); n <= min(last, len(lines)); n++ {
		_, text, ok := strings.Cut(lines[n-1], "# tocsin:disable")
		if !ok {
			continue
		}
		words := strings.Fields(text)
		switch {
		case len(words) == 0 || !slices.Contains(Checks(), words[0]):
			j.add(n, Error, "disable", "the comment names no check", "name one of "+strings.Join(Checks(), ", "))
		case len(words) == 1:
			j.add(n, Error, "disable", "the comment has no reason", "say why behind the name of the check")
		default:
			off = append(off, words[0])
		}
	}
	return off
}

func (j *judge) duplicate(seen map[string]int) {
	key := fmt.Sprintf("%q %q %q %q", j.rule.Name(), j.expr, j.rule.Labels, j.group.Labels)
	if line, ok := seen[key]; ok {
		j.add(j.rule.Line, Warning, "duplicate", fmt.Sprintf("the same rule stands in line %d", line), "remove one of them")
		return
	}
	seen[key] = j.rule.Line
}
