package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/store"
)

// Store is the engine. Open makes one.
type Store struct {
	cluster  cluster
	prefix   string // ends with a slash
	log      *slog.Logger
	now      func() time.Time
	metrics  *metrics
	index    *index
	session  *session
	watchers *watchers
	wrote    atomic.Int64    // the last revision that a batch of this replica made
	ctx      context.Context // of the goroutines; ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup // the goroutines
	watching sync.WaitGroup // the watchers' calls

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // under way; none begins once it is closed
}

var _ store.Store = (*Store)(nil)

// lanesFor is how long Lanes waits for the index to know this replica's own batches.
const lanesFor = time.Second

// Open connects to the cluster, and reads and checks the lanes; the records are
// read and checked while the store is used. What is damaged is logged and counted,
// and refused when it is asked for.
// A cluster that does not answer is an error after ten seconds.
func Open(ctx context.Context, c Config, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := dial(c)
	if err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	s, err := start(ctx, m, c.Prefix, log, now, reg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open etcd at %s: %w", strings.Join(c.Endpoints, ", "), err), m.close())
	}
	return s, nil
}

// start reads the state and begins the work.
func start(ctx context.Context, c cluster, prefix string, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, error) {
	s := &Store{
		cluster: c, prefix: prefix + "/", log: log, now: now,
		index: newIndex(now), watchers: newWatchers(),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.session = &session{cluster: c, stop: s.ctx.Done(), onLost: s.sessionLost}
	var err error
	if s.metrics, err = newMetrics(reg, s.index); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := s.load(ctx); err != nil {
		s.stop()
		s.metrics.close()
		return nil, err
	}
	s.running.Go(s.follow)
	s.running.Go(s.releaser)
	s.running.Go(s.janitor)
	s.running.Go(s.scrub)
	return s, nil
}

// at is the absolute form of a key below the prefix.
func (s *Store) at(key string) string { return s.prefix + key }

// below turns at back.
func (s *Store) below(kv *mvccpb.KeyValue) string { return string(kv.Key[len(s.prefix):]) }

// enter begins a call: Close waits until done is called.
func (s *Store) enter(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// wroteAt notes the revision of a batch that changed something. One that changed
// nothing has the revision of others, of which our watch may never hear.
func (s *Store) wroteAt(res *clientv3.TxnResponse) {
	if !changed(res.Responses) {
		return
	}
	rev := res.Header.Revision
	for last := s.wrote.Load(); rev > last && !s.wrote.CompareAndSwap(last, rev); last = s.wrote.Load() {
	}
}

func changed(responses []*pb.ResponseOp) bool {
	return slices.ContainsFunc(responses, func(r *pb.ResponseOp) bool {
		return r.GetResponsePut() != nil || r.GetResponseDeleteRange().GetDeleted() > 0 || changed(r.GetResponseTxn().GetResponses())
	})
}

// reach waits until the index knows all up to a revision of ours.
func (s *Store) reach(ctx context.Context, rev int64) error {
	for {
		moved := s.index.behind(rev)
		if moved == nil {
			return nil
		}
		if err := s.wait(ctx, moved); err != nil {
			return err
		}
	}
}

// Lanes is the contract's. It counts what this replica's index knows, which is
// at least its own batches.
func (s *Store) Lanes(ctx context.Context) ([]store.LaneStat, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	within, cancel := context.WithTimeout(ctx, lanesFor)
	defer cancel()
	if err := s.reach(within, s.wrote.Load()); err != nil && within.Err() == nil {
		return nil, err
	}
	return s.index.stats(), ctx.Err()
}

// Watch is the contract's.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(store.Record, error)) {
	w := s.watchers.add(prefix, s.wrote.Load())
	s.watching.Go(func() {
		defer s.watchers.remove(w)
		w.run(ctx, s, fn)
	})
}

// Close is the contract's. It gives all leases back.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.stop() // ends those who wait
	s.calls.Wait()
	s.running.Wait()
	s.watching.Wait()
	s.index.close()
	s.metrics.close()
	s.session.close()
	return s.cluster.close()
}

// sessionLost ends all leases: etcd gives the items to others, or has done so.
func (s *Store) sessionLost() {
	s.metrics.sessions.Inc()
	s.log.Warn("session with etcd lost: what was leased here is taken over")
	s.index.endAll()
}
