package storetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

func recordTests() []test {
	return []test{
		{name: "what was put is got", run: func(e *engine) {
			e.apply(store.Put("k", []byte("v")))
			r, err := e.Get(e.Context(), "k")
			require.NoError(e, err)
			require.Equal(e, "k", r.Key)
			require.Equal(e, []byte("v"), r.Value)
			require.NotZero(e, r.Rev)
			require.True(e, r.Expires.IsZero())
		}},
		{name: "an unknown key is ErrNotFound", run: func(e *engine) { e.absent("k") }},
		{name: "any bytes are a value", run: func(e *engine) {
			long := []byte(strings.Repeat("\x00\xff", 1<<19))
			e.apply(store.Put("long", long), store.Put("empty", nil))
			require.Equal(e, string(long), e.value("long"))
			require.Empty(e, e.value("empty"))
		}},
		{name: "a value that was got is the caller's", run: func(e *engine) {
			e.apply(store.Put("k", []byte("v")))
			r, err := e.Get(e.Context(), "k")
			require.NoError(e, err)
			r.Value[0] = 'x'
			require.Equal(e, "v", e.value("k"))
		}},
		{name: "put writes whatever is there", run: func(e *engine) {
			e.apply(store.Put("k", []byte("1")))
			e.apply(store.Put("k", []byte("2")))
			require.Equal(e, "2", e.value("k"))
		}},
	}
}

func revisionTests() []test {
	return []test{
		{name: "create only where there is none", run: func(e *engine) {
			e.apply(store.Create("k", []byte("1")))
			e.refuse(store.ErrConflict, store.Create("k", []byte("2")))
			require.Equal(e, "1", e.value("k"))
		}},
		{name: "swap only the revision it names", run: func(e *engine) {
			e.apply(store.Swap("k", 0, []byte("1")))
			rev := e.rev("k")
			e.refuse(store.ErrConflict, store.Swap("k", rev+1, []byte("x")))
			e.refuse(store.ErrConflict, store.Swap("k", 0, []byte("x")))
			e.refuse(store.ErrConflict, store.Swap("none", rev, []byte("x")))
			e.apply(store.Swap("k", rev, []byte("2")))
			e.refuse(store.ErrConflict, store.Swap("k", rev, []byte("x")))
			require.Equal(e, "2", e.value("k"))
			e.absent("none")
		}},
		{name: "delete", run: func(e *engine) {
			e.apply(store.Put("k", nil))
			e.apply(store.Delete("k"))
			e.absent("k")
			e.apply(store.Delete("k"))
		}},
		{name: "delete only the revision it names", run: func(e *engine) {
			e.apply(store.Put("k", nil))
			rev := e.rev("k")
			e.refuse(store.ErrConflict, store.DeleteIf("k", rev+1))
			e.refuse(store.ErrConflict, store.DeleteIf("k", 0))
			e.apply(store.DeleteIf("k", rev))
			e.absent("k")
			e.refuse(store.ErrConflict, store.DeleteIf("k", rev))
		}},
		{name: "revisions only grow, also over delete and create", run: func(e *engine) {
			var last uint64
			for range 5 {
				e.apply(store.Put("k", nil))
				require.Greater(e, e.rev("k"), last)
				last = e.rev("k")
				e.apply(store.Delete("k"))
				e.apply(store.Create("k", nil))
				require.Greater(e, e.rev("k"), last)
				last = e.rev("k")
				e.reopen()
			}
		}},
		{name: "an expired record is absent", run: expires},
		{name: "an expiry can be moved and taken away", run: func(e *engine) {
			soon, late := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
			e.apply(store.Put("moved", nil).Until(soon), store.Put("kept", nil).Until(soon))
			e.apply(store.Put("moved", nil).Until(late), store.Put("kept", nil))
			e.pass(30 * time.Minute)
			e.value("moved")
			e.value("kept")
			e.pass(time.Hour)
			e.absent("moved")
			e.value("kept")
		}},
	}
}

func expires(e *engine) {
	until := time.Now().Add(time.Minute)
	e.apply(store.Create("k", []byte("1")).Until(until))
	r, err := e.Get(e.Context(), "k")
	require.NoError(e, err)
	require.True(e, until.Equal(r.Expires))
	rev := r.Rev
	e.pass(59 * time.Second)
	require.Equal(e, "1", e.value("k"))
	e.refuse(store.ErrConflict, store.Create("k", []byte("2")))
	e.pass(time.Second)
	e.absent("k")
	found, err := e.Scan(e.Context(), "k", "", 10)
	require.NoError(e, err)
	require.Empty(e, found)
	e.refuse(store.ErrConflict, store.Swap("k", rev, []byte("x")))
	e.refuse(store.ErrConflict, store.DeleteIf("k", rev))
	e.apply(store.Create("k", []byte("2")))
	require.Equal(e, "2", e.value("k"))
	require.Greater(e, e.rev("k"), rev)
	e.pass(time.Hour)
	require.Equal(e, "2", e.value("k"), "the expiry was the old record's")
}

func scanTests() []test {
	return []test{
		{name: "byte order of the keys, within the prefix", run: func(e *engine) {
			for _, k := range []string{"a/2", "b/1", "a/10", "a/1", "a", "a/\xff", "a0", "A/1", "a/1/1"} {
				e.apply(store.Put(k, []byte(k)))
			}
			got, err := e.Scan(e.Context(), "a/", "", 100)
			require.NoError(e, err)
			require.Equal(e, []string{"a/1", "a/1/1", "a/10", "a/2", "a/\xff"}, keys(got))
			for _, r := range got {
				require.Equal(e, r.Key, string(r.Value))
				require.Equal(e, e.rev(r.Key), r.Rev)
			}
		}},
		{name: "no prefix is all", run: func(e *engine) {
			e.apply(store.Put("b", nil), store.Put("a", nil))
			got, err := e.Scan(e.Context(), "", "", 100)
			require.NoError(e, err)
			require.Equal(e, []string{"a", "b"}, keys(got))
		}},
		{name: "greater than after, up to limit", run: func(e *engine) {
			var want []string
			for i := range 250 {
				k := fmt.Sprintf("p/%03d", i)
				want = append(want, k)
				e.apply(store.Put(k, nil), store.Put(fmt.Sprintf("q/%03d", i), nil))
			}
			var got []string
			after := ""
			for {
				part, err := e.Scan(e.Context(), "p/", after, 40)
				require.NoError(e, err)
				require.LessOrEqual(e, len(part), 40)
				if len(part) == 0 {
					break
				}
				got = append(got, keys(part)...)
				after = part[len(part)-1].Key
			}
			require.Equal(e, want, got)
		}},
		{name: "after need not exist, nor lie in the prefix", run: func(e *engine) {
			e.apply(store.Put("p/1", nil), store.Put("p/3", nil))
			for after, want := range map[string][]string{
				"a": {"p/1", "p/3"}, "p/": {"p/1", "p/3"}, "p/2": {"p/3"}, "p/3": {}, "z": {},
			} {
				got, err := e.Scan(e.Context(), "p/", after, 10)
				require.NoError(e, err)
				require.Equal(e, want, keys(got), "after %q", after)
			}
		}},
		{name: "an expired record does not count", run: func(e *engine) {
			e.apply(store.Put("p/1", nil).Until(time.Now().Add(time.Second)), store.Put("p/2", nil))
			e.pass(2 * time.Second)
			got, err := e.Scan(e.Context(), "p/", "", 1)
			require.NoError(e, err)
			require.Equal(e, []string{"p/2"}, keys(got))
		}},
	}
}

func batchTests() []test {
	item := func(id string) store.Op { return store.Enqueue(store.Item{Lane: "l", ID: id, Key: id}) }
	return []test{
		{name: "all operations or none", run: func(e *engine) {
			e.apply(store.Put("there", []byte("old")))
			for i, failing := range []store.Op{
				store.Create("there", nil), store.Swap("there", 1<<60, nil), store.DeleteIf("none", 7),
			} {
				e.refuse(store.ErrConflict, store.Put("new", nil), item("i"), failing)
				e.refuse(store.ErrConflict, failing, store.Put("new", nil), item("i"))
				e.absent("new")
				e.nothing("l")
				require.Equal(e, "old", e.value("there"), "case %d", i)
			}
		}},
		{name: "a lost lease undoes the batch", run: func(e *engine) {
			e.apply(item("i"))
			l := e.take()
			e.apply(store.Done(l))
			e.refuse(store.ErrFenced, store.Put("new", nil), store.Done(l), item("j"))
			e.absent("new")
			e.nothing("l")
		}},
		{name: "conditions are about what was there before the batch", run: func(e *engine) {
			e.apply(store.Create("a", nil), store.Create("b", nil))
			e.apply(store.Swap("a", e.rev("a"), []byte("2")), store.DeleteIf("b", e.rev("b")), store.Create("c", nil))
			require.Equal(e, "2", e.value("a"))
			e.absent("b")
		}},
		{name: "MaxOps operations, and not one more", run: func(e *engine) {
			var ops []store.Op
			for i := range store.MaxOps {
				ops = append(ops, store.Put(fmt.Sprintf("k/%03d", i), nil))
			}
			e.apply(ops...)
			got, err := e.Scan(e.Context(), "k/", "", 1000)
			require.NoError(e, err)
			require.Len(e, got, store.MaxOps)
			require.Error(e, e.Apply(e.Context(), append(ops, store.Put("k/x", nil))...))
			e.absent("k/x")
		}},
		{name: "what makes no sense is refused", run: nonsense},
		{name: "nothing to do is done", run: func(e *engine) { e.apply() }},
	}
}

func nonsense(e *engine) {
	item := store.Enqueue(store.Item{Lane: "l", ID: "i", Key: "i"})
	e.apply(item)
	l := e.take()
	for name, ops := range map[string][]store.Op{
		"a record without a key":   {store.Put("", nil)},
		"an item without a lane":   {store.Enqueue(store.Item{ID: "i"})},
		"an item without an ID":    {store.Enqueue(store.Item{Lane: "l"})},
		"one record twice":         {store.Put("a", nil), store.Delete("a")},
		"one lease twice":          {store.Done(l), store.Retry(l, time.Time{})},
		"an unknown kind":          {{Kind: -1}},
		"a key longer than 64 KiB": {store.Put(strings.Repeat("k", 1<<16+1), nil)},
	} {
		err := e.Apply(e.Context(), ops...)
		require.Error(e, err, name)
		for _, sentinel := range []error{store.ErrConflict, store.ErrFenced, store.ErrClosed} {
			require.False(e, errors.Is(err, sentinel), "%s: %v", name, err)
		}
	}
	e.apply(store.Done(l))
}
