package etcd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/store"
)

// How much one page of a scan asks for: first so many entries, then as many as
// came to about so many bytes before. Pages are large because etcd counts all
// that is left of the range for each of them.
const (
	firstPage = 128
	mostPage  = 1 << 15
	pageBytes = 16 << 20
)

// Get is the contract's. It sees every batch that was done before it was called,
// at whichever replica.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return store.Record{}, err
	}
	defer done()
	return s.get(ctx, key)
}

func (s *Store) get(ctx context.Context, key string) (store.Record, error) {
	var last int64
	for {
		res, err := s.cluster.get(ctx, s.at(recordKey(key)))
		if err != nil {
			return store.Record{}, fmt.Errorf("get record %q: %w", key, err)
		}
		if len(res.Kvs) == 0 {
			return store.Record{}, fmt.Errorf("%w: record %q", store.ErrNotFound, key)
		}
		kv := res.Kvs[0]
		out, expired, err := s.record(ctx, key, kv, res.Header.Revision)
		if errors.Is(err, errChunks) && kv.ModRevision != last {
			last = kv.ModRevision // somebody replaced it meanwhile
			continue
		}
		if err == nil && expired {
			err = fmt.Errorf("%w: record %q has expired", store.ErrNotFound, key)
		}
		if err != nil {
			return store.Record{}, s.metrics.note(err)
		}
		return out, nil
	}
}

// record reads an entry as it was at revision rev.
func (s *Store) record(ctx context.Context, key string, kv *mvccpb.KeyValue, rev int64) (out store.Record, expired bool, err error) {
	r, err := unsealRecord(recordKey(key), kv.Value)
	if err != nil {
		return out, false, err
	}
	if r.expired(s.now().UnixNano()) {
		return out, true, nil
	}
	value, err := s.open(ctx, r.body, rev)
	return store.Record{Key: key, Value: value, Rev: uint64(kv.ModRevision), Expires: store.Instant(r.expires)}, false, err
}

// Scan is the contract's. All it returns was there at one moment, unless the
// cluster compacts that moment away while it is read.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p := scan{limit: limit, from: s.at(recordKey(prefix)), end: clientv3.GetPrefixRangeEnd(s.at(recordKey(prefix)))}
	if after >= prefix {
		p.from = s.at(recordKey(after)) + "\x00"
	}
	for limit > 0 && p.from < p.end {
		err := s.scan(ctx, &p)
		if err == nil {
			break
		}
		if !errors.Is(err, rpctypes.ErrCompacted) {
			return p.out, s.metrics.note(fmt.Errorf("scan records: %w", err))
		}
		p.rev = 0
	}
	return p.out, nil
}

// scan is one on its way.
type scan struct {
	from, end string
	rev       int64 // 0: not begun
	limit     int
	out       []store.Record
}

func (s *Store) scan(ctx context.Context, p *scan) error {
	for kv, err := range s.entries(ctx, p.from, p.end, &p.rev) {
		if err != nil {
			return err
		}
		p.from = string(kv.Key) + "\x00"
		key := strings.TrimPrefix(s.below(kv), sectionRecord)
		r, expired, err := s.record(ctx, key, kv, p.rev)
		if errors.Is(err, errChunks) {
			if r, err = s.get(ctx, key); errors.Is(err, store.ErrNotFound) {
				continue
			}
		}
		if err != nil {
			return err
		}
		if expired {
			continue
		}
		if p.out = append(p.out, r); len(p.out) == p.limit {
			return nil
		}
	}
	return nil
}

// entries reads a range of keys at revision *rev; 0 means now, and is set. It
// ends with an error when that revision is compacted away.
func (s *Store) entries(ctx context.Context, from, end string, rev *int64, opts ...clientv3.OpOption) iter.Seq2[*mvccpb.KeyValue, error] {
	return func(yield func(*mvccpb.KeyValue, error) bool) {
		limit := int64(firstPage)
		for {
			res, err := s.cluster.get(ctx, from, append(opts, clientv3.WithRange(end), clientv3.WithLimit(limit), clientv3.WithRev(*rev))...)
			if err != nil {
				yield(nil, err)
				return
			}
			if *rev == 0 {
				*rev = res.Header.Revision
			}
			size := 0
			for _, kv := range res.Kvs {
				size += len(kv.Value) + len(kv.Key)
				from = string(kv.Key) + "\x00"
				if !yield(kv, nil) {
					return
				}
			}
			if !res.More {
				return
			}
			limit = min(max(limit*pageBytes/int64(max(size, 1)), 1), mostPage)
		}
	}
}

// errChunks says that chunks of a value are not there. What pointed at them was
// replaced meanwhile, or is damaged.
var errChunks = errors.New("its chunks are not there")

// open returns the bytes of a body, as of revision rev.
func (s *Store) open(ctx context.Context, b body, rev int64) ([]byte, error) {
	if b.ref.id == "" {
		return append([]byte{}, b.inline...), nil
	}
	out := make([]byte, 0, min(b.ref.size, store.MaxDecoded))
	base := sectionChunk + b.ref.id + "/"
	n := 0
	for kv, err := range s.chunks(ctx, base, rev) {
		if err != nil {
			return nil, err
		}
		part, err := unseal(formChunk, s.below(kv), kv.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
		n++
	}
	if n != b.ref.chunks || len(out) != b.ref.size {
		return nil, fmt.Errorf("%w: body %s: %w", store.ErrDamaged, b.ref.id, errChunks)
	}
	return out, nil
}

// chunks reads the entries of a body.
func (s *Store) chunks(ctx context.Context, base string, rev int64) iter.Seq2[*mvccpb.KeyValue, error] {
	return func(yield func(*mvccpb.KeyValue, error) bool) {
		from, end := s.at(base), clientv3.GetPrefixRangeEnd(s.at(base))
		for {
			res, err := s.cluster.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(16), clientv3.WithRev(rev))
			if errors.Is(err, rpctypes.ErrCompacted) && rev != 0 {
				rev = 0 // a body does not change while it is there
				continue
			}
			if err != nil {
				yield(nil, fmt.Errorf("read chunks: %w", err))
				return
			}
			for _, kv := range res.Kvs {
				if !yield(kv, nil) {
					return
				}
				from = string(kv.Key) + "\x00"
			}
			if !res.More {
				return
			}
		}
	}
}
