// Package contest lets Alertmanager tell Slack and PagerDuty by itself, and by
// way of Tocsin, side by side: the same alerts at the same moments, the same
// troubles, fakes of the same make. The ledgers say who was told, when, and how
// often.
package contest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/lab/world"
)

// Options of a contest.
type Options struct {
	Dir      string // run folder; emptied first
	Finder   world.Finder
	Problems int     // in each round
	Rate     float64 // problems per second
	Seed     uint64
	Out      io.Writer
}

// Round is one kind of trouble.
type Round struct {
	Name string
	Says string        // for people
	Life time.Duration // of an alert
	// Trouble makes it for one side until ctx ends.
	Trouble func(ctx context.Context, s *Side, rng *rand.Rand) error
	// Drain is how long deliveries may take once the trouble is over.
	Drain time.Duration
}

// Rounds are the troubles that both sides meet.
func Rounds() []Round {
	return []Round{
		{Name: "calm", Says: "nothing is wrong", Life: 15 * time.Second, Trouble: calm, Drain: 20 * time.Second},
		{
			Name: "429", Says: "Slack and PagerDuty answer 429 to half of all requests, every second time without Retry-After",
			Life: 15 * time.Second, Trouble: throttled, Drain: 60 * time.Second,
		},
		{
			Name: "kill", Says: "each program on the way is killed (SIGKILL) and started again, in turn, every 3 to 6 s",
			Life: 15 * time.Second, Trouble: killed, Drain: 60 * time.Second,
		},
	}
}

func calm(context.Context, *Side, *rand.Rand) error { return nil }

func throttled(ctx context.Context, s *Side, rng *rand.Rand) error {
	storm := []fault.Fault{
		{Kind: fault.RateLimit, Probability: 0.25, RetryAfter: 2},
		{Kind: fault.RateLimit, Probability: 1. / 3},
	}
	for _, f := range []*fault.Injector{s.Slack.Faults, s.PagerDuty.Faults} {
		if err := f.Set(rng.Uint64(), storm...); err != nil {
			return err
		}
		defer f.Clear()
	}
	<-ctx.Done()
	return nil
}

func killed(ctx context.Context, s *Side, rng *rand.Rand) error {
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(3*time.Second + time.Duration(rng.IntN(3000))*time.Millisecond):
		}
		p := s.programs[i%len(s.programs)]
		p.Kill()
		if err := p.Start(); err != nil {
			return err
		}
		ready, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 30*time.Second, errors.New("it had 30 s"))
		err := p.Await(ready)
		cancel()
		if err != nil {
			return err
		}
	}
}

// Result is what became of one round.
type Result struct {
	Round string  `json:"round"`
	Says  string  `json:"says"`
	Sides []Tally `json:"sides"` // Alertmanager alone, then by way of Tocsin
}

// Run holds the rounds, one after the other, each on fresh state.
func Run(ctx context.Context, o Options, rounds []Round) ([]Result, error) {
	paths := map[string]string{}
	for _, name := range []string{"alertmanager", "tocsin"} {
		path, err := o.Finder.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(o.Out, "  %-13s %s\n", name, path)
		paths[name] = path
	}
	var out []Result
	for _, r := range rounds {
		fmt.Fprintf(o.Out, "round %s: %s\n", r.Name, r.Says)
		result, err := hold(ctx, o, r, paths)
		if err != nil {
			return out, fmt.Errorf("round %s: %w", r.Name, err)
		}
		out = append(out, result)
	}
	return out, nil
}

// hold holds one round: both sides at the same time, on one machine.
func hold(ctx context.Context, o Options, r Round, paths map[string]string) (Result, error) {
	result := Result{Round: r.Name, Says: r.Says}
	dir := filepath.Join(o.Dir, r.Name)
	if err := os.RemoveAll(dir); err != nil {
		return result, err
	}
	var sides []*Side
	defer func() {
		for _, s := range sides {
			s.stop()
		}
	}()
	for _, through := range []bool{false, true} {
		s, err := newSide(ctx, filepath.Join(dir, nameOf(through)), through, paths, o.Seed)
		if err != nil {
			return result, err
		}
		sides = append(sides, s)
	}
	problems := plan(o, r.Life)
	errs := make([]error, len(sides))
	var wg sync.WaitGroup
	for i, s := range sides {
		wg.Go(func() { errs[i] = s.race(ctx, problems, r, rand.New(rand.NewPCG(o.Seed, 5))) })
	}
	wg.Wait()
	for _, s := range sides {
		result.Sides = append(result.Sides, s.tally(problems))
	}
	return result, errors.Join(errs...)
}

// problem is one alert's life, as seconds of the round.
type problem struct {
	service    string
	from, till time.Duration
}

// plan spreads the problems over time, a little unevenly.
func plan(o Options, life time.Duration) []problem {
	rng := rand.New(rand.NewPCG(o.Seed, 6))
	out := make([]problem, o.Problems)
	for i := range out {
		from := time.Duration((float64(i) + rng.Float64()) / o.Rate * float64(time.Second))
		out[i] = problem{service: fmt.Sprintf("svc-%06d", i), from: from, till: from + life}
	}
	return out
}

// race sends all alerts as Prometheus would, again and again while they fire,
// with the trouble going on beside it, and waits for what is under way.
func (s *Side) race(ctx context.Context, problems []problem, r Round, rng *rand.Rand) error {
	trouble, over := context.WithCancel(ctx)
	broken := make(chan error, 1)
	go func() { broken <- r.Trouble(trouble, s, rng) }()
	err := s.prometheus(ctx, problems)
	over()
	err = errors.Join(err, <-broken)
	if err != nil {
		return err
	}
	return s.settle(ctx, problems, r.Drain)
}

// resend is Prometheus' resend delay, which is a minute, in this shorter world.
const resend = 3 * time.Second

// prometheus keeps the Alertmanager told of what fires and what has resolved.
func (s *Side) prometheus(ctx context.Context, problems []problem) error {
	s.began = time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	sent := make([]time.Time, len(problems))
	ended := make([]int, len(problems)) // times its end was told: Prometheus does so for 15 min
	for {
		now := time.Now()
		var batch []alert
		var in []int
		left := false
		for i, p := range problems {
			at := now.Sub(s.began)
			left = left || at < p.till || ended[i] < 3
			if at < p.from || now.Sub(sent[i]) < resend || ended[i] >= 3 {
				continue
			}
			batch, in = append(batch, s.alert(p, now)), append(in, i)
		}
		if len(batch) > 0 && s.post(ctx, batch) == nil {
			for k, i := range in {
				sent[i] = now
				if !batch[k].EndsAt.After(now) {
					ended[i]++
				}
			}
		}
		if !left {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func newClient() *http.Client { return &http.Client{Timeout: 5 * time.Second} }
