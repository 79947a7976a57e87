package bolt_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

// BenchmarkApply compares a batch of one 4 KiB record with the ways bbolt itself
// offers, on the same disk.
func BenchmarkApply(b *testing.B) {
	value := make([]byte, 4<<10)
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("ours/%d_writers", writers), func(b *testing.B) {
			s := open(b, b.TempDir())
			defer func() { require.NoError(b, s.Close()) }()
			spread(b, writers, func(i int64) error {
				return s.Apply(b.Context(), store.Put(key(i), value))
			})
		})
		for name, do := range map[string]func(*bbolt.DB, func(*bbolt.Tx) error) error{
			"naive": (*bbolt.DB).Update,
			"batch": (*bbolt.DB).Batch,
		} {
			b.Run(fmt.Sprintf("%s/%d_writers", name, writers), func(b *testing.B) {
				db, err := bbolt.Open(filepath.Join(b.TempDir(), "x.db"), 0o600, nil)
				require.NoError(b, err)
				defer func() { require.NoError(b, db.Close()) }()
				spread(b, writers, func(i int64) error {
					return do(db, func(tx *bbolt.Tx) error {
						bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
						if err != nil {
							return err
						}
						return bucket.Put([]byte(key(i)), value)
					})
				})
			})
		}
	}
}

func key(i int64) string { return fmt.Sprintf("%02x/%08d", i%251, i) }

// spread has writers call fn b.N times in all.
func spread(b *testing.B, writers int, fn func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkTakeDone works through a lane that holds many items.
func BenchmarkTakeDone(b *testing.B) {
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d_workers_of_100000_items", workers), func(b *testing.B) {
			s := open(b, b.TempDir())
			defer func() { require.NoError(b, s.Close()) }()
			n := max(100_000, b.N)
			enqueueMany(b, s, n)
			spread(b, workers, func(int64) error {
				l, err := s.Take(b.Context(), "l", time.Minute)
				if err != nil {
					return err
				}
				return s.Apply(b.Context(), store.Done(l))
			})
		})
	}
}

func enqueueMany(b *testing.B, s store.Store, n int) {
	b.Helper()
	for i := 0; i < n; i += store.MaxOps {
		var ops []store.Op
		for j := i; j < min(n, i+store.MaxOps); j++ {
			ops = append(ops, store.Enqueue(store.Item{Lane: "l", ID: fmt.Sprint(j), Key: fmt.Sprint(j % 5000), Priority: j % 4, Value: make([]byte, 256)}))
		}
		require.NoError(b, s.Apply(b.Context(), ops...))
	}
}

// BenchmarkTake is what one lease costs without the disk.
func BenchmarkTake(b *testing.B) {
	s := open(b, b.TempDir())
	defer func() { require.NoError(b, s.Close()) }()
	enqueueMany(b, s, 100_000)
	for b.Loop() { // a lease that ends at once leaves the lane as it was
		_, err := s.Take(b.Context(), "l", 0)
		require.NoError(b, err)
	}
}

// BenchmarkOpen reads and checks a whole file.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	enqueueMany(b, s, 100_000)
	value := make([]byte, 2<<10)
	for i := range 200 {
		var ops []store.Op
		for j := range store.MaxOps {
			ops = append(ops, store.Put(fmt.Sprintf("k/%d/%d", i, j), value))
		}
		require.NoError(b, s.Apply(b.Context(), ops...))
	}
	require.NoError(b, s.Close())
	for b.Loop() {
		require.NoError(b, open(b, dir).Close())
	}
	b.ReportMetric(100_000, "items")
	b.ReportMetric(20_000, "records")
}
