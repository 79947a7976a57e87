package app

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/rules/unittest"
)

// rulesTestText is the report as people read it.
func rulesTestText(r RulesTestReport) string {
	var b strings.Builder
	for _, f := range r.Files {
		fmt.Fprintln(&b, f.Path)
		for _, w := range f.Warnings {
			fmt.Fprintf(&b, "  warning: %s\n", w)
		}
		if len(f.Errors) > 0 {
			fmt.Fprintln(&b, "  FAIL  the file is wrong") // what about it: the errors tell
		}
		for _, t := range f.Tests {
			testLines(&b, f.Path, t)
		}
	}
	if r.Coverage != nil {
		coverageLines(&b, *r.Coverage)
	}
	legend := ""
	if r.Failed > 0 {
		legend = "; - is expected and is not so, + is so and is not expected"
	}
	fmt.Fprintf(&b, "%d passed, %d failed%s\n", r.Passed, r.Failed, legend)
	return b.String()
}

// maxWord bounds one line of what was expected, in bytes.
const maxWord = 2000

func testLines(b *strings.Builder, path string, t unittest.Result) {
	word, pages := "ok  ", ""
	if len(t.Failures) > 0 {
		word = "FAIL"
	}
	if t.Pages > 0 {
		pages = fmt.Sprintf(" (%s)", count(t.Pages, "page"))
	}
	fmt.Fprintf(b, "  %s  %s%s\n", word, notify.Clean(t.Name, 200), pages)
	for _, f := range t.Failures {
		fmt.Fprintf(b, "        %s:%d: %s", path, f.Line, notify.Clean(f.What, maxWord))
		if f.Text != "" {
			fmt.Fprintf(b, ": %s", notify.Clean(f.Text, maxWord))
		}
		b.WriteByte('\n')
		for _, w := range f.Expected {
			fmt.Fprintf(b, "          - %s\n", notify.Clean(w, maxWord))
		}
		for _, w := range f.Got {
			fmt.Fprintf(b, "          + %s\n", notify.Clean(w, maxWord))
		}
	}
}

func coverageLines(b *strings.Builder, c RulesTestCoverage) {
	fmt.Fprintf(b, "coverage: %.0f %% of %s seen firing and seen silent\n", c.Percent, count(len(c.Alerts), "alert"))
	for _, a := range c.Alerts {
		lacks := ""
		switch {
		case !a.Firing && !a.Silent:
			lacks = "no test looks at it"
		case !a.Firing:
			lacks = "no test sees it fire"
		case !a.Silent:
			lacks = "no test sees it stay silent"
		default:
			continue
		}
		place := a.File
		if a.Line > 0 {
			place = fmt.Sprintf("%s:%d", a.File, a.Line)
		}
		fmt.Fprintf(b, "  %s: %s: %s\n", place, notify.Clean(a.Alert, 200), lacks)
	}
}
