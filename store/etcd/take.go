package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/store"
)

// errTaken says that the index was late: another choice may succeed.
var errTaken = errors.New("the item was taken meanwhile")

// giveBackAgain is how long the engine waits before it tries again to give
// leases back.
const giveBackAgain = time.Second

// Take is the contract's. A damaged item is told of once, with ErrDamaged; it is
// kept in etcd, and the items behind it have their turn.
func (s *Store) Take(ctx context.Context, lane string, ttl time.Duration) (store.Lease, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return store.Lease{}, err
	}
	defer done()
	for {
		if err := s.reach(ctx, s.wrote.Load()); err != nil {
			return store.Lease{}, err
		}
		c, wait, err := s.index.choose(lane)
		if err != nil {
			return store.Lease{}, err
		}
		if c != nil {
			lease, err := s.lease(ctx, c, ttl)
			if !errors.Is(err, errTaken) {
				return lease, err
			}
			wait = nil
		}
		if err := s.wait(ctx, wait); err != nil {
			return store.Lease{}, err
		}
	}
}

// wait waits for a channel, if there is one.
func (s *Store) wait(ctx context.Context, until <-chan struct{}) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return store.ErrClosed
	case until == nil:
		return nil
	}
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return store.ErrClosed
	}
}

// lease writes the lease of a chosen item, if it is still what was chosen.
func (s *Store) lease(ctx context.Context, c *claim, ttl time.Duration) (store.Lease, error) {
	until := s.now().Add(ttl) // before the call: the holder's own view is the shorter one
	g, err := s.session.get(ctx)
	if err != nil {
		s.index.lost(c)
		return store.Lease{}, fmt.Errorf("take from lane %q: begin session: %w", c.laneName, err)
	}
	item, lease := itemKey(c.laneName, c.id), leaseKey(c.laneName, c.id)
	res, err := s.cluster.txn(ctx,
		[]clientv3.Cmp{
			clientv3.Compare(clientv3.ModRevision(s.at(item)), "=", c.version),
			clientv3.Compare(clientv3.ModRevision(s.at(lease)), "=", c.leased), // 0: there is none
		},
		[]clientv3.Op{
			clientv3.OpPut(s.at(lease), sealLease(lease, holder{s.index.owner, c.nonce}), clientv3.WithLease(g.id)),
			clientv3.OpGet(s.at(item)),
		}, nil)
	if err == nil && !res.Succeeded {
		err = s.news(ctx, c) // or it would be chosen again
		s.index.lost(c)
		if err == nil {
			err = errTaken
		}
		return store.Lease{}, err
	}
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.session.drop(g)
		s.index.lost(c)
		return store.Lease{}, errTaken
	}
	if err != nil {
		s.index.lost(c)
		return store.Lease{}, fmt.Errorf("take from lane %q: %w", c.laneName, err)
	}
	return s.taken(ctx, c, res, until)
}

// news waits until the index knows why a claim was refused.
func (s *Store) news(ctx context.Context, c *claim) error {
	for {
		moved := s.index.same(c)
		if moved == nil {
			return nil
		}
		if err := s.wait(ctx, moved); err != nil {
			return err
		}
	}
}

// taken reads the item of a lease that was written.
func (s *Store) taken(ctx context.Context, c *claim, res *clientv3.TxnResponse, until time.Time) (store.Lease, error) {
	token := res.Header.Revision
	kv := only(res.Responses[1])
	it, err := unsealItem(itemKey(c.laneName, c.id), kv.GetValue(), kv.GetModRevision())
	var value []byte
	if err == nil {
		value, err = s.open(ctx, it.body, token)
	}
	if err != nil {
		if errors.Is(err, store.ErrDamaged) {
			s.index.setAside(c, token)
		}
		s.index.lost(c) // its lease is given back
		return store.Lease{}, s.metrics.note(fmt.Errorf("take from lane %q: %w", c.laneName, err))
	}
	s.index.won(c, token, until, it)
	return store.Lease{
		Item: store.Item{
			Lane: c.laneName, ID: c.id, Key: it.key, Priority: int(it.priority), Due: store.Instant(it.due),
			Value: value, Attempt: int(it.attempt),
		},
		Token: uint64(token), Until: until,
	}, nil
}

// releaser gives leases back that nobody works on any more, until the store is closed.
func (s *Store) releaser() {
	for {
		select {
		case <-s.index.give:
		case <-s.ctx.Done():
			return
		}
		failed := false
		for _, l := range s.index.toGiveBack() {
			key := s.at(leaseKey(l.lane, l.id))
			_, err := s.cluster.txn(s.ctx,
				[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", l.token)},
				[]clientv3.Op{clientv3.OpDelete(key)}, nil)
			if err != nil {
				s.index.tryAgain(l)
				failed = true
			}
		}
		if failed {
			s.pause(giveBackAgain)
			signal(s.index.give)
		}
	}
}
