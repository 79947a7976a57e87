package storetest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

func enqueue(id, key string, priority int) store.Op {
	return store.Enqueue(store.Item{Lane: "l", ID: id, Key: key, Priority: priority, Value: []byte("value of " + id)})
}

func later(id, key string, wait time.Duration) store.Op {
	return store.Enqueue(store.Item{Lane: "l", ID: id, Key: key, Due: time.Now().Add(wait)})
}

func orderTests() []test {
	return []test{
		{name: "an item is taken as it was enqueued", run: func(e *engine) {
			due := time.Now().Add(-time.Second)
			want := store.Item{Lane: "l", ID: "i", Key: "k", Priority: -3, Due: due, Value: []byte("v")}
			e.apply(store.Enqueue(want))
			got := e.takeFor(time.Minute)
			require.True(e, due.Equal(got.Due))
			got.Due = due
			require.Equal(e, want, got.Item)
			require.True(e, got.Until.Equal(time.Now().Add(time.Minute)))
		}},
		{name: "lanes are apart", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			e.nothing("m")
			e.nothing("l/")
			require.Equal(e, []string{"i"}, e.drain("l"))
		}},
		{name: "the oldest first", run: func(e *engine) {
			var want []string
			for i := range 20 {
				id := fmt.Sprint(99 - i)
				want = append(want, id)
				e.apply(enqueue(id, id, 0))
			}
			require.Equal(e, want, e.drain("l"))
		}},
		{name: "the higher priority before the older", run: func(e *engine) {
			e.apply(enqueue("a", "a", 0), enqueue("b", "b", 5), enqueue("c", "c", -1), enqueue("d", "d", 5))
			require.Equal(e, []string{"b", "d", "a", "c"}, e.drain("l"))
		}},
		{name: "of one order key only the oldest, whatever its priority", run: func(e *engine) {
			e.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 9), enqueue("b1", "b", 1))
			require.Equal(e, []string{"b1", "a1", "a2"}, e.drain("l"))
		}},
		{name: "of one order key none while one is leased", run: func(e *engine) {
			e.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 0))
			l := e.take()
			require.Equal(e, "a1", l.ID)
			e.nothing("l")
			e.apply(store.Done(l))
			require.Equal(e, "a2", e.take().ID)
		}},
		{name: "of one order key none before the oldest is due", run: func(e *engine) {
			e.apply(later("a1", "a", time.Minute), enqueue("a2", "a", 0))
			e.nothing("l")
			e.pass(time.Minute)
			require.Equal(e, []string{"a1", "a2"}, e.drain("l"))
		}},
	}
}

func laneTests() []test {
	return []test{
		{name: "not before it is due", run: func(e *engine) {
			e.apply(later("a", "a", 2*time.Minute), later("b", "b", time.Minute))
			began := time.Now()
			require.Equal(e, "b", e.take().ID)
			require.Equal(e, time.Minute, time.Since(began))
			require.Equal(e, "a", e.take().ID)
			require.Equal(e, 2*time.Minute, time.Since(began))
		}},
		{name: "far in the future is a due time too", run: func(e *engine) {
			e.apply(later("a", "a", 30*24*time.Hour))
			began := time.Now()
			require.Equal(e, "a", e.takeFor(time.Second).ID)
			require.Equal(e, 30*24*time.Hour, time.Since(began))
		}},
		{name: "an ID that waits already changes nothing", run: func(e *engine) {
			e.apply(store.Enqueue(store.Item{Lane: "l", ID: "i", Key: "k", Value: []byte("first")}))
			e.apply(store.Enqueue(store.Item{Lane: "l", ID: "i", Key: "other", Priority: 9, Value: []byte("second")}))
			l := e.take()
			require.Equal(e, "first", string(l.Value))
			e.apply(enqueue("i", "k", 0), enqueue("i", "k", 0)) // leased, it still waits
			e.nothing("l")
			e.apply(store.Done(l))
			e.nothing("l")
			e.apply(enqueue("i", "k", 0), enqueue("i", "k", 0))
			require.Equal(e, []string{"i"}, e.drain("l"))
		}},
		{name: "the same ID in another lane is another item", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0), store.Enqueue(store.Item{Lane: "m", ID: "i", Key: "k"}))
			require.Equal(e, []string{"i"}, e.drain("m"))
			require.Equal(e, []string{"i"}, e.drain("l"))
		}},
		{name: "done and enqueued again in one batch", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			l := e.take()
			e.apply(store.Done(l), later("i", "k", time.Minute))
			e.nothing("l")
			e.pass(time.Minute)
			require.Equal(e, []string{"i"}, e.drain("l"))
		}},
		{name: "take waits, and is woken", run: takeWakes},
		{name: "take ends with its context", run: func(e *engine) {
			ctx, cancel := context.WithCancel(e.Context())
			done := make(chan error)
			go func() {
				_, err := e.Take(ctx, "l", time.Minute)
				done <- err
			}()
			synctest.Wait()
			cancel()
			require.ErrorIs(e, <-done, context.Canceled)
			e.apply(enqueue("i", "k", 0))
			_, err := e.Take(ctx, "l", time.Minute)
			require.ErrorIs(e, err, context.Canceled, "ended before")
			require.Equal(e, "i", e.take().ID, "an ended call takes nothing")
		}},
		{name: "lanes are counted", run: lanesCounted},
	}
}

func takeWakes(e *engine) {
	got := make(chan string, 3)
	for range 3 {
		go func() {
			l, err := e.Take(e.Context(), "l", time.Minute)
			if err == nil {
				got <- l.ID
			}
		}()
	}
	synctest.Wait()
	require.Empty(e, got)
	e.apply(enqueue("a", "a", 0))
	require.Equal(e, "a", <-got)
	e.apply(enqueue("b", "b", 0), enqueue("c", "c", 0))
	require.ElementsMatch(e, []string{"b", "c"}, []string{<-got, <-got})
}

func lanesCounted(e *engine) {
	lanes := func() []store.LaneStat {
		s, err := e.Lanes(e.Context())
		require.NoError(e, err)
		for i := range s {
			s[i].Oldest = s[i].Oldest.UTC()
		}
		return s
	}
	require.Empty(e, lanes())
	began := time.Now().UTC().Round(0)
	e.apply(store.Enqueue(store.Item{Lane: "m", ID: "i", Key: "k", Due: began.Add(time.Hour)}))
	e.pass(time.Minute)
	e.apply(enqueue("a", "a", 0), enqueue("b", "b", 0))
	want := []store.LaneStat{
		{Lane: "l", Items: 2, Oldest: began.Add(time.Minute)},
		{Lane: "m", Items: 1, Oldest: began.Add(time.Hour)},
	}
	require.Equal(e, want, lanes())
	l := e.take()
	want[0].Leased = 1
	require.Equal(e, want, lanes())
	e.apply(store.Retry(l, time.Now()))
	want[0].Leased = 0
	require.Equal(e, want, lanes())
	e.reopen()
	require.Equal(e, want, lanes())
	e.drain("l")
	require.Equal(e, want[1:], lanes())
}

func leaseTests() []test {
	return []test{
		{name: "done removes the item", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			e.apply(store.Done(e.take()))
			e.nothing("l")
			e.reopen()
			e.nothing("l")
		}},
		{name: "a lease that runs out makes the item due again", run: func(e *engine) {
			e.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 0))
			first := e.takeFor(time.Minute)
			began := time.Now()
			second := e.takeFor(time.Minute)
			require.Equal(e, time.Minute, time.Since(began))
			require.Equal(e, "a1", second.ID)
			require.NotEqual(e, first.Token, second.Token)
			require.Zero(e, second.Attempt, "it was not put back by Retry")
			for _, op := range []store.Op{store.Done(first), store.Retry(first, time.Now()), store.Extend(first, time.Now().Add(time.Hour))} {
				e.refuse(store.ErrFenced, op)
			}
			e.apply(store.Done(second))
			require.Equal(e, []string{"a2"}, e.drain("l"))
		}},
		{name: "a lease that ran out is lost, taken again or not", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			l := e.takeFor(time.Minute)
			e.pass(time.Minute)
			e.refuse(store.ErrFenced, store.Done(l))
			require.Equal(e, []string{"i"}, e.drain("l"))
		}},
		{name: "extend keeps it", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			l := e.takeFor(time.Minute)
			for range 5 {
				e.pass(50 * time.Second)
				e.apply(store.Extend(l, time.Now().Add(time.Minute)))
			}
			e.nothing("l")
			e.apply(store.Put("k", nil), store.Done(l))
			e.value("k")
		}},
		{name: "extend can shorten it", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			l := e.takeFor(time.Hour)
			e.apply(store.Extend(l, time.Now().Add(time.Second)))
			began := time.Now()
			e.take()
			require.Equal(e, time.Second, time.Since(began))
		}},
	}
}

func retryTests() []test {
	return []test{
		{name: "retry puts it back, due then", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			began := time.Now()
			for attempt := range 4 {
				l := e.take()
				require.Equal(e, attempt, l.Attempt)
				require.Equal(e, "value of i", string(l.Value))
				require.Equal(e, time.Duration(attempt)*time.Minute, time.Since(began))
				e.apply(store.Retry(l, time.Now().Add(time.Minute)))
				e.refuse(store.ErrFenced, store.Done(l))
			}
		}},
		{name: "retry keeps its old place among its order key", run: func(e *engine) {
			e.apply(enqueue("a1", "a", 0), enqueue("a2", "a", 5), enqueue("b1", "b", 0))
			e.apply(store.Retry(e.take(), time.Now().Add(time.Minute)))
			require.Equal(e, []string{"b1"}, e.drain("l"), "a2 waits behind a1")
			e.reopen()
			e.nothing("l")
			e.pass(time.Minute)
			require.Equal(e, []string{"a1", "a2"}, e.drain("l"))
		}},
		{name: "retry at once", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			e.apply(store.Retry(e.take(), time.Time{}))
			require.Equal(e, 1, e.take().Attempt)
		}},
		{name: "a made-up lease is refused", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0))
			for _, l := range []store.Lease{
				{},
				{Item: store.Item{Lane: "l", ID: "i"}},
				{Item: store.Item{Lane: "l", ID: "i"}, Token: 1, Until: time.Now().Add(time.Hour)},
				{Item: store.Item{Lane: "none", ID: "i"}, Token: 1},
			} {
				e.refuse(store.ErrFenced, store.Done(l))
			}
			require.Equal(e, "i", e.take().ID)
		}},
		{name: "one refused batch leaves the lease of another as it is", run: func(e *engine) {
			e.apply(enqueue("i", "k", 0), store.Put("there", nil))
			l := e.takeFor(time.Minute)
			e.refuse(store.ErrConflict, store.Done(l), store.Create("there", nil))
			e.nothing("l")
			began := time.Now()
			require.Equal(e, "i", e.take().ID, "it still runs out")
			require.LessOrEqual(e, time.Since(began), time.Minute)
		}},
		{name: "a restart ends every lease", run: restartEndsLeases},
	}
}

func restartEndsLeases(e *engine) {
	e.apply(enqueue("i", "k", 0))
	l := e.takeFor(time.Hour)
	e.apply(store.Retry(l, time.Time{}))
	l = e.takeFor(time.Hour)
	e.reopen()
	e.refuse(store.ErrFenced, store.Done(l))
	again := e.take()
	require.Equal(e, "i", again.ID)
	require.Equal(e, 1, again.Attempt, "attempts survive")
	e.refuse(store.ErrFenced, store.Done(l))
	e.apply(store.Done(again))
}
