package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/world"
)

// tale is what the page of one alert must tell.
type tale struct {
	alert    string
	names    map[string]string // by the best trait, or by what is the same as it
	headline []string          // one of them stands in Slack's first line
	says     []string          // one of them stands in the first message
}

// hasty divides the times of rules by ten: minutes are six seconds.
func hasty(rules []byte) []byte {
	return regexp.MustCompile(`(for: |\[)(\d+)m`).ReplaceAllFunc(rules, func(m []byte) []byte {
		at := slices.IndexFunc(m, func(b byte) bool { return b >= '0' && b <= '9' })
		minutes, _ := strconv.Atoi(string(m[at : len(m)-1]))
		return fmt.Appendf(nil, "%s%ds", m[:at], 6*minutes)
	})
}

// until looks every second, for as long as patience at most, and reports whether
// it was so. Its error is the end of the world.
func until(ctx context.Context, w *world.World, patience time.Duration, so func() bool) (bool, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case err := <-w.Failed():
			return false, err
		case <-deadline.C:
			return so(), nil
		case <-tick.C:
		}
	}
	return true, nil
}

// tell waits for the pages and judges them.
func tell(ctx context.Context, w *world.World, out *screen, since string, tales []tale) error {
	begun := time.Now()
	there, err := until(ctx, w, 4*time.Minute, func() bool {
		roots := w.FakeSlack.Ledger().Roots()
		return !slices.ContainsFunc(tales, func(t tale) bool { return !t.in(roots) })
	})
	if err != nil {
		return err
	}
	if there {
		out.line("  all %d pages are there %s after %s", len(tales), seconds(time.Since(begun)), since)
	}
	if err := pause(ctx, w, 5*time.Second); err != nil { // one too many may be on its way
		return err
	}
	named, err := traits(ctx, w)
	if err != nil {
		return err
	}
	roots := w.FakeSlack.Ledger().Roots()
	var errs []error
	for _, t := range tales {
		errs = append(errs, t.judge(out, named[t.alert], roots))
	}
	if len(roots) != len(tales) {
		errs = append(errs, fmt.Errorf("slack has %d roots for %d faults", len(roots), len(tales)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w; logs in %s/logs", err, w.Dir)
	}
	return nil
}

func (t tale) in(roots []fakeslack.Message) bool {
	return slices.ContainsFunc(roots, t.about)
}

func (t tale) about(m fakeslack.Message) bool { return strings.Contains(m.First.Visible, t.alert) }

// first is the first message of it.
func (t tale) first(roots []fakeslack.Message) string {
	if i := slices.IndexFunc(roots, t.about); i >= 0 {
		return roots[i].First.Visible
	}
	return ""
}

// traits are what each page's best trait names, and what is the same as that, by
// the page's alert.
func traits(ctx context.Context, w *world.World) (map[string]map[string]string, error) {
	pages, err := drill.New(w).Pages(ctx, "all")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	out := map[string]map[string]string{}
	for _, p := range pages {
		if len(p.Traits) == 0 {
			continue
		}
		named := map[string]string{}
		maps.Copy(named, p.Traits[0].Labels)
		for _, l := range p.Traits[0].Also {
			named[l.Name] = l.Value
		}
		out[p.Alerts[0].Name()] = named
	}
	return out, nil
}

// judge says whether the page's trait names what it has to, and whether its
// first words in Slack do.
func (t tale) judge(out *screen, named map[string]string, roots []fakeslack.Message) error {
	said := t.first(roots)
	headline, _, _ := strings.Cut(said, "\n")
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{t.alert}, args...)...))
		}
	}
	holds := func(text string, words []string) bool {
		return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(text, s) })
	}
	var same []string
	for _, name := range slices.Sorted(maps.Keys(t.names)) {
		want(named[name] == t.names[name], "the trait does not name %s=%s but %v", name, t.names[name], named)
		same = append(same, name+"="+named[name])
	}
	want(holds(headline, t.headline), "Slack's first line is %q", headline)
	want(holds(said, t.says), "the first Slack post does not say %q: %s", t.says, said)
	out.line("%s  %s: %s · trait: %s", out.verdict(len(errs) == 0, "ok  ", "FAIL"), t.alert, headline, strings.Join(same, ", the same as "))
	return errors.Join(errs...)
}
