package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/store"
)

// sessionTTL is how long, in seconds, etcd keeps the leases of a replica that
// it does not hear from: how soon another takes over what a killed one held.
const sessionTTL = 10

// session is the etcd lease on which all leases of this replica hang. It is made
// when the first item is taken, and anew when it was lost.
type session struct {
	cluster cluster
	onLost  func()
	stop    <-chan struct{}
	running sync.WaitGroup

	mu  sync.Mutex
	now *granted // nil: none
}

type granted struct {
	id clientv3.LeaseID

	mu    sync.Mutex
	since time.Time // it lives for sessionTTL from here at the least; with its monotonic reading
}

// left is for how long it surely lives, by the clock that went on further: a machine
// that was asleep may have stopped the monotonic one.
func (g *granted) left() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	return sessionTTL*time.Second - max(now.Sub(g.since), now.Round(0).Sub(g.since))
}

func (g *granted) renewed(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since.After(g.since) {
		g.since = since
	}
}

// get returns the session's etcd lease.
func (s *session) get(ctx context.Context) (*granted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		return s.now, nil
	}
	since := time.Now()
	id, lost, err := s.cluster.grant(ctx, sessionTTL)
	if err != nil {
		return nil, err
	}
	g := &granted{id: id, since: since}
	s.now = g
	s.running.Go(func() {
		select {
		case <-lost:
			s.drop(g)
		case <-s.stop:
		}
	})
	return g, nil
}

// sure makes the session live for store.Sure from now at the least. That it is kept
// alive in the background does not say so: when a replica is stopped, or cut off, no
// more than a moment may be left of it. A session that is lost is dropped.
func (s *session) sure(ctx context.Context) error {
	s.mu.Lock()
	g := s.now
	s.mu.Unlock()
	if g == nil || g.left() >= store.Sure {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, store.Sure) // later it is of no use
	defer cancel()
	err := s.cluster.renew(ctx, g.id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.drop(g)
		return nil
	}
	if err != nil {
		return fmt.Errorf("renew session: %w", err)
	}
	g.renewed(began)
	return nil
}

// drop ends a session that is lost: what hung on it is another's by now, or will be.
func (s *session) drop(g *granted) {
	s.mu.Lock()
	current := s.now == g
	if current {
		s.now = nil
		s.onLost() // before there is another: its life says nothing of these leases
	}
	s.mu.Unlock()
	if !current {
		return
	}
	// If etcd still has it, because it was we who were cut off, nobody need wait.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.cluster.revoke(ctx, g.id)
}

// close ends the session, and with it all leases.
func (s *session) close() {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.cluster.revoke(ctx, s.now.id) // if it fails, they end by themselves
	s.now = nil
}
