package etcd

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
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
}

// get returns the session's etcd lease.
func (s *session) get(ctx context.Context) (*granted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		return s.now, nil
	}
	id, lost, err := s.cluster.grant(ctx, sessionTTL)
	if err != nil {
		return nil, err
	}
	g := &granted{id: id}
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

// drop ends a session that is lost: what hung on it is another's by now, or will be.
func (s *session) drop(g *granted) {
	s.mu.Lock()
	current := s.now == g
	if current {
		s.now = nil
	}
	s.mu.Unlock()
	if !current {
		return
	}
	s.onLost()
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
