package etcd

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// engines are what the benchmarks set side by side: the clusters' members share
// this machine's one disk and its processors, so theirs is a lower bound.
func engines() []engine {
	etcd := func(members int) func(testing.TB) func() store.Store {
		return func(t testing.TB) func() store.Store {
			c := run(t, etcdcluster.Options{Members: members, Args: []string{"--quota-backend-bytes", "8000000000"}})
			return func() store.Store { return open(t, c, "/bench") }
		}
	}
	return []engine{
		{"bolt", func(t testing.TB) func() store.Store {
			path := filepath.Join(t.TempDir(), "tocsin.db")
			return func() store.Store {
				s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
				require.NoError(t, err)
				return s
			}
		}},
		{"etcd1", etcd(1)},
		{"etcd3", etcd(3)},
	}
}

// engine prepares a state, and returns how to open it.
type engine struct {
	name    string
	prepare func(testing.TB) func() store.Store
}

// BenchmarkWebhook is what the door writes for one webhook: an event of 4 KiB for
// its problem, and the sum of the body; so many connections do it at once.
func BenchmarkWebhook(b *testing.B) {
	value := make([]byte, 4<<10)
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			s := e.prepare(b)()
			defer func() { require.NoError(b, s.Close()) }()
			for _, connections := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%d_connections", connections), func(b *testing.B) {
					run := time.Now().UnixNano()
					measure(b, connections, func(i int64) error {
						id := fmt.Sprintf("%d-%d", run, i)
						problem := fmt.Sprint(i % 5000)
						return s.Apply(b.Context(),
							store.Enqueue(store.Item{Lane: store.LaneEvents, ID: id, Key: problem, Value: value}),
							store.Put(store.SeenKey(problem), []byte(id)).Until(time.Now().Add(time.Minute)))
					})
				})
			}
		})
	}
}

// BenchmarkStep is a step of the pipeline: take an event, write the problem, hand
// on a delivery.
func BenchmarkStep(b *testing.B) {
	value := make([]byte, 4<<10)
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			s := e.prepare(b)()
			defer func() { require.NoError(b, s.Close()) }()
			for _, workers := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%d_workers", workers), func(b *testing.B) {
					lane := fmt.Sprint("l", time.Now().UnixNano())
					for i := 0; i < b.N; {
						var ops []store.Op
						for ; i < b.N && len(ops) < store.MaxOps; i++ {
							ops = append(ops, store.Enqueue(store.Item{Lane: lane, ID: fmt.Sprint(i), Key: fmt.Sprint(i % 5000), Value: value}))
						}
						require.NoError(b, s.Apply(b.Context(), ops...))
					}
					measure(b, workers, func(int64) error {
						l, err := s.Take(b.Context(), lane, time.Minute)
						if err != nil {
							return err
						}
						return s.Apply(b.Context(), store.Done(l), store.Put(store.ProblemKey(l.Key), value),
							store.Enqueue(store.Item{Lane: "deliver/x", ID: l.ID, Key: l.Key}))
					})
				})
			}
		})
	}
}

// measure has so many goroutines call fn b.N times in all, and reports how many
// calls a second there were, and how long the slow ones took.
func measure(b *testing.B, n int, fn func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for range n {
		all.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(b.N) {
					return
				}
				began := time.Now()
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkOpenProblems opens a state of 100,000 open problems: a problem and
// its page of 1 KiB and a receipt each. It says when the engine can be used, when
// it has read and checked all, which bolt does first and etcd meanwhile, and what
// it holds in memory then.
func BenchmarkOpenProblems(b *testing.B) {
	const problems = 100_000
	for _, e := range engines()[:2] {
		b.Run(e.name, func(b *testing.B) {
			reopen := e.prepare(b)
			s := reopen()
			fillProblems(b, s, problems)
			require.NoError(b, s.Close())
			for b.Loop() {
				b.StopTimer()
				before, began := heapNow(), time.Now()
				b.StartTimer()
				s := reopen()
				b.StopTimer()
				if s, ok := s.(*Store); ok {
					for s.index.cataloguing() {
						s.pause(10 * time.Millisecond)
					}
				}
				b.ReportMetric(time.Since(began).Seconds(), "checked-s")
				b.ReportMetric(float64(int64(heapNow())-int64(before))/(1<<20), "heap-MB")
				require.NoError(b, s.Close())
				b.StartTimer()
			}
			b.ReportMetric(problems, "problems")
		})
	}
}

func fillProblems(b *testing.B, s store.Store, problems int) {
	b.Helper()
	value, small := make([]byte, 1<<10), make([]byte, 256)
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < problems; i += 16 * 20 {
				var ops []store.Op
				for j := i; j < min(problems, i+16*20); j += 16 {
					id := fmt.Sprintf("%08d", j)
					ops = append(ops, store.Put(store.ProblemKey(id), value), store.Put(store.PageKey(id, 1), value),
						store.Put(store.ReceiptKey(id, 1, "slack/x"), small).Until(time.Now().Add(24*time.Hour)))
				}
				if err := s.Apply(b.Context(), ops...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
