//go:build faults

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/lab/fault"
)

// clockFile names the variable with the path of the file that says how far the
// wall clock of a child is off.
const clockFile = "TOCSIN_CLOCK"

// jumpingClock is a wall clock that somebody sets. The times it tells have no
// monotonic reading: what is measured by them is off by the jump, as it is for
// times that were stored.
func jumpingClock(path string) func() time.Time {
	return func() time.Time {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		shift, err := time.ParseDuration(string(text))
		if err != nil {
			panic(err)
		}
		return time.Now().Round(0).Add(shift)
	}
}

// TestFaultClock sets the wall clock an hour ahead or back while messages are
// under way and others wait to be tried again, once more between a crash and the
// start after it, and then again: nothing is late by it, nothing is doubled.
func TestFaultClock(t *testing.T) {
	for _, jumps := range [][]string{{"1h", "0s"}, {"-1h", "0s"}, {"1h", "-1h"}, {"-1h", "1h"}} {
		for _, seed := range seeds(2) {
			t.Run(fmt.Sprintf("%s then %s/seed %d", jumps[0], jumps[1], seed), func(t *testing.T) {
				t.Parallel()
				jumpTwice(t, jumps[0], jumps[1], seed)
			})
		}
	}
}

// jumpTwice runs problems through a program whose clock is set to first, while
// it is dead to second, and back to first.
func jumpTwice(t *testing.T, first, second string, seed uint64) {
	const problems = 12
	rng := rand.New(rand.NewPCG(seed, 13))
	g := newGateway(t, seed, "")
	clock := filepath.Join(g.dir, "clock")
	set := func(shift string) {
		require.NoError(t, os.WriteFile(clock+".new", []byte(shift), 0o600))
		require.NoError(t, os.Rename(clock+".new", clock))
	}
	set("0s")
	g.start(nil, clockFile+"="+clock)
	g.ready()
	// Some messages must be tried again, of others the answer is lost. Slack's
	// history can be read: where it cannot, a repeat is marked.
	for path, f := range map[string]*fault.Injector{"chat.": g.slack.Faults, "": g.pd.Faults} {
		require.NoError(t, f.Set(seed,
			fault.Fault{Kind: fault.Status, Status: 500, Path: path, Probability: 0.3, Count: 10},
			fault.Fault{Kind: fault.Drop, Accept: true, Path: path, Probability: 0.3, Count: 5}))
	}
	var all sync.WaitGroup
	for n := range problems {
		wait := time.Duration(rng.IntN(1800)) * time.Millisecond
		life := crash.Life{Grows: 700 * time.Millisecond, Lasts: time.Second, Repeat: rng.IntN(3), Until: g.paged(n)}
		all.Go(func() {
			pause(wait)
			g.sender.Live(t.Context(), n, life)
		})
	}
	some := func() time.Duration { return time.Duration(300+rng.IntN(600)) * time.Millisecond }
	pause(some())
	set(first)
	pause(some())
	g.kill()
	set(second)
	g.start(nil, clockFile+"="+clock)
	g.ready()
	pause(some())
	set(first)
	all.Wait()
	// five failures in a row leave a target alone for 5 s, each further one for twice as long
	require.Equal(t, problems, g.settled(3*time.Minute).Problems)
}
