package etcd

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
)

// noise is a value of n bytes that says which it is.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

// count is how many entries a section holds.
func (s *Store) count(t testing.TB, section string) int {
	t.Helper()
	res, err := s.cluster.get(t.Context(), s.at(section), clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	return int(res.Count)
}

func TestLargeValues(t *testing.T) {
	b := newBridge(t, run(t, etcdcluster.Options{}).Endpoints())
	for name, do := range map[string]func(*testing.T, *Store){
		"a batch of more than one request": func(t *testing.T, s *Store) {
			var ops []store.Op
			for i := range 40 {
				ops = append(ops, store.Create(fmt.Sprint(i), noise(uint64(i), 1000*(i+1)*(i+1))),
					store.Enqueue(store.Item{Lane: "l", ID: fmt.Sprint(i), Key: "k", Value: noise(uint64(100+i), 30_000*i)}))
			}
			require.NoError(t, s.Apply(t.Context(), ops...))
			for i := range 40 {
				r, err := s.Get(t.Context(), fmt.Sprint(i))
				require.NoError(t, err)
				require.Equal(t, noise(uint64(i), 1000*(i+1)*(i+1)), r.Value)
				l, err := s.Take(t.Context(), "l", time.Minute)
				require.NoError(t, err)
				require.Equal(t, noise(uint64(100+i), 30_000*i), l.Value)
				require.NoError(t, s.Apply(t.Context(), store.Retry(l, time.Time{})))
				l, err = s.Take(t.Context(), "l", time.Minute)
				require.NoError(t, err)
				require.Equal(t, noise(uint64(100+i), 30_000*i), l.Value, "put back")
				require.NoError(t, s.Apply(t.Context(), store.Done(l)))
			}
			records, err := s.Scan(t.Context(), "", "", 100)
			require.NoError(t, err)
			require.Len(t, records, 40)
		},
		"what nobody points at goes": func(t *testing.T, s *Store) {
			var told [][]byte
			s.Watch(t.Context(), "", func(r store.Record, err error) {
				require.NoError(t, err)
				told = append(told, r.Value)
			})
			require.NoError(t, s.Apply(t.Context(), store.Put("k", noise(1, 2<<20)), store.Put("x", noise(2, 1<<20))))
			synctest.Wait()
			require.Equal(t, [][]byte{noise(1, 2<<20), noise(2, 1<<20)}, told, "watchers get it whole")
			require.Equal(t, 6, s.count(t, sectionChunk))
			require.NoError(t, s.Apply(t.Context(), store.Put("k", nil), store.Delete("x")))
			settle(time.Minute)
			require.Zero(t, s.count(t, sectionChunk))
			require.Zero(t, s.count(t, sectionMarker))
		},
		"a refused batch leaves nothing": func(t *testing.T, s *Store) {
			require.NoError(t, s.Apply(t.Context(), store.Put("k", nil)))
			require.ErrorIs(t, s.Apply(t.Context(), store.Create("k", noise(1, 2<<20))), store.ErrConflict)
			require.Zero(t, s.count(t, sectionChunk))
			require.Zero(t, s.count(t, sectionMarker))
		},
		"an upload that was given up is cleared away, and cannot be finished then": func(t *testing.T, s *Store) {
			batch := &batch{
				ops: []store.Op{store.Put("k", noise(1, 2<<20))}, bodies: []body{{inline: noise(1, 2<<20)}},
				held: make([]stored, 1), stale: map[string]int64{},
			}
			require.NoError(t, s.upload(t.Context(), batch))
			settle(uploadFor / 2)
			require.Equal(t, 4, s.count(t, sectionChunk), "it may still be under way")
			settle(uploadFor)
			require.Zero(t, s.count(t, sectionChunk))
			require.ErrorContains(t, s.commit(t.Context(), batch), "cleared away")
			_, err := s.Get(t.Context(), "k")
			require.ErrorIs(t, err, store.ErrNotFound)
		},
		"a restart knows what is pointed at": func(t *testing.T, s *Store) {
			require.NoError(t, s.Apply(t.Context(), store.Put("k", noise(1, 2<<20))))
			again := openAt(t, b, s.prefix[:len(s.prefix)-1])
			settle(time.Hour)
			r, err := again.Get(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, noise(1, 2<<20), r.Value)
			require.NoError(t, again.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openAt(t, b, "/"+t.Name())
				do(t, s)
				require.NoError(t, s.Close())
			})
		})
	}
}

// settle lets time go by.
func settle(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble it costs nothing
	synctest.Wait()
}
