package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

var errDisk = errors.New("input/output error")

// lost is a commit that comes to nothing.
func lost(tx *bbolt.Tx) error { return errors.Join(errDisk, tx.Rollback()) }

// unsure is a commit whose last sync fails: the file shows it, and a crash may undo it.
func unsure(tx *bbolt.Tx) error { return errors.Join(errDisk, tx.Commit()) }

func openAt(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Path: filepath.Join(dir, "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	return s
}

// TestFailedCommit: callers are told, nothing that failed is served, and the
// store goes on, agreeing with its file.
func TestFailedCommit(t *testing.T) {
	for name, tc := range map[string]struct {
		sync func(*bbolt.Tx) error
		took bool
	}{"lost": {lost, false}, "unsure": {unsure, true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := openAt(t, dir)
				ctx := t.Context()
				item := func(id string) store.Op { return store.Enqueue(store.Item{Lane: "l", ID: id, Key: id}) }
				require.NoError(t, s.Apply(ctx, store.Put("k", []byte("1")), item("done"), item("retried")))
				done, err := s.Take(ctx, "l", time.Minute)
				require.NoError(t, err)
				retried, err := s.Take(ctx, "l", time.Minute)
				require.NoError(t, err)

				s.sync = tc.sync
				err = s.Apply(ctx, store.Put("k", []byte("2")), store.Done(done), store.Retry(retried, time.Time{}), item("new"))
				require.ErrorIs(t, err, errDisk)
				if tc.took {
					_, err = s.Get(ctx, "k")
					require.ErrorIs(t, err, errDisk, "nobody may see what a crash could undo")
					_, err = s.Scan(ctx, "", "", 1)
					require.ErrorIs(t, err, errDisk)
				}
				s.sync = (*bbolt.Tx).Commit

				r, err := s.Get(ctx, "k")
				require.NoError(t, err)
				want, items, leased := "1", 2, 2
				if tc.took {
					want, items, leased = "2", 2, 0
				}
				require.Equal(t, want, string(r.Value))
				stats := s.index.stats()
				require.Equal(t, items, stats[0].Items)
				require.Equal(t, leased, stats[0].Leased)
				if tc.took {
					require.ErrorIs(t, s.Apply(ctx, store.Done(done)), store.ErrFenced)
				} else {
					require.NoError(t, s.Apply(ctx, store.Done(done)))
				}
				before := s.index.stats()
				require.NoError(t, s.Close())
				s = openAt(t, dir)
				require.Equal(t, before[0].Items, s.index.stats()[0].Items)
				require.NoError(t, s.Close())
			})
		})
	}
}

// TestGroup: batches that come while a commit runs share the next one, and each
// is judged by itself.
func TestGroup(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, dir)
		defer func() { require.NoError(t, s.Close()) }()
		leave := make(chan struct{})
		commits := 0
		s.sync = func(tx *bbolt.Tx) error {
			if commits++; commits == 1 {
				<-leave
			}
			return tx.Commit()
		}
		const n = 50
		errs := make([]error, n)
		var all sync.WaitGroup
		all.Go(func() { errs[0] = s.Apply(t.Context(), store.Create("k/0", nil), store.Put("v/0", nil)) })
		synctest.Wait()
		for i := range n - 1 {
			all.Go(func() {
				errs[i+1] = s.Apply(t.Context(), store.Create(fmt.Sprintf("k/%d", (i+1)/2), nil), store.Put(fmt.Sprintf("v/%d", i+1), nil))
			})
		}
		synctest.Wait() // they all wait for the commit
		close(leave)
		all.Wait()
		require.Equal(t, 2, commits)
		conflicts := 0
		for i, err := range errs {
			_, missing := s.Get(t.Context(), fmt.Sprintf("v/%d", i))
			if err != nil {
				require.ErrorIs(t, err, store.ErrConflict)
				require.ErrorIs(t, missing, store.ErrNotFound)
				conflicts++
				continue
			}
			require.NoError(t, missing)
		}
		require.Equal(t, n/2, conflicts)
	})
}

// TestNothingBeforeSync: neither Apply nor a reader gets ahead of the disk.
func TestNothingBeforeSync(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, dir)
		defer func() { require.NoError(t, s.Close()) }()
		shown, synced := make(chan struct{}), make(chan struct{})
		s.sync = func(tx *bbolt.Tx) error {
			err := tx.Commit() // the file shows it from here on
			close(shown)
			<-synced
			return err
		}
		var order []string
		var all sync.WaitGroup
		var mu sync.Mutex
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		all.Go(func() {
			_ = s.Apply(t.Context(), store.Put("k", nil), store.Enqueue(store.Item{Lane: "l", ID: "i"}))
			note("after")
		})
		<-shown
		all.Go(func() {
			_, _ = s.Get(t.Context(), "k")
			note("after")
		})
		all.Go(func() {
			_, _ = s.Take(t.Context(), "l", time.Minute)
			note("after")
		})
		synctest.Wait()
		note("sync")
		close(synced)
		all.Wait()
		require.Equal(t, []string{"sync", "after", "after", "after"}, order)
	})
}
