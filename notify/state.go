package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// maxStatus bounds Text.Status, in runes.
const maxStatus = 300

// UpdateLine is one update as a line: clean, cut, with who did it.
func UpdateLine(u page.Update) string {
	text := Clean(u.Text, maxLine)
	if who := Clean(u.Actor, maxValue); who != "" && !strings.Contains(text, who) {
		text = Cut(strings.TrimSpace(text), maxLine-len(" · ")-maxValue) + " · " + who
	}
	return text
}

// standing is what people did about a page and what became of it, for its status.
func standing(m Message, now time.Time) []string {
	p := m.Page
	var out []string
	if p.Storm != nil {
		out = append(out, fmt.Sprintf("storm of %s, %d open", problems(p.Storm.Total), p.Storm.Open))
		if p.Storm.Calmed {
			out = append(out, "calmed")
		}
	}
	if p.Worse > 0 {
		out = append(out, "got worse "+times(p.Worse))
	}
	if p.Flapping > 0 {
		out = append(out, "came back "+times(p.Flapping))
	}
	if p.Ack != nil {
		out = append(out, "acknowledged by "+cmp.Or(Clean(p.Ack.By, maxValue), "somebody"))
	}
	for _, s := range p.Silences {
		if s.Ended.IsZero() && s.Error == "" && s.Until.After(now) {
			out = append(out, fmt.Sprintf("silenced until %s by %s", until(s.Until, now), cmp.Or(Clean(s.By, maxValue), "somebody")))
		}
	}
	if len(m.Also) > 0 {
		out = append(out, "also sent to "+strings.Join(m.Also, ", "))
	}
	return out
}

// until names a moment, with its day where that is not today.
func until(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04 UTC")
	}
	return at.Format("2006-01-02 15:04 UTC")
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

func problems(n int) string {
	if n == 1 {
		return "1 problem"
	}
	return fmt.Sprintf("%d problems", n)
}

// gusts lists the rules of a storm, the most severe and then the most frequent first.
func gusts(s page.Storm) (lines []string, more int) {
	rules := slices.SortedFunc(maps.Keys(s.Rules), func(a, b string) int {
		x, y := s.Rules[a], s.Rules[b]
		return cmp.Or(cmp.Compare(x.Severity.Rank(), y.Severity.Rank()), cmp.Compare(y.Total, x.Total), cmp.Compare(a, b))
	})
	for i, rule := range rules {
		if i == maxMembers {
			return lines, len(rules) - i
		}
		t := s.Rules[rule]
		line := fmt.Sprintf("%s: %s, %d open, %s", cmp.Or(Clean(rule, maxValue), "other rules"), problems(t.Total), t.Open, Clean(string(t.Severity), maxValue))
		if len(t.Sample) > 0 {
			line += ", such as " + Clean(t.Sample.String(), maxValue)
		}
		lines = append(lines, Cut(line, maxLine))
	}
	return lines, 0
}
