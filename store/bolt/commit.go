package bolt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

// How much one transaction may gather. Beyond that the sync is no longer what costs.
const (
	maxGroup      = 1024
	maxGroupBytes = 16 << 20
)

// request is one batch on its way to the writer.
type request struct {
	ops   []store.Op
	purge []string   // keys that have expired
	force bool       // commit even if nothing changes
	ahead int64      // offset of the index's clock, by which the caller's times are read
	err   error      // the batch's own refusal
	done  chan error // holds one
}

// Apply is the contract's.
func (s *Store) Apply(ctx context.Context, ops ...store.Op) error {
	if err := store.Check(ops); err != nil {
		return err
	}
	if len(ops) == 0 {
		return ctx.Err()
	}
	return s.submit(ctx, &request{ops: ops, ahead: s.index.clock.offset()})
}

// submit hands a request to the writer and waits for its answer.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan error, 1)
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return store.ErrClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for commit: %w", ctx.Err())
	}
}

// write is the one writer. Callers whose batches come while a commit runs wait
// on the channel; the next transaction takes them all.
func (s *Store) write() {
	for {
		select {
		case r := <-s.requests:
			s.transact(r)
			s.compactIfWorth()
		case <-s.stop:
			return
		}
	}
}

// transact does first, and every batch that waits, in one transaction.
func (s *Store) transact(first *request) {
	g := &group{index: s.index, now: s.now, requests: []*request{first}, added: map[[2]string]bool{}}
	err := guard(func() error {
		if err := s.mend(); err != nil {
			return err
		}
		tx, err := s.db.Load().Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit it does nothing
		if err := g.begin(tx); err != nil {
			return err
		}
		if g.mark != s.mark {
			return errStranger()
		}
		if err := s.gather(g); err != nil || !g.wrote {
			return err
		}
		if err := g.seal(); err != nil {
			return err
		}
		return s.commit(tx, len(g.requests))
	})
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
	}
	if err != nil {
		s.failed(err)
	}
	if err == nil || s.took(g) {
		s.settle(g)
	} else {
		s.index.unpin(g.pinned)
	}
	for _, r := range g.requests {
		if err != nil {
			r.err = err
		}
		s.metrics.note(r.err)
		r.done <- r.err
	}
}

// gather does the first batch, and then those of all who wait.
func (s *Store) gather(g *group) error {
	size := 0
	for i := 0; i < len(g.requests); i++ {
		r := g.requests[i]
		for _, op := range r.ops {
			size += len(op.Value) + len(op.Item.Value)
		}
		if err := g.serve(r); err != nil {
			return err
		}
		if len(g.requests) == maxGroup || size >= maxGroupBytes {
			return nil
		}
		select {
		case r := <-s.requests:
			g.requests = append(g.requests, r)
		default:
		}
	}
	return nil
}

// commit makes the transaction durable.
func (s *Store) commit(tx *bbolt.Tx, batches int) error {
	began := time.Now()
	id := tx.ID()
	s.durable.begin()
	err := guard(func() error { return s.sync(tx) })
	s.durable.end(id, err)
	s.metrics.commit.Observe(time.Since(began).Seconds())
	s.metrics.batches.Observe(float64(batches))
	return err
}

// took reports whether a transaction whose commit returned an error is what the
// file says now: the index follows the file, whatever callers are told.
func (s *Store) took(g *group) bool {
	if !g.wrote {
		return false
	}
	var m mark
	err := s.read(func(tx *bbolt.Tx) (err error) {
		m, err = readMark(tx.Bucket([]byte(bucketMeta)))
		return err
	})
	return err == nil && m == g.mark
}

// settle does to the index, the expiries and the watchers what is on disk now.
func (s *Store) settle(g *group) {
	s.mark = g.mark
	s.index.settle(g.settle, g.pinned)
	for _, r := range g.changed {
		s.expiries.set(r)
	}
	s.watchers.tell(g.changed)
}

// durable knows which transaction was synced last. The file shows a transaction
// to readers a moment before its last sync, and they must not act on what a
// crash could still undo.
type durable struct {
	mu      sync.Mutex
	last    int           // ID of the last transaction that was synced
	running chan struct{} // closed when the commit under way ends; nil: there is none
}

func (d *durable) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = make(chan struct{})
}

func (d *durable) end(id int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.last = id
	}
	close(d.running)
	d.running = nil
}

// wait reports whether the transaction id is durable, once the commit under way has ended.
func (d *durable) wait(ctx context.Context, id int) (bool, error) {
	for {
		d.mu.Lock()
		running, last := d.running, d.last
		d.mu.Unlock()
		if id <= last {
			return true, nil
		}
		if running == nil {
			return false, nil
		}
		select {
		case <-running:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// reset says that another file is in use, whose last transaction is id.
func (d *durable) reset(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = id
}
