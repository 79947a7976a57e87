package bolt_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

func TestLockedFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := bolt.Open(bolt.Config{Path: file(dir)}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.ErrorContains(t, err, "is a second tocsin running?")
	require.NotErrorIs(t, err, store.ErrDamaged)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", nil)), "the first one goes on")
	require.NoError(t, s.Close())
	require.NoError(t, open(t, dir).Close())
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, open(t, dir).Close())
	for path, mode := range map[string]os.FileMode{file(dir): 0o600, filepath.Dir(file(dir)): 0o700} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
}

// A page that is full to the last byte is as good as any other.
func TestFullPage(t *testing.T) {
	dir := t.TempDir()
	const about = 3000
	for n, tries := about, 0; tries < 2; tries++ {
		s := open(t, dir)
		value := make([]byte, n)
		for i := range value {
			value[i] = byte(rand.IntN(256)) // does not compress
		}
		require.NoError(t, s.Apply(t.Context(), store.Put("k", value)))
		require.NoError(t, s.Close())
		n += os.Getpagesize() - longestPage(t, file(dir))
	}
	require.Equal(t, os.Getpagesize(), longestPage(t, file(dir)))
	require.NoError(t, open(t, dir).Close())
}

// longestPage returns how many bytes are used of the fullest leaf.
func longestPage(t *testing.T, path string) int {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	most := 0
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			most = max(most, b.Stats().LeafInuse)
			return nil
		})
	}))
	return most
}

func TestUnusablePath(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(plain, []byte("not a store, but long enough to be taken for one "+strings.Repeat("x", 1<<16)), 0o600))
	for name, tc := range map[string]struct {
		path    string
		damaged bool
	}{
		"a folder":           {dir, false},
		"under a file":       {filepath.Join(plain, "tocsin.db"), false},
		"another sort of it": {plain, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bolt.Open(bolt.Config{Path: tc.path}, slog.New(slog.DiscardHandler), time.Now, nil)
			require.ErrorContains(t, err, tc.path)
			require.Equal(t, tc.damaged, errors.Is(err, store.ErrDamaged), "%v", err)
		})
	}
	_, err := bolt.Open(bolt.Config{}, slog.New(slog.DiscardHandler), time.Now, nil)
	bad, ok := errors.AsType[*config.Invalid](err)
	require.True(t, ok)
	require.Equal(t, "path", bad.Field)
}

// fullDisk names the folder on which this binary is to run out of space.
const fullDisk = "TOCSIN_TEST_BOLT_FULL"

// TestFullDisk runs TestFullDiskChild in a process of its own, for its limit is
// the process's.
func TestFullDisk(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFullDiskChild$", "-test.v")
	cmd.Env = append(os.Environ(), fullDisk+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "recovered")
}

// TestFullDiskChild fills the space there is: errors are returned, reads go on,
// and writes do too, once there is room again.
func TestFullDiskChild(t *testing.T) {
	dir := os.Getenv(fullDisk)
	if dir == "" {
		return
	}
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	s := open(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("1")), store.Enqueue(store.Item{Lane: "l", ID: "i", Key: "k"})))
	small := before
	small.Cur = 24 << 20
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small))
	stored := 0
	var err error
	for ; err == nil; stored++ {
		err = s.Apply(t.Context(), store.Put(fmt.Sprintf("big/%04d", stored), make([]byte, 1<<20)))
	}
	require.ErrorContains(t, err, "file too large")
	for range 3 {
		require.Error(t, s.Apply(t.Context(), store.Put("more", make([]byte, 8<<20))))
	}
	r, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "1", string(r.Value))
	l, err := s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
	require.NoError(t, s.Apply(t.Context(), store.Put("more", make([]byte, 8<<20)), store.Done(l)))
	require.NoError(t, s.Close())
	s = open(t, dir)
	records, err := s.Scan(t.Context(), "", "", 1000)
	require.NoError(t, err)
	require.Len(t, records, stored-1+2)
	require.NoError(t, s.Close())
	t.Log("recovered")
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, reg)
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(),
		store.Enqueue(store.Item{Lane: "a", ID: "1", Key: "1"}), store.Enqueue(store.Item{Lane: "a", ID: "2", Key: "2"}),
		store.Enqueue(store.Item{Lane: "b", ID: "1", Key: "1"})))
	_, err = s.Take(t.Context(), "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP tocsin_store_lane_items Items in a lane, leased ones too.
# TYPE tocsin_store_lane_items gauge
tocsin_store_lane_items{lane="a"} 2
tocsin_store_lane_items{lane="b"} 1
# HELP tocsin_store_lane_leased_items Items of a lane that are leased.
# TYPE tocsin_store_lane_leased_items gauge
tocsin_store_lane_leased_items{lane="a"} 1
tocsin_store_lane_leased_items{lane="b"} 0
`), "tocsin_store_lane_items", "tocsin_store_lane_leased_items"))
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
	for _, name := range []string{"tocsin_store_commit_seconds", "tocsin_store_commit_batches"} {
		n, err := testutil.GatherAndCount(reg, name)
		require.NoError(t, err)
		require.Equal(t, 1, n, name)
	}
	require.NoError(t, s.Close())
	n, err := testutil.GatherAndCount(reg, "tocsin_store_lane_items")
	require.NoError(t, err)
	require.Zero(t, n, "a closed store has no lanes")
}
