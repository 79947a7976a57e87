package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/tocsin/tocsin/rules/doctor"
)

// assumptions are what no file says.
func assumptions(o DoctorOptions, p doctor.Patient) []string {
	out := []string{fmt.Sprintf("a fault makes %.4g %% of events bad at once; gauges step over their threshold (--level)", 100*o.Level)}
	if o.FailedSends == 0 {
		out = append(out, "no send to Alertmanager fails (--failed-sends)")
	}
	if p.Routes == nil {
		out = append(out, "nothing is known of Alertmanager: group_wait is not counted (--alertmanager)")
	}
	if p.Gateway == nil {
		out = append(out, "what receives Alertmanager's webhook takes no time (--config.file)")
	}
	if len(p.Prometheus.Jobs) == 0 {
		out = append(out, fmt.Sprintf("every series is scraped each %s (--prometheus)", brief(p.Prometheus.Scrape.Value)))
	}
	return out
}

func (x *Examination) json(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(x)
}

// github writes a workflow command per rule that is over its budget.
func (x *Examination) github(w io.Writer) error {
	for _, r := range x.Rules {
		if r.Over == 0 {
			continue
		}
		text := fmt.Sprintf("%s takes %s from fault to page on average (best %s, worst %s); severity %s may take %s",
			r.Alert, brief(r.Mean), brief(r.Best), brief(r.Worst), r.Severity, brief(r.Budget))
		lines := []string{text}
		for _, l := range r.Levers[:min(3, len(r.Levers))] {
			lines = append(lines, l.String())
		}
		if _, err := fmt.Fprintf(w, "::error file=%s,line=%d,title=%s::%s\n", property(r.File), r.Line, property("time to notify of "+r.Alert), message(strings.Join(lines, "\n"))); err != nil {
			return err
		}
	}
	for _, f := range x.Findings {
		if f.OK {
			continue
		}
		if _, err := fmt.Fprintf(w, "::warning ::%s\n", message(f.What+": "+f.Error)); err != nil {
			return err
		}
	}
	return nil
}

// message escapes what a workflow command would read as its end.
func message(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(message(s))
}

// text writes the table that a person reads: rules with a budget first, the
// slowest on top.
func (x *Examination) text(w io.Writer, o DoctorOptions) error {
	shown := slices.Clone(x.Rules)
	if !o.All {
		shown = slices.DeleteFunc(shown, func(r Forecast) bool { return r.Budget == 0 })
	}
	slices.SortStableFunc(shown, func(a, b Forecast) int {
		return cmp.Or(cmp.Compare(b.Over, a.Over), cmp.Compare(b.Mean, a.Mean))
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tSEVERITY\tBEST\tEXPECTED\tWORST\tBUDGET\tBIGGEST LEVER")
	for _, r := range shown {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(r.Alert), cmp.Or(printable(r.Severity), "-"),
			brief(r.Best), brief(r.Mean), brief(r.Worst), verdict(r), lever(r))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	if hidden := len(x.Rules) - len(shown); hidden > 0 {
		fmt.Fprintf(&b, "\n%d rules of severities without a budget are not shown: --all\n", hidden)
	}
	told := map[string]bool{}
	for _, r := range shown {
		notes := r.Notes
		if !r.Derived || r.Never {
			notes = append([]string{r.Condition}, notes...)
		}
		for _, n := range notes {
			if line := printable(r.Alert) + ": " + printable(n); !told[line] {
				told[line] = true
				fmt.Fprintf(&b, "  note  %s\n", line)
			}
		}
	}
	fmt.Fprintln(&b)
	for _, f := range x.Findings {
		mark := map[bool]string{true: "ok  ", false: "FAIL"}[f.OK]
		fmt.Fprintf(&b, "%s  %s\n", mark, printable(strings.Join(slices.DeleteFunc([]string{f.What, f.Error, f.Note}, func(s string) bool { return s == "" }), ": ")))
	}
	for _, a := range x.Assumed {
		fmt.Fprintf(&b, "assumed: %s\n", a)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func verdict(r Forecast) string {
	switch {
	case r.Budget == 0:
		return "-"
	case r.Never:
		return brief(r.Budget) + " never fires"
	case r.Over > 0:
		return brief(r.Budget) + " OVER by " + brief(r.Over)
	}
	return brief(r.Budget) + " ok"
}

func lever(r Forecast) string {
	if len(r.Levers) == 0 {
		return "-"
	}
	return printable(r.Levers[0].String())
}

// brief is a duration as a table has room for it.
func brief(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// printable is a text without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
