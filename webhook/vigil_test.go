package webhook_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

// disk is a store that can be made unusable, at once or by hanging.
type disk struct {
	store.Store
	broken, hanging atomic.Bool
}

func (d *disk) Apply(ctx context.Context, ops ...store.Op) error {
	if d.hanging.Load() {
		return hangs(ctx, nil)
	}
	if d.broken.Load() {
		return errDisk
	}
	return d.Store.Apply(ctx, ops...)
}

// people are told past the store.
type people struct {
	mu    sync.Mutex
	told  []page.Event
	err   error
	takes time.Duration
}

func (p *people) Tell(_ context.Context, e page.Event) ([]page.Receipt, error) {
	pass(p.takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	p.told = append(p.told, e)
	return []page.Receipt{{Problem: e.Problem, Target: "pagerduty/ops", Delivery: "d", Ref: "d", State: page.Sent}}, nil
}

// failing is a door over a disk, with a vigil that runs.
type failing struct {
	*webhook.Handler
	disk   *disk
	people *people
	stored *bolt.Store

	mu     sync.Mutex
	opened int
	over   []webhook.Trouble
}

// seen is how often the door opened, and the troubles that are over.
func (f *failing) seen() (opened int, over []webhook.Trouble) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, slices.Clone(f.over)
}

func watched(t *testing.T, fn func(t *testing.T, f *failing)) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		d, p := &disk{Store: s}, &people{}
		f := &failing{Handler: newHandler(d), disk: d, people: p, stored: s}
		f.Teller = p
		f.Vigil = &webhook.Vigil{
			Store: d, Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Opened: func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.opened++
			},
			Over: func(ctx context.Context, trouble webhook.Trouble) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				if err := d.Apply(ctx, store.Put("told", []byte("it works"))); err != nil {
					return err
				}
				f.over = append(f.over, trouble)
				return nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Vigil.Run(ctx) })
		defer running.Wait()
		defer cancel()
		synctest.Wait()
		fn(t, f)
	})
}

func (f *failing) post(t *testing.T, body []byte) (int, string) {
	t.Helper()
	w, s := serve(t, f, request(body))
	return w.Code, s.Status
}

func fires(instance, severity string) []byte {
	return []byte(`{"version":"4","groupKey":"{}:{i=\"` + instance + `\"}","receiver":"team","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A","instance":"` +
		instance + `","severity":"` + severity + `"},"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z"}]}`)
}

func TestTheDoorFailsOpen(t *testing.T) {
	for name, breakIt := range map[string]func(*disk, bool){
		"refusing": func(d *disk, b bool) { d.broken.Store(b) },
		"hanging":  func(d *disk, b bool) { d.hanging.Store(b) },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, f *failing) {
				breakIt(f.disk, true)
				code, status := f.post(t, fires("a", "critical"))
				require.Equal(t, 503, code, "a hiccup is Alertmanager's to bridge")
				require.Equal(t, "failed", status)
				require.Empty(t, f.people.told)

				pass(14 * time.Second)
				opened, _ := f.seen()
				require.Equal(t, 1, opened)
				_, open := f.Vigil.Open()
				require.True(t, open)
				began := time.Now()
				code, status = f.post(t, fires("a", "critical"))
				require.Equal(t, 202, code)
				require.Equal(t, "passed", status)
				require.Zero(t, time.Since(began), "nobody waits for a store that is known to be unusable")
				code, _ = f.post(t, fires("b", "warning"))
				require.Equal(t, 503, code, "what is not critical waits at Alertmanager")
				code, _ = f.post(t, fires("a", "critical"))
				require.Equal(t, 202, code)
				require.Len(t, f.people.told, 1, "a problem is told once")

				breakIt(f.disk, false)
				pass(4 * time.Second)
				_, over := f.seen()
				require.Len(t, over, 1)
				require.True(t, over[0].Opened)
				require.Equal(t, 1, over[0].Told)
				require.Error(t, over[0].Err)
				_, open = f.Vigil.Open()
				require.False(t, open)
				code, status = f.post(t, fires("b", "warning"))
				require.Equal(t, 202, code)
				require.Equal(t, "accepted", status)
				events := waiting(t, f.stored)
				require.Len(t, events, 2)
				require.Equal(t, f.people.told[0].Problem, events[0].Problem)
				require.Len(t, events[0].Receipts, 1, "the pipeline knows who was told")
				require.Equal(t, "pagerduty/ops", events[0].Receipts[0].Target)
				require.Empty(t, events[1].Receipts)
			})
		})
	}
}

func TestAnIncidentOfSecondsIsNoFailure(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		for range 5 {
			f.disk.broken.Store(true)
			f.Vigil.Suspect()
			pass(8500 * time.Millisecond)
			f.disk.broken.Store(false)
			pass(11500 * time.Millisecond)
		}
		opened, over := f.seen()
		require.Zero(t, opened)
		require.Len(t, over, 5, "each is told of when it is over")
		for _, trouble := range over {
			require.False(t, trouble.Opened)
		}
	})
}

func TestWhoIsToldByNobodyIsSentAgain(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		f.disk.broken.Store(true)
		pass(25 * time.Second)
		f.people.err = errors.New("enqueue event: status 500")
		code, _ := f.post(t, fires("a", "critical"))
		require.Equal(t, 503, code)
		f.people.err = nil
		code, _ = f.post(t, fires("a", "critical"))
		require.Equal(t, 202, code)
		require.Len(t, f.people.told, 1)
	})
}

// Two peers of an Alertmanager cluster send the same at once.
func TestPeersTellOnce(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		f.disk.broken.Store(true)
		pass(25 * time.Second)
		f.people.takes = time.Second
		var peers sync.WaitGroup
		codes := make([]int, 20)
		for i := range codes {
			peers.Go(func() { codes[i], _ = f.post(t, fires("a", "critical")) })
		}
		peers.Wait()
		for _, code := range codes {
			require.Equal(t, 202, code)
		}
		require.Len(t, f.people.told, 1)
	})
}

// The store comes back and goes again while what was told is handed over:
// nothing is lost, and the door stays open until all of it is stored.
func TestAStoreThatComesBackInTheMiddle(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		f.disk.broken.Store(true)
		pass(25500 * time.Millisecond) // between two looks, which come every second
		for _, name := range []string{"a", "b", "c"} {
			code, _ := f.post(t, fires(name, "critical"))
			require.Equal(t, 202, code)
		}
		flaky := &broken{Store: f.stored, plan: []func(context.Context, func() error) error{
			func(_ context.Context, do func() error) error { return do() }, // the look
			func(_ context.Context, do func() error) error { return do() }, // the first of three
			fails, fails, // the second, twice
		}}
		f.disk.Store = flaky
		f.disk.broken.Store(false)
		pass(time.Second)
		_, open := f.Vigil.Open()
		require.True(t, open)
		pass(time.Second)
		_, open = f.Vigil.Open()
		require.False(t, open)
		require.Len(t, waiting(t, f.stored), 3)
		require.Len(t, f.people.told, 3)
	})
}

// A full disk takes the few bytes of a look, and not the page that tells of the
// trouble: the trouble goes on until that page is stored, and opens the door.
func TestAStoreThatTakesOnlyALook(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		takes := func(_ context.Context, do func() error) error { return do() }
		flaky := &broken{Store: f.stored}
		for range 15 {
			flaky.plan = append(flaky.plan, takes, fails)
		}
		f.disk.Store = flaky
		f.disk.broken.Store(true)
		f.Vigil.Suspect()
		pass(500 * time.Millisecond)
		f.disk.broken.Store(false)
		pass(5 * time.Second)
		opened, over := f.seen()
		require.Zero(t, opened)
		require.Empty(t, over, "it does not work yet")
		pass(10 * time.Second)
		opened, over = f.seen()
		require.Equal(t, 1, opened, "nothing but a look was written for 10 s")
		require.Empty(t, over)
		pass(5 * time.Second)
		opened, over = f.seen()
		require.Equal(t, 1, opened)
		require.Len(t, over, 1, "told of once, when it is stored")
		require.Error(t, over[0].Err)
	})
}

// What fails open must not be fooled by a body that cannot be read.
func TestUnreadableWhileOpen(t *testing.T) {
	watched(t, func(t *testing.T, f *failing) {
		f.disk.broken.Store(true)
		pass(25 * time.Second)
		code, _ := f.post(t, []byte(`{"version":"4"`))
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Empty(t, f.people.told)
	})
}
