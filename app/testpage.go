package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// TestPageOptions choose what `tocsin page test` sends.
type TestPageOptions struct {
	ConfigFile string
	Receiver   string
	Severity   string
	Keep       bool
	DryRun     bool
	Log        *slog.Logger
}

// testPageFor bounds one request to one target.
const testPageFor = 30 * time.Second

// TestPage sends a clearly marked page through the real targets of a receiver
// and resolves it, without a server and without the store: what it proves is
// the config, the credentials and the way out.
func TestPage(ctx context.Context, w io.Writer, o TestPageOptions) error {
	b, err := buildOffline(o.ConfigFile, o.Log)
	if err != nil {
		return err
	}
	targets, ok := b.router.Receivers[o.Receiver]
	if !ok {
		known := slices.Sorted(maps.Keys(b.router.Receivers))
		if best := config.Nearest(o.Receiver, known); best != "" {
			return fmt.Errorf("no receiver is called %q in %s; did you mean %q?", o.Receiver, o.ConfigFile, best)
		}
		return fmt.Errorf("no receiver is called %q in %s; there are: %s", o.Receiver, o.ConfigFile, strings.Join(known, ", "))
	}
	p := testProblem(o, time.Now())
	var errs []error
	for _, t := range targets {
		if t.InShadow() && !o.DryRun {
			return fmt.Errorf("receiver %q is in shadow in %s: nothing of it is sent; --dry-run shows what would be", o.Receiver, o.ConfigFile)
		}
		t = t.Real()
		if o.DryRun {
			fmt.Fprintf(w, "would send to %s:\n", t)
			err := b.render(w, p.View(), PreviewOptions{ConfigFile: o.ConfigFile, Output: t.Kind, Target: t.String()})
			errs = append(errs, err)
			continue
		}
		if err := sendTest(ctx, w, t, p, o.Keep); err != nil {
			fmt.Fprintf(w, "FAIL  %s: %v\n", t, err)
			errs = append(errs, fmt.Errorf("%s: %w", t, err))
		}
	}
	return errors.Join(errs...)
}

func sendTest(ctx context.Context, w io.Writer, t notify.Target, p page.Problem, keep bool) error {
	m := openMessage(p.View(), t, nil) // a test mentions nobody
	r, err := tell(ctx, t, m)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "ok    %s: sent %s\n", t, strings.TrimSpace(r.Channel+" "+r.Ref))
	if keep {
		return nil
	}
	p.State, p.Ended, p.Revision = page.Closed, time.Now(), p.Revision+1
	for id, member := range p.Members {
		member.Open, member.Closed, member.Alert.Status, member.Alert.EndsAt = false, p.Ended, page.Resolved, p.Ended
		p.Members[id] = member
	}
	m.Verb, m.Page, m.Receipt = notify.VerbResolve, p.View(), r
	m.Text = notify.Compose(m, time.Now())
	if _, err := tell(ctx, t, m); err != nil {
		return fmt.Errorf("sent, but not resolved: %w", err)
	}
	fmt.Fprintf(w, "ok    %s: resolved\n", t)
	return nil
}

func tell(ctx context.Context, t notify.Target, m notify.Message) (page.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, testPageFor)
	defer cancel()
	return t.Notifier.Notify(ctx, m)
}

// testProblem is a problem of its own: every test is a new one, so that none
// meets the receipt or the dedup key of another.
func testProblem(o TestPageOptions, now time.Time) page.Problem {
	a := page.Alert{
		Status: page.Firing, StartsAt: now,
		Labels: page.Labels{"alertname": "TocsinTestPage", "severity": o.Severity, "receiver": o.Receiver},
		Annotations: page.Labels{
			"summary":     "This is a test of receiver " + o.Receiver + ". Nothing is broken.",
			"description": "Sent by `tocsin page test`. It is resolved at once unless --keep was given.",
		},
	}
	a.ID = a.Labels.ID()
	group := "tocsin page test " + now.UTC().Format(time.RFC3339Nano)
	return page.Problem{
		ID: page.ProblemID("tocsin", o.Receiver, group), Cluster: "tocsin", Receiver: o.Receiver, GroupKey: group,
		State: page.Open, Episode: 1, Revision: 1, Opened: now, Updated: now, Test: true,
		Members: map[string]page.Member{a.ID: {Alert: a, Open: true, Episode: 1, Began: now, Seen: now}},
		Clock:   page.Clock{Started: now, Received: now, Durable: now, Decided: now},
	}
}
