package notify_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/page"
)

// A page that is over while nobody knows whether PagerDuty took it: an incident
// that was opened all the same must not stay open for ever.
func TestOverWhileInDoubt(t *testing.T) {
	for name, accept := range map[string]bool{"taken": true, "not taken": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.targets()
			require.NoError(t, h.pd.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: accept, Count: 1}))
			h.start()
			p := problem(id(1))
			h.put(p)
			require.Eventually(t, func() bool { return h.receipt(p, pdTeam).State == page.Ambiguous }, 30*time.Second, time.Millisecond)
			p = resolve(p)
			h.put(p)
			h.idle()
			incidents := h.pd.Ledger().Incidents
			if !accept {
				require.Empty(t, incidents, "nobody is paged for what has ended")
				return
			}
			require.Len(t, incidents, 1)
			require.Equal(t, 1, incidents[0].Notified)
			require.Eventually(t, func() bool { return h.pd.Ledger().Incidents[0].Status == "resolved" }, 30*time.Second, time.Millisecond)
		})
	}
}
