package app

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// previewText lays a message out for a terminal, with the traits and the
// queries behind them as tables.
func previewText(t notify.Text, v page.Page) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", t.Headline)
	line("%s", t.Title)
	for _, s := range []string{t.Status, t.Since, t.Same, t.Alone, t.Events, t.Impact, t.Owner, t.Summary, t.Details, t.Ceased} {
		if s != "" {
			line("  %s", strings.ReplaceAll(s, "\n", "\n  "))
		}
	}
	for _, m := range t.Members {
		line("  - %s", m)
	}
	if t.More > 0 {
		line("  - and %d more", t.More)
	}
	for _, n := range t.Notes {
		line("  ! %s", n)
	}
	for _, l := range t.Links {
		line("  %s: %s", l.Text, l.URL)
	}
	if len(v.Traits) > 0 {
		line("")
		tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tw, "TRAIT\tFAILING\tHEALTHY\tSHARE\tSCORE\tSOURCE")
		for _, x := range v.Traits {
			fmt.Fprintf(tw, "%s\t%d/%d\t%d/%d\t%s\t%.1f\t%s\n", notify.Clean(x.Labels.String(), 120), x.Failing.Matched, x.Failing.Total,
				x.Healthy.Matched, x.Healthy.Total, page.Percent(x.Share), x.Score, x.Source)
		}
		_ = tw.Flush() // to memory
		for _, x := range v.Traits {
			line("  %s:\n    %s", notify.Clean(x.Labels.String(), 120), notify.Clean(x.Query, 2000))
		}
	}
	for _, q := range v.Queries {
		line("asked %s in %d ms, %d series: %s%s", q.Source, q.Took.Milliseconds(), q.Series, notify.Clean(q.Text, 2000), suffix(q))
	}
	return b.String()
}

func suffix(q page.Query) string {
	switch {
	case q.Error != "":
		return " → " + notify.Clean(q.Error, 500)
	case q.Partial:
		return " → partial"
	case q.Cached:
		return " → cached"
	default:
		return ""
	}
}
