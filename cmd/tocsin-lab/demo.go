package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
	"github.com/tocsin/tocsin/rules/latency"
)

type demoCmd struct {
	worldFlags
	Once    bool          `help:"End after the page; exit 0 only if the right trait stood in the first Slack post and in the PagerDuty trigger."`
	Thanos  bool          `help:"Put Thanos sidecars and Query between Prometheus and Tocsin."`
	Fault   scenario.Kind `default:"bad-deploy" enum:"bad-deploy,bad-host,noisy-user,slow-dc,target-down,everything-bad" help:"What strikes: ${enum}."`
	Service string        `help:"Where it strikes; default: the fleet's first service, checkout."`
}

// Help shows examples under the flags.
func (demoCmd) Help() string {
	return `A bad deploy strikes; its page is printed as it arrives, with the clock by stage.

  tocsin-lab demo
  tocsin-lab demo --once --fault noisy-user
  tocsin-lab demo --thanos --targets 3000`
}

// Run is the command.
func (c *demoCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("demo", out)
	if err != nil {
		return err
	}
	o.Thanos = c.Thanos
	var warm time.Duration
	if !c.Once {
		warm = datable(o.Settings)
	}
	w, err := begin(ctx, o, out, warm)
	if err != nil {
		return err
	}
	defer w.Stop()
	got, err := c.strike(ctx, w, out)
	if err != nil && (c.Once || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		out.line("%s", out.paint("31", err.Error()))
	}
	out.addresses(w)
	if c.Once {
		return wrong(got)
	}
	out.title("the world stays up until Ctrl-C")
	return stay(ctx, w)
}

func (c *demoCmd) strike(ctx context.Context, w *world.World, out *screen) (drill.Outcome, error) {
	var struck time.Time
	r := drill.New(w)
	r.Passed = func(f scenario.Fault, stage string, at time.Time) {
		if stage == ttn.StageFault {
			struck = at
			out.title("%s: %s", f.Kind, f.Summary)
			out.predict(f)
			out.title("the page, as it arrives")
		}
		out.line("  %s  %8s  %s", at.Format("15:04:05.000"), "+"+seconds(at.Sub(struck)), stage)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience(w.Settings), errors.New("its time is over"))
	defer cancel()
	got, err := r.Deliver(ctx, c.Fault, c.Service)
	if err != nil {
		return got, err
	}
	out.title("Slack: the first post")
	out.indent(got.Slack)
	out.title("PagerDuty: the trigger")
	out.indent(got.PagerDuty)
	out.title("by stage")
	out.clock(got)
	out.line("  expected  %s", got.Fault.Expected())
	out.line("  Slack     %s", out.verdict(got.SlackRight, "right at first sight", "not in the first post"))
	out.line("  PagerDuty %s", out.verdict(got.PDRight, "right at first sight", "not in the trigger"))
	return got, nil
}

// datable is how much of the past tells when something began: twice the rules'
// shortest window.
func datable(s ttn.Settings) time.Duration { return 2 * s.Errors[0].Range }

// longest is the rules' longest window. Until it is full it weighs a fault
// heavier than the formula does, and a page comes sooner than it will later.
func longest(s ttn.Settings) time.Duration {
	var d time.Duration
	for _, w := range slices.Concat(s.Errors, s.Latency) {
		d = max(d, w.Range)
	}
	return d
}

// patience is how long a page is waited for: a minute more than the worst that
// the formula allows a fault which needs the whole of the longest window.
func patience(s ttn.Settings) time.Duration {
	chain, _ := s.Chain(ttn.Down, 1)
	chain.Condition = latency.Constant(longest(s))
	return chain.Total().Worst + time.Minute
}

func wrong(o drill.Outcome) error {
	if o.Right() {
		return nil
	}
	return fmt.Errorf("%s: %q is not what was read first (Slack right: %t, PagerDuty right: %t)", o.Fault.ID, o.Fault.Expected(), o.SlackRight, o.PDRight)
}

// stay keeps a world up until it is told to go, which is no error.
func stay(ctx context.Context, w *world.World) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-w.Failed():
		return err
	}
}

type upCmd struct {
	worldFlags
	Thanos        bool   `help:"Put Thanos sidecars and Query between Prometheus and Tocsin."`
	Replicas      int    `default:"1" enum:"1,2" help:"Prometheus replicas."`
	Alertmanagers int    `default:"1" enum:"1,2" help:"Alertmanagers in the cluster."`
	Scenario      string `type:"existingfile" placeholder:"FILE" help:"Faults by the clock: a YAML list of {at, fault, service, for}."`
}

// Help shows examples under the flags.
func (upCmd) Help() string {
	return `Faults come from a file, or from "tocsin-lab fault":

  tocsin-lab up --replicas 2 --alertmanagers 2 --thanos
  tocsin-lab up --scenario evening.yml

  # evening.yml
  - {at: 30s, fault: bad-deploy, service: checkout, for: 3m}
  - {at: 2m,  fault: noisy-user, service: search}`
}

// Run is the command.
func (c *upCmd) Run(ctx context.Context, out *screen) error {
	var steps scenario.Steps
	if c.Scenario != "" {
		data, err := os.ReadFile(c.Scenario)
		if err != nil {
			return err
		}
		if steps, err = scenario.Parse(c.Scenario, data); err != nil {
			return err
		}
	}
	o, err := c.options("up", out)
	if err != nil {
		return err
	}
	o.Thanos, o.Replicas, o.Alertmanagers = c.Thanos, c.Replicas, c.Alertmanagers
	w, err := begin(ctx, o, out, 0)
	if err != nil {
		return err
	}
	defer w.Stop()
	out.addresses(w)
	out.title("the world stays up until Ctrl-C")
	played := make(chan error, 1)
	go func() {
		played <- w.Board.Run(ctx, steps, func(f scenario.Fault) {
			out.line("  %s  %s: %s; expect %s", f.At.Format("15:04:05"), f.Kind, f.Summary, f.Expected())
		})
	}()
	if err := stay(ctx, w); err != nil {
		return err
	}
	if err := <-played; err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
