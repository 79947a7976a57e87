package storetest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// seen is what a watcher was told. Read it after synctest.Wait only.
type seen struct{ changes []string }

func (s *seen) note(r store.Record, err error) {
	switch {
	case err != nil:
		s.changes = append(s.changes, err.Error())
	case r.Value == nil:
		s.changes = append(s.changes, "-"+r.Key)
	default:
		s.changes = append(s.changes, r.Key+"="+string(r.Value))
	}
}

func watchTests() []test {
	return []test{
		{name: "each change under the prefix, in order", run: func(e *engine) {
			var s seen
			e.Watch(e.Context(), "p/", s.note)
			e.apply(store.Put("p/1", []byte("a")), store.Put("q/1", []byte("a")))
			e.apply(store.Put("p/2", nil))
			e.apply(store.Swap("p/1", e.rev("p/1"), []byte("b")))
			e.apply(store.Delete("p/1"), store.Delete("p/none"))
			synctest.Wait()
			require.Equal(e, []string{"p/1=a", "p/2=", "p/1=b", "-p/1"}, s.changes)
		}},
		{name: "with the revision it has", run: func(e *engine) {
			var last store.Record
			e.Watch(e.Context(), "", func(r store.Record, _ error) { last = r })
			e.apply(store.Put("k", []byte("v")))
			synctest.Wait()
			require.Equal(e, e.rev("k"), last.Rev)
		}},
		{name: "nothing of a batch that was refused", run: func(e *engine) {
			var s seen
			e.apply(store.Put("there", nil))
			e.Watch(e.Context(), "", s.note)
			e.refuse(store.ErrConflict, store.Put("p", nil), store.Create("there", nil))
			synctest.Wait()
			require.Empty(e, s.changes)
		}},
	}
}

func watchEndTests() []test {
	return []test{
		{name: "a record that expires is told of", run: func(e *engine) {
			var s seen
			e.apply(store.Put("k", []byte("v")).Until(time.Now().Add(time.Minute)))
			e.Watch(e.Context(), "", s.note)
			e.pass(2 * time.Minute)
			synctest.Wait()
			require.Equal(e, []string{"-k"}, s.changes)
			e.reopen()
			e.absent("k")
		}},
		{name: "many expire", run: func(e *engine) {
			until := time.Now().Add(time.Minute)
			for i := range 700 {
				e.apply(store.Put(fmt.Sprintf("k/%03d", i), nil).Until(until.Add(time.Duration(i) * time.Millisecond)))
			}
			var s seen
			e.Watch(e.Context(), "k/", s.note)
			e.pass(10 * time.Minute)
			synctest.Wait()
			require.Len(e, s.changes, 700)
		}},
		{name: "until its context ends", run: func(e *engine) {
			var s seen
			ctx, cancel := context.WithCancel(e.Context())
			e.Watch(ctx, "", s.note)
			e.apply(store.Put("a", nil))
			synctest.Wait()
			cancel()
			synctest.Wait()
			e.apply(store.Put("b", nil))
			synctest.Wait()
			require.Equal(e, []string{"a="}, s.changes)
		}},
		{name: "a slow watcher holds nobody up, and is told that it lagged", run: lags},
	}
}

func lags(e *engine) {
	var s seen
	begin := make(chan struct{})
	e.Watch(e.Context(), "", func(r store.Record, err error) {
		<-begin
		s.note(r, err)
	})
	const n = 5000
	for i := range n {
		e.apply(store.Put(fmt.Sprintf("%04d", i), nil))
	}
	close(begin)
	synctest.Wait()
	lagged := 0
	for _, c := range s.changes {
		if c == store.ErrLagged.Error() {
			lagged++
		}
	}
	require.Equal(e, 1, lagged, "told once")
	require.Less(e, len(s.changes), n)
	s.changes = nil
	e.apply(store.Put("after", nil))
	synctest.Wait()
	require.Equal(e, []string{"after="}, s.changes, "what comes later is told again")
}
