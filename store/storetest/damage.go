package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// Damage flips bits under an engine that is open: what is wrong is refused, and
// the rest goes on. spoil changes one byte of a text wherever the engine's state
// holds it, without the engine's knowledge.
func Damage(t *testing.T, open func(t *testing.T, dir string) store.Store, spoil func(t *testing.T, dir, text string)) {
	t.Helper()
	e := &engine{T: t, open: open, dir: t.TempDir()}
	e.reopen()
	defer func() { require.NoError(t, e.Close()) }()
	item, record := "the value of an item that is hit", "the value of a record that is hit"
	large := strings.Repeat("the value of a large record. ", 1<<16) + "its end is hit"
	e.apply(
		store.Enqueue(store.Item{Lane: "l", ID: "1", Key: "k", Value: []byte(item)}),
		enqueue("2", "k", 0),
		store.Put("a", nil), store.Put("b", []byte(record)), store.Put("c", nil))
	e.apply(store.Put("large", []byte(large)))
	require.Equal(t, large, e.value("large"))
	for _, text := range []string{item, record, "its end is hit"} {
		spoil(t, e.dir, text)
	}
	_, err := e.Take(t.Context(), "l", time.Minute)
	require.ErrorIs(t, err, store.ErrDamaged, "it is told of")
	l := e.take()
	require.Equal(t, "2", l.ID, "once, and does not stop the lane")
	e.apply(store.Done(l))
	for _, key := range []string{"b", "large"} {
		_, err = e.Get(t.Context(), key)
		require.ErrorIs(t, err, store.ErrDamaged)
	}
	records, err := e.Scan(t.Context(), "", "", 10)
	require.ErrorIs(t, err, store.ErrDamaged)
	require.Equal(t, []string{"a"}, keys(records), "those before it")
	records, err = e.Scan(t.Context(), "", "b", 1)
	require.NoError(t, err, "what is not read is not refused")
	require.Equal(t, []string{"c"}, keys(records))
	e.apply(store.Put("other", nil))
}
