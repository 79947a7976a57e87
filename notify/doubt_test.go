package notify_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// A page that is over while nobody knows whether PagerDuty took it: an incident
// that was opened all the same must not stay open for ever.
func TestOverWhileInDoubt(t *testing.T) {
	for name, accept := range map[string]bool{"taken": true, "not taken": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.targets()
			h.timing.Reconcile = 200 * time.Millisecond // the doubt is to be seen
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

// between calls meanwhile once its nth intent is written.
type between struct {
	store.Store
	intents   atomic.Int64
	nth       int64
	meanwhile func()
}

func (b *between) Apply(ctx context.Context, ops ...store.Op) error {
	err := b.Store.Apply(ctx, ops...)
	if len(ops) > 1 && ops[1].Kind == store.OpExtend && b.intents.Add(1) == b.nth {
		b.meanwhile()
	}
	return err
}

// The same, where it is over in the very moment in which the doubtful one is
// about to be sent again.
func TestOverWhileItIsSentAgain(t *testing.T) {
	h := newHouse(t)
	h.targets()
	require.NoError(t, h.pd.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: true, Count: 1}))
	p := problem(id(1))
	over := &between{nth: 2, meanwhile: func() { h.put(resolve(p)) }}
	h.wrap = func(s store.Store) store.Store { over.Store = s; return over }
	h.router.Receivers["team"] = h.router.Receivers["team"][1:] // PagerDuty alone
	require.Equal(t, pdTeam, h.router.Receivers["team"][0].String())
	h.start()
	h.put(p)
	require.Eventually(t, func() bool { return over.intents.Load() >= 2 }, 30*time.Second, time.Millisecond)
	h.idle()
	incidents := h.pd.Ledger().Incidents
	require.Len(t, incidents, 1)
	require.Equal(t, "resolved", incidents[0].Status)
}
