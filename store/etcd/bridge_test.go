package etcd

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// bridge carries the calls of an engine that lives in a synctest bubble to a real
// etcd outside of it, where time is real. In the bubble a call takes no time: the
// channels on which it waits are not the bubble's, so its clock stands still. The
// changes that a call made have reached every watch in the bubble, before it returns.
type bridge struct {
	*members
	slots chan *slot

	mu       sync.Mutex
	grew     *sync.Cond
	log      []clientv3.WatchResponse // of all keys
	rev      int64                    // up to which the log goes
	watchers map[*bridged]bool
}

// slot is a goroutine outside of the bubble that makes calls.
type slot struct {
	do   chan func()
	done chan struct{}
}

var _ cluster = (*bridge)(nil)

func newBridge(t testing.TB, endpoints []string) *bridge {
	t.Helper()
	m, err := dial(Config{Endpoints: endpoints, Prefix: DefaultPrefix})
	require.NoError(t, err)
	b := &bridge{members: m, slots: make(chan *slot, 64), watchers: map[*bridged]bool{}}
	b.grew = sync.NewCond(&b.mu)
	t.Cleanup(func() { require.NoError(t, m.close()) })
	for range cap(b.slots) {
		s := &slot{do: make(chan func()), done: make(chan struct{})}
		b.slots <- s
		go func() {
			for {
				select {
				case fn := <-s.do:
					fn()
					s.done <- struct{}{}
				case <-m.alive.Done():
					return
				}
			}
		}()
	}
	res, err := m.get(t.Context(), "x")
	require.NoError(t, err)
	b.rev = res.Header.Revision
	changes := m.client.Watch(m.alive, "", clientv3.WithPrefix(), clientv3.WithRev(b.rev+1))
	go func() {
		for res := range changes {
			b.mu.Lock()
			b.log = append(b.log, res)
			b.rev = max(b.rev, res.Events[len(res.Events)-1].Kv.ModRevision)
			b.grew.Broadcast()
			b.mu.Unlock()
		}
	}()
	return b
}

// outside makes a call there, and waits until its changes have come by the watch.
func (b *bridge) outside(call func(context.Context) (rev int64)) {
	s := <-b.slots
	s.do <- func() {
		ctx, cancel := context.WithTimeout(b.alive, time.Minute)
		defer cancel()
		rev := call(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		for b.rev < rev {
			b.grew.Wait()
		}
	}
	<-s.done
	b.slots <- s
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watchers {
		signal(w.kick)
	}
}

func (b *bridge) get(ctx context.Context, key string, opts ...clientv3.OpOption) (res *clientv3.GetResponse, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.outside(func(ctx context.Context) int64 {
		res, err = b.members.get(ctx, key, opts...)
		return 0
	})
	return res, err
}

func (b *bridge) txn(ctx context.Context, cmps []clientv3.Cmp, then, els []clientv3.Op) (res *clientv3.TxnResponse, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.outside(func(ctx context.Context) int64 {
		if res, err = b.members.txn(ctx, cmps, then, els); err != nil {
			return 0
		}
		return res.Header.Revision
	})
	return res, err
}

func (b *bridge) grant(_ context.Context, seconds int64) (id clientv3.LeaseID, lost <-chan struct{}, err error) {
	b.outside(func(ctx context.Context) int64 {
		id, _, err = b.members.grant(ctx, seconds)
		return 0
	})
	return id, make(chan struct{}), err
}

func (b *bridge) renew(_ context.Context, id clientv3.LeaseID) (err error) {
	b.outside(func(ctx context.Context) int64 {
		err = b.members.renew(ctx, id)
		return 0
	})
	return err
}

func (b *bridge) revoke(_ context.Context, id clientv3.LeaseID) (err error) {
	b.outside(func(ctx context.Context) int64 {
		err = b.members.revoke(ctx, id)
		res, failed := b.members.get(ctx, "x")
		if failed != nil {
			return 0
		}
		return res.Header.Revision
	})
	return err
}

// close leaves the client as it is: the next engine needs it.
func (b *bridge) close() error { return nil }

// bridged is a watch within the bubble.
type bridged struct {
	prefix string
	from   int64
	next   int // of the log
	kick   chan struct{}
}

func (b *bridge) watch(ctx context.Context, prefix string, rev int64) clientv3.WatchChan {
	w := &bridged{prefix: prefix, from: rev, kick: make(chan struct{}, 1)}
	out := make(chan clientv3.WatchResponse)
	b.mu.Lock()
	b.watchers[w] = true
	b.mu.Unlock()
	go func() {
		defer close(out)
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.watchers, w)
		}()
		for {
			for _, res := range b.news(w) {
				select {
				case out <- res:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-w.kick:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// news returns what a watch was not told yet.
func (b *bridge) news(w *bridged) []clientv3.WatchResponse {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []clientv3.WatchResponse
	for ; w.next < len(b.log); w.next++ {
		res := b.log[w.next]
		var events []*clientv3.Event
		for _, e := range res.Events {
			if e.Kv.ModRevision >= w.from && strings.HasPrefix(string(e.Kv.Key), w.prefix) {
				events = append(events, e)
			}
		}
		if len(events) > 0 {
			out = append(out, clientv3.WatchResponse{Header: res.Header, Events: events})
		}
	}
	return out
}
