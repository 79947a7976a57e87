// Package crash kills Tocsin at random moments while webhooks pour in, starts
// it again each time, and asks the ledgers of the fakes what became of every
// page: none may be lost, none doubled.
package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/world"
)

// Options of one run.
type Options struct {
	Kills int
	Rate  float64       // webhooks per second; a problem takes two: it fires, it resolves
	Seed  uint64        // of the moments of death and of the webhooks
	Drain time.Duration // how long deliveries may stand still before they are given up
	Tell  func(format string, args ...any)
}

// Run kills the world's Tocsin again and again, lets it drain, and returns what
// the ledgers say. Its error means that the run itself broke, for instance
// because Tocsin did not start again.
func Run(ctx context.Context, w *world.World, o Options) (Verdict, error) {
	token, err := w.Secret(w.SecretFiles.Alertmanager)
	if err != nil {
		return Verdict{}, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 3))
	s := &Sender{
		URL: "http://" + w.Tocsin + "/webhook/alertmanager", Token: token,
		Client: &http.Client{Timeout: 10 * time.Second},
		Rand:   rand.New(rand.NewPCG(o.Seed, 4)), Lose: 0.1, Patience: o.Drain,
	}
	var told told
	s.Told = told.has
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go told.watch(watching, w.FakePD.Ledger)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.Pour(ctx, sending.Done(), o.Rate)
	}()
	for i := range o.Kills {
		if err := kill(ctx, w.Gateway, time.Duration(30+rng.IntN(1500))*time.Millisecond); err != nil {
			stop()
			return Verdict{}, fmt.Errorf("kill %d (seed %d): %w", i+1, o.Seed, err)
		}
		if (i+1)%10 == 0 {
			o.Tell("  killed %d times; %d webhooks accepted", i+1, s.Accepted())
		}
	}
	stop()
	o.Tell("  no more webhooks; waiting for the deliveries")
	select {
	case <-sent:
	case <-ctx.Done():
		return Verdict{}, ctx.Err()
	}
	v := drain(ctx, w, s, o)
	v.Seed, v.Kills = o.Seed, o.Kills
	return v, ctx.Err()
}

// told knows of which problems PagerDuty has an incident.
type told struct{ names sync.Map }

func (t *told) has(name string) bool {
	_, ok := t.names.Load(name)
	return ok
}

// watch reads PagerDuty's ledger until ctx ends.
func (t *told) watch(ctx context.Context, ledger func() fakepagerduty.Ledger) {
	name := regexp.MustCompile(named)
	read := 0
	for wait(ctx, 100*time.Millisecond) {
		all := ledger().Incidents
		for _, in := range all[min(read, len(all)):] {
			if !strings.Contains(in.Title, "Tocsin") {
				t.names.Store(name.FindString(in.Title+string(in.Details)), true)
			}
		}
		read = len(all)
	}
}

// kill lets the process live for a while, ends it without notice and brings it
// back.
func kill(ctx context.Context, p *world.Process, after time.Duration) error {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.Done():
		return fmt.Errorf("it ended by itself; the end of %s:\n%s", p.Log, p.Tail(15))
	case <-timer.C:
	}
	p.Kill()
	if err := p.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("it had 30 s"))
	defer cancel()
	return p.Await(ctx)
}

// drain waits until every page stands and is resolved in both places, or until
// nothing has moved for too long.
func drain(ctx context.Context, w *world.World, s *Sender, o Options) Verdict {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	progress, last := -1, time.Now()
	for {
		v := s.Judge(w.FakeSlack.Ledger(), w.FakePD.Ledger())
		if now := v.progress(); now != progress {
			progress, last = now, time.Now()
		}
		if v.Complete() || time.Since(last) > o.Drain {
			return v
		}
		select {
		case <-ctx.Done():
			return v
		case <-tick.C:
		}
	}
}
