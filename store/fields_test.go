package store_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

func TestFields(t *testing.T) {
	b := binary.AppendUvarint(binary.AppendVarint([]byte{7}, -300), 300)
	b = append(binary.AppendUvarint(b, 4), "textrest"...)
	f := store.Fields{Rest: b}
	require.Equal(t, byte(7), f.Byte())
	require.Equal(t, int64(-300), f.Varint())
	require.Equal(t, uint64(300), f.Uvarint())
	require.Equal(t, "text", f.Text())
	require.Equal(t, "rest", string(f.Rest))
	require.False(t, f.Short)

	for n := range len(b) - len("rest") {
		cut := store.Fields{Rest: b[:n]}
		cut.Byte()
		cut.Varint()
		cut.Uvarint()
		cut.Text()
		require.True(t, cut.Short, "cut after %d bytes", n)
	}

	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	require.Equal(t, at, store.Instant(store.Nanos(at)))
	require.Zero(t, store.Nanos(time.Time{}))
	require.True(t, store.Instant(0).IsZero())
}
