package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

type measureCmd struct {
	worldFlags
	Faults        int    `default:"10" help:"How many faults, the kinds taking turns."`
	Parallel      int    `default:"1" help:"Faults at a time, each on a service of its own: groups of their own, so none waits for another."`
	Thanos        bool   `help:"Put Thanos sidecars and Query between Prometheus and Tocsin."`
	Replicas      int    `default:"1" enum:"1,2" help:"Prometheus replicas."`
	Alertmanagers int    `default:"1" enum:"1,2" help:"Alertmanagers in the cluster."`
	Output        string `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (measureCmd) Help() string {
	return `Each fault strikes at a random moment, is waited for in Slack and PagerDuty, healed, and
waited for again. The same seed strikes the same kinds on the same services, and at the same
places unless --parallel is given, so settings can be compared.

  tocsin-lab measure --faults 10
  tocsin-lab measure --faults 10 --settings stock --parallel 5     (about half an hour)
  tocsin-lab measure --faults 20 --settings slow.yml                (settings of one's own)
  tocsin-lab measure -o json --seed 7 > run.json`
}

// Report is what a measurement found.
type Report struct {
	Settings   string          `json:"settings"`
	Seed       uint64          `json:"seed"`
	Targets    int             `json:"targets"`
	Faults     int             `json:"faults"`
	Delivered  int             `json:"delivered"`
	RightFirst int             `json:"right_first"` // the right words came first, in Slack and in PagerDuty
	Onset      onsets          `json:"onset"`
	Stages     []ttn.Summary   `json:"stages"`
	Predicted  []Prediction    `json:"predicted"` // over the same faults
	Doctor     Foretold        `json:"doctor"`    // of the world's own files
	Outcomes   []drill.Outcome `json:"outcomes"`
}

// Prediction is the formula's time to notify, averaged over the faults.
type Prediction struct {
	Settings string `json:"settings"`
	ttn.Span
}

// Run is the command.
func (c *measureCmd) Run(ctx context.Context, out *screen) error {
	say := out
	if c.Output == "json" {
		say = &screen{out: quiet{}}
	}
	o, err := c.options("measure", say)
	if err != nil {
		return err
	}
	o.Thanos, o.Replicas, o.Alertmanagers = c.Thanos, c.Replicas, c.Alertmanagers
	w, err := begin(ctx, o, say, longest(o.Settings))
	if err != nil {
		return err
	}
	defer w.Stop()
	m := &measurement{world: w, say: say, rng: rand.New(rand.NewPCG(c.Seed, 2)), runner: drill.New(w)}
	m.runner.Announces = true
	ended := m.rounds(ctx, c.Faults, max(1, min(c.Parallel, len(w.Fleet.Services()))))
	rep := m.report(c.Seed) // as far as it came
	var said error
	rep.Doctor, said = foretell(context.WithoutCancel(ctx), w.Dir, m.outcomes)
	ended = errors.Join(ended, said)
	if c.Output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return errors.Join(ended, enc.Encode(rep))
	} else if rep.Faults > 0 {
		out.report(rep)
	}
	return ended
}

// dateWithin is how long the edit that says when it began is waited for: its
// first look and the one after it.
const dateWithin = 30 * time.Second

// quiet swallows progress where the output is for a machine.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }

type measurement struct {
	world  *world.World
	runner *drill.Runner
	say    *screen
	rng    *rand.Rand

	mu       sync.Mutex
	outcomes []drill.Outcome
}

// rounds strikes n faults, so many at a time; kinds and services take turns.
func (m *measurement) rounds(ctx context.Context, n, parallel int) error {
	kinds, services := scenario.Kinds(), m.world.Fleet.Services()
	for begun := 0; begun < n; {
		var wg sync.WaitGroup
		errs := make([]error, min(parallel, n-begun))
		for i := range errs {
			kind, service := kinds[begun%len(kinds)], services[begun%len(services)]
			delay := time.Duration(m.rng.Float64() * float64(m.world.Settings.Scrape+m.world.Settings.Eval))
			wg.Go(func() { errs[i] = m.one(ctx, kind, service, delay) })
			begun++
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// one drills one fault from strike to resolve. A page that does not come is a
// result; only the end of the world is an error.
func (m *measurement) one(ctx context.Context, kind scenario.Kind, service string, delay time.Duration) error {
	if err := pause(ctx, m.world, delay); err != nil {
		return err
	}
	limit := patience(m.world.Settings)
	deliver, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it had %s", limit))
	defer cancel()
	got, err := m.runner.Deliver(deliver, kind, service)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	since, _ := got.Times.Since(ttn.StageDelivered)
	if err != nil {
		m.say.line("  %-16s %s", got.Fault.ID, m.say.paint("31", err.Error()))
	} else {
		m.say.line("  %-16s %-9s delivered after %7s  %s  %s", got.Fault.ID, service, seconds(since),
			m.say.verdict(got.Right(), "right first", "wrong first"), got.Fault.Expected())
	}
	if err == nil {
		date, cancel := context.WithTimeout(ctx, dateWithin)
		m.runner.Date(date, &got)
		cancel()
	}
	over, cancel := context.WithTimeoutCause(ctx, limit+m.world.Settings.GroupInterval, errors.New("its time is over"))
	defer cancel()
	if err := m.runner.Resolve(over, &got); err != nil && got.Err == "" && ctx.Err() == nil {
		got.Err = err.Error()
		m.say.line("  %-16s %s", got.Fault.ID, m.say.paint("31", got.Err))
	}
	m.mu.Lock()
	m.outcomes = append(m.outcomes, got)
	m.mu.Unlock()
	return ctx.Err()
}

func (m *measurement) report(seed uint64) Report {
	rep := Report{
		Settings: m.world.Settings.Name, Seed: seed, Targets: m.world.Fleet.Size(),
		Faults: len(m.outcomes), Outcomes: m.outcomes,
	}
	var times []ttn.Times
	for _, o := range m.outcomes {
		times = append(times, o.Times)
		if _, ok := o.Times.Since(ttn.StageDelivered); ok {
			rep.Delivered++
			rep.Onset.add(o.Fault, o.Dating, m.world.Settings.Scrape)
		}
		if o.Right() {
			rep.RightFirst++
		}
	}
	rep.Stages = ttn.Summarise(times)
	for _, lane := range lanes() {
		var sum ttn.Span
		for _, o := range m.outcomes {
			chain, _ := lane.Chain(o.Fault.Symptom, o.Fault.Level)
			sum = sum.Plus(chain.Total())
		}
		n := time.Duration(max(1, len(m.outcomes)))
		rep.Predicted = append(rep.Predicted, Prediction{lane.Name, ttn.Span{Best: sum.Best / n, Mean: sum.Mean / n, Worst: sum.Worst / n}})
	}
	return rep
}

func (s *screen) report(r Report) {
	s.title("%d faults, %s settings, %d targets, seed %d", r.Faults, r.Settings, r.Targets, r.Seed)
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  stage\tn\ttook p50\tp95\tafter the fault p50\tp95\tmax\t")
	for _, st := range r.Stages {
		fmt.Fprintf(t, "  %s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", st.Stage, st.N,
			seconds(st.TookP50), seconds(st.TookP95), seconds(st.SinceP50), seconds(st.SinceP95), seconds(st.SinceMax))
	}
	_ = t.Flush() // the screen is all there is to write to
	for _, p := range r.Predicted {
		s.line("  predicted for the same faults, %-5s settings: best %s, mean %s, worst %s", p.Settings, seconds(p.Best), seconds(p.Mean), seconds(p.Worst))
	}
	if r.Doctor.N > 0 {
		s.foretold(r.Doctor)
	}
	s.line("  delivered %d of %d; right in the first Slack post and the PagerDuty trigger %d of %d", r.Delivered, r.Faults, r.RightFirst, r.Faults)
	n := r.Onset
	s.line("  onset told on %d of %d pages, off by p50 %s, p95 %s; %d within one scrape interval, %d inside the interval they give", n.Dated, n.Of, seconds(n.Off50), seconds(n.Off95), n.Within, n.Inside)
	s.line("  an innocent deploy of ten minutes before blamed %d times; the bad deploy named %d of %d times", n.Innocent, n.Named, n.Deploys)
	for _, o := range r.Outcomes {
		if !o.Right() || o.Err != "" {
			line, _, _ := strings.Cut(o.Slack, "\n")
			s.line("  %s expected %q, read %q %s", s.paint("31", o.Fault.ID), o.Fault.Expected(), line, o.Err)
		}
	}
}
