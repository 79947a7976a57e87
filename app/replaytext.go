package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/replay"
)

// replayText is the report as people read it.
func replayText(r ReplayReport, compared bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s (%s): %s, %s, %s, %s\n", r.From.Format("2006-01-02 15:04:05"), r.To.Format("2006-01-02 15:04:05"), page.Span(r.To.Sub(r.From)),
		count(r.Rules, "rule"), count(r.Evaluations, "evaluation"), count(r.Firings, "firing"), count(len(r.Pages), "page"))
	if compared {
		differencesText(&b, r.Differences)
	} else {
		for _, p := range r.Pages {
			pageLines(&b, "  ", p, "")
		}
	}
	agreementText(&b, r.Agreement)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", notify.Clean(n, 400))
	}
	return b.String()
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + what
}

func pageLines(b *strings.Builder, mark string, p replay.Page, beside string) {
	until := "still open"
	if !p.Closed.IsZero() {
		until = "for " + page.Span(p.Closed.Sub(p.Opened))
	}
	fmt.Fprintf(b, "%s%s  %s  %s  (%s, %s, %s)%s\n", mark, p.Opened.Format("01-02 15:04:05"), p.Receiver, notify.Clean(p.Title(), 120),
		count(len(p.Firings), "alert"), count(p.Notifications, "notification"), until, beside)
	for _, line := range slices.Concat([]string{p.Headline}, p.Runs) {
		if line != "" {
			fmt.Fprintf(b, "%s                  %s\n", strings.Repeat(" ", len(mark)-2), notify.Clean(line, 200))
		}
	}
}

func differencesText(b *strings.Builder, list []replay.Difference) {
	n := map[replay.Change]int{}
	for _, d := range list {
		n[d.Change]++
	}
	fmt.Fprintf(b, "compared with the old rules: %d added, %d removed, %d earlier, %d later, %d the same\n",
		n[replay.Added], n[replay.Removed], n[replay.Earlier], n[replay.Later], n[replay.Same])
	for _, d := range list {
		switch d.Change {
		case replay.Added:
			pageLines(b, "+ ", d.Page(), "")
		case replay.Removed:
			pageLines(b, "- ", d.Page(), "")
		case replay.Earlier, replay.Later:
			pageLines(b, "~ ", d.Page(), fmt.Sprintf(": %s %s", page.Span(d.By), d.Change))
		case replay.Same:
		}
	}
}

func agreementText(b *strings.Builder, list []replay.Agreement) {
	var all replay.Agreement
	for _, a := range list {
		all.Both, all.Replayed, all.Recorded, all.Firings = all.Both+a.Both, all.Replayed+a.Replayed, all.Recorded+a.Recorded, all.Firings+a.Firings
	}
	if len(list) == 0 {
		return
	}
	if all.Both+all.Replayed+all.Recorded == 0 {
		b.WriteString("nothing fired, neither in the replay nor in the ALERTS that the server recorded\n")
		return
	}
	fmt.Fprintf(b, "the replay agrees with the recorded ALERTS in %.1f %% of %s\n", 100*all.Share(), count(all.Both+all.Replayed+all.Recorded, "moment"))
	worst := slices.Clone(list)
	slices.SortStableFunc(worst, func(a, b replay.Agreement) int { return cmp.Compare(a.Share(), b.Share()) })
	for _, a := range worst[:min(5, len(worst))] {
		if a.Example != nil {
			fmt.Fprintf(b, "  %-30s %.1f %%, first at %s: only %s %s\n", a.Alert, 100*a.Share(), a.Example.At.Format("01-02 15:04:05"), a.Example.Fires, notify.Clean(a.Example.Labels.String(), 160))
		}
	}
}
