package notify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// service is a target that remembers what it took, and misbehaves by chance.
type service struct {
	limits notify.Limits
	// mishap says what becomes of a request: whether it is taken all the same, and
	// what its caller learns.
	mishap func(m notify.Message) (taken bool, err error)

	mu    sync.Mutex
	asked []time.Time
	taken map[string][]took // by problem, in the order of their arrival
}

type took struct {
	at   time.Time
	verb notify.Verb
	upTo int // VerbFollow: the last update
}

func (s *service) Limits() notify.Limits { return s.limits }

func (s *service) request(m notify.Message) (page.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	taken, err := true, error(nil)
	if s.mishap != nil {
		taken, err = s.mishap(m)
	}
	r := m.Receipt
	if taken {
		t := took{at: time.Now(), verb: m.Verb}
		if m.Verb == notify.VerbFollow {
			t.upTo = m.Updates[len(m.Updates)-1].N
			r.Followed = t.upTo
		}
		if s.taken == nil {
			s.taken = map[string][]took{}
		}
		s.taken[m.Page.Problem] = append(s.taken[m.Page.Problem], t)
	}
	if err != nil {
		return m.Receipt, err
	}
	r.Ref = "ref"
	return r, nil
}

func (s *service) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	return s.request(m)
}

func (s *service) Follow(_ context.Context, m notify.Message) (page.Receipt, error) {
	return s.request(m)
}

// Find answers truly.
func (s *service) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := m.Receipt
	for _, t := range s.taken[m.Page.Problem] {
		switch {
		case m.Verb == notify.VerbFollow && t.verb == notify.VerbFollow && fmt.Sprintf("%s/f%d", r.Delivery, t.upTo) == r.Marker:
			return r, true, nil
		case m.Verb == notify.VerbOpen && t.verb == notify.VerbOpen:
			r.Ref = "ref"
			return r, true, nil
		}
	}
	return r, false, nil
}

func (s *service) of(problem string, verbs ...notify.Verb) []took {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.taken[problem]), func(t took) bool { return !slices.Contains(verbs, t.verb) })
}

func (s *service) requests() (calls []counted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.asked {
		calls = append(calls, counted{at: at})
	}
	return calls
}

// Half of all requests are refused for ten minutes, with a Retry-After of up to
// a minute or with none: nothing is lost or doubled, the channel is not asked
// more than it takes, and of what is critical somebody is told within a minute.
func TestFaultAStormOf429(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	began := time.Now()
	s := &service{limits: slackLike()}
	s.mishap = func(notify.Message) (bool, error) {
		if time.Since(began) > 10*time.Minute || rng.IntN(2) == 0 {
			return true, nil
		}
		e := &remote.Error{Op: "post message", Class: remote.NotSent, Status: 429}
		if rng.IntN(4) > 0 {
			e.RetryAfter = time.Duration(1+rng.IntN(60)) * time.Second
		}
		return false, e
	}
	last := &service{}
	virtually(t, &scripted{other: s, last: last}, func(t *testing.T, v *timed) {
		began = time.Now()
		sent := map[string]time.Time{}
		var waits []time.Duration
		for i := range 60 {
			p := problem(id(i))
			sent[p.ID] = time.Now()
			v.put(t, p)
			v.put(t, warning(problem(id(1000+i))))
			pass(10 * time.Second)
		}
		pass(30 * time.Minute)
		for i := range 60 {
			require.Len(t, s.of(id(i), notify.VerbOpen), 1, "critical %d", i)
			require.Len(t, s.of(id(1000+i), notify.VerbOpen), 1, "warning %d", i)
			waits = append(waits, s.of(id(i), notify.VerbOpen)[0].at.Sub(sent[id(i)]))
			require.LessOrEqual(t, len(last.of(id(i), notify.VerbOpen)), 1)
		}
		slices.Sort(waits)
		t.Logf("critical, first message: median %s, longest %s", waits[len(waits)/2], waits[len(waits)-1])
		require.LessOrEqual(t, waits[len(waits)-1], 10*time.Second)
		require.LessOrEqual(t, most(s.requests(), 10*time.Second), 10+4)
		v.tellings(t)
		require.Zero(t, v.items(t))
	})
}

// One request in five loses its answer, half of those after it was taken:
// nothing is doubled, nothing is lost, and all of it comes in order.
func TestFaultLostAnswersDoubleNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	s := &service{mishap: func(notify.Message) (bool, error) {
		if rng.IntN(5) > 0 {
			return true, nil
		}
		return rng.IntN(2) == 0, class(remote.Unknown)
	}}
	virtually(t, &scripted{other: s}, func(t *testing.T, v *timed) {
		const pages = 100
		all := map[int]page.Problem{}
		for i := range pages {
			all[i] = problem(id(i))
			v.put(t, all[i])
		}
		for step := range 5 {
			pass(7 * time.Second)
			for i := range pages {
				p := updated(all[i], 2*step+2)
				if step == 4 {
					p = resolve(p)
				}
				all[i] = p
				v.put(t, p)
			}
		}
		pass(time.Hour)
		require.Zero(t, v.items(t))
		for i := range pages {
			require.Len(t, s.of(id(i), notify.VerbOpen), 1)
			follows := s.of(id(i), notify.VerbFollow)
			require.True(t, slices.IsSortedFunc(follows, func(a, b took) int { return a.upTo - b.upTo }))
			require.Len(t, slices.CompactFunc(slices.Clone(follows), func(a, b took) bool { return a.upTo == b.upTo }), len(follows), "said once")
			r := v.receipt(t, all[i])
			require.Equal(t, page.Sent, r.State)
			require.True(t, r.Resolved)
			require.Equal(t, 10, r.Followed)
			inOrder(t, s.of(id(i), notify.VerbOpen, notify.VerbUpdate, notify.VerbResolve))
		}
	})
}

// inOrder checks that a page is opened first, and not edited after its end.
func inOrder(t *testing.T, calls []took) {
	t.Helper()
	over := false
	for i, c := range calls {
		require.Equal(t, i == 0, c.verb == notify.VerbOpen)
		require.False(t, over && c.verb != notify.VerbResolve, "an edit after the end")
		over = over || c.verb == notify.VerbResolve
	}
}

// A target is down for two hours: of each critical page somebody else is told
// within a minute, the target is asked about once a minute, and when it is back
// everything comes, in order and once.
func TestFaultATargetThatIsDownForHours(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	s := &service{mishap: func(notify.Message) (bool, error) {
		if down.Load() {
			return false, &remote.Error{Op: "post message", Class: remote.NotSent, Reason: "connection refused"}
		}
		return true, nil
	}}
	last := &service{}
	virtually(t, &scripted{other: s, last: last}, func(t *testing.T, v *timed) {
		const pages = 24
		sent := map[string]time.Time{}
		all := map[int]page.Problem{}
		for i := range pages {
			all[i] = problem(id(i))
			sent[id(i)] = time.Now()
			v.put(t, all[i])
			v.put(t, warning(problem(id(1000+i))))
			pass(5 * time.Minute)
			if i > 0 && i%2 == 0 { // some are over before anybody could be told
				p := resolve(all[i])
				p.Told = []string{"scripted/x"}
				all[i] = p
				v.put(t, p)
			}
		}
		require.Less(t, len(s.requests()), 2*60*2, "it is left alone")
		for i := range pages {
			told := last.of(id(i), notify.VerbOpen)
			require.Len(t, told, 1)
			require.LessOrEqual(t, told[0].at.Sub(sent[id(i)]), time.Minute)
			require.Empty(t, last.of(id(1000+i), notify.VerbOpen), "a warning waits")
		}
		pass(2 * time.Minute)
		for i := 2; i < pages; i += 2 {
			require.Len(t, last.of(id(i), notify.VerbResolve), 1, "who stands in hears the end while the target is down")
		}
		down.Store(false)
		pass(5 * time.Minute)
		for i := range pages {
			require.Len(t, s.of(id(i), notify.VerbOpen), 1)
			require.Len(t, s.of(id(1000+i), notify.VerbOpen), 1)
			inOrder(t, s.of(id(i), notify.VerbOpen, notify.VerbUpdate, notify.VerbResolve))
			require.Len(t, last.of(id(i), notify.VerbOpen), 1, "never again")
			require.Equal(t, all[i].State == page.Closed, v.receipt(t, all[i]).Resolved)
		}
		v.tellings(t)
		require.Zero(t, v.items(t))
	})
}

// A page that makes its notifier panic, in plain form too, ends in the dead
// letters and with who stands in; all others go their way.
func TestFaultAPanicIsIsolated(t *testing.T) {
	s := &service{mishap: func(m notify.Message) (bool, error) {
		if m.Page.Problem == id(0) {
			panic("nil map")
		}
		return true, nil
	}}
	last := &service{}
	virtually(t, &scripted{other: panicky{s}, last: last}, func(t *testing.T, v *timed) {
		for i := range 10 {
			v.put(t, problem(id(i)))
		}
		pass(2 * time.Second)
		for i := 1; i < 10; i++ {
			require.Len(t, s.of(id(i), notify.VerbOpen), 1)
		}
		require.Len(t, last.of(id(0), notify.VerbOpen), 1)
		dead, err := notify.Dead(t.Context(), v.store)
		require.NoError(t, err)
		require.Len(t, dead, 1)
		require.Contains(t, dead[0].Error, "panic: nil map")
	})
}

// panicky lets a panic out of a service without its lock.
type panicky struct{ *service }

func (p panicky) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	if m.Page.Problem == id(0) {
		_, _ = p.mishap(m)
	}
	return p.service.Notify(ctx, m)
}
