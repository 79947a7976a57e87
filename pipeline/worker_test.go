package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// world is a worker on a real store, inside a bubble of synctest.
type world struct {
	t      *testing.T
	store  store.Store
	ask    func(ctx context.Context, p page.Problem) page.Context
	active func() ([]page.Alert, error)
	date   dater
	stages map[string]time.Duration

	mu    sync.Mutex
	shown []page.Page // every revision handed to the outbox, and when
	when  []time.Duration
	start time.Time
	seq   int
}

func (w *world) Context(ctx context.Context, p page.Problem) page.Context { return w.ask(ctx, p) }

func (w *world) Since(ctx context.Context, p page.Problem, known []page.Change) (page.Context, bool) {
	return w.date(ctx, p, known)
}

func (w *world) Active(context.Context, string, []page.Alert) ([]page.Alert, error) {
	return w.active()
}

func (w *world) Ops(p page.Problem) []store.Op {
	return []store.Op{store.Enqueue(store.Item{
		Lane: store.LaneDeliver + "test/test", ID: fmt.Sprintf("%s/%d", p.ID, p.Revision), Key: p.ID,
	})}
}

// deliver stands in for notify: it takes each revision and remembers its page.
func (w *world) deliver(ctx context.Context) {
	for {
		l, err := w.store.Take(ctx, store.LaneDeliver+"test/test", time.Minute)
		if err != nil {
			return
		}
		var v page.Page
		p, _, err := pipeline.Load(ctx, w.store, l.Key)
		if err == nil {
			var rec store.Record
			rec, err = w.store.Get(ctx, store.PageKey(l.Key, p.Episode))
			if err == nil {
				err = store.Unmarshal(rec.Value, &v)
			}
		}
		if err != nil {
			w.t.Errorf("read page: %v", err)
			return
		}
		w.mu.Lock()
		w.shown, w.when = append(w.shown, v), append(w.when, time.Since(w.start))
		w.mu.Unlock()
		if err := w.store.Apply(context.WithoutCancel(ctx), store.Done(l)); err != nil {
			w.t.Errorf("done: %v", err)
		}
	}
}

func (w *world) send(line string) { w.put(snapshot(w.t, line)) }

// put hands an event in at the door, now.
func (w *world) put(e page.Event) {
	w.seq++
	e.ID, e.At = fmt.Sprint(w.seq), time.Now()
	value, err := store.Marshal(e)
	require.NoError(w.t, err)
	require.NoError(w.t, w.store.Apply(w.t.Context(), store.Enqueue(store.Item{
		Lane: store.LaneEvents, ID: e.ID, Key: e.Problem, Value: value,
	})))
}

// inWorld runs a story against a worker in virtual time.
func inWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	inWorldOf(t, func(*pipeline.Worker) {}, story)
}

// inWorldOf does so after a change to the worker.
func inWorldOf(t *testing.T, change func(*pipeline.Worker), story func(w *world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.db")
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		st, err := bolt.Open(bolt.Config{Path: path}, log, time.Now, nil)
		require.NoError(t, err)
		w := &world{
			t: t, store: st, start: time.Now(), stages: map[string]time.Duration{},
			ask:    func(context.Context, page.Problem) page.Context { return page.Context{None: true} },
			active: func() ([]page.Alert, error) { return nil, errors.New("nobody there") },
		}
		worker := &pipeline.Worker{
			Store: st, Enricher: w, Dater: w, Outbox: w, Asker: w, Writers: 8, Log: log, Now: time.Now,
			Deadline: pipeline.Deadline{Critical: 5 * time.Second, Other: 10 * time.Second},
			Metrics:  pipeline.NewMetrics(nil), Tracer: noop.NewTracerProvider().Tracer(""),
			Observe: func(stage string, d time.Duration) {
				w.mu.Lock()
				w.stages[stage] = d
				w.mu.Unlock()
			},
		}
		change(worker)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { worker.Run(ctx) })
		running.Go(func() { w.deliver(ctx) })
		story(w)
		cancel()
		running.Wait()
		require.NoError(t, st.Close())
	})
}

// problem reads the record of a problem.
func (w *world) problem(id string) page.Problem {
	p, _, err := pipeline.Load(w.t.Context(), w.store, id)
	require.NoError(w.t, err)
	return p
}

// after lets virtual time pass and returns what was shown until then.
func (w *world) after(d time.Duration) []page.Page {
	time.Sleep(d) //nolint:forbidigo // virtual time
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown
}

func deploy(v string) page.Context {
	return page.Context{Traits: []page.Trait{{
		Labels: page.Labels{"deploy": v}, Failing: page.Count{Matched: 38, Total: 40}, Healthy: page.Count{Matched: 6, Total: 100},
	}}}
}

func TestThePageLeavesWithItsTraitAsSoonAsItIsKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context {
			time.Sleep(700 * time.Millisecond) //nolint:forbidigo // virtual time
			return deploy("v42")
		}
		w.send("0 a+")
		shown := w.after(2 * time.Second)
		require.Len(t, shown, 1)
		require.Equal(t, "38 of 40 failing share deploy=v42 (6 % of healthy do)", shown[0].Headline)
		require.Less(t, w.when[0], time.Second)
		require.Contains(t, w.stages, "enriched")
		require.Len(t, w.after(5*time.Minute), 1, "a trait that is known is not asked for again")
	})
}

func TestThePageLeavesAtItsDeadlineAndLateContextEditsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(ctx context.Context, _ page.Problem) page.Context {
			select {
			case <-ctx.Done():
				return page.Context{Pending: true, Notes: []page.Note{{Room: "enrich", Text: "no answer from main"}}}
			case <-time.After(25 * time.Second):
				return deploy("v42")
			}
		}
		w.send("0 a+")
		shown := w.after(9900 * time.Millisecond)
		require.Empty(t, shown)
		shown = w.after(time.Second)
		require.Len(t, shown, 1, "a warning leaves 10 s after its acceptance")
		require.Equal(t, "what they share is not known yet", shown[0].Headline)
		require.Equal(t, "no answer from main", shown[0].Notes[0].Text)
		shown = w.after(time.Minute)
		require.Len(t, shown, 2)
		require.Contains(t, shown[1].Headline, "deploy=v42")
		require.False(t, shown[1].Pending)
		require.Greater(t, shown[1].Revision, shown[0].Revision)
	})
}

func TestASourceThatNeverAnswersIsSaidInTheEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(ctx context.Context, _ page.Problem) page.Context {
			<-ctx.Done()
			return page.Context{Pending: true, Notes: []page.Note{{Text: "no answer from main"}}}
		}
		w.send("0 a+")
		shown := w.after(20 * time.Minute)
		require.Len(t, shown, 2)
		require.True(t, shown[0].Pending)
		require.False(t, shown[1].Pending, "nothing more is coming, and the page says so")
	})
}

func TestNothingInCommonIsAskedAgainOnceWindowsAreFull(t *testing.T) {
	inWorld(t, func(w *world) {
		asked := 0
		w.ask = func(context.Context, page.Problem) page.Context {
			if asked++; asked == 1 {
				return page.Context{None: true}
			}
			return deploy("v42")
		}
		w.send("0 a+")
		require.Contains(t, w.after(time.Second)[0].Headline, "nothing in common")
		require.Len(t, w.after(20*time.Second), 1)
		shown := w.after(15 * time.Second)
		require.Len(t, shown, 2)
		require.Contains(t, shown[1].Headline, "deploy=v42")
	})
}

func TestALifeFromOpenToResolvedInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		w.send("0 a+")
		w.send("1 a+ b+")
		w.send("2 a+ b+")
		w.send("3 a- b+")
		w.send("4 b-")
		shown := w.after(time.Minute)
		last := shown[len(shown)-1]
		require.Equal(t, page.Closed, last.State)
		require.Equal(t, uint64(4), last.Revision, "a repeat is no revision")
		require.Len(t, last.Alerts, 2)
		for i := 1; i < len(shown); i++ {
			require.GreaterOrEqual(t, shown[i].Revision, shown[i-1].Revision)
		}
	})
}

func TestAnEventThatWasAppliedIsNotAppliedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		w.send("0 a+")
		w.after(time.Second)
		w.seq-- // the same id once more, as after an answer that was lost
		w.send("0 a+")
		require.Len(t, w.after(time.Second), 1)
	})
}

func TestHeldAlertsAreBelievedWhenAlertmanagerCannotBeAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		active func() ([]page.Alert, error)
		want   int
	}{
		"it cannot be asked": {func() ([]page.Alert, error) { return nil, errors.New("refused") }, 2},
		"it knows nothing":   {func() ([]page.Alert, error) { return nil, nil }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.active = tc.active
				w.send("0 a+")
				w.after(5 * time.Second)
				w.send("5 a-")
				w.after(2 * time.Second)
				w.send("0 a+") // the slow peer: began before the resolve
				w.after(3 * time.Second)
				p, _, err := pipeline.Load(t.Context(), w.store, snapshot(t, "0 a+").Problem)
				require.NoError(t, err)
				require.Equal(t, 1, p.Episode)
				w.after(time.Minute)
				p, _, err = pipeline.Load(t.Context(), w.store, p.ID)
				require.NoError(t, err)
				require.Equal(t, tc.want, p.Episode)
			})
		})
	}
}
