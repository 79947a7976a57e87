package bolt

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// Whatever the bytes, reading them comes to an end, and makes nothing up.
func FuzzWreck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "tocsin.db")
	s, err := Open(Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(f, err)
	require.NoError(f, s.Apply(f.Context(), store.Put("k", []byte("v")), store.Enqueue(store.Item{Lane: "l", ID: "1", Value: []byte("v")})))
	require.NoError(f, s.Close())
	raw, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(raw[:8*os.Getpagesize()])
	f.Add([]byte{})
	wreckage := filepath.Join(f.TempDir(), "wreck.db")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(wreckage, b, 0o600))
		w, err := openWreck(wreckage)
		if err != nil {
			return
		}
		defer w.file.Close()
		w.record = func(key string, e entry) error {
			require.Equal(t, "k=v", key+"="+string(e.value))
			return nil
		}
		w.item = func(_ uint64, it stored) { require.Equal(t, "l/1=v", it.lane+"/"+it.id+"="+string(it.value)) }
		require.NoError(t, w.salvage())
	})
}
