package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/tocsin/tocsin/lab/contest"
)

type contestCmd struct {
	worldFlags
	Problems int      `default:"40" help:"How many problems each round has."`
	Rate     float64  `default:"0.5" help:"Problems per second. Slack takes a message a second in a channel, and Alertmanager needs two for each."`
	Only     []string `placeholder:"ROUND" help:"Rounds to hold: calm, 429, kill; all if not given."`
	Output   string   `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (contestCmd) Help() string {
	return `The same alerts at the same moments, told by Alertmanager itself and by way of Tocsin, to fakes of
the same make: who was told, how soon, how often, when all is well, under a storm of 429s, and while
every program on the way is killed. It fails if Tocsin loses or doubles one.

  tocsin-lab contest
  tocsin-lab contest --only kill --problems 200 -o json`
}

// Run is the command.
func (c *contestCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("contest", out)
	if err != nil {
		return err
	}
	rounds := contest.Rounds()
	if len(c.Only) > 0 {
		rounds = slices.DeleteFunc(rounds, func(r contest.Round) bool { return !slices.Contains(c.Only, r.Name) })
	}
	if len(rounds) == 0 {
		return errors.New("no round is called that: write calm, 429 or kill")
	}
	o.Finder.Oldest = map[string][2]int{"alertmanager": {0, 31}} // not the one of a distribution: today's is the mark
	out.title("Alertmanager alone beside Alertmanager and Tocsin; seed %d", c.Seed)
	results, err := contest.Run(ctx, contest.Options{
		Dir: o.Dir, Finder: o.Finder, Problems: c.Problems, Rate: c.Rate, Seed: c.Seed, Out: out,
	}, rounds)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(results)
	} else {
		err = out.contest(results)
	}
	return errors.Join(err, flawless(results))
}

// flawless says where Tocsin lost or doubled a page.
func flawless(results []contest.Result) error {
	var errs []error
	for _, r := range results {
		ours := r.Sides[len(r.Sides)-1]
		for service, s := range map[string]contest.Score{"Slack": ours.Slack, "PagerDuty": ours.PagerDuty} {
			if s.Lost+s.Doubled > 0 {
				errs = append(errs, fmt.Errorf("round %s, %s: %d lost, %d doubled", r.Round, service, s.Lost, s.Doubled))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *screen) contest(results []contest.Result) error {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "round\tway\tservice\tproblems\tlost\tdoubled\tleft open\tfirst message p50\tp99\tmax\t")
	for _, r := range results {
		for _, side := range r.Sides {
			for _, row := range []struct {
				service string
				contest.Score
			}{{"Slack", side.Slack}, {"PagerDuty", side.PagerDuty}} {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", r.Round, side.Side, row.service,
					row.Problems, row.Lost, row.Doubled, row.Open, seconds(row.P50), seconds(row.P99), seconds(row.Max))
			}
		}
	}
	return t.Flush()
}
