package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/rules/replay"
)

// imagine asks the config's sources what the first pages would have said, as
// of the moment at which each would have left, and the config's policies what
// they would have done. Nobody is told and nothing is started.
func (r *replayer) imagine(ctx context.Context) error {
	p, err := load(r.o.ConfigFile)
	if err != nil {
		return err
	}
	var now time.Time // of the page that is looked at
	b, err := build(p, lent{transport: newTransport(), log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}, enrich.NewMetrics(nil), noop.NewTracerProvider().Tracer("tocsin"))
	if err != nil {
		return err
	}
	cluster := p.Alertmanagers[0].Name
	var past []page.Page
	at := map[string]*replay.Page{}
	for i := range r.report.Pages {
		shown := &r.report.Pages[i]
		now = shown.Opened
		problem := begun(r.notification(*shown, cluster), now)
		if i < r.o.Pages {
			deadline, cancel := context.WithTimeout(ctx, p.Deadline.Other.D())
			problem.Context = b.enricher.Context(deadline, problem)
			cancel()
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		v := problem.View().Redact(p.redacted()...)
		if i < r.o.Pages {
			shown.Headline = headline(v)
		}
		for k := range v.Alerts { // what came of them is known by now
			v.Alerts[k].EndsAt = shown.Closed
		}
		past = append(past, v)
		at[fmt.Sprint(v.Problem, v.Clock.Received.UnixNano())] = shown
	}
	if len(r.report.Pages) > r.o.Pages {
		r.note(fmt.Sprintf("the sources were asked about the first %d pages (--pages)", r.o.Pages), true)
	}
	return r.remedies(ctx, p, past, at)
}

// headline is what people would have read first about the cause.
func headline(v page.Page) string {
	return notify.Compose(notify.Message{Page: v}, v.Clock.Received).Headline
}

// begun is a problem at its first notification.
func begun(n page.Notification, now time.Time) page.Problem {
	s := pipeline.Advance(page.Problem{}, page.Event{
		Problem: n.ProblemID(), Kind: page.Notified, ID: "replay", Actor: "replay", At: now, Notification: &n,
	})
	return s.Problem
}

// notification is the webhook that opens a page.
func (r *replayer) notification(p replay.Page, cluster string) page.Notification {
	n := page.Notification{
		Cluster: cluster, Receiver: p.Receiver, GroupKey: p.Route + ":" + p.Group.String(), Status: page.Firing, GroupLabels: p.Group,
	}
	for _, f := range p.Firings {
		if f.Fired.After(p.Opened) {
			continue // it joined later
		}
		n.Alerts = append(n.Alerts, page.Alert{
			ID: f.Labels.ID(), Status: page.Firing, Labels: f.Labels, Annotations: page.Labels{"summary": f.Summary}, StartsAt: f.Fired,
			GeneratorURL: strings.TrimSuffix(r.o.Server, "/") + "/graph?g0.expr=" + url.QueryEscape(r.texts[f.Alert]),
		})
	}
	return n
}

// remedies asks the policies.
func (r *replayer) remedies(ctx context.Context, p *plan, past []page.Page, at map[string]*replay.Page) error {
	var files []string
	for _, f := range p.Remediation.Policies {
		files = append(files, beside(filepath.Dir(r.o.ConfigFile), f))
	}
	if len(files) == 0 {
		return nil
	}
	policies, err := remediate.LoadPolicies(files...)
	if err != nil {
		return err
	}
	for _, policy := range policies {
		s := remediate.Simulate(ctx, policy, p.byApp, slices.Clone(past))
		for _, c := range s.Cases {
			for key, shown := range at {
				if strings.HasPrefix(key, c.Problem) && !c.At.Before(shown.Opened) && (shown.Closed.IsZero() || c.At.Before(shown.Closed)) {
					shown.Runs = append(shown.Runs, ran(s.Policy, c))
				}
			}
		}
	}
	return nil
}

// ran is one line about what a policy would have done.
func ran(policy string, c remediate.Simulated) string {
	why := c.Why
	for _, v := range c.Ruling.Verdicts {
		if why == "" && v.Outcome != remediate.Pass {
			why = v.Guard + ": " + v.Reason
		}
	}
	if c.Step == "" {
		return fmt.Sprintf("%s: %s", policy, why)
	}
	line := fmt.Sprintf("%s: %s on %s at %s (%s): %s", policy, c.Step, c.Target.Name, c.At.UTC().Format("15:04:05"), c.ModeText(), c.Ruling.Outcome)
	if why != "" {
		line += ": " + why
	}
	return line
}
