package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
)

// raw is a client beside the engine's, for what the engine does not do.
func raw(t testing.TB, c *etcdcluster.Cluster) *clientv3.Client {
	t.Helper()
	m, err := dial(Config{Endpoints: c.Endpoints(), Prefix: DefaultPrefix})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.close()) })
	return m.client
}

// deaf is a cluster whose watches can be made to end at once.
type deaf struct {
	*members
	closed atomic.Bool
	mu     sync.Mutex
	stop   context.CancelFunc
}

func (d *deaf) watch(ctx context.Context, prefix string, rev int64) clientv3.WatchChan {
	ctx, stop := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop = stop
	if d.closed.Load() {
		stop()
	}
	return d.members.watch(ctx, prefix, rev)
}

func (d *deaf) close() error { return d.members.close() }

// TestCompacted: an engine that missed what was compacted since reads everything
// again, and tells its watchers.
func TestCompacted(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	m, err := dial(Config{Endpoints: c.Endpoints(), Prefix: DefaultPrefix})
	require.NoError(t, err)
	d := &deaf{members: m}
	s := openAt(t, d, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	other := open(t, c, "/x")
	defer func() { require.NoError(t, other.Close()) }()
	lagged := make(chan error, 10)
	s.Watch(t.Context(), "", func(_ store.Record, err error) {
		if err != nil {
			lagged <- err
		}
	})
	item := func(id string) store.Op { return store.Enqueue(store.Item{Lane: "l", ID: id, Key: "k"}) }
	require.NoError(t, other.Apply(t.Context(), item("gone"), item("stays"), store.Put("soon", nil).Until(time.Now().Add(time.Hour)), store.Put("large", noise(1, 1<<20))))
	require.NoError(t, s.reach(t.Context(), other.wrote.Load()))
	d.deafen()
	l, err := other.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	require.NoError(t, other.Apply(t.Context(), store.Done(l), item("new"), store.Delete("soon"), store.Delete("large")))
	res, err := raw(t, c).Get(t.Context(), "x")
	require.NoError(t, err)
	_, err = raw(t, c).Compact(t.Context(), res.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	d.closed.Store(false)

	require.ErrorIs(t, <-lagged, store.ErrLagged)
	for _, id := range []string{"stays", "new"} {
		l, err := s.Take(t.Context(), "l", time.Minute)
		require.NoError(t, err)
		require.Equal(t, id, l.ID)
		require.NoError(t, s.Apply(t.Context(), store.Done(l)))
	}
	require.Eventually(t, func() bool { return !s.index.cataloguing() }, 10*time.Second, time.Millisecond)
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	require.Empty(t, s.index.catalog.records)
	require.Empty(t, s.index.catalog.users)
}

// deafen ends the watch, and every one that follows.
func (d *deaf) deafen() {
	d.closed.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
}

// TestDeaf: an engine that does not hear what the others do harms nobody. All it
// believes about leases and items is judged where it is written.
func TestDeaf(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	m, err := dial(Config{Endpoints: c.Endpoints(), Prefix: DefaultPrefix})
	require.NoError(t, err)
	d := &deaf{members: m}
	s := openAt(t, d, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	other := open(t, c, "/x")
	defer func() { require.NoError(t, other.Close()) }()
	enqueue := func(id string) {
		require.NoError(t, other.Apply(t.Context(), store.Enqueue(store.Item{Lane: "l", ID: id, Key: id})))
		require.NoError(t, s.reach(t.Context(), other.wrote.Load()))
	}
	takes := func(s *Store) (store.Lease, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return s.Take(ctx, "l", time.Hour)
	}

	enqueue("leased")
	old, err := takes(s)
	require.NoError(t, err)
	d.deafen()
	leases, err := raw(t, c).Leases(t.Context())
	require.NoError(t, err)
	for _, l := range leases.Leases { // as etcd does when it does not hear of the holder
		_, err = raw(t, c).Revoke(t.Context(), l.ID)
		require.NoError(t, err)
	}
	for _, op := range []store.Op{store.Done(old), store.Retry(old, time.Time{}), store.Extend(old, time.Now().Add(time.Hour))} {
		_, held := s.index.held(old)
		require.True(t, held, "it believes that it has it")
		require.ErrorIs(t, s.Apply(t.Context(), store.Put("harm", nil), op), store.ErrFenced)
	}
	l, err := takes(other)
	require.NoError(t, err)
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("harm", nil), store.Done(old)), store.ErrFenced)
	require.NoError(t, other.Apply(t.Context(), store.Done(l)))
	_, err = s.Get(t.Context(), "harm")
	require.ErrorIs(t, err, store.ErrNotFound)

	d.closed.Store(false)
	enqueue("put back")
	d.deafen()
	l, err = takes(other)
	require.NoError(t, err)
	require.NoError(t, other.Apply(t.Context(), store.Retry(l, time.Now().Add(time.Hour))))
	_, err = takes(s)
	require.ErrorIs(t, err, context.DeadlineExceeded, "it believes that it is due")
}

// TestFull: a full quota is an error within the caller's deadline, takes no read
// away, and is over when there is room again.
func TestFull(t *testing.T) {
	c := run(t, etcdcluster.Options{Args: []string{"--quota-backend-bytes", fmt.Sprint(16 << 20)}})
	s := open(t, c, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Apply(t.Context(), store.Put("k", []byte("v")), store.Enqueue(store.Item{Lane: "l", ID: "i"}), store.Enqueue(store.Item{Lane: "l", ID: "j"})))
	l, err := s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	put := func(key string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return s.Apply(ctx, store.Put(key, noise(1, 400_000)))
	}
	n := 0
	for ; err == nil; n++ {
		err = put(fmt.Sprint("fill/", n))
		require.Less(t, n, 100)
	}
	require.ErrorContains(t, err, "database space exceeded")
	r, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "v", string(r.Value))
	require.NoError(t, s.Apply(t.Context(), store.Done(l)), "what only deletes is done")
	_, err = s.Take(t.Context(), "l", time.Minute)
	require.ErrorContains(t, err, "database space exceeded")

	for i := range n {
		require.NoError(t, s.Apply(t.Context(), store.Delete(fmt.Sprint("fill/", i))))
	}
	client := raw(t, c)
	res, err := client.Get(t.Context(), "x")
	require.NoError(t, err)
	_, err = client.Compact(t.Context(), res.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	_, err = client.Defragment(t.Context(), c.Endpoints()[0])
	require.NoError(t, err)
	_, err = client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return put("again") == nil }, 10*time.Second, 10*time.Millisecond)
	l, err = s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	require.Equal(t, "j", l.ID)
}

// TestSessionLost: when etcd has ended the session, what was leased is fenced,
// and work goes on with a new one.
func TestSessionLost(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	s := open(t, c, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Apply(t.Context(), store.Enqueue(store.Item{Lane: "l", ID: "i"})))
	l, err := s.Take(t.Context(), "l", time.Hour)
	require.NoError(t, err)
	leases, err := raw(t, c).Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, leases.Leases, 1)
	_, err = raw(t, c).Revoke(t.Context(), leases.Leases[0].ID)
	require.NoError(t, err)
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("harm", nil), store.Done(l)), store.ErrFenced)
	again, err := s.Take(t.Context(), "l", time.Hour)
	require.NoError(t, err)
	require.Greater(t, again.Token, l.Token)
	require.NoError(t, s.Apply(t.Context(), store.Done(again)))
	_, err = s.Get(t.Context(), "harm")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// unsure is a cluster that does what it is asked, and then says that nobody knows.
// What only deletes is the store's own, in the background, and is answered.
type unsure struct {
	cluster
	next atomic.Bool
}

var errUnknown = errors.New("the connection was closed")

func (u *unsure) txn(ctx context.Context, cmps []clientv3.Cmp, then, els []clientv3.Op) (*clientv3.TxnResponse, error) {
	res, err := u.cluster.txn(ctx, cmps, then, els)
	if err == nil && slices.ContainsFunc(then, clientv3.Op.IsPut) && u.next.Swap(false) {
		return nil, errUnknown
	}
	return res, err
}

// TestUnknown: a Take or a batch whose answer is lost may have been done. A lease
// that nobody got is given back; a batch can be tried again.
func TestUnknown(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	m, err := dial(Config{Endpoints: c.Endpoints(), Prefix: DefaultPrefix})
	require.NoError(t, err)
	u := &unsure{cluster: m}
	s := openAt(t, u, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	other := open(t, c, "/x")
	defer func() { require.NoError(t, other.Close()) }()
	for i := range 20 {
		ops := []store.Op{store.Create(fmt.Sprint(i), nil), store.Enqueue(store.Item{Lane: "l", ID: fmt.Sprint(i)})}
		u.next.Store(true)
		require.ErrorIs(t, s.Apply(t.Context(), ops...), errUnknown)
		require.ErrorIs(t, s.Apply(t.Context(), ops...), store.ErrConflict, "it was done")
		u.next.Store(true)
		_, err = s.Take(t.Context(), "l", time.Hour)
		require.ErrorIs(t, err, errUnknown)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		taker := []*Store{s, other}[i%2]
		l, err := taker.Take(ctx, "l", time.Hour)
		cancel()
		require.NoError(t, err, "it was given back")
		require.Equal(t, fmt.Sprint(i), l.ID)
		require.NoError(t, taker.Apply(t.Context(), store.Done(l)))
	}
}

// renewals counts them, and refuses them when it is told to.
type renewals struct {
	cluster
	n      atomic.Int64
	refuse atomic.Bool
}

func (r *renewals) renew(ctx context.Context, id clientv3.LeaseID) error {
	r.n.Add(1)
	if r.refuse.Load() {
		return errUnknown
	}
	return r.cluster.renew(ctx, id)
}

// TestExtendIsSure: an extended lease lives for store.Sure at the least, even if
// the session is not kept alive from then on. One that cannot be renewed so far
// extends nothing.
func TestExtendIsSure(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	m, err := dial(Config{Endpoints: c.Endpoints(), Prefix: DefaultPrefix})
	require.NoError(t, err)
	r := &renewals{cluster: m}
	s := openAt(t, r, "/x")
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Apply(t.Context(), store.Enqueue(store.Item{Lane: "l", ID: "i"})))
	l, err := s.Take(t.Context(), "l", time.Hour)
	require.NoError(t, err)
	extend := func() error { return s.Apply(t.Context(), store.Extend(l, time.Now().Add(time.Hour))) }
	age := func(d time.Duration) {
		s.session.now.mu.Lock()
		defer s.session.now.mu.Unlock()
		s.session.now.since = time.Now().Add(-d)
	}
	require.NoError(t, extend())
	require.Zero(t, r.n.Load(), "it is new")

	age(sessionTTL*time.Second - store.Sure + time.Millisecond)
	r.refuse.Store(true)
	require.ErrorIs(t, extend(), errUnknown)
	r.refuse.Store(false)
	require.NoError(t, extend())
	require.EqualValues(t, 2, r.n.Load())
	require.Greater(t, s.session.now.left(), store.Sure)

	g := s.session.now
	age(time.Minute)
	_, err = raw(t, c).Revoke(t.Context(), g.id)
	require.NoError(t, err)
	require.ErrorIs(t, extend(), store.ErrFenced)
}
