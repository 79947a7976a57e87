package bolt_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// TestStoredFormats opens files that were written by the release in which their
// format came: every later release must read them as they are. A file is never
// written anew; a new format gets one of its own (UPDATE=v2 go test -run StoredFormats).
func TestStoredFormats(t *testing.T) {
	if name := os.Getenv("UPDATE"); name != "" && name != "1" {
		writeFormat(t, filepath.Join("testdata", name+".db"))
	}
	files, err := filepath.Glob("testdata/*.db")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.MkdirAll(filepath.Dir(file(dir)), 0o700))
			require.NoError(t, os.WriteFile(file(dir), b, 0o600))
			c, err := bolt.Check(file(dir))
			require.NoError(t, err)
			require.Equal(t, 51, c.Records)
			require.Equal(t, 50, c.Items)
			s := open(t, dir)
			for i := range 50 {
				r, err := s.Get(t.Context(), fmt.Sprintf("k/%02d", i))
				require.NoError(t, err)
				require.Equal(t, content(i), r.Value)
			}
			r, err := s.Get(t.Context(), "expires")
			require.NoError(t, err)
			require.True(t, r.Expires.Equal(time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC)))
			for i := range 50 {
				l, err := s.Take(t.Context(), "l", time.Hour)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("%02d", 49-i), l.ID, "by priority")
				require.Equal(t, []byte("work "+l.ID), l.Value)
				require.Equal(t, boolInt(l.ID == "49"), l.Attempt)
				require.NoError(t, s.Apply(t.Context(), store.Done(l)))
			}
			require.NoError(t, s.Close())
			require.NoError(t, open(t, dir).Close())
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// writeFormat writes a file of today's format.
func writeFormat(t *testing.T, to string) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 50 {
		require.NoError(t, s.Apply(t.Context(), store.Put(fmt.Sprintf("k/%02d", i), content(i)), store.Enqueue(store.Item{
			Lane: "l", ID: fmt.Sprintf("%02d", i), Key: fmt.Sprint(i), Priority: i, Value: fmt.Appendf(nil, "work %02d", i),
		})))
	}
	require.NoError(t, s.Apply(t.Context(), store.Put("expires", nil).Until(time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC))))
	l, err := s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(), store.Retry(l, time.Now())))
	var b bytes.Buffer
	require.NoError(t, s.Backup(t.Context(), &b))
	require.NoError(t, s.Close())
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, b.Bytes(), 0o644))
}

// TestBackup: what was acknowledged before is in the copy, while others write.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = s.Apply(context.WithoutCancel(t.Context()), store.Put(fmt.Sprintf("noise/%d", i%200), content(i%300)))
			}
		}
	}()
	for round := range 20 {
		key := fmt.Sprintf("k/%02d", round)
		require.NoError(t, s.Apply(t.Context(), store.Put(key, []byte(key))))
		var b bytes.Buffer
		require.NoError(t, s.Backup(t.Context(), &b))
		at := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Dir(file(at)), 0o700))
		require.NoError(t, os.WriteFile(file(at), b.Bytes(), 0o600))
		_, err := bolt.Check(file(at))
		require.NoError(t, err)
		copied := open(t, at)
		recs, err := copied.Scan(t.Context(), "k/", "", 100)
		require.NoError(t, err)
		require.Len(t, recs, round+1)
		require.NoError(t, copied.Close())
	}
	close(stop)
	<-done
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Backup(ctx, &bytes.Buffer{}), context.Canceled)
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	_, err := bolt.Check(file(dir))
	require.ErrorIs(t, err, os.ErrNotExist, "that it is not there is no damage")
	empty := filepath.Join(t.TempDir(), "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = bolt.Check(empty)
	require.ErrorIs(t, err, store.ErrDamaged, "nothing is no backup")
	s := open(t, dir)
	_, err = bolt.Check(file(dir))
	require.ErrorContains(t, err, "another process has locked it")
	require.ErrorContains(t, bolt.Unlocked(file(dir)), "in use")
	require.NoError(t, s.Close())
	require.NoError(t, bolt.Unlocked(file(dir)))
	require.NoError(t, bolt.Unlocked(filepath.Join(dir, "none")))
}

// TestTruncatedAnywhere cuts a file off at every page, and within each at two
// places: Open says so, or everything is there.
func TestTruncatedAnywhere(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	const page = 4096
	noticed, cuts := 0, 0
	for at := 0; at < len(good); at += page {
		for _, size := range []int{at, at + 1 + rand.IntN(page-1)} {
			if size == 0 {
				continue // a new file
			}
			cuts++
			write(t, path, good[:size])
			s, err := try(t, path)
			if err != nil {
				noticed++
				continue
			}
			require.Zero(t, whole(t, s), "%d of %d bytes", size, len(good))
			require.NoError(t, s.Close())
		}
	}
	t.Logf("%d of %d were noticed, the others lacked nothing", noticed, cuts)
	require.Greater(t, noticed, cuts*9/10)
}
