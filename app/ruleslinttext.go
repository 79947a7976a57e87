package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/tocsin/tocsin/rules/lint"
)

// text writes what a person reads: the place, what is wrong, and the fix.
func (x *LintReport) text(w io.Writer, colour bool) error {
	var b strings.Builder
	paint := func(s lint.Severity) string {
		codes := map[lint.Severity]string{lint.Error: "31", lint.Warning: "33", lint.Info: "36"}
		if !colour {
			return string(s)
		}
		return "\x1b[" + codes[s] + "m" + string(s) + "\x1b[0m"
	}
	for _, f := range x.Findings {
		what := f.Message
		if f.Rule != "" {
			what = f.Rule + ": " + what
		}
		fmt.Fprintf(&b, "%s:%d: %s: %s: %s\n  fix: %s\n", printable(f.File), f.Line, paint(f.Severity), f.Check, printable(what), printable(f.Fix))
	}
	fmt.Fprintf(&b, "rules: %d, files: %d; errors: %d, warnings: %d, infos: %d", x.Rules, x.Files, x.Count[lint.Error], x.Count[lint.Warning], x.Count[lint.Info])
	if n := len(x.PassedOver); n > 0 {
		fmt.Fprintf(&b, "; files without rules passed over: %d", n)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// github writes a workflow command per finding.
func (x *LintReport) github(w io.Writer) error {
	kinds := map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "notice"}
	for _, f := range x.Findings {
		title := f.Check
		if f.Rule != "" {
			title += ": " + f.Rule
		}
		if _, err := fmt.Fprintf(w, "::%s file=%s,line=%d,title=%s::%s\n", kinds[f.Severity], property(f.File), max(1, f.Line), property(title),
			message(f.Message+"\nfix: "+f.Fix)); err != nil {
			return err
		}
	}
	return nil
}

// RulesLintChecks lists the checks.
func RulesLintChecks(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, lint.Checks())
	}
	var b strings.Builder
	for _, c := range lint.Checks() {
		fmt.Fprintf(&b, "%-10s  %-7s  %s\n%-10s  %-7s  fix: %s\n", c.Name, c.Severity, c.What, "", "", c.Fix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
