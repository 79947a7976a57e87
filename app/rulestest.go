package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/rules/unittest"
)

// RulesTestOptions choose what `tocsin rules test` runs.
type RulesTestOptions struct {
	Files         []string
	Run           string   // regular expression; "": every test
	Features      []string // of promtool's --enable-feature
	IgnoreUnknown bool     // fields of rule files
	Alertmanager  string   // over the files' own
	ConfigFile    string   // over the files' own
	Coverage      bool
	MinCoverage   float64 // per cent of the alerts; 0: none is asked for
	JSON          bool
}

// RulesTestReport is what `tocsin rules test -o json` prints.
type RulesTestReport struct {
	Files    []TestedFile       `json:"files"`
	Passed   int                `json:"passed"`
	Failed   int                `json:"failed"`
	Coverage *RulesTestCoverage `json:"coverage,omitempty"`
}

// TestedFile is one test file.
type TestedFile struct {
	Path     string            `json:"path"`
	Tests    []unittest.Result `json:"tests"`
	Warnings []string          `json:"warnings,omitempty"`
	Errors   []string          `json:"errors,omitempty"` // it could not be read
}

// RulesTestCoverage tells which alerts the tests look at.
type RulesTestCoverage struct {
	Percent float64            `json:"percent"` // of the alerts, seen firing and seen silent
	Alerts  []unittest.Covered `json:"alerts"`
}

// ErrRulesTest says that a test of rules failed.
var ErrRulesTest = errors.New("tests of rules failed")

// RulesTest runs unit tests of rules. Files that cannot be read fail with the
// others: all of them are told of.
func RulesTest(ctx context.Context, out io.Writer, o RulesTestOptions) error {
	t := &rulesTester{o: o, foreseers: map[[2]string]*foreseer{}}
	options, err := t.options()
	if err != nil {
		return err
	}
	var report RulesTestReport
	var unread []error
	for _, path := range o.Files {
		tested := TestedFile{Path: path, Tests: []unittest.Result{}}
		if err := t.file(ctx, &tested, options); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			unread = append(unread, err)
			for _, f := range mistakes(err) {
				tested.Errors = append(tested.Errors, f.Error)
			}
		}
		for _, r := range tested.Tests {
			if len(r.Failures) > 0 {
				report.Failed++
			} else {
				report.Passed++
			}
		}
		report.Files = append(report.Files, tested)
	}
	if o.Coverage || o.MinCoverage > 0 {
		report.Coverage = covered(&t.coverage)
	}
	if o.JSON {
		err = printJSON(out, report)
	} else {
		_, err = io.WriteString(out, rulesTestText(report))
	}
	return errors.Join(err, errors.Join(unread...), t.verdict(report))
}

// verdict is the exit's reason.
func (t *rulesTester) verdict(r RulesTestReport) error {
	switch {
	case r.Failed > 0:
		return fmt.Errorf("%w: %d of %d", ErrRulesTest, r.Failed, r.Failed+r.Passed)
	case t.o.Run != "" && r.Passed == 0:
		return &config.Mistake{File: "--run", Text: fmt.Sprintf("no test has a name like %q", t.o.Run)}
	case r.Coverage != nil && r.Coverage.Percent < t.o.MinCoverage:
		return fmt.Errorf("%w: coverage is %.0f %%, at least %.0f %% is asked for", ErrRulesTest, r.Coverage.Percent, t.o.MinCoverage)
	}
	return nil
}

// rulesTester is one run.
type rulesTester struct {
	o         RulesTestOptions
	coverage  unittest.Coverage
	foreseers map[[2]string]*foreseer // by config and routes: each is read once
}

func (t *rulesTester) options() (unittest.Options, error) {
	u := unittest.Options{IgnoreUnknownFields: t.o.IgnoreUnknown, Pages: t.pages}
	if t.o.Run != "" {
		re, err := regexp.Compile(t.o.Run)
		if err != nil {
			return u, &config.Mistake{File: "--run", Text: err.Error()}
		}
		u.Run = re
	}
	for _, words := range t.o.Features {
		for word := range strings.SplitSeq(words, ",") {
			if !u.Features.Enable(word) {
				return u, &config.Mistake{File: "--enable-feature", Text: fmt.Sprintf("no feature is called %q", word)}
			}
		}
	}
	return u, nil
}

func (t *rulesTester) file(ctx context.Context, tested *TestedFile, o unittest.Options) error {
	f, err := unittest.Read(tested.Path)
	if err != nil {
		return err
	}
	tested.Warnings = f.Warnings
	if t.o.Alertmanager != "" {
		f.Pages.Alertmanager = t.o.Alertmanager
	}
	if t.o.ConfigFile != "" {
		f.Pages.Config = t.o.ConfigFile
	}
	if len(f.Pages.Pages) > 0 {
		if _, err := t.foreseer(f); err != nil { // once, ahead of the tests: it is the file's mistake
			return err
		}
	}
	tested.Tests, err = f.Run(ctx, o, &t.coverage)
	return err
}

// foreseer reads what a file's pages need, once.
func (t *rulesTester) foreseer(f *unittest.File) (*foreseer, error) {
	key := [2]string{f.Pages.Config, f.Pages.Alertmanager}
	if known := t.foreseers[key]; known != nil {
		return known, nil
	}
	made, err := foresee(f.Pages.Config, f.Pages.Alertmanager)
	if err != nil {
		return nil, err
	}
	t.foreseers[key] = made
	return made, nil
}

// pages tells what pages there are at a time of a test. The sources of the
// config give way to one that asks the test's own series.
func (t *rulesTester) pages(ctx context.Context, f *unittest.File, w unittest.World) ([]unittest.Shown, error) {
	base, err := t.foreseer(f)
	if err != nil {
		return nil, err
	}
	own := *base
	if own.sources, err = testSource(w.Prometheus, enrich.Roles(own.plan.Traits.Roles), w.Now); err != nil {
		return nil, err
	}
	found, err := own.pages(ctx, w.Outcomes, w.Now, w.Now)
	if err != nil {
		return nil, err
	}
	shown := make([]unittest.Shown, 0, len(found))
	for _, p := range found {
		s := unittest.Shown{
			Receiver: p.Receiver, Group: p.problem.Group.GroupLabels, Title: p.Title, Headline: headline(p.Page),
			Alerts: []string{}, Traits: []string{}, Policies: p.policies,
		}
		for _, a := range p.Alerts {
			s.Alerts = append(s.Alerts, a.Name())
		}
		for _, n := range p.Notes {
			s.Notes = append(s.Notes, n.Text)
		}
		for _, x := range p.Traits {
			s.Traits = append(s.Traits, x.Labels.String())
		}
		shown = append(shown, s)
	}
	return shown, nil
}

func testSource(transport http.RoundTripper, roles enrich.Roles, now time.Time) ([]enrich.Named, error) {
	return prometheusSource("http://prometheus", transport, roles, func() time.Time { return now }, nil)
}

// covered sums the coverage up.
func covered(c *unittest.Coverage) *RulesTestCoverage {
	out := &RulesTestCoverage{Percent: 100, Alerts: c.Alerts()}
	whole := 0
	for _, a := range out.Alerts {
		if a.Whole() {
			whole++
		}
	}
	if len(out.Alerts) > 0 {
		out.Percent = 100 * float64(whole) / float64(len(out.Alerts))
	} else {
		out.Alerts = []unittest.Covered{}
	}
	return out
}
