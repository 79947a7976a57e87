package remediate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
)

// crashing cuts an engine off from the store at the n-th write of a dispatch:
// before it, so that nothing is written any more, or after it.
type crashing struct {
	store.Store
	at    int64
	after bool
	seen  atomic.Int64
	dead  atomic.Bool
}

func writes(ops []store.Op) bool {
	for _, op := range ops {
		if op.Kind == store.OpPut && strings.HasPrefix(op.Key, store.DispatchPrefix) {
			return true
		}
	}
	return false
}

func (c *crashing) Apply(ctx context.Context, ops ...store.Op) error {
	if c.dead.Load() {
		return store.ErrClosed
	}
	if !writes(ops) || c.seen.Add(1) != c.at {
		return c.Store.Apply(ctx, ops...)
	}
	if c.after {
		_ = c.Store.Apply(ctx, ops...)
	}
	c.dead.Store(true)
	return store.ErrClosed
}

func (c *crashing) Take(ctx context.Context, lane string, ttl time.Duration) (store.Lease, error) {
	if c.dead.Load() {
		return store.Lease{}, store.ErrClosed
	}
	l, err := c.Store.Take(ctx, lane, ttl)
	if c.dead.Load() { // it died while it waited: the lease ends by itself
		return store.Lease{}, store.ErrClosed
	}
	return l, err
}

// pausing stops an engine like SIGSTOP does: after some writes nothing goes on for
// a while, and what it holds may be somebody else's by then.
type pausing struct {
	store.Store
	mu    sync.Mutex
	rng   *rand.Rand
	until func() time.Duration
}

func (p *pausing) Apply(ctx context.Context, ops ...store.Op) error {
	err := p.Store.Apply(ctx, ops...)
	if writes(ops) {
		p.mu.Lock()
		d := p.until()
		p.mu.Unlock()
		time.Sleep(d) //nolint:forbidigo // the bubble's clock
	}
	return err
}

// ways are how the first launches may end.
func ways() map[string][]func(*server, remediate.Launch) (remediate.Job, error) {
	return map[string][]func(*server, remediate.Launch) (remediate.Job, error){
		"answered":                nil,
		"committed, then dropped": {committed},
		"never came through":      {lost},
		"visible 115 s late":      {late(115 * time.Second)},
	}
}

// most is how many writes the longest way of a dispatch has.
const most = 14

// seeds is how often a story is told in other words: SEEDS=10 takes minutes, and
// SEEDS=200 is the full proof.
func seeds(usual int) int {
	n, err := strconv.Atoi(os.Getenv("SEEDS"))
	if err != nil {
		return usual
	}
	return n
}

func crash(t *testing.T, at int64, after bool, away time.Duration, answers []func(*server, remediate.Launch) (remediate.Job, error)) {
	t.Helper()
	t.Run(fmt.Sprintf("write %d after=%t away %s", at, after, away), func(t *testing.T) {
		in(t, func(t *testing.T, w *world) {
			w.server.answers = answers
			w.repairs("p1")
			c := &crashing{Store: w.store, at: at, after: after}
			w.start(c)
			w.fires("p1", 1, "web-3")
			for range 1200 {
				if w.sleep(time.Second); c.dead.Load() {
					break
				}
			}
			w.sleep(away)
			w.start(w.store)
			w.sleep(30 * time.Minute)
			d := w.one()
			require.True(t, d.Stage.Over(), "%s: %s", d.Stage, d.Reason)
			require.LessOrEqual(t, w.server.ran(d.ID), 1)
			require.Empty(t, w.server.late)
			if d.Stage != remediate.Cleared { // it was adopted only after it had waited for too long, or the alert was over by then
				require.Contains(t, []remediate.Stage{remediate.Superseded, remediate.Expired}, d.Stage, d.Reason)
			}
			w.sound()
		})
	})
}

// Two replicas on one store, each of which stops for a while after some of its
// writes, launch nothing twice.
func TestTwoReplicasThatAreStopped(t *testing.T) {
	for name, answers := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(max(10, seeds(10))) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					in(t, func(t *testing.T, w *world) {
						w.server.answers = answers
						w.repairs("p1")
						for i := range uint64(2) {
							rng := rand.New(rand.NewPCG(seed, i))
							w.start(&pausing{Store: w.store, rng: rng, until: func() time.Duration {
								if rng.IntN(3) > 0 {
									return 0
								}
								return time.Duration(rng.IntN(400)) * time.Second
							}})
						}
						w.fires("p1", 1, "web-3")
						w.sleep(time.Hour)
						d := w.one()
						require.True(t, d.Stage.Over(), "%s: %s", d.Stage, d.Reason)
						require.LessOrEqual(t, w.server.ran(d.ID), 1)
						require.Empty(t, w.server.late)
						w.sound()
					})
				})
			}
		})
	}
}

// Two replicas race on one store from the start, and one is killed before or after
// one of its writes, while the other may be stopped: nothing is launched twice, and
// what was begun is brought to its end.
func TestTwoReplicasOneOfWhichIsKilled(t *testing.T) {
	for name, answers := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(max(8, 2*seeds(4))) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { race(t, seed, answers) })
			}
		})
	}
}

func race(t *testing.T, seed uint64, answers []func(*server, remediate.Launch) (remediate.Job, error)) {
	t.Helper()
	in(t, func(t *testing.T, w *world) {
		w.server.answers = answers
		w.repairs("p1")
		rng := rand.New(rand.NewPCG(seed, 5))
		c := &crashing{Store: w.store, at: 1 + rng.Int64N(most), after: rng.IntN(2) == 0}
		other := &pausing{Store: w.store, rng: rng, until: func() time.Duration {
			if rng.IntN(4) > 0 {
				return 0
			}
			return time.Duration(rng.IntN(200)) * time.Second
		}}
		w.start(c)
		w.start(other)
		w.fires("p1", 1, "web-3")
		w.sleep(time.Hour)
		d := w.one()
		require.True(t, d.Stage.Over(), "%s: %s", d.Stage, d.Reason)
		require.LessOrEqual(t, w.server.ran(d.ID), 1, "at write %d, after=%t", c.at, c.after)
		require.Empty(t, w.server.late)
		w.sound()
	})
}

// ask claims a dispatch as a playbook does.
func (w *world) ask(e *remediate.Engine, l remediate.Launch, job int64, hosts ...string) int {
	body, err := json.Marshal(map[string]any{"awx_job_id": job, "hosts": hosts})
	require.NoError(w.t, err)
	req := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, l.Claim.URL, strings.NewReader(string(body)))
	req.SetPathValue("id", l.Dispatch)
	req.Header.Set("Authorization", "Bearer "+l.Claim.Token.Reveal())
	rec := httptest.NewRecorder()
	e.ServeClaim(rec, req)
	return rec.Code
}

// What the protocol alone cannot close: a launch that shows later than the server
// said that it may, and the network may hold one back for as long. With the claim
// in the playbook the target is touched once all the same.
func TestTheClaimClosesWhatIsLeft(t *testing.T) {
	for _, tc := range []struct {
		name    string
		claims  bool
		runs    time.Duration // a third of it a job is pending
		posts   int
		touched int64
	}{
		{"without the claim", false, 5 * time.Minute, 2, 2},
		{"the first claims before it shows", true, 5 * time.Minute, 1, 1},
		{"the first claims after the second was launched", true, 15 * time.Minute, 2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.claim = "https://tocsin"
				w.policy.Steps = w.policy.Steps[:1]
				w.policy.Steps[0].Claim, w.policy.Steps[0].QueueTimeout = tc.claims, config.Duration(time.Hour)
				w.server.runs = tc.runs
				w.server.answers = append(w.server.answers, late(4*time.Minute))
				e := w.engine(w.store)
				var touched atomic.Int64
				w.server.onRun = func(l remediate.Launch, job int64) {
					if !tc.claims || w.ask(e, l, job, "web-3") == http.StatusOK {
						touched.Add(1)
					}
				}
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				w.sleep(time.Hour)
				require.Len(t, w.server.launches(), tc.posts)
				require.Equal(t, tc.touched, touched.Load())
			})
		})
	}
}

func TestClaims(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.claim = "https://tocsin"
		w.policy.Steps = w.policy.Steps[:1]
		w.policy.Steps[0].Claim = true
		e := w.engine(w.store)
		var launched remediate.Launch
		w.server.onRun = func(l remediate.Launch, _ int64) { launched = l }
		w.server.runs = 5 * time.Minute
		w.start(w.store)
		w.fires("p1", 1, "web-3")
		w.until(0, remediate.Launched, time.Minute)
		w.sleep(2 * time.Minute)
		require.Equal(t, "https://tocsin/v1/dispatches/"+launched.Dispatch+"/claim", launched.Claim.URL)
		forged := launched
		forged.Claim.Token = "x"
		require.Equal(t, http.StatusUnauthorized, w.ask(e, forged, 1, "web-3"))
		require.Equal(t, http.StatusBadRequest, w.ask(e, launched, 0, "web-3"))
		require.Equal(t, http.StatusConflict, w.ask(e, launched, 2, "web-3"), "another job")
		require.Equal(t, http.StatusConflict, w.ask(e, launched, 1, "web-3", "web-4"), "more than its target")
		require.Equal(t, http.StatusConflict, w.ask(e, launched, 1))
		flip := func(do string) {
			_, err := remediate.Throw(t.Context(), w.store, remediate.Flip{Do: do, Scope: "global", By: "bob"}, time.Now())
			require.NoError(t, err)
		}
		flip("freeze")
		require.Equal(t, http.StatusLocked, w.ask(e, launched, 1, "web-3"))
		flip("thaw")
		w.judge.set(saying("silences", remediate.Deny))
		require.Equal(t, http.StatusLocked, w.ask(e, launched, 1, "web-3"))
		w.judge.set(saying("rate", remediate.Deny)) // its own launch is counted there by now
		require.Equal(t, http.StatusOK, w.ask(e, launched, 1, "web-3"))
		require.Equal(t, http.StatusOK, w.ask(e, launched, 1, "web-3"), "the same job asks again")
		require.Equal(t, http.StatusConflict, w.ask(e, launched, 9, "web-3"))
		w.fires("p1", 1)
		require.Equal(t, http.StatusOK, w.ask(e, launched, 1, "web-3"), "it has claimed it already")
		w.until(0, remediate.Cleared, time.Hour)
		require.Equal(t, http.StatusConflict, w.ask(e, launched, 2, "web-3"))
	})
}

// A playbook that does not claim although its step says so stops its policy.
func TestAPlaybookThatDoesNotClaim(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.claim = "https://tocsin"
		w.policy.Steps = w.policy.Steps[:1]
		w.policy.Steps[0].Claim = true
		w.start(w.store)
		w.fires("p1", 1, "web-3")
		d := w.until(0, remediate.Escalated, time.Hour)
		require.Contains(t, d.Reason, "without its claim")
		l, _, err := remediate.ReadLedger(t.Context(), w.store)
		require.NoError(t, err)
		require.Contains(t, l.Breakers, "restart-web")
	})
}

// disturb lets two hours pass in which anything may happen.
func (w *world) disturb(rng *rand.Rand) {
	w.policy.Mode = []remediate.Mode{remediate.Auto, remediate.Approve, remediate.Auto, remediate.Observe}[rng.IntN(4)]
	for i := range w.policy.Steps {
		w.policy.Steps[i].Mode = ""
	}
	answers := []func(*server, remediate.Launch) (remediate.Job, error){committed, lost, late(100 * time.Second), rejected, wide, nil, nil, nil, nil}
	for range 6 {
		w.server.answers = append(w.server.answers, answers[rng.IntN(len(answers))])
	}
	w.server.ends = []remediate.State{remediate.Successful, remediate.Failed, ""}[rng.IntN(3)]
	w.server.bare = rng.IntN(5) == 0
	stop := w.start(&crashing{Store: w.store, at: int64(rng.IntN(30))})
	for range 40 {
		id, episode := fmt.Sprint("p", rng.IntN(3)), 1
		switch rng.IntN(9) {
		case 0, 1:
			w.fires(id, episode, "web-"+id, "web-x")
		case 2:
			w.fires(id, episode)
		case 3:
			do := []string{"freeze", "thaw", "thaw"}[rng.IntN(3)]
			_, err := remediate.Throw(w.t.Context(), w.store, remediate.Flip{Do: do, Scope: "global", By: "bob"}, time.Now())
			require.NoError(w.t, err)
		case 4:
			_, err := remediate.Throw(w.t.Context(), w.store, remediate.Flip{Do: "reset", Scope: "restart-web", By: "bob"}, time.Now())
			require.NoError(w.t, err)
		case 5:
			for _, d := range w.all() {
				w.says(d, []page.Verb{page.ApproveIt, page.DenyIt, page.ApproveIt}[rng.IntN(3)], "jane")
			}
		case 6:
			w.judge.set(saying("load", []remediate.Outcome{remediate.Pass, remediate.Deny, remediate.Wait, remediate.Pass}[rng.IntN(4)]))
		case 7:
			w.server.set(func(s *server) { s.down = rng.IntN(3) == 0 })
		case 8:
			stop()
			stop = w.start(&crashing{Store: w.store, at: int64(rng.IntN(60)), after: rng.IntN(2) == 0})
		}
		w.sleep(time.Duration(rng.IntN(360)) * time.Second)
	}
}

// The table leads from every stage to an end, and to nowhere from one.
func TestTheTableLeadsToAnEnd(t *testing.T) {
	all := remediate.Stages()
	for _, s := range all {
		reached := map[remediate.Stage]bool{s: true}
		for range all {
			for from := range reached {
				for _, to := range all {
					if remediate.MayFollow(from, to) {
						reached[to] = true
					}
				}
			}
		}
		over := 0
		for to := range reached {
			if to.Over() {
				over++
			}
		}
		require.NotZero(t, over, "no end follows %s", s)
		if s.Over() {
			require.Len(t, reached, 1, "something follows %s", s)
		}
	}
	// nothing is sent but from an intent, and an intent follows a claim only
	for _, s := range all {
		require.Equal(t, s == remediate.Claimed, remediate.MayFollow(s, remediate.Intent), s)
	}
}

func TestALaunchThatIsTooLateIsNotSent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Steps = w.policy.Steps[:1]
		w.repairs("p1")
		first := true
		w.start(&pausing{Store: w.store, until: func() time.Duration {
			d, _, err := remediate.ReadLedger(t.Context(), w.store)
			require.NoError(t, err)
			if len(d.Dispatches) == 1 && first && w.one().Stage == remediate.Intent {
				first = false
				return 6 * time.Second // its lease still is its own, but not surely
			}
			return 0
		}})
		w.fires("p1", 1, "web-3")
		d := w.until(0, remediate.Cleared, time.Hour)
		require.Equal(t, 2, d.Attempt)
		require.Len(t, w.server.launches(), 1)
	})
}
