package notify_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/page"
)

// Whatever the targets do and whenever the worker dies: each problem is one
// message and one incident, both resolved in the end.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel() // it waits for rates and breakers, most of its time
			rng := rand.New(rand.NewPCG(seed, 1))
			h := newHouse(t)
			h.targets()
			h.timing.Timeout = 150 * time.Millisecond
			h.timing.RepeatAfter = time.Hour // nothing is repeated unasked
			storm := []fault.Fault{
				{Kind: fault.RateLimit, Probability: .1},
				{Kind: fault.Drop, Accept: true, Probability: .1},
				{Kind: fault.Drop, Probability: .05},
				{Kind: fault.Status, Status: 503, Accept: true, Probability: .05},
				{Kind: fault.HTML, Probability: .05},
				{Kind: fault.Truncated, Probability: .1},
				{Kind: fault.Hang, Accept: true, Probability: .03},
			}
			require.NoError(t, h.slack.Faults.Set(seed, storm...))
			require.NoError(t, h.pd.Faults.Set(seed+100, storm...))
			h.start()
			problems := make([]page.Problem, 12)
			for i := range problems {
				problems[i] = problem(id(i))
				h.put(problems[i])
			}
			for round := range 3 {
				if rng.IntN(2) == 0 {
					h.restart()
				}
				for i := range problems {
					p := &problems[i]
					if h.receipt(*p, slackTeam).First.IsZero() || h.receipt(*p, pdTeam).First.IsZero() {
						h.shows(*p, slackTeam)
						h.shows(*p, pdTeam)
					}
					if round == 2 {
						*p = resolve(*p)
					} else {
						p.Revision++
					}
					h.put(*p)
				}
			}
			h.restart()
			h.idle()
			h.once(problems...)
			for _, in := range h.pd.Ledger().Incidents {
				require.Equal(t, "resolved", in.Status)
			}
			for _, m := range h.slack.Ledger().Messages {
				require.Contains(t, m.Current.Visible, "resolved after")
				require.Empty(t, m.Current.Mentions)
			}
			require.Positive(t, h.slack.Faults.Hits())
		})
	}
}
