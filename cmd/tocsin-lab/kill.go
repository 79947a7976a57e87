package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/lab/world"
)

type killCmd struct {
	worldFlags
	N    int     `default:"50" help:"How many times."`
	Rate float64 `default:"50" help:"Webhooks per second meanwhile."`
}

// Help shows examples under the flags.
func (killCmd) Help() string {
	return `Webhooks are posted as Alertmanager would: again and again until they are answered 2xx. In the
end every accepted page must stand once in Slack and once in PagerDuty, and be resolved in both.

  tocsin-lab kill --n 50 --rate 50 --seed 7`
}

// Run is the command.
func (c *killCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("kill", out)
	if err != nil {
		return err
	}
	o.Replicas, o.Alertmanagers, o.Unlimited = 0, 0, true
	out.title("starting Tocsin and the fakes; seed %d", c.Seed)
	w, err := world.Start(ctx, o)
	if err != nil {
		return err
	}
	defer w.Stop()
	out.title("killing it %d times under %g webhooks/s", c.N, c.Rate)
	v, err := crash.Run(ctx, w, crash.Options{Kills: c.N, Rate: c.Rate, Seed: c.Seed, Drain: 30 * time.Second, Tell: out.line})
	if err != nil {
		return err
	}
	out.line("%s", v)
	out.line("  ledgers in %s/logs", w.Dir)
	if !v.Good() {
		return fmt.Errorf("seed %d: not every page stands exactly once, and resolved", v.Seed)
	}
	out.line("%s", out.paint("32", fmt.Sprintf("seed %d: %d kills, %d pages, 0 lost, 0 doubled", v.Seed, v.Kills, v.Problems)))
	return nil
}
