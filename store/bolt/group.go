package bolt

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

// group is one transaction that does the batches of many callers.
type group struct {
	index    *index
	now      func() time.Time
	requests []*request
	at       time.Time // the wall clock when the request was looked at
	ahead    int64     // the request's
	meta     *bbolt.Bucket
	records  *bbolt.Bucket
	items    *bbolt.Bucket
	mark     mark
	wrote    bool // the transaction has something to commit

	added   map[[2]string]bool    // lane and ID of items enqueued here
	pinned  []*item               // leases held until the transaction ends
	settle  []func(*index, int64) // what it changes in the index, once it is on disk
	changed []store.Record        // what watchers are told then; Value nil: gone
}

func (g *group) begin(tx *bbolt.Tx) (err error) {
	g.meta = tx.Bucket([]byte(bucketMeta))
	g.records = tx.Bucket([]byte(bucketRecords))
	g.items = tx.Bucket([]byte(bucketItems))
	g.mark, err = readMark(g.meta)
	return err
}

// serve does one request. What is wrong with the request itself stays in it; an
// error is the transaction's.
func (g *group) serve(r *request) error {
	g.at, g.ahead = g.now(), r.ahead
	g.wrote = g.wrote || r.force
	for _, key := range r.purge {
		if err := g.purge(key); err != nil {
			return err
		}
	}
	facts, refused := g.check(r.ops)
	r.err = refused
	for i, f := range facts {
		if err := g.do(r.ops[i], f); err != nil {
			return err
		}
	}
	return nil
}

// found is what an operation needs to know before it may be done.
type found struct {
	old    entry // the record as it is, also if it has expired
	exists bool  // old is there
	held   *item // the leased item
	stored stored
}

// check reads what the operations are about, and refuses the batch if a
// condition of it does not hold. It changes nothing.
func (g *group) check(ops []store.Op) ([]found, error) {
	before := len(g.pinned)
	facts := make([]found, len(ops))
	for i, op := range ops {
		var err error
		switch op.Kind {
		case store.OpPut, store.OpDelete:
			facts[i], err = g.checkRecord(op)
		case store.OpDone, store.OpRetry, store.OpExtend:
			facts[i], err = g.checkLease(op)
		case store.OpEnqueue:
		}
		if err != nil {
			g.index.unpin(g.pinned[before:])
			g.pinned = g.pinned[:before]
			return nil, err
		}
	}
	return facts, nil
}

func (g *group) checkRecord(op store.Op) (found, error) {
	f, err := g.read(op.Key)
	if err != nil {
		return f, err
	}
	var rev uint64
	if f.exists && !f.old.expired(g.at.UnixNano()) {
		rev = f.old.rev
	}
	if op.Cond && rev != op.If {
		return f, fmt.Errorf("%w: record %q has revision %d, not %d", store.ErrConflict, op.Key, rev, op.If)
	}
	return f, nil
}

// read returns the record of a key as it is.
func (g *group) read(key string) (found, error) {
	b := g.records.Get([]byte(key))
	if b == nil {
		return found{}, nil
	}
	e, err := unsealRecord([]byte(key), b)
	return found{old: e, exists: err == nil}, err
}

func (g *group) checkLease(op store.Op) (found, error) {
	it, first := g.index.pin(op.Lease)
	if it == nil {
		return found{}, fmt.Errorf("%w: item %q of lane %q", store.ErrFenced, op.Lease.ID, op.Lease.Lane)
	}
	if first {
		g.pinned = append(g.pinned, it)
	}
	if op.Kind != store.OpRetry {
		return found{held: it}, nil
	}
	seq := sequence(it.seq)
	s, err := unsealItem(seq, g.items.Get(seq))
	return found{held: it, stored: s}, err
}

func (g *group) do(op store.Op, f found) error {
	switch op.Kind {
	case store.OpPut:
		return g.put(op, f)
	case store.OpDelete:
		return g.remove(op.Key, f)
	case store.OpEnqueue:
		return g.enqueue(op.Item)
	case store.OpDone:
		return g.done(f.held)
	case store.OpRetry:
		return g.retry(f.held, f.stored, op.At)
	case store.OpExtend:
		until := op.At.UnixNano() + g.ahead
		g.settle = append(g.settle, func(*index, int64) { f.held.until = until })
		return nil
	}
	return fmt.Errorf("operation %d is unknown", op.Kind)
}

func (g *group) put(op store.Op, f found) error {
	g.wrote = true
	rev := g.mark.next()
	b := sealRecord([]byte(op.Key), rev, store.Nanos(op.Expires), op.Value)
	if f.exists {
		g.mark.records.remove(f.old.sum)
	}
	g.mark.records.add(sumOf(b))
	value := append([]byte{}, op.Value...) // never nil: that means gone
	g.changed = append(g.changed, store.Record{Key: op.Key, Value: value, Rev: rev, Expires: op.Expires})
	return g.records.Put([]byte(op.Key), b)
}

func (g *group) remove(key string, f found) error {
	if !f.exists {
		return nil
	}
	g.wrote = true
	rev := g.mark.next()
	g.mark.records.remove(f.old.sum)
	g.changed = append(g.changed, store.Record{Key: key, Rev: rev})
	return g.records.Delete([]byte(key))
}

// purge removes the record of a key if it has expired.
func (g *group) purge(key string) error {
	f, err := g.read(key)
	if err != nil || !f.exists || !f.old.expired(g.at.UnixNano()) {
		return nil //nolint:nilerr // A damaged record stays: whoever reads it is told.
	}
	return g.remove(key, f)
}

func (g *group) enqueue(it store.Item) error {
	name := [2]string{it.Lane, it.ID}
	if g.added[name] || g.index.has(it.Lane, it.ID) {
		return nil
	}
	g.wrote = true
	g.added[name] = true
	n := g.mark.next()
	s := stored{
		due: shift(store.Nanos(it.Due), g.ahead), enqueued: g.at.UnixNano(), priority: int64(it.Priority),
		lane: it.Lane, id: it.ID, key: it.Key, value: it.Value,
	}
	b := sealItem(sequence(n), s)
	s.sum = sumOf(b)
	g.mark.items.add(s.sum)
	s.value = nil // it is in the file
	g.settle = append(g.settle, func(x *index, now int64) { x.add(n, s, now) })
	return g.items.Put(sequence(n), b)
}

func (g *group) done(it *item) error {
	g.wrote = true
	it.ended, it.gone = true, true
	g.mark.next()
	g.mark.items.remove(it.sum)
	g.settle = append(g.settle, func(_ *index, now int64) {
		it.pinned = false
		it.lane.drop(it, now)
	})
	return g.items.Delete(sequence(it.seq))
}

func (g *group) retry(it *item, s stored, at time.Time) error {
	g.wrote = true
	it.ended = true
	g.mark.next()
	s.due, s.attempt = shift(store.Nanos(at), g.ahead), s.attempt+1
	b := sealItem(sequence(it.seq), s)
	sum := sumOf(b)
	g.mark.items.remove(it.sum)
	g.mark.items.add(sum)
	g.settle = append(g.settle, func(_ *index, now int64) {
		it.pinned, it.ended = false, false
		it.sum, it.due = sum, s.due
		it.lane.end(it)
		it.lane.place(it, now)
	})
	return g.items.Put(sequence(it.seq), b)
}

// seal writes the mark. The transaction is ready to be committed then.
func (g *group) seal() error {
	g.mark.next()
	if err := writeNumber(g.meta, keyClock, formClock, uint64(g.index.clock.now())); err != nil {
		return err
	}
	return g.mark.write(g.meta)
}

// sequence is an item's key in the file.
func sequence(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
