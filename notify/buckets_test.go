package notify_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// counting is a target with limits that counts what is asked of it.
type counting struct {
	limits notify.Limits
	fail   func(n int) error // of the n-th request
	failOf func(problem string) error

	mu    sync.Mutex
	calls []counted
}

type counted struct {
	at       time.Time
	verb     notify.Verb
	problem  string
	severity page.Severity
	revision uint64
}

func (c *counting) Limits() notify.Limits { return c.limits }

func (c *counting) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, counted{time.Now(), m.Verb, m.Page.Problem, m.Page.Severity, m.Page.Revision})
	r := m.Receipt
	if c.fail != nil {
		if err := c.fail(len(c.calls)); err != nil {
			return r, err
		}
	}
	if c.failOf != nil {
		if err := c.failOf(m.Page.Problem); err != nil {
			return r, err
		}
	}
	r.Ref, r.Channel = "ref-"+m.Page.Problem, "channel"
	return r, nil
}

func (c *counting) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	return m.Receipt, false, nil
}

func (c *counting) of(verb notify.Verb) []counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.calls), func(x counted) bool { return x.verb != verb })
}

// within reports the most calls that were made in any span of a length.
func most(calls []counted, span time.Duration) int {
	n := 0
	for i := range calls {
		j := i
		for j < len(calls) && calls[j].at.Sub(calls[i].at) < span {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

func slackLike() notify.Limits {
	post := notify.Rate{Key: "C0PAGES", Every: time.Second, Burst: 4}
	edit := notify.Rate{Key: "edits", Every: 1500 * time.Millisecond, Burst: 4}
	return notify.Limits{notify.VerbOpen: post, notify.VerbUpdate: edit, notify.VerbResolve: edit, notify.VerbFollow: post}
}

func TestATargetIsAskedNoMoreThanItTakes(t *testing.T) {
	c := &counting{limits: slackLike()}
	virtually(t, &scripted{other: c}, func(t *testing.T, v *timed) {
		const pages, edits = 60, 5
		for i := range pages {
			v.put(t, warning(problem(id(i))))
		}
		pass(2 * time.Minute)
		require.Len(t, c.of(notify.VerbOpen), pages)
		require.LessOrEqual(t, most(c.of(notify.VerbOpen), time.Minute), 60+4)
		require.LessOrEqual(t, most(c.of(notify.VerbOpen), 10*time.Second), 10+4)
		for revision := range edits {
			for i := range pages {
				v.put(t, warning(revised(problem(id(i)), uint64(2+revision), 30)))
			}
		}
		pass(4 * time.Minute)
		calls := c.of(notify.VerbUpdate)
		require.LessOrEqual(t, len(calls), pages+4, "five edits of one page that wait are one call")
		require.LessOrEqual(t, most(calls, time.Minute), 40+4)
		shown := map[string]uint64{}
		for _, call := range calls {
			shown[call.problem] = call.revision
		}
		for i := range pages {
			require.Equal(t, uint64(1+edits), shown[id(i)], "the latest")
		}
		require.Zero(t, v.items(t))
	})
}

// Half of a bucket is kept: a critical page goes at once while others wait.
func TestTokensAreKeptForCriticalPages(t *testing.T) {
	c := &counting{limits: slackLike()}
	virtually(t, &scripted{other: c}, func(t *testing.T, v *timed) {
		for i := range 100 {
			v.put(t, warning(problem(id(i))))
		}
		pass(20 * time.Second) // the burst is gone
		for i := range 3 {
			began := time.Now()
			p := problem(id(1000 + i))
			v.put(t, p)
			pass(2 * time.Second)
			calls := c.of(notify.VerbOpen)
			at := slices.IndexFunc(calls, func(x counted) bool { return x.problem == p.ID })
			require.GreaterOrEqual(t, at, 0, "a critical page, %d", i)
			require.LessOrEqual(t, calls[at].at.Sub(began), time.Second, "the patience of the worker that is left")
		}
		pass(3 * time.Minute)
		require.Zero(t, v.items(t))
		require.Len(t, c.of(notify.VerbOpen), 103)
	})
}

// A burst of critical pages leaves as fast as the service takes them, before all else.
func TestCriticalPagesGoFirstThroughABucket(t *testing.T) {
	c := &counting{limits: slackLike()}
	virtually(t, &scripted{other: c}, func(t *testing.T, v *timed) {
		for i := range 50 {
			v.put(t, warning(problem(id(i))))
		}
		pass(3 * time.Second)
		began := time.Now()
		for i := range 30 {
			v.put(t, problem(id(1000+i)))
		}
		pass(35 * time.Second)
		sent := 0
		for _, call := range c.of(notify.VerbOpen) {
			if call.severity == page.Critical {
				sent++
				require.LessOrEqual(t, call.at.Sub(began), 32*time.Second)
			}
		}
		require.Equal(t, 30, sent)
		pass(3 * time.Minute)
		require.Zero(t, v.items(t))
	})
}

// Retry-After is kept beside a bucket, and the bucket is shared by the verbs
// that name it.
func TestABucketKeepsRetryAfter(t *testing.T) {
	all := notify.Rate{Key: "key", Every: 100 * time.Millisecond, Burst: 10}
	c := &counting{limits: notify.Limits{notify.VerbOpen: all, notify.VerbUpdate: all, notify.VerbResolve: all}}
	c.fail = func(n int) error {
		if n == 2 {
			return &remote.Error{Op: "enqueue", Class: remote.NotSent, Status: 429, RetryAfter: 40 * time.Second}
		}
		return nil
	}
	virtually(t, &scripted{other: c}, func(t *testing.T, v *timed) {
		v.put(t, problem(id(1)))
		pass(time.Second)
		v.put(t, revised(problem(id(1)), 2, 39))
		pass(time.Second)
		v.put(t, warning(problem(id(2))))
		v.put(t, problem(id(3)))
		pass(37 * time.Second)
		opened := c.of(notify.VerbOpen)
		require.Len(t, opened, 2, "an edit was limited, and so is what shares its bucket")
		require.Equal(t, id(3), opened[1].problem, "but what is new and critical asks all the same")
		pass(time.Minute)
		require.Len(t, c.of(notify.VerbOpen), 3)
		require.Zero(t, v.items(t))
	})
}

// Two targets over one credential are one to the service.
func TestTargetsThatShareABucket(t *testing.T) {
	a, b := &counting{limits: slackLike()}, &counting{limits: slackLike()}
	virtually(t, &scripted{other: a, second: b}, func(t *testing.T, v *timed) {
		for i := range 30 {
			v.put(t, warning(problem(id(i))))
		}
		pass(2 * time.Minute)
		both := append(a.of(notify.VerbOpen), b.of(notify.VerbOpen)...)
		require.Len(t, both, 60)
		slices.SortFunc(both, func(x, y counted) int { return x.at.Compare(y.at) })
		require.LessOrEqual(t, most(both, 10*time.Second), 10+4, fmt.Sprint(len(both)))
		require.Zero(t, v.items(t))
	})
}
