package bolt_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// recovered salvages a file of these bytes and closes what came of it.
func recovered(t *testing.T, b []byte) bolt.Salvaged {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.db")
	write(t, path, b)
	s, out, err := bolt.Recover(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	aside, err := os.ReadFile(out.Aside)
	require.NoError(t, err)
	require.Equal(t, b, aside, "the damaged file is kept as it is")
	records := 0
	for i := range filled {
		r, err := s.Get(t.Context(), fmt.Sprintf("k/%04d", i))
		if err == nil {
			require.Equal(t, string(content(i)), string(r.Value))
			records++
		} else {
			require.ErrorIs(t, err, store.ErrNotFound)
		}
		_, err = s.Get(t.Context(), fmt.Sprintf("gone/%04d", i))
		require.ErrorIs(t, err, store.ErrNotFound, "what was deleted stays so")
	}
	require.Equal(t, out.Records, records)
	require.Equal(t, out.Items, leased(t, s))
	require.NoError(t, s.Close())
	again, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	return out
}

// leased takes all items, in their order.
func leased(t *testing.T, s *bolt.Store) int {
	t.Helper()
	stats, err := s.Lanes(t.Context())
	require.NoError(t, err)
	n, last := 0, -1
	for _, lane := range stats {
		for range lane.Items {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			l, err := s.Take(ctx, lane.Lane, time.Minute)
			cancel()
			require.NoError(t, err)
			var i int
			_, err = fmt.Sscan(l.ID, &i)
			require.NoError(t, err)
			require.Equal(t, string(content(i)), string(l.Value))
			require.Greater(t, i, last, "the older first")
			last = i
			n++
		}
	}
	return n
}

func TestSalvage(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	const page = 4096
	require.Equal(t, page, os.Getpagesize())
	all := recovered(t, good)
	require.Equal(t, [3]int{filled, filled, 0}, [3]int{all.Records, all.Items, all.Lost})

	t.Run("one flipped bit leaves the rest", func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 7))
		worst := 0
		for range 60 {
			b := slices.Clone(good)
			b[2*page+r.IntN(len(b)-2*page)] ^= 1 << r.IntN(8)
			out := recovered(t, b)
			worst = max(worst, 2*filled-out.Records-out.Items)
		}
		require.Less(t, worst, 2*filled, "the rest is saved")
		t.Logf("at worst %d of %d entries were lost to one bit", worst, 2*filled)
	})
	t.Run("pages of nothing", func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 7))
		for range 20 {
			b := slices.Clone(good)
			at := (2 + r.IntN(len(b)/page-2)) * page
			clear(b[at : at+page])
			recovered(t, b)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		out := recovered(t, good[:len(good)/2/page*page])
		require.Less(t, out.Records+out.Items, 2*filled)
		require.Positive(t, out.Lost)
	})
	t.Run("nothing of it is ours", func(t *testing.T) {
		out := recovered(t, []byte("#!/bin/sh\necho no store\n"))
		require.Equal(t, [3]int{0, 0, 1}, [3]int{out.Records, out.Items, out.Lost})
	})
}
