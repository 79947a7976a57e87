package pagerduty_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// F11: 1,000 critical problems at once against 120 events a minute. A 429 was
// not ingested; who comes back when he was told to loses none and doubles none.
func TestFaultEveryThrottledPageArrives(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, noToken)
	began := s.clock()
	throttled := 0
	for i := range 1000 {
		p := notifytest.Page()
		p.Problem = fmt.Sprint(i)
		m := s.message(p, notify.VerbOpen, page.Receipt{Delivery: notify.DeliveryID(p.Problem, 1, target)})
		for {
			r, err := s.Notify(t.Context(), m)
			if err == nil {
				require.Equal(t, m.Receipt.Delivery, r.Ref)
				break
			}
			throttled++
			require.Equal(t, remote.NotSent, remote.ClassOf(err))
			require.Equal(t, 5*time.Second, remote.RetryAfter(err))
			require.Empty(t, r.Ref)
			s.pass(remote.RetryAfter(err))
		}
	}
	require.NotZero(t, throttled)
	l := s.Ledger()
	require.Len(t, l.Incidents, 1000)
	require.Equal(t, 1000, s.pages())
	require.Equal(t, throttled, l.Refused)
	require.LessOrEqual(t, s.clock().Sub(began), 10*time.Minute)
}

// F12: the end is sent only after the beginning was accepted; where nobody knows
// whether it was, the end closes what may be there.
func TestFaultAResolveDuringTheTriggersRetry(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		for _, change := range [][]func(*pagerduty.Config){nil, {noToken}} {
			s := set(t, fakepagerduty.Options{}, change...)
			p := notifytest.Page()
			s.faults(fault.Fault{Kind: fault.Drop, Accept: arrived, Count: 1})
			m := s.message(p, notify.VerbOpen, page.Receipt{})
			_, err := s.Notify(t.Context(), m)
			require.Equal(t, remote.Unknown, remote.ClassOf(err))
			p.State = page.Closed
			r, found := s.find(p, notify.VerbOpen, m.Receipt)
			require.True(t, found, "over meanwhile: it is not opened, its end is sent")
			s.resolve(p, r)
			require.NotContains(t, s.statuses(), "triggered")
			if arrived {
				require.Equal(t, 1, s.pages())
			} else {
				require.Zero(t, s.pages())
				require.Len(t, s.Ledger().Dropped, 1)
			}
		}
	}
}

// F12: somebody resolved it before the trigger of unknown outcome is repeated.
func TestFaultAResolvedIncidentIsNotOpenedByARepeat(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p := notifytest.Page()
	s.faults(fault.Fault{Kind: fault.Drop, Accept: true, Count: 1})
	m := s.message(p, notify.VerbOpen, page.Receipt{})
	_, err := s.Notify(t.Context(), m)
	require.Error(t, err)
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: delivery, Do: "resolve"}))
	r, found := s.find(p, notify.VerbOpen, m.Receipt)
	require.True(t, found)
	require.Equal(t, delivery, r.Ref)
	require.Equal(t, 1, s.pages())
	s.resolve(p, r)

	// Where the REST API has trouble of its own the page is not held up: the key
	// folds the repeat into what is open.
	s = set(t, fakepagerduty.Options{})
	s.faults(fault.Fault{Kind: fault.Status, Status: 500, Path: "incidents"})
	_, found = s.find(p, notify.VerbOpen, s.message(p, notify.VerbOpen, page.Receipt{}).Receipt)
	require.False(t, found)
}

func TestTheEndOfSeveralComesWhole(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, noToken)
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	r = s.mustFollow(p, r, updates...)
	s.faults(fault.Fault{Kind: fault.RateLimit, Count: 1})
	p.State = page.Closed
	m := s.message(p, notify.VerbResolve, r)
	_, err := s.Notify(t.Context(), m)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	_, err = s.Notify(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, []string{"resolved", "resolved"}, s.statuses())
	m.Receipt.Resolved = true
	before := s.Ledger().Requests
	_, err = s.Notify(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, before, s.Ledger().Requests, "late context on a page that is over")
}

func TestEpisodesDoNotMix(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, noToken)
	for episode := 1; episode <= 2; episode++ {
		p, updates := gotWorse(1)
		p.Episode = episode
		r, err := s.Notify(t.Context(), s.message(p, notify.VerbOpen, page.Receipt{Delivery: notify.DeliveryID(p.Problem, episode, target)}))
		require.NoError(t, err)
		r.Attempt = 0
		s.resolve(p, s.mustFollow(p, r, updates...))
	}
	require.Equal(t, 4, s.pages())
	require.Equal(t, []string{"resolved", "resolved", "resolved", "resolved"}, s.statuses())
}
