package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// rewatch is how long the engine waits before it watches again after an error.
const rewatch = 200 * time.Millisecond

// follow keeps the index at the present until the store is closed.
func (s *Store) follow() {
	for s.ctx.Err() == nil {
		err := s.watch()
		if s.ctx.Err() != nil {
			return
		}
		if errors.Is(err, rpctypes.ErrCompacted) {
			s.log.Warn("etcd has compacted what was not read yet: everything is read again")
			err = s.reload()
		}
		if err != nil {
			s.metrics.interrupts.Inc()
			s.log.Warn("watch of etcd was interrupted", "err", err)
		}
		s.pause(rewatch)
	}
}

// pause waits, or until the store is closed.
func (s *Store) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// watch notes all changes, in their order, until there is an error.
func (s *Store) watch() error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	for res := range s.cluster.watch(ctx, s.prefix, s.index.at()+1) {
		if err := res.Err(); err != nil {
			return err
		}
		s.digest(res.Events)
	}
	return errors.New("it ended")
}

// digest notes the changes of whole revisions at once, and then tells watchers.
func (s *Store) digest(events []*clientv3.Event) {
	if len(events) == 0 {
		return
	}
	x := s.index
	x.mu.Lock()
	var tell []told
	for _, e := range events {
		if t, ok := s.change(e); ok {
			tell = append(tell, t)
		}
	}
	x.moveTo(events[len(events)-1].Kv.ModRevision)
	x.mu.Unlock()
	s.watchers.tell(tell)
}

// change notes one change. The caller holds the index's lock.
func (s *Store) change(e *clientv3.Event) (told, bool) {
	key := s.below(e.Kv)
	if e.Type == clientv3.EventTypePut {
		return s.put(key, e.Kv)
	}
	return s.drop(key, e.Kv.ModRevision)
}

// put notes an entry's version.
func (s *Store) put(key string, kv *mvccpb.KeyValue) (told, bool) {
	x, c := s.index, s.index.catalog
	switch section, rest := cutSection(key); section {
	case sectionRecord:
		r, err := unsealRecord(key, kv.Value)
		if err != nil {
			s.spoilt(key, err)
		}
		x.news(rest)
		c.record(rest, kv.ModRevision, r.expires)
		c.points(key, r.ref.id)
		return told{key: rest, rev: kv.ModRevision, record: r, err: err}, true
	case sectionItem:
		lane, id, ok := splitLanePath(rest)
		it, err := unsealItem(key, kv.Value, kv.ModRevision)
		if err == nil && !ok {
			err = damaged(key, errors.New("it names no lane"))
		}
		if err != nil {
			s.spoilt(key, err)
			if known := x.find(lane, id); known != nil {
				x.dropItem(known)
			}
			x.damage(lane, err)
			return told{}, false
		}
		c.points(key, it.ref.id)
		it.body = body{} // it is in etcd
		x.putItem(lane, id, it, kv.ModRevision)
	case sectionLease:
		h, err := unsealLease(key, kv.Value) // whosesoever it is, it is a lease
		if err != nil {
			s.spoilt(key, err)
		}
		if it := x.find(splitKey(rest)); it != nil {
			x.putLease(it, h, kv.ModRevision)
		}
	case sectionChunk:
		c.chunk(rest, true)
	case sectionMarker:
		c.markers[rest] = marker{rev: kv.ModRevision, since: s.now()}
	}
	return told{}, false
}

// drop notes that an entry is gone since revision rev.
func (s *Store) drop(key string, rev int64) (told, bool) {
	x, c := s.index, s.index.catalog
	switch section, rest := cutSection(key); section {
	case sectionRecord:
		x.news(rest)
		c.record(rest, rev, 0)
		c.points(key, "")
		return told{key: rest, rev: rev, gone: true}, true
	case sectionItem:
		c.points(key, "")
		if it := x.find(splitKey(rest)); it != nil {
			x.dropItem(it)
		}
	case sectionLease:
		if it := x.find(splitKey(rest)); it != nil {
			x.dropLease(it, rev)
		}
	case sectionChunk:
		c.chunk(rest, false)
	case sectionMarker:
		delete(c.markers, rest)
	}
	return told{}, false
}

func cutSection(key string) (section, rest string) {
	if len(key) < 2 {
		return "", ""
	}
	return key[:2], key[2:]
}

// splitKey is splitLanePath for a lookup: a path that is none finds nothing.
func splitKey(path string) (lane, id string) {
	lane, id, _ = splitLanePath(path)
	return lane, id
}

// spoilt tells of an entry that is damaged, once where it is first seen.
func (s *Store) spoilt(key string, err error) {
	_ = s.metrics.note(err)
	s.log.Error("etcd holds a damaged entry: restore it from a backup", "key", s.at(key), "err", err)
}

// load reads all but the records as of one revision. What the index knew and is
// not there is dropped. Then the records have their turn.
func (s *Store) load(ctx context.Context) error {
	x := s.index
	x.suspend(true)
	defer x.suspend(false)
	seen := map[string]bool{}
	var rev int64
	for _, section := range []string{sectionItem, sectionLease, sectionMarker, sectionChunk} {
		var opts []clientv3.OpOption
		if section == sectionChunk {
			opts = append(opts, clientv3.WithKeysOnly())
		}
		for kv, err := range s.entries(ctx, s.at(section), clientv3.GetPrefixRangeEnd(s.at(section)), &rev, opts...) {
			if err != nil {
				return fmt.Errorf("read state: %w", err)
			}
			key := s.below(kv)
			x.mu.Lock()
			_, _ = s.put(key, kv)
			x.mu.Unlock()
			if section == sectionChunk {
				key = key[:strings.LastIndexByte(key, '/')+1] // known by its body
			}
			seen[key] = true
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, key := range x.known() {
		if !seen[key] {
			_, _ = s.drop(key, rev)
		}
	}
	p := &pending{rev: rev, changed: map[string]bool{}}
	x.pending = p
	x.moveTo(rev)
	s.running.Go(func() { s.catalogue(p) })
	return nil
}

// reload reads everything after changes were missed, and tells the watchers so.
func (s *Store) reload() error {
	s.metrics.reloads.Inc()
	err := s.load(s.ctx)
	if err == nil {
		s.watchers.lag()
	}
	return err
}

// told is a change of a record, for the watchers.
type told struct {
	key  string
	rev  int64
	gone bool
	record
	err error
}
