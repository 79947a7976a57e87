package pagerduty_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// episode is one problem's life, told as the room tells it: what surely was not
// sent is sent again, of what nobody knows PagerDuty is asked first.
type episode struct {
	*stage
	rng     *rand.Rand
	people  bool // act in PagerDuty
	forgets bool // the room keeps nothing of a receipt that came with an error
	page    page.Page
	receipt page.Receipt
}

func (e *episode) mishap() {
	faults := []fault.Fault{
		{Kind: fault.Drop, Accept: true, Count: 1},
		{Kind: fault.Drop, Count: 1},
		{Kind: fault.Status, Status: 502, Accept: true, Count: 1},
		{Kind: fault.RateLimit, RetryAfter: 1, Count: 1},
		{Kind: fault.Truncated, Count: 1},
		{Kind: fault.Status, Status: 503, Count: 2},
	}
	paths := []string{"", "enqueue", "notes", "incidents"}
	f := faults[e.rng.IntN(len(faults))]
	f.Path = paths[e.rng.IntN(len(paths))]
	if e.rng.IntN(2) == 0 {
		e.faults(f)
	}
}

func (e *episode) somebody() {
	if !e.people || e.rng.IntN(4) > 0 {
		return
	}
	all := e.Ledger().Incidents
	if len(all) > 0 {
		in := all[e.rng.IntN(len(all))]
		_ = e.Do(fakepagerduty.Human{Incident: in.ID, Do: []string{"resolve", "acknowledge", "note"}[e.rng.IntN(3)], Who: "Jane", Text: "hm"})
	}
}

// tell brings one message through and returns the updates that are left.
func (e *episode) tell(verb notify.Verb, updates []page.Update) []page.Update {
	e.receipt.Attempt = 0
	for range 20 {
		m := e.message(e.page, verb, e.receipt, updates...)
		e.receipt = m.Receipt
		var got page.Receipt
		var err error
		if verb == notify.VerbFollow {
			got, err = e.Notifier.(notify.Follower).Follow(e.t.Context(), m)
		} else {
			got, err = e.Notify(e.t.Context(), m)
		}
		if err == nil {
			e.receipt = got
			return nil
		}
		if !e.forgets {
			e.receipt = got
		}
		e.somebody()
		e.pass(2 * time.Second)
		if class := remote.ClassOf(err); class == remote.NotSent || verb == notify.VerbResolve {
			continue
		}
		found, ok, err := e.Notifier.(notify.Finder).Find(e.t.Context(), m)
		if err == nil && ok {
			e.receipt = found
			for len(updates) > 0 && updates[0].N <= found.Followed {
				updates = updates[1:]
			}
			return updates
		}
	}
	e.t.Fatal("it does not come through")
	return nil
}

func TestFaultAnyEpisode(t *testing.T) {
	for _, token := range []bool{true, false} {
		for seed := range uint64(60) {
			e := &episode{rng: rand.New(rand.NewPCG(seed, 7)), people: token, forgets: seed%2 == 0, page: notifytest.Page()}
			o := fakepagerduty.Options{Seed: seed}
			if e.stage = set(t, o); !token {
				e.stage = set(t, o, noToken)
			}
			e.live(fmt.Sprintf("token %t, seed %d", token, seed))
		}
	}
}

func (e *episode) live(name string) {
	t := e.t
	e.mishap()
	e.tell(notify.VerbOpen, nil)
	var waiting []page.Update
	worse, said := 0, 0
	for n := 1; n <= 8; n++ {
		k := kinds()[e.rng.IntN(len(kinds()))]
		u := update(n, k, fmt.Sprintf("<news %d>", n))
		if u.Aloud = k == page.UpdateRun && e.rng.IntN(2) > 0; u.Aloud {
			e.page.Rung++
		}
		waiting = append(waiting, u)
		if k == page.UpdateWorse {
			e.page.Worse++
		}
		if e.page.Ack = nil; k == page.UpdateAcked {
			e.page.Ack = &page.Ack{By: "Bob", Via: "slack/payments"}
		}
		e.somebody()
		if e.rng.IntN(2) > 0 {
			continue
		}
		e.mishap()
		for len(waiting) > 0 {
			if len(worseOf(waiting)) > 0 {
				worse++
			}
			waiting = e.tell(notify.VerbFollow, waiting)
			said = n
		}
		require.Equal(t, said, e.receipt.Followed, name)
	}
	e.page.State = page.Closed
	e.mishap()
	e.tell(notify.VerbResolve, nil)
	l := e.Ledger()
	require.LessOrEqual(t, len(l.Incidents), 1+worse, "%s: pages for the beginning, and for what got worse", name)
	keys, notes := map[string]int{}, ""
	for _, in := range l.Incidents {
		keys[in.DedupKey]++
		require.Equal(t, "resolved", in.Status, "%s: nothing stays open", name)
		require.Equal(t, 1, in.Notified, name)
		for _, note := range in.Notes {
			notes += note.Content
		}
	}
	for key, n := range keys {
		require.Equal(t, 1, n, "%s: %s pages once", name, key)
	}
	require.NotZero(t, keys[delivery], name)
	for n := range 8 {
		require.LessOrEqual(t, strings.Count(notes, fmt.Sprintf("<news %d>", n+1)), 1, "%s: %s", name, notes)
	}
}

func worseOf(updates []page.Update) []page.Update {
	var out []page.Update
	for _, u := range updates {
		if u.Rings() {
			out = append(out, u)
		}
	}
	return out
}
