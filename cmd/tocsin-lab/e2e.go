package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

type e2eCmd struct {
	worldFlags
	Only     []scenario.Kind `placeholder:"FAULT" help:"Only these kinds of fault."`
	Parallel int             `default:"3" help:"Faults at a time, each on a service of its own."`
}

// Help shows examples under the flags.
func (e2eCmd) Help() string {
	return `Two Prometheus replicas, Thanos sidecars and Query, two Alertmanagers in a cluster. Per kind of
fault: one Slack root, one PagerDuty incident, the trait in the first message, edits of that
message, the resolve in both places. Exit 0 only if all of it holds.

  tocsin-lab e2e
  tocsin-lab e2e --only noisy-user`
}

// Run is the command.
func (c *e2eCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("e2e", out)
	if err != nil {
		return err
	}
	o.Thanos, o.Replicas, o.Alertmanagers = true, 2, 2
	w, err := begin(ctx, o, out, 0)
	if err != nil {
		return err
	}
	defer w.Stop()
	kinds := c.Only
	if len(kinds) == 0 {
		kinds = scenario.Kinds()
	}
	failed, err := scenes(ctx, w, out, kinds, max(1, min(c.Parallel, len(w.Fleet.Services()))))
	if err != nil {
		return err
	}
	out.line("  waiting 30 s for a page that comes back")
	if err := pause(ctx, w, 30*time.Second); err != nil {
		return err
	}
	for _, extra := range extras(w, len(kinds)) {
		failed++
		out.line("%s  %s", out.verdict(false, "", "FAIL"), extra)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d scenes and the count did not hold; logs in %s/logs", failed, len(kinds)+1, w.Dir)
	}
	out.line("%s", out.paint("32", fmt.Sprintf("all %d scenes hold", len(kinds))))
	return nil
}

// scenes plays the faults, some at a time, and counts those that did not hold.
func scenes(ctx context.Context, w *world.World, out *screen, kinds []scenario.Kind, parallel int) (failed int, err error) {
	services := w.Fleet.Services()
	for i := 0; i < len(kinds); i += parallel {
		round := kinds[i:min(i+parallel, len(kinds))]
		if i > 0 { // a replica that lags says once more that what has resolved fires: no fault may fall together with that
			if err := pause(ctx, w, 30*time.Second); err != nil {
				return failed, err
			}
		}
		var playing sync.WaitGroup
		said, complaints, errs := make([]strings.Builder, len(round)), make([][]string, len(round)), make([]error, len(round))
		for i, kind := range round {
			playing.Go(func() {
				complaints[i], errs[i] = scene(ctx, w, &screen{out: &said[i], live: out.live}, kind, services[i])
			})
		}
		playing.Wait()
		for i := range round {
			fmt.Fprint(out, said[i].String())
			if len(complaints[i]) > 0 {
				failed++
			}
		}
		if err := errors.Join(errs...); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// extras counts everything that was ever said: as many pages as scenes, and no
// other. A page that was over and came back is one too many.
func extras(w *world.World, scenes int) []string {
	var out, roots []string
	for _, m := range w.FakeSlack.Ledger().Messages {
		if m.ThreadTS == "" {
			line, _, _ := strings.Cut(m.First.Visible, "\n")
			roots = append(roots, m.Accepted.Format("15:04:05 ")+line)
		}
	}
	if len(roots) != scenes {
		out = append(out, fmt.Sprintf("Slack has %d roots for %d scenes: %s", len(roots), scenes, strings.Join(roots, "; ")))
	}
	if n := len(w.FakePD.Ledger().Incidents); n != scenes {
		out = append(out, fmt.Sprintf("PagerDuty has %d incidents for %d scenes", n, scenes))
	}
	return out
}

// scene plays one fault to its end and says what did not hold. Its error is the
// end of the world.
func scene(ctx context.Context, w *world.World, out *screen, kind scenario.Kind, service string) ([]string, error) {
	r := drill.New(w)
	deliver, cancel := context.WithTimeoutCause(ctx, patience(w.Settings), errors.New("its time is over"))
	defer cancel()
	got, err := r.Deliver(deliver, kind, service)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		over, cancel := context.WithTimeoutCause(ctx, patience(w.Settings), errors.New("its time is over"))
		defer cancel()
		err = r.Resolve(over, &got)
	}
	w.Board.Heal(got.Fault.ID)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	complaints := complain(got, err)
	since, _ := got.Times.Since(ttn.StageDelivered)
	out.line("%s  %s on %s, delivered after %s: %s", out.verdict(len(complaints) == 0, "ok  ", "FAIL"), kind, service, seconds(since), got.Fault.Expected())
	for _, s := range complaints {
		out.line("      %s", s)
	}
	return complaints, nil
}

func complain(o drill.Outcome, err error) []string {
	var out []string
	want := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	want(err == nil, "%v", err)
	want(o.Roots == 1, "Slack has %d roots about it, 1 is right", o.Roots)
	want(o.Incidents == 1, "PagerDuty has %d incidents about it, 1 is right", o.Incidents)
	want(o.SlackRight, "the first Slack post does not say %q but: %s", o.Fault.Expected(), strings.ReplaceAll(o.Slack, "\n", " / "))
	want(o.PDRight, "the PagerDuty trigger does not say %q but: %s", o.Fault.Expected(), o.PagerDuty)
	want(o.Edits > 0, "the Slack message was never edited")
	want(o.Resolved, "the resolve was not told in both places")
	return out
}
