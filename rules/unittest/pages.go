package unittest

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Pages is the second document of a test file. promtool reads only the first.
type Pages struct {
	Alertmanager string     `yaml:"alertmanager" doc:"alertmanager.yml whose routes group and choose the receiver, from the folder of the test file. --alertmanager wins over it."`
	Config       string     `yaml:"config" doc:"Tocsin's config, for its roles, its redaction and its policies, from the folder of the test file. --config.file wins over it."`
	Pages        []PageTest `yaml:"pages" doc:"The pages that are expected."`
}

// PageTest is one page that people would have before them at a time of a test.
type PageTest struct {
	Test      string      `yaml:"test" doc:"Name of the test whose series are looked at; not needed where the file has one test."`
	EvalTime  Elapsed     `yaml:"eval_time" doc:"When, from the test's start."`
	Alertname string      `yaml:"alertname" doc:"An alert that is on the page."`
	Group     page.Labels `yaml:"group" doc:"Labels of the page's group."`
	Receiver  string      `yaml:"receiver" doc:"The receiver whose page it is."`
	Headline  string      `yaml:"headline" doc:"Stands in the page's first line, which says what the failing share."`
	Title     string      `yaml:"title" doc:"Stands in the page's title."`
	Alerts    *int        `yaml:"alerts" doc:"How many alerts fire on it."`
	Traits    *[]string   `yaml:"traits" doc:"Traits that are among the page's: deploy=v42. [] where there is none."`
	Policies  *[]string   `yaml:"policies" doc:"The remediation policies that match the page, all of them. [] where none does."`
	NoPage    bool        `yaml:"no_page" doc:"true: there is no such page at that time."`

	Line int `yaml:"-"`
	test int // its index
}

// Elapsed is a time from a test's start: 5m, 1h30m.
type Elapsed time.Duration

// UnmarshalText reads it as Prometheus reads durations.
func (e *Elapsed) UnmarshalText(text []byte) error {
	d, err := model.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as 5m", text)
	}
	*e = Elapsed(d)
	return nil
}

// String writes it as Prometheus does.
func (e Elapsed) String() string { return model.Duration(e).String() }

// Validate says what is wrong with an expectation by itself.
func (p *Pages) Validate() error {
	var errs []error
	for i := range p.Pages {
		t := &p.Pages[i]
		at := fmt.Sprintf("pages[%d]", i)
		if t.Alertname == "" && len(t.Group) == 0 {
			errs = append(errs, config.Bad(at, "names no page: write alertname, or group"))
		}
		if t.NoPage && (t.Headline != "" || t.Title != "" || t.Alerts != nil || t.Traits != nil || t.Policies != nil) {
			errs = append(errs, config.Bad(at+".no_page", "stands beside what the page should say: write one of them"))
		}
		if t.Traits == nil {
			continue
		}
		for _, trait := range *t.Traits {
			if !strings.Contains(trait, "=") {
				errs = append(errs, config.Bad(at+".traits", "%q is no trait: write it as deploy=v42", trait))
			}
		}
	}
	return errors.Join(errs...)
}

// Bounds on expectations.
const (
	maxPages = 10_000    // of a file
	maxSteps = 1_000_000 // evaluations until one
)

// readPages reads the second document, where there is one.
func (f *File) readPages(dec *yaml.Decoder) error {
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return unread(f.Path, err)
	}
	var section config.Section
	if err := doc.Decode(&section); err != nil {
		return unread(f.Path, err)
	}
	if err := section.Decode(&f.Pages); err != nil {
		return f.here(err)
	}
	if len(f.Pages.Pages) > maxPages {
		return &config.Mistake{File: f.Path, Line: section.Line(), Text: fmt.Sprintf("over %d pages are expected, which is more than is read", maxPages)}
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &config.Mistake{File: f.Path, Line: more.Line, Text: "a third document begins here and would not be read: the first is promtool's, the second holds pages"}
	}
	return f.place(&doc)
}

// here names the file in mistakes.
func (f *File) here(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, f.here(e))
		}
		return errors.Join(all...)
	}
	if m, ok := errors.AsType[*config.Mistake](err); ok {
		m.File = f.Path
	}
	return err
}

// place gives each expectation its line and its test, and paths their folder.
func (f *File) place(doc *yaml.Node) error {
	for _, path := range []*string{&f.Pages.Alertmanager, &f.Pages.Config} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(f.Path), *path)
		}
	}
	own := File{lines: doc}
	var errs []error
	for i := range f.Pages.Pages {
		p := &f.Pages.Pages[i]
		p.Line = own.line("pages", i)
		wrong := func(format string, args ...any) {
			errs = append(errs, &config.Mistake{File: f.Path, Line: p.Line, Text: fmt.Sprintf(format, args...)})
		}
		named := func(t test) bool { return t.Name == p.Test }
		switch {
		case p.Test != "":
			if p.test = slices.IndexFunc(f.doc.Tests, named); p.test < 0 {
				wrong("no test is called %q", p.Test)
			} else if slices.ContainsFunc(f.doc.Tests[p.test+1:], named) {
				wrong("several tests are called %q: give each its own name", p.Test)
			}
		case len(f.doc.Tests) != 1:
			wrong("the file has %d tests: write test, with the name of one", len(f.doc.Tests))
		}
		if time.Duration(p.EvalTime)/time.Duration(f.doc.EvaluationInterval) > maxSteps {
			wrong("eval_time %s is more than %d evaluations away", p.EvalTime, maxSteps)
		}
	}
	return errors.Join(errs...)
}

// Shown is a page as people would have it before them.
type Shown struct {
	Receiver string      `json:"receiver"`
	Group    page.Labels `json:"group"`
	Title    string      `json:"title"`
	Headline string      `json:"headline"`
	Alerts   []string    `json:"alerts"` // names of those that fire on it
	Traits   []string    `json:"traits"`
	Policies []string    `json:"policies"`
	Notes    []string    `json:"notes"` // what is missing on it, and why
}

// about says whether a page is the one that is meant.
func (p *PageTest) about(s Shown) bool {
	for name, value := range p.Group {
		if s.Group[name] != value {
			return false
		}
	}
	return (p.Alertname == "" || slices.Contains(s.Alerts, p.Alertname)) && (p.Receiver == "" || p.Receiver == s.Receiver)
}

// judge compares the pages there are with the one that is expected.
func (p *PageTest) judge(shown []Shown) *Failure {
	fail := func(format string, args ...any) *Failure {
		return &Failure{Line: p.Line, What: p.what(), Text: fmt.Sprintf(format, args...)}
	}
	var own []Shown
	for _, s := range shown {
		if p.about(s) {
			own = append(own, s)
		}
	}
	switch {
	case p.NoPage && len(own) > 0:
		return fail("there is a page: %s to %s", own[0].Title, own[0].Receiver)
	case p.NoPage:
		return nil
	case len(own) == 0:
		return fail("there is no such page; there are: %s", titles(shown))
	case len(own) > 1:
		return fail("%d pages are meant; name one by receiver or group: %s", len(own), titles(own))
	}
	f := &Failure{Line: p.Line, What: p.what()}
	p.compare(own[0], f)
	if len(f.Expected)+len(f.Got) == 0 {
		return nil
	}
	return f
}

func (p *PageTest) compare(s Shown, f *Failure) {
	differ := func(field, want, got string) {
		f.Expected, f.Got = append(f.Expected, field+": "+want), append(f.Got, field+": "+got)
	}
	if !strings.Contains(s.Headline, p.Headline) {
		differ("headline", p.Headline, s.Headline)
	}
	if !strings.Contains(s.Title, p.Title) {
		differ("title", p.Title, s.Title)
	}
	if p.Alerts != nil && *p.Alerts != len(s.Alerts) {
		differ("alerts", fmt.Sprint(*p.Alerts), fmt.Sprint(len(s.Alerts)))
	}
	list := func(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
	if p.Traits != nil && (len(*p.Traits) == 0 && len(s.Traits) > 0 || slices.ContainsFunc(*p.Traits, func(t string) bool { return !slices.Contains(s.Traits, t) })) {
		differ("traits", list(*p.Traits), list(s.Traits))
	}
	if len(f.Got) > 0 && len(s.Notes) > 0 {
		f.Text = "the page notes: " + strings.Join(s.Notes, "; ")
	}
	if p.Policies != nil && !slices.Equal(slices.Sorted(slices.Values(*p.Policies)), slices.Sorted(slices.Values(s.Policies))) {
		differ("policies", list(*p.Policies), list(s.Policies))
	}
}

// what names the expectation.
func (p *PageTest) what() string {
	out := "page of " + p.Alertname
	if p.Alertname == "" {
		out = "page of the group " + p.Group.String()
	}
	if p.Receiver != "" {
		out += " to " + p.Receiver
	}
	return out + " at " + p.EvalTime.String()
}

func titles(shown []Shown) string {
	if len(shown) == 0 {
		return "none"
	}
	out := make([]string, 0, len(shown))
	for _, s := range shown {
		out = append(out, fmt.Sprintf("%q to %s", s.Title, s.Receiver))
	}
	return strings.Join(out, ", ")
}
