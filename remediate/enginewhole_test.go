//go:build !race

// Hundreds of hours of virtual time: the race detector takes eight times as long and
// finds what it finds in the other tests of the engine. `make test` runs them without.

package remediate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

// An engine that is killed before and after each of its writes launches nothing
// twice, whatever became of the launch.
func TestCrashAtEveryTransition(t *testing.T) {
	seeds := seeds(10) // of each write
	for name, answers := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				rng := rand.New(rand.NewPCG(uint64(seed), 1))
				for at := range int64(most) {
					for _, after := range []bool{false, true} {
						crash(t, at+1, after, time.Duration(rng.IntN(200))*time.Second, answers)
					}
				}
			}
		})
	}
}

// Random orders of all that may happen: every dispatch ends, nothing is launched
// whose guards had not passed within a minute, no job doubles, no target stays locked.
func TestEveryPathEnds(t *testing.T) {
	seeds := uint64(max(6, 2*seeds(3)))
	ended := map[remediate.Stage]int{}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				rng := rand.New(rand.NewPCG(seed, 7))
				w.timing = remediate.Timing{Life: time.Hour}
				w.disturb(rng)
				for h := range 3 {
					w.fires(fmt.Sprint("p", h), 1+int(seed%2))
				}
				w.judge.set(nil)
				_, err := remediate.Throw(t.Context(), w.store, remediate.Flip{Do: "thaw", Scope: "global"}, time.Now())
				require.NoError(t, err)
				w.server.set(func(s *server) { s.down = false })
				w.start(w.store)
				w.sleep(4 * time.Hour)
				for _, d := range w.all() {
					require.True(t, d.Stage.Over(), "%s %s: %s", d.ID, d.Stage, d.Reason)
					require.LessOrEqual(t, w.server.ran(d.ID), 1)
					ended[d.Stage]++
				}
				require.Empty(t, w.server.late)
				w.sound()
			})
		})
	}
	require.Greater(t, len(ended), 3, "the ways are many: %v", ended)
}
