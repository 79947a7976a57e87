package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/store"
)

// batch is what one Apply does.
type batch struct {
	ops    []store.Op
	bodies []body           // what ops write, by their index
	held   []stored         // what their leases hold, by their index
	upload string           // under which chunks were written; empty: there are none
	marker int64            // the revision of its marker
	stale  map[string]int64 // expired records in the way of new ones, and their revisions
}

// tries bounds how often a batch is tried whose conditions met expired records.
const tries = 5

// errAgain says that a batch met what it did not know of, and knows it now.
var errAgain = errors.New("an expired record was in the way, again and again")

// Apply is the contract's.
func (s *Store) Apply(ctx context.Context, ops ...store.Op) error {
	if err := store.Check(ops); err != nil {
		return err
	}
	done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if len(ops) == 0 {
		return nil
	}
	if slices.ContainsFunc(ops, func(op store.Op) bool { return op.Kind == store.OpExtend }) {
		if err := s.session.sure(ctx); err != nil {
			return err
		}
	}
	b := &batch{ops: ops, bodies: make([]body, len(ops)), held: make([]stored, len(ops)), stale: map[string]int64{}}
	err = s.prepare(ctx, b)
	if err == nil {
		err = s.upload(ctx, b)
	}
	if err == nil {
		err = errAgain
	}
	for n := 0; n < tries && errors.Is(err, errAgain); n++ {
		err = s.commit(ctx, b)
	}
	if b.upload != "" && (errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrFenced)) {
		s.discard(ctx, b.upload)
	}
	return s.metrics.note(err)
}

// prepare refuses what needs no transaction to be refused, and finds out what
// the operations write.
func (s *Store) prepare(ctx context.Context, b *batch) error {
	for i, op := range b.ops {
		switch op.Kind {
		case store.OpPut, store.OpDelete:
			b.bodies[i].inline = op.Value
			if err := s.fresh(ctx, op); err != nil {
				return err
			}
		case store.OpEnqueue:
			b.bodies[i].inline = op.Item.Value
		case store.OpDone, store.OpRetry, store.OpExtend:
			held, ok := s.index.held(op.Lease)
			if !ok {
				return fenced(op.Lease)
			}
			b.held[i] = held
			if op.Kind == store.OpRetry {
				b.bodies[i] = held.body
			}
		}
	}
	return nil
}

// fresh refuses a condition on a revision that has expired: etcd compares
// revisions, and knows nothing of our clocks.
func (s *Store) fresh(ctx context.Context, op store.Op) error {
	if !op.Cond || op.If == 0 {
		return nil
	}
	expires, known := s.index.expiry(op.Key, int64(op.If))
	if !known {
		res, err := s.cluster.get(ctx, s.at(recordKey(op.Key)))
		if err != nil {
			return fmt.Errorf("read record %q: %w", op.Key, err)
		}
		if len(res.Kvs) == 0 {
			return conflict(op, 0)
		}
		r, err := unsealRecord(recordKey(op.Key), res.Kvs[0].Value)
		if err != nil {
			return err
		}
		expires = r.expires
	}
	if expires != 0 && expires <= s.now().UnixNano() {
		return conflict(op, 0)
	}
	return nil
}

func conflict(op store.Op, rev uint64) error {
	return fmt.Errorf("%w: record %q has revision %d, not %d", store.ErrConflict, op.Key, rev, op.If)
}

func fenced(l store.Lease) error {
	return fmt.Errorf("%w: item %q of lane %q", store.ErrFenced, l.ID, l.Lane)
}

// commit does the batch in one transaction.
func (s *Store) commit(ctx context.Context, b *batch) error {
	p := s.plan(b)
	began := time.Now()
	res, err := s.cluster.txn(ctx, p.cmps, p.then, p.els)
	s.metrics.commit.Observe(time.Since(began).Seconds())
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if !res.Succeeded {
		return s.judge(b, p, res)
	}
	s.wroteAt(res)
	for _, op := range b.ops {
		if op.Kind == store.OpExtend {
			s.index.extend(op.Lease, op.At)
		}
	}
	return nil
}

// plan is a batch as an etcd transaction.
type plan struct {
	cmps  []clientv3.Cmp
	then  []clientv3.Op
	els   []clientv3.Op // reads what the conditions were about
	asked []store.Op    // whose conditions, by the index in els
}

func (p *plan) condition(op store.Op, key string, rev int64) {
	p.cmps = append(p.cmps, clientv3.Compare(clientv3.ModRevision(key), "=", rev))
	p.els = append(p.els, clientv3.OpGet(key))
	p.asked = append(p.asked, op)
}

// both does two things as one operation, of which a transaction holds 128.
func both(ops ...clientv3.Op) clientv3.Op { return clientv3.OpTxn(nil, ops, nil) }

func (s *Store) plan(b *batch) *plan {
	p := &plan{}
	anew := reborn(b.ops)
	for i, op := range b.ops {
		if op.Kind == store.OpPut || op.Kind == store.OpDelete {
			s.planRecord(p, b, i)
			continue
		}
		if op.Kind == store.OpEnqueue {
			if _, skip := anew[i]; !skip {
				key := s.at(itemKey(op.Item.Lane, op.Item.ID))
				p.then = append(p.then, clientv3.OpTxn(
					[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
					[]clientv3.Op{s.putNew(b, i)}, nil))
			}
			continue
		}
		item, lease := s.at(itemKey(op.Lease.Lane, op.Lease.ID)), s.at(leaseKey(op.Lease.Lane, op.Lease.ID))
		p.condition(op, lease, int64(op.Lease.Token))
		switch op.Kind {
		case store.OpDone:
			first := clientv3.OpDelete(item)
			for j, done := range anew {
				if done == i {
					first = s.putNew(b, j)
				}
			}
			p.then = append(p.then, both(first, clientv3.OpDelete(lease)))
		case store.OpRetry:
			p.then = append(p.then, both(s.putBack(b, i), clientv3.OpDelete(lease)))
		case store.OpExtend, store.OpPut, store.OpDelete, store.OpEnqueue:
		}
	}
	if b.upload != "" {
		marker := s.at(sectionMarker + b.upload)
		p.cmps = append(p.cmps, clientv3.Compare(clientv3.ModRevision(marker), "=", b.marker))
		p.then = append(p.then, clientv3.OpDelete(marker))
	}
	return p
}

func (s *Store) planRecord(p *plan, b *batch, i int) {
	op := b.ops[i]
	key := s.at(recordKey(op.Key))
	if op.Cond {
		rev := int64(op.If)
		if rev == 0 {
			rev = b.stale[op.Key]
		}
		p.condition(op, key, rev)
	}
	if op.Kind == store.OpDelete {
		p.then = append(p.then, clientv3.OpDelete(key))
		return
	}
	p.then = append(p.then, clientv3.OpPut(key, sealRecord(recordKey(op.Key), record{store.Nanos(op.Expires), b.bodies[i]})))
}

// putNew writes the item of an Enqueue.
func (s *Store) putNew(b *batch, i int) clientv3.Op {
	it := b.ops[i].Item
	key := itemKey(it.Lane, it.ID)
	return clientv3.OpPut(s.at(key), sealItem(key, stored{
		place: place{index: int64(i)}, due: store.Nanos(it.Due), enqueued: s.now().UnixNano(),
		priority: int64(it.Priority), key: it.Key, body: b.bodies[i],
	}))
}

// putBack writes the item of a Retry, in its old place.
func (s *Store) putBack(b *batch, i int) clientv3.Op {
	op, it := b.ops[i], b.held[i]
	it.due, it.attempt, it.body = store.Nanos(op.At), it.attempt+1, b.bodies[i]
	key := itemKey(op.Lease.Lane, op.Lease.ID)
	return clientv3.OpPut(s.at(key), sealItem(key, it))
}

// reborn finds the Enqueues that are not to be done by themselves: the item is
// there, for the batch uses its lease, or was enqueued by the batch before. Where
// it was Done before, the Enqueue belongs to that operation, whose index it has;
// otherwise it has -1: it changes nothing.
func reborn(ops []store.Op) map[int]int {
	type name struct{ lane, id string }
	out := map[int]int{}
	leased, done := map[name]bool{}, map[name]int{}
	enqueued := map[name]bool{}
	for _, op := range ops {
		leased[name{op.Lease.Lane, op.Lease.ID}] = true
	}
	for i, op := range ops {
		n := name{op.Item.Lane, op.Item.ID}
		switch op.Kind {
		case store.OpDone:
			done[name{op.Lease.Lane, op.Lease.ID}] = i
		case store.OpEnqueue:
			at, after := done[n]
			switch {
			case enqueued[n] || leased[n] && !after:
				out[i] = -1
			case after:
				out[i] = at
				enqueued[n] = true
			default:
				enqueued[n] = true
			}
		case store.OpPut, store.OpDelete, store.OpRetry, store.OpExtend:
		}
	}
	return out
}

// judge says why a transaction did nothing.
func (s *Store) judge(b *batch, p *plan, res *clientv3.TxnResponse) error {
	again := false
	for i, op := range p.asked {
		kv := only(res.Responses[i])
		switch {
		case op.Kind != store.OpPut && op.Kind != store.OpDelete:
			if kv.GetModRevision() != int64(op.Lease.Token) {
				return fenced(op.Lease)
			}
		case op.If != 0:
			if kv.GetModRevision() != int64(op.If) {
				return conflict(op, uint64(kv.GetModRevision()))
			}
		case kv != nil:
			r, err := unsealRecord(recordKey(op.Key), kv.Value)
			if err != nil {
				return err
			}
			if !r.expired(s.now().UnixNano()) {
				return conflict(op, uint64(kv.ModRevision))
			}
			b.stale[op.Key] = kv.ModRevision
			again = true
		default:
			delete(b.stale, op.Key)
			again = true
		}
	}
	if !again {
		return errors.New("commit: the upload of a large value took so long that it was cleared away")
	}
	return errAgain
}

// only returns the entry that a read of one key found, nil if none.
func only(res *pb.ResponseOp) *mvccpb.KeyValue {
	if kvs := res.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}
