package notify_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// standin records what it is told.
type standin struct {
	mu   sync.Mutex
	told []notify.Message
	at   []time.Time
	err  error
}

func (s *standin) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return m.Receipt, s.err
	}
	s.told, s.at = append(s.told, m), append(s.at, time.Now())
	r := m.Receipt
	r.Ref = "instead"
	return r, nil
}

func (s *standin) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := m.Receipt
	r.Ref = "instead"
	return r, len(s.told) > 0, nil
}

// opens is how often it was told of something new.
func (s *standin) opens() (n int) {
	for _, m := range s.heard() {
		if m.Verb == notify.VerbOpen {
			n++
		}
	}
	return n
}

func (s *standin) heard() []notify.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]notify.Message(nil), s.told...)
}

func always(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// tellings are the events that say who was told instead.
func (v *timed) tellings(t *testing.T) (texts []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for {
		lease, err := v.store.Take(ctx, store.LaneEvents, time.Hour)
		if err != nil {
			return texts
		}
		var e page.Event
		require.NoError(t, store.Unmarshal(lease.Value, &e))
		require.Equal(t, page.Told, e.Kind)
		require.Equal(t, 1, e.Episode)
		texts = append(texts, e.Text)
		require.NoError(t, v.store.Apply(t.Context(), store.Done(lease)))
	}
}

func TestWhoStandsInIsToldInTime(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	refused := &remote.Error{Op: "post message", Class: remote.Content, Status: 200, Reason: "invalid_blocks"}
	busy := &remote.Error{Op: "post message", Class: remote.NotSent, Status: 429, RetryAfter: time.Minute}
	down := &remote.Error{Op: "post message", Class: remote.NotSent, Reason: "connection refused"}
	for name, tc := range map[string]struct {
		errs  []error
		block time.Duration
		by    time.Duration
		says  string
	}{
		"a human has to mend it":      {errs: always(archived, 100), by: time.Second, says: "is_archived"},
		"refused in plain form too":   {errs: always(refused, 100), by: time.Second, says: "invalid_blocks"},
		"limited for a minute":        {errs: always(busy, 100), by: time.Minute, says: "429"},
		"down, and its breaker opens": {errs: always(down, 1000), by: time.Minute, says: "connection refused"},
		"it hangs":                    {block: time.Hour, by: time.Minute, says: ""},
	} {
		t.Run(name, func(t *testing.T) {
			last := &standin{}
			virtually(t, &scripted{errs: tc.errs, block: tc.block, last: last}, func(t *testing.T, v *timed) {
				p := problem(id(1))
				v.put(t, p)
				v.put(t, warning(problem(id(2))))
				pass(tc.by)
				told := last.heard()
				require.Len(t, told, 1, "once, and of the critical page alone")
				require.Equal(t, p.ID, told[0].Page.Problem)
				require.Equal(t, "scripted/x", told[0].Receipt.Instead)
				require.Contains(t, told[0].Instead, "scripted/x could not be told")
				require.Contains(t, told[0].Instead, tc.says)
				require.Contains(t, told[0].Text.Headline, "instead of scripted/x")
				require.Contains(t, strings.Join(told[0].Text.Notes, "\n"), told[0].Instead)
				texts := v.tellings(t)
				require.Len(t, texts, 1)
				require.Contains(t, texts[0], "scripted/x could not be told")
				require.Contains(t, texts[0], "scripted/last is told instead")
				pass(time.Hour)
				require.Len(t, last.heard(), 1, "and never again")
				require.Empty(t, v.tellings(t))
			})
		})
	}
}

// The main target recovers: it is told once and says who else was. Who stood in
// hears of every change, and of the end.
func TestWhoStandsInHearsTheEnd(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	last := &standin{}
	main := &standin{err: archived}
	virtually(t, &scripted{other: main, last: last}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(10 * time.Second)
		require.Len(t, last.heard(), 1)
		p = revised(p, 2, 39)
		v.put(t, p)
		pass(time.Minute)
		require.Len(t, last.heard(), 2)
		require.Equal(t, notify.VerbUpdate, last.heard()[1].Verb)
		require.Contains(t, last.heard()[1].Text.Headline, "instead of scripted/x")

		main.mu.Lock()
		main.err = nil
		main.mu.Unlock()
		pass(time.Minute)
		told := main.heard()
		require.Len(t, told, 1)
		require.Equal(t, notify.VerbOpen, told[0].Verb)
		require.Contains(t, told[0].Text.Status, "also sent to scripted/last")

		p = resolve(p)
		p.Told = []string{"scripted/x"}
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, notify.VerbResolve, main.heard()[1].Verb)
		require.Equal(t, notify.VerbResolve, last.heard()[2].Verb)
		require.Len(t, last.heard(), 3)
		require.Zero(t, v.items(t)-len(v.tellings(t)))
	})
}

// A chain is walked to its end; nobody in it is told who is not needed.
func TestAChainIsWalked(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	busy := &remote.Error{Op: "send mail", Class: remote.NotSent, Status: 429, Reason: "busy"}
	mail, last := &standin{err: busy}, &standin{}
	virtually(t, &scripted{errs: always(archived, 1000), last: last, fallback: mail}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(50 * time.Second)
		require.Empty(t, last.heard())
		pass(70 * time.Second)
		require.Len(t, last.heard(), 1)
		require.Equal(t, "scripted/x", last.heard()[0].Receipt.Instead)
		texts := v.tellings(t)
		require.Len(t, texts, 2)
		require.Contains(t, texts[1], "scripted/mail could not be told (send mail: status 429: busy): scripted/last is told instead")
	})
}

// Who is a target of the episode is told by its own delivery, and never twice.
func TestATargetOfTheEpisodeStandsInForNobody(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	other := &standin{}
	virtually(t, &scripted{errs: always(archived, 1000), second: other, fallback: other, chain: "y"}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(10 * time.Minute)
		require.Len(t, other.heard(), 1)
		require.Empty(t, other.heard()[0].Receipt.Instead)
		require.Empty(t, v.tellings(t))
	})
}

// Nobody named the last resort as who stands in: it is told where no target of the
// receiver was, and not while one of them still may be.
func TestTheLastResortIsForPagesThatNobodyWasToldOf(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	for name, tc := range map[string]struct {
		second, fallback *standin
		mended           time.Duration // of the second; 0: never
		told             int
		by               time.Duration
	}{
		"another was told":                 {second: &standin{}, told: 0},
		"another comes through in time":    {second: &standin{err: archived}, mended: 20 * time.Second, told: 0},
		"neither was told":                 {second: &standin{err: archived}, told: 1, by: time.Minute},
		"somebody stands in for the other": {second: &standin{err: archived}, fallback: &standin{}, told: 0},
		"nor does who stands in":           {second: &standin{err: archived}, fallback: &standin{err: archived}, told: 1, by: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			last := &standin{}
			s := &scripted{errs: always(archived, 1000), second: tc.second, last: last}
			if tc.fallback != nil {
				s.fallback, s.of = tc.fallback, "scripted/y"
			}
			virtually(t, s, func(t *testing.T, v *timed) {
				v.put(t, problem(id(1)))
				if tc.mended > 0 {
					pass(tc.mended)
					tc.second.mu.Lock()
					tc.second.err = nil
					tc.second.mu.Unlock()
				}
				pass(40*time.Second - tc.mended)
				require.Empty(t, last.heard(), "another may still be told")
				pass(tc.by)
				require.Equal(t, tc.told, last.opens())
				pass(time.Hour)
				require.Equal(t, tc.told, last.opens())
			})
		})
	}
}

// While Tocsin was down, or somebody set its clock ahead, no target had its time:
// it gets that after the start, and once.
func TestTargetsHaveTheirTimeAfterAStart(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	for name, told := range map[string]int{"a target comes through": 0, "none does": 1} {
		t.Run(name, func(t *testing.T) {
			last, second := &standin{}, &standin{err: archived}
			virtually(t, &scripted{errs: always(archived, 1000), second: second, last: last}, func(t *testing.T, v *timed) {
				v.put(t, problem(id(1)))
				pass(time.Second)
				v.cancel()
				<-v.done
				pass(time.Hour)
				v.start(context.Background())
				pass(20 * time.Second)
				require.Empty(t, last.heard())
				if told == 0 {
					second.mu.Lock()
					second.err = nil
					second.mu.Unlock()
				}
				pass(time.Minute)
				require.Equal(t, told, last.opens())
			})
		})
	}
}

// Whatever write is the last one before a crash: somebody stands in, once.
func TestStandingInOutlivesACrash(t *testing.T) {
	archived := &remote.Error{Op: "post message", Class: remote.Config, Status: 200, Reason: "is_archived"}
	for at := int64(1); at <= 6; at++ {
		for _, after := range []bool{false, true} {
			last := &standin{}
			virtually(t, &scripted{errs: always(archived, 1000), last: last, crash: &crashing{at: at, after: after, dead: make(chan struct{})}}, func(t *testing.T, v *timed) {
				v.put(t, problem(id(1)))
				pass(5 * time.Second)
				v.restart()
				pass(2 * time.Minute)
				require.Equal(t, 1, last.opens(), "write %d, after=%t", at, after)
				require.Len(t, v.tellings(t), 1, "write %d, after=%t", at, after)
			})
		}
	}
}

func TestABreakerLeavesATargetAlone(t *testing.T) {
	down := &remote.Error{Op: "post message", Class: remote.NotSent, Reason: "connection refused"}
	virtually(t, &scripted{errs: always(down, 30)}, func(t *testing.T, v *timed) {
		for i := range 50 {
			v.put(t, warning(problem(id(i))))
		}
		pass(10 * time.Minute)
		calls := v.made()
		require.Less(t, len(calls), 25, "one try a minute, however many wait")
		v.put(t, problem(id(1000)))
		pass(2 * time.Minute)
		pass(30 * time.Minute)
		require.Zero(t, v.items(t), "all came through once it worked")
		for i := range 50 {
			require.Equal(t, page.Sent, v.receipt(t, problem(id(i))).State)
		}
	})
}

// Limits, refused content and a store that cannot prove a lease are no reason to
// leave a target alone.
func TestLimitsOpenNoBreaker(t *testing.T) {
	busy := &remote.Error{Op: "post message", Class: remote.NotSent, Status: 429}
	refused := &remote.Error{Op: "post message", Class: remote.Content, Status: 200}
	unheld := &remote.Error{Op: "keep lease", Class: remote.NotSent, Err: errors.New("etcd does not answer")}
	errs := append(append(always(busy, 20), always(refused, 20)...), always(unheld, 20)...)
	virtually(t, &scripted{errs: errs}, func(t *testing.T, v *timed) {
		for i := range 20 {
			v.put(t, problem(id(i)))
		}
		pass(10 * time.Second)
		require.GreaterOrEqual(t, len(v.made()), 60)
	})
}

// One page that breaks a target's answer is not all that is tried.
func TestAPoisonPageHoldsUpNobody(t *testing.T) {
	c := &counting{}
	poison := id(0)
	c.failOf = func(problem string) error {
		if problem == poison {
			return class(remote.Unknown)
		}
		return nil
	}
	virtually(t, &scripted{other: c, timing: notify.Timing{PerTarget: 1}}, func(t *testing.T, v *timed) {
		v.put(t, problem(poison))
		pass(10 * time.Minute) // the breaker is open, for a minute at a time
		for i := range 20 {
			v.put(t, warning(problem(id(1+i))))
		}
		pass(2 * time.Minute)
		for i := range 20 {
			require.Equal(t, page.Sent, v.receipt(t, problem(id(1+i))).State)
		}
	})
}

// What got worse is worth a ring as the page was: if the target cannot say it,
// somebody else is told.
func TestSomebodyElseIsToldThatItGotWorse(t *testing.T) {
	for name, tc := range map[string]struct {
		aloud bool
		errs  []error
		told  int
	}{
		"worse, and not said":    {true, always(&remote.Error{Op: "enqueue", Class: remote.NotSent, Status: 429}, 1000), 1},
		"worse, and said":        {true, nil, 0},
		"a line in the thread":   {false, always(&remote.Error{Op: "enqueue", Class: remote.NotSent, Status: 429}, 1000), 0},
		"worse, said by a retry": {true, always(&remote.Error{Op: "enqueue", Class: remote.NotSent, Status: 429}, 2), 0},
	} {
		t.Run(name, func(t *testing.T) {
			last := &standin{}
			f := &talker{errs: tc.errs}
			f.scripted = &scripted{other: f, last: last}
			virtually(t, f.scripted, func(t *testing.T, v *timed) {
				p := warning(problem(id(1)))
				v.put(t, p)
				pass(10 * time.Minute)
				p = updated(problem(id(1)), 1)
				p.Revision, p.Updated = 2, time.Now()
				p.Updates[0].Kind, p.Updates[0].Aloud = page.UpdateWorse, tc.aloud
				v.put(t, p)
				pass(time.Minute)
				require.Len(t, last.heard(), tc.told)
				pass(time.Hour)
				require.Equal(t, min(1, tc.told), last.opens())
			})
		})
	}
}

// When a target's time is over, the most critical page tries it.
func TestTheMostCriticalPageTriesATarget(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	s := &service{}
	s.mishap = func(notify.Message) (bool, error) {
		if down.Load() {
			return false, class(remote.NotSent)
		}
		return true, nil
	}
	virtually(t, &scripted{other: s}, func(t *testing.T, v *timed) {
		for i := range 20 {
			v.put(t, warning(problem(id(i))))
		}
		pass(5 * time.Minute)
		v.put(t, problem(id(100)))
		down.Store(false)
		pass(2 * time.Minute)
		critical := s.of(id(100), notify.VerbOpen)
		require.Len(t, critical, 1)
		for i := range 20 {
			ahead := critical[0].at.Sub(s.of(id(i), notify.VerbOpen)[0].at)
			require.LessOrEqual(t, ahead, time.Second, "page %d: a worker may have taken both at once", i)
		}
	})
}
