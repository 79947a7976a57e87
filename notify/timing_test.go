package notify_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// scripted is a notifier that answers by the script, in virtual time.
type scripted struct {
	mu     sync.Mutex
	errs   []error // of Notify, in order; nil after the last
	finds  []error // of Find; "found" adopts
	calls  []call
	asked  []time.Duration
	began  time.Time
	block  time.Duration // how long a call takes
	noFind bool
	timing notify.Timing
	other  notify.Notifier // is told instead
	wrap   func(store.Store) store.Store
	second notify.Notifier // is a further target of the same kind, "scripted/y"
	last   notify.Notifier // is the last resort, "scripted/last"
	crash  *crashing       // stands between worker and store

	fallback notify.Notifier // stands in first, as "scripted/mail" or chain
	chain    string
	of       string // for whom fallback stands in; "" for the first target
}

type call struct {
	at     time.Duration
	verb   notify.Verb
	plain  bool
	repeat bool
}

var errFound = errors.New("found")

func (s *scripted) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call{time.Since(s.began), m.Verb, m.Plain, m.Repeat})
	var err error
	if len(s.errs) > 0 {
		err, s.errs = s.errs[0], s.errs[1:]
	}
	s.mu.Unlock()
	if s.block > 0 {
		select {
		case <-time.After(s.block):
		case <-ctx.Done():
			return m.Receipt, &remote.Error{Op: "notify", Class: remote.Unknown, Err: ctx.Err()}
		}
	}
	if err != nil && err.Error() == "panic" {
		panic("nil map")
	}
	r := m.Receipt
	if err == nil {
		r.Ref, r.Channel = "ref", "channel"
	}
	return r, err
}

func (s *scripted) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Since(s.began))
	var err error
	if len(s.finds) > 0 {
		err, s.finds = s.finds[0], s.finds[1:]
	}
	r := m.Receipt
	if errors.Is(err, errFound) {
		r.Ref, r.Channel = "ref", "channel"
		return r, true, nil
	}
	return r, false, err
}

// blind hides that a notifier can find.
type blind struct{ notify.Notifier }

func (s *scripted) made() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *scripted) searched() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// pass lets virtual time go on.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
	synctest.Wait()
}

func class(c remote.Class) error { return &remote.Error{Op: "notify", Class: c} }

type timed struct {
	*scripted
	store  store.Store
	router *notify.Router
	alarms atomic.Int64
	cancel context.CancelFunc
	done   chan struct{}
}

// virtually runs a worker with the default timing in virtual time.
func virtually(t *testing.T, s *scripted, body func(*testing.T, *timed)) {
	t.Helper()
	// The store's values are compressed by an encoder that the library shares
	// and drops at will. One that was made inside a bubble is of no use outside:
	// have it made here, and keep it.
	debug.SetGCPercent(-1)
	defer debug.SetGCPercent(100)
	_, err := store.Marshal(make([]int, 1000))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tocsin.db")
	synctest.Test(t, func(t *testing.T) {
		st, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
		require.NoError(t, err)
		s.began = time.Now()
		var n notify.Notifier = s
		switch {
		case s.noFind:
			n = blind{s}
		case s.other != nil:
			n = s.other
		}
		target := notify.Target{Kind: "scripted", Name: "x", Notifier: n}
		v := &timed{
			scripted: s, store: st,
			router: &notify.Router{Receivers: map[string][]notify.Target{"team": {target}}},
		}
		if s.second != nil {
			v.router.Receivers["team"] = append(v.router.Receivers["team"], notify.Target{Kind: "scripted", Name: "y", Notifier: s.second})
		}
		if s.last != nil {
			v.router.LastResort = []notify.Target{{Kind: "scripted", Name: "last", Notifier: s.last}}
		}
		if s.fallback != nil {
			v.router.Fallbacks = map[string][]notify.Target{cmp.Or(s.of, target.String()): {{Kind: "scripted", Name: cmp.Or(s.chain, "mail"), Notifier: s.fallback}}}
		}
		v.start(t.Context())
		body(t, v)
		v.cancel()
		<-v.done
		require.NoError(t, st.Close())
	})
}

// start runs a worker, restart another one on the store as the first left it.
func (v *timed) start(ctx context.Context) {
	st := v.store
	if v.crash != nil {
		v.crash.Store = v.store
		st = v.crash
	}
	between := st
	if v.wrap != nil {
		between = v.wrap(between)
	}
	w := &notify.Worker{
		Store: between, Targets: v.router.Targets(), Router: v.router, Now: time.Now, Metrics: notify.NewMetrics(nil),
		Log: slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Timing: v.timing,
		Alarm: func(context.Context, string, page.Page, error) { v.alarms.Add(1) },
	}
	ctx, v.cancel = context.WithCancel(ctx)
	v.done = make(chan struct{})
	done := v.done
	go func() { defer close(done); w.Run(ctx) }()
}

func (v *timed) restart() {
	v.cancel()
	<-v.done
	v.crash = nil
	v.start(context.Background())
}

func (v *timed) put(t *testing.T, p page.Problem) {
	t.Helper()
	value, err := store.Marshal(p.View())
	require.NoError(t, err)
	require.NoError(t, v.store.Apply(t.Context(), append([]store.Op{store.Put(store.PageKey(p.ID, p.Episode), value)}, v.router.Ops(p)...)...))
}

func (v *timed) receipt(t *testing.T, p page.Problem) (r page.Receipt) {
	t.Helper()
	rec, err := v.store.Get(t.Context(), store.ReceiptKey(p.ID, p.Episode, "scripted/x"))
	require.NoError(t, err)
	require.NoError(t, store.Unmarshal(rec.Value, &r))
	return r
}

func (v *timed) items(t *testing.T) int {
	t.Helper()
	lanes, err := v.store.Lanes(t.Context())
	require.NoError(t, err)
	n := 0
	for _, l := range lanes {
		n += l.Items
	}
	return n
}

func warning(p page.Problem) page.Problem {
	for id, m := range p.Members {
		m.Alert.Labels = m.Alert.Labels.Clone()
		m.Alert.Labels["severity"] = "warning"
		p.Members[id] = m
	}
	return p
}

func TestRetryAfterIsHonoured(t *testing.T) {
	slow := &remote.Error{Op: "notify", Class: remote.NotSent, RetryAfter: 40 * time.Second}
	virtually(t, &scripted{errs: []error{slow}}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(10 * time.Second)
		v.put(t, problem(id(2))) // the whole target is left alone
		pass(29 * time.Second)
		require.Len(t, v.made(), 1)
		pass(2 * time.Minute)
		require.Len(t, v.made(), 3)
		require.Equal(t, 40*time.Second, v.made()[1].at)
		require.Zero(t, v.items(t))
		require.Empty(t, v.searched(), "nobody asks for what was surely not sent")
	})
}

func TestBackoffHasNoEndForACriticalPage(t *testing.T) {
	errs := make([]error, 5000)
	for i := range errs {
		errs[i] = class(remote.NotSent)
	}
	rarely := notify.Timing{BackoffMax: 10 * time.Minute}
	virtually(t, &scripted{errs: errs, timing: rarely}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(30 * time.Hour)
		require.Equal(t, 1, v.items(t))
		require.Equal(t, page.Waiting, v.receipt(t, problem(id(1))).State)
		require.Equal(t, int64(1), v.alarms.Load(), "late and critical: somebody is told, once")
		calls := v.made()
		for i := 1; i < len(calls); i++ {
			require.LessOrEqual(t, calls[i].at-calls[i-1].at, 10*time.Minute+time.Second)
		}
		require.Greater(t, calls[20].at-calls[0].at, 5*time.Minute, "it does back off")
		require.Less(t, calls[5].at, 2*time.Minute, "and not at once")
	})
}

func TestOthersExpire(t *testing.T) {
	errs := make([]error, 5000)
	for i := range errs {
		errs[i] = class(remote.NotSent)
	}
	rarely := notify.Timing{BackoffMax: 10 * time.Minute}
	virtually(t, &scripted{errs: errs, timing: rarely}, func(t *testing.T, v *timed) {
		p := warning(problem(id(1)))
		v.put(t, p)
		pass(23 * time.Hour)
		require.Equal(t, 1, v.items(t))
		require.Zero(t, v.alarms.Load())
		pass(2 * time.Hour)
		require.Zero(t, v.items(t))
		require.Equal(t, page.Failed, v.receipt(t, p).State)
		require.Equal(t, int64(1), v.alarms.Load())
	})
}

func TestUnknownIsAskedForAfterTwoSeconds(t *testing.T) {
	virtually(t, &scripted{errs: []error{class(remote.Unknown)}, finds: []error{errFound}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, []time.Duration{2 * time.Second}, v.searched())
		require.Equal(t, []call{{verb: notify.VerbOpen}, {at: 2 * time.Second, verb: notify.VerbUpdate}}, v.made(), "found, then brought up to date")
		require.Equal(t, page.Sent, v.receipt(t, p).State)
	})
}

func TestUnknownThatIsNotFoundIsSentAgainUnmarked(t *testing.T) {
	virtually(t, &scripted{errs: []error{class(remote.Unknown)}}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(time.Minute)
		require.Equal(t, []call{{verb: notify.VerbOpen}, {at: 2 * time.Second, verb: notify.VerbOpen}}, v.made())
	})
}

func TestASearchThatFailsEndsInAMarkedRepeat(t *testing.T) {
	finds := make([]error, 1000)
	for i := range finds {
		finds[i] = class(remote.NotSent)
	}
	virtually(t, &scripted{errs: []error{class(remote.Unknown)}, finds: finds}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(5 * time.Minute)
		require.Len(t, v.made(), 2)
		require.True(t, v.made()[1].repeat)
		require.GreaterOrEqual(t, v.made()[1].at, time.Minute)
		require.Less(t, v.made()[1].at, 2*time.Minute+time.Second)
		require.Greater(t, len(v.searched()), 1)
		require.True(t, v.receipt(t, p).Repeat)
	})
}

func TestWhoCannotBeAskedIsToldAgainAtOnce(t *testing.T) {
	for _, s := range []*scripted{
		{errs: []error{class(remote.Unknown)}, finds: []error{class(remote.Config)}},
		{errs: []error{class(remote.Unknown)}, noFind: true},
	} {
		virtually(t, s, func(t *testing.T, v *timed) {
			v.put(t, problem(id(1)))
			pass(time.Minute)
			require.Equal(t, []call{{verb: notify.VerbOpen}, {at: 2 * time.Second, verb: notify.VerbOpen, repeat: true}}, v.made())
		})
	}
}

func TestARepeatThatWasRefusedStaysDoubtful(t *testing.T) {
	s := &scripted{errs: []error{class(remote.Unknown), class(remote.NotSent)}, finds: []error{class(remote.Config), errFound}}
	virtually(t, s, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(10 * time.Minute)
		require.Len(t, v.searched(), 2, "the first may still be there: it is asked for again")
		require.Equal(t, notify.VerbUpdate, v.made()[len(v.made())-1].verb)
	})
}

func TestConfigIsTriedTwiceAMinute(t *testing.T) {
	virtually(t, &scripted{errs: []error{class(remote.Config), class(remote.Config), class(remote.Config)}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(80 * time.Second)
		require.Equal(t, page.Failed, v.receipt(t, p).State)
		require.Len(t, v.made(), 3)
		require.Equal(t, 30*time.Second, v.made()[1].at)
		require.Equal(t, int64(1), v.alarms.Load())
		pass(30 * time.Second)
		require.Equal(t, page.Sent, v.receipt(t, p).State)
	})
}

func TestAPanicIsNotTheHousesEnd(t *testing.T) {
	virtually(t, &scripted{errs: []error{errors.New("panic")}}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(time.Second)
		require.Equal(t, []call{{verb: notify.VerbOpen}, {verb: notify.VerbOpen, plain: true}}, v.made())
	})
}

func TestAnUpdateOfUnknownOutcomeIsSimplyDoneAgain(t *testing.T) {
	virtually(t, &scripted{errs: []error{nil, class(remote.Unknown)}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		p.Revision++
		v.put(t, p)
		pass(time.Minute)
		require.Empty(t, v.searched())
		require.Equal(t, notify.VerbUpdate, v.made()[2].verb)
		require.Equal(t, p.Revision, v.receipt(t, p).Revision)
	})
}

func TestACallEndsWithItsTimeAndSoonAfterTheHouse(t *testing.T) {
	virtually(t, &scripted{block: time.Hour, finds: []error{class(remote.NotSent)}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(31 * time.Second)
		require.Equal(t, page.Ambiguous, v.receipt(t, p).State)
		pass(10 * time.Minute) // asked for, not found, sent again, hanging …
		closing := time.Now()
		v.cancel()
		<-v.done
		require.LessOrEqual(t, time.Since(closing), 5*time.Second)
	})
}

// lateContext improves the page the moment an intent is durable.
type lateContext struct {
	store.Store
	key   string
	value []byte
}

func (l *lateContext) Apply(ctx context.Context, ops ...store.Op) error {
	err := l.Store.Apply(ctx, ops...)
	if err == nil && slices.ContainsFunc(ops, func(o store.Op) bool { return o.Kind == store.OpExtend }) {
		err = l.Store.Apply(ctx, store.Put(l.key, l.value))
	}
	return err
}

// The page is read once more after the intent is durable: context that came
// meanwhile is in the first message.
func TestThePageIsReadAsLateAsPossible(t *testing.T) {
	h := newHouse(t)
	h.targets()
	p := problem(id(1))
	late := p
	late.Revision = 2
	late.Context.Traits = []page.Trait{{Labels: page.Labels{"deploy": "v43"}, Failing: page.Count{Matched: 40, Total: 40}}}
	value, err := store.Marshal(late.View())
	require.NoError(t, err)
	h.wrap = func(s store.Store) store.Store {
		return &lateContext{Store: s, key: store.PageKey(p.ID, 1), value: value}
	}
	h.start()
	h.put(p)
	h.idle()
	require.Contains(t, h.slack.Ledger().Messages[0].First.Visible, "40 of 40 failing share deploy=v43")
	require.Equal(t, uint64(2), h.receipt(p, slackTeam).Revision)
}
