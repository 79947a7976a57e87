package slack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// standing says how the problem stands, one line each: who has it, what is
// silenced, whether it comes and goes.
func standing(p page.Page, m morning, now time.Time) []string {
	var out []string
	if p.Ack != nil && p.State == page.Open {
		out = append(out, icon(page.UpdateAcked)+" acknowledged by "+name(p.Ack.By)+" at "+m.clock(p.Ack.At))
	}
	if s, ok := silenced(p, now); ok && p.State == page.Open {
		out = append(out, icon(page.UpdateSilenced)+" silenced until "+m.clock(s.Until)+" by "+name(s.By))
	}
	if n := len(p.Silences); n > 0 && p.Silences[n-1].Error != "" {
		out = append(out, "⚠ the silence does not stand: "+notify.Clean(p.Silences[n-1].Error, 150))
	}
	if p.Worse > 0 {
		out = append(out, icon(page.UpdateWorse)+" got worse "+times(p.Worse))
	}
	if p.Flapping > 0 {
		out = append(out, icon(page.UpdateFlapping)+" flapping: came back "+times(p.Flapping))
	}
	if s := p.Storm; s != nil {
		line := fmt.Sprintf("%s storm: %d problems, %d of them open", icon(page.UpdateStorm), s.Total, s.Open)
		if s.Calmed {
			line += " · calm again: new problems are told one by one"
		}
		out = append(out, line)
	}
	return out
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

const maxRules = 10

// tallies lists the rules of a storm, the worst and the most first, and how many
// are left out.
func tallies(s *page.Storm) (lines []string, more int) {
	rules := slices.SortedFunc(maps.Keys(s.Rules), func(a, b string) int {
		x, y := s.Rules[a], s.Rules[b]
		return cmp.Or(
			cmp.Compare(x.Severity.Rank(), y.Severity.Rank()),
			cmp.Compare(y.Open, x.Open), cmp.Compare(y.Total, x.Total), cmp.Compare(a, b),
		)
	})
	for _, rule := range rules {
		if len(lines) == maxRules {
			break
		}
		t := s.Rules[rule]
		line := fmt.Sprintf("%s %s: %d open of %d", t.Severity, cmp.Or(notify.Clean(rule, maxName), "other rules"), t.Open, t.Total)
		sample := t.Sample.Clone()
		delete(sample, "alertname")
		if eg := notify.Clean(sample.String(), 80); eg != "" {
			line += " · " + eg
		}
		lines = append(lines, notify.Cut(line, 200))
	}
	return lines, len(rules) - len(lines)
}
