package bolt

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

// headOf returns one of a file's two heads as it is now.
func headOf(t *testing.T, path string, i int64) []byte {
	t.Helper()
	b := make([]byte, os.Getpagesize())
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(b, i*int64(len(b)))
	require.NoError(t, err)
	return b
}

func putHead(t *testing.T, path string, i int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, i*int64(len(b)))
	require.NoError(t, err)
}

// TestForgottenHead: the sync of a head fails, and the kernel then forgets the
// page although it is not on disk. What the failed commit did is gone, as its
// caller was told it may be; nothing else is, and the index follows the file.
func TestForgottenHead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.db")
	s := openAt(t, dir)
	ctx := t.Context()
	item := func(id string) store.Op { return store.Enqueue(store.Item{Lane: "l", ID: id, Key: id}) }
	require.NoError(t, s.Apply(ctx, store.Put("k", []byte("1")), item("a")))
	lagged := make(chan error, 1)
	s.Watch(ctx, "", func(_ store.Record, err error) {
		if err != nil {
			lagged <- err
		}
	})
	lease, err := s.Take(ctx, "l", time.Minute)
	require.NoError(t, err)

	before := [][]byte{headOf(t, path, 0), headOf(t, path, 1)}
	s.sync = unsure
	require.ErrorIs(t, s.Apply(ctx, store.Put("k", []byte("2")), store.Done(lease), item("b")), errDisk)
	for i, b := range before {
		putHead(t, path, int64(i), b) // as the disk has it
	}
	s.sync = (*bbolt.Tx).Commit

	r, err := s.Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "1", string(r.Value))
	require.ErrorIs(t, s.Apply(ctx, store.Done(lease)), store.ErrFenced, "the lease was lost with the index")
	require.ErrorIs(t, <-lagged, store.ErrLagged)
	again, err := s.Take(ctx, "l", time.Minute)
	require.NoError(t, err)
	require.Equal(t, "a", again.ID)
	require.NoError(t, s.Apply(ctx, store.Done(again), store.Put("k", []byte("3"))))
	require.NoError(t, s.Close())

	s = openAt(t, dir)
	r, err = s.Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "3", string(r.Value))
	require.Empty(t, s.index.stats())
	require.NoError(t, s.Close())
}

// TestLostHeadThenPower: the sync of a head fails, later commits come through,
// and then the power fails: the disk has all that was acknowledged, and both
// heads, although the failed sync's own page never reached it.
func TestLostHeadThenPower(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.db")
	s := openAt(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("1"))))
	s.sync = unsure
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("k", []byte("2"))), errDisk)
	var heads [2][]byte
	for i := range heads {
		heads[i] = headOf(t, path, int64(i))
	}
	s.sync = (*bbolt.Tx).Commit
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("3"))))
	for i := range heads {
		require.NotEqual(t, heads[i], headOf(t, path, int64(i)), "head %d was written anew before anything was acknowledged", i)
	}
	require.NoError(t, s.Close())
}

// A wrong mark that no failed commit explains is damage.
func TestStrangerWrites(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("1"))))
	require.NoError(t, s.submit(t.Context(), &request{force: true}))
	s.mark.last-- // as if another process had
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("k", []byte("2"))), store.ErrDamaged)
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("k", []byte("2"))), store.ErrDamaged)
	require.NoError(t, s.Close())
}

// TestWallClockJumps: leases and due times go on evenly while somebody sets the
// wall clock.
func TestWallClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			dir := t.TempDir()
			var shift atomic.Int64 // of the wall clock
			now := func() time.Time { return time.Now().Round(0).Add(time.Duration(shift.Load())) }
			s, err := Open(Config{Path: filepath.Join(dir, "tocsin.db")}, slog.New(slog.DiscardHandler), now, nil)
			require.NoError(t, err)
			ctx := t.Context()
			soon := store.Item{Lane: "soon", ID: "1", Key: "1", Due: now().Add(200 * time.Millisecond)}
			require.NoError(t, s.Apply(ctx, store.Enqueue(store.Item{Lane: "l", ID: "1", Key: "1"}), store.Enqueue(soon)))
			lease, err := s.Take(ctx, "l", time.Minute)
			require.NoError(t, err)
			shift.Store(int64(jump))

			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			_, err = s.Take(short, "l", time.Minute)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "the lease has not ended")
			require.NoError(t, s.Apply(ctx, store.Extend(lease, now().Add(time.Minute))))
			require.NoError(t, s.Apply(ctx, store.Retry(lease, now().Add(100*time.Millisecond))))
			for _, lane := range []string{"l", "soon"} {
				wait, cancel := context.WithTimeout(ctx, 20*time.Second)
				l, err := s.Take(wait, lane, time.Minute)
				cancel()
				require.NoError(t, err, "an item that is due in a moment is due in a moment")
				require.WithinDuration(t, now().Add(time.Minute), l.Until, 30*time.Second)
			}
			for _, l := range s.index.stats() {
				require.WithinDuration(t, now(), l.Oldest, 2*time.Hour)
			}
			require.NoError(t, s.Close())
		})
	}
}

// What waits is written before the clock is set back, and the program ends after
// it: the file's due times are no wall clock's.
func TestWallClockSetBackBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	var off atomic.Int64
	now := func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
	at := func() *Store {
		s, err := Open(Config{Path: filepath.Join(dir, "tocsin.db")}, slog.New(slog.DiscardHandler), now, nil)
		require.NoError(t, err)
		return s
	}
	s := at()
	soon := func(id string) store.Op {
		return store.Enqueue(store.Item{Lane: "l", ID: id, Key: id, Due: now().Add(300 * time.Millisecond)})
	}
	require.NoError(t, s.Apply(t.Context(), soon("1")))
	for _, id := range []string{"2", "3"} { // and back once more
		off.Add(-int64(time.Hour))
		require.NoError(t, s.Apply(t.Context(), soon(id)))
		require.NoError(t, s.Close())
		s = at()
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		l, err := s.Take(ctx, "l", time.Minute)
		cancel()
		require.NoError(t, err)
		require.WithinDuration(t, now(), l.Due, time.Minute, "by the caller's clock")
	}
	require.NoError(t, s.Close())
}

// A clock that was set back while nobody looked keeps no item longer than it had
// to wait from the start.
func TestWallClockSetBackBetweenStarts(t *testing.T) {
	dir := t.TempDir()
	var shift atomic.Int64
	shift.Store(int64(time.Hour))
	now := func() time.Time { return time.Now().Round(0).Add(time.Duration(shift.Load())) }
	at := func() *Store {
		s, err := Open(Config{Path: filepath.Join(dir, "tocsin.db")}, slog.New(slog.DiscardHandler), now, nil)
		require.NoError(t, err)
		return s
	}
	s := at()
	shift.Store(0)
	require.NoError(t, s.Apply(t.Context(), store.Enqueue(store.Item{Lane: "l", ID: "1", Key: "1"})))
	lease, err := s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	shift.Store(int64(time.Hour)) // it is put back in another hour than that in which it came
	require.NoError(t, s.Apply(t.Context(), store.Retry(lease, now().Add(300*time.Millisecond))))
	require.NoError(t, s.Close())
	shift.Store(0)
	s = at()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = s.Take(ctx, "l", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// TestCompact: the file becomes small while it is read and written, and nothing
// is missing in it, nor any lease lost.
func TestCompact(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.db")
	s := openAt(t, dir)
	ctx := t.Context()
	big := make([]byte, 1<<20)
	for i := range 96 {
		require.NoError(t, s.Apply(ctx, store.Put(fmt.Sprintf("big/%d", i), big), store.Put(fmt.Sprintf("k/%d", i), []byte(fmt.Sprint(i))),
			store.Enqueue(store.Item{Lane: "l", ID: fmt.Sprint(i), Key: fmt.Sprint(i)})))
	}
	lease, err := s.Take(ctx, "l", time.Minute)
	require.NoError(t, err)
	for i := range 96 {
		require.NoError(t, s.Apply(ctx, store.Delete(fmt.Sprintf("big/%d", i))))
	}
	require.NoError(t, s.Apply(ctx, store.Put("x", nil))) // pages of the last reader come free
	before := s.Size()
	require.Greater(t, before.File, int64(96<<20))
	require.Less(t, before.Used, int64(8<<20))

	stop, reading := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				reading <- nil
				return
			default:
			}
			if _, err := s.Get(ctx, fmt.Sprintf("k/%d", i%96)); err != nil {
				reading <- err
				return
			}
		}
	}()
	reader := s.db.Load() // a slow reader keeps the old file
	tx, err := reader.Begin(false)
	require.NoError(t, err)
	s.looked.Store(s.now().Add(-2 * compactEvery).UnixNano())
	require.NoError(t, s.Apply(ctx, store.Put("after", []byte("1"))))
	require.Eventually(t, func() bool { return s.Size().File < 33<<20 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Apply(ctx, store.Put("after", []byte("2")), store.Done(lease)))
	require.Nil(t, tx.Bucket([]byte(bucketRecords)).Get([]byte("big/1")))
	require.NoError(t, tx.Rollback())
	close(stop)
	require.NoError(t, <-reading)
	require.NoFileExists(t, path+compacting)
	require.NoError(t, s.Close())

	s = openAt(t, dir)
	records, err := s.Scan(ctx, "k/", "", 1000)
	require.NoError(t, err)
	require.Len(t, records, 96)
	r, err := s.Get(ctx, "after")
	require.NoError(t, err)
	require.Equal(t, "2", string(r.Value))
	require.Equal(t, 95, s.index.stats()[0].Items)
	require.NoError(t, s.Close())
}

// A compacting that fails leaves the old file in use, and nothing behind.
func TestCompactFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.db")
	s := openAt(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("1"))))
	require.NoError(t, os.MkdirAll(filepath.Join(path+compacting, "in the way"), 0o700))
	require.Error(t, s.compact())
	require.NoError(t, os.RemoveAll(path+compacting))
	r, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "1", string(r.Value))
	s.mark.last-- // the copy is not what it should be
	require.Error(t, s.compact())
	s.mark.last++
	require.NoFileExists(t, path+compacting)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("2"))))
	require.NoError(t, s.Close())
}

// What a crash left of a compacting goes at the next start.
func TestCompactCrashed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.db")
	require.NoError(t, openAt(t, dir).Close())
	require.NoError(t, os.WriteFile(path+compacting, []byte("half of it"), 0o600))
	require.NoError(t, openAt(t, dir).Close())
	require.NoFileExists(t, path+compacting)
}

func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("1"))))
	require.NoError(t, s.db.Load().Update(func(tx *bbolt.Tx) error {
		return writeFormat(tx.Bucket([]byte(bucketMeta)), format+1)
	}))
	require.NoError(t, s.Close())
	path := filepath.Join(dir, "tocsin.db")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = Open(Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.ErrorIs(t, err, errNewer)
	require.NotErrorIs(t, err, store.ErrDamaged, "it must not be moved aside")
	require.ErrorContains(t, err, "run that release")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}
