package etcd

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxPurge is how many things are cleared away in one transaction.
	maxPurge = 100
	// purgeGap lets those of one second share one transaction.
	purgeGap = time.Second
	// uploadFor is how long an upload may take.
	uploadFor = 10 * time.Minute
	// scrubEvery is how often everything is read and checked: damage is best found
	// before the entry is needed, while a backup still holds it.
	scrubEvery = time.Hour
)

// janitor clears away what has expired and what nobody points at, until the store
// is closed. Every replica has one. What it deletes it names by its revision, so
// they do not harm one another.
func (s *Store) janitor() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-timer.C:
			last = s.now()
			if err := s.clear(last); err != nil && s.ctx.Err() == nil {
				s.log.Warn("what has expired stays for now", "err", err)
			}
		case <-s.index.clear:
		case <-s.ctx.Done():
			return
		}
		now := s.now()
		timer.Reset(max(s.index.toClear(now), last.Add(purgeGap).Sub(now)))
	}
}

// clear does one round.
func (s *Store) clear(now time.Time) error {
	expired, garbage, abandoned := s.index.cleared(now)
	var ops []clientv3.Op
	for _, e := range expired {
		key := s.at(recordKey(e.key))
		ops = append(ops, when(key, e.rev, clientv3.OpDelete(key)))
	}
	err := s.purge(ops)
	ops = nil
	for _, body := range garbage {
		ops = append(ops, clientv3.OpDelete(s.at(sectionChunk+body+"/"), clientv3.WithPrefix()))
	}
	for upload, m := range abandoned {
		ops = append(ops, when(s.at(sectionMarker+upload), m.rev, s.clearing(upload)...))
	}
	return errors.Join(err, s.purge(ops))
}

func (s *Store) purge(ops []clientv3.Op) error {
	if len(ops) == 0 {
		return nil
	}
	_, err := s.cluster.txn(s.ctx, nil, ops, nil)
	return err
}

// when does ops if a key has a revision.
func when(key string, rev int64, ops ...clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", rev)}, ops, nil)
}

// scrub reads everything now and then, until the store is closed.
func (s *Store) scrub() {
	for s.ctx.Err() == nil {
		s.pause(scrubEvery)
		if err := s.check(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Warn("scrub", "err", err)
		}
	}
}

// check reads every entry once, and tells of those that are damaged.
func (s *Store) check(ctx context.Context) error {
	forms := map[string]byte{
		sectionRecord: formRecord, sectionItem: formItem, sectionLease: formLease,
		sectionChunk: formChunk, sectionMarker: formMarker,
	}
	for section, form := range forms {
		var rev int64
		for kv, err := range s.entries(ctx, s.at(section), clientv3.GetPrefixRangeEnd(s.at(section)), &rev) {
			if err != nil {
				return err
			}
			if _, err := unseal(form, s.below(kv), kv.Value); err != nil {
				s.spoilt(s.below(kv), err)
			}
		}
	}
	return nil
}
