package etcd

import (
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// catalogue reads and checks all records, for those that expire and those with
// chunks. Nothing else waits for it: a state may be large.
func (s *Store) catalogue(p *pending) {
	from, end := s.at(sectionRecord), clientv3.GetPrefixRangeEnd(s.at(sectionRecord))
	seen := map[string]bool{}
	for s.ctx.Err() == nil {
		err := s.catalogueFrom(p, &from, end, seen)
		if err == nil {
			s.index.catalogued(p, seen)
			return
		}
		if errors.Is(err, rpctypes.ErrCompacted) {
			p.rev = 0 // what it was since then, the watch tells
			continue
		}
		s.log.Warn("read records", "err", err)
		s.pause(time.Second)
	}
}

func (s *Store) catalogueFrom(p *pending, from *string, end string, seen map[string]bool) error {
	for kv, err := range s.entries(s.ctx, *from, end, &p.rev) {
		if err != nil {
			return err
		}
		*from = string(kv.Key) + "\x00"
		key := s.below(kv)
		r, err := unsealRecord(key, kv.Value)
		if err != nil {
			s.spoilt(key, err)
		}
		if r.expires == 0 && r.ref.id == "" {
			continue
		}
		seen[key] = true
		if !s.index.catalogueRecord(p, key, kv.ModRevision, r) {
			return nil // everything is read again
		}
	}
	return nil
}

// expiry returns when a record's version expires, 0 for never; known is false if
// the index does not know that version yet.
func (x *index) expiry(key string, rev int64) (expires int64, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev > x.applied {
		return 0, false
	}
	if e := x.catalog.records[key]; e != nil && e.rev == rev {
		return e.at, true
	}
	return 0, x.pending == nil
}

// toClear is how long after now the janitor has something to do.
func (x *index) toClear(now time.Time) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.loading:
	case x.pending == nil && len(x.catalog.garbage(1)) > 0:
		return 0
	case len(x.catalog.soon) > 0:
		return min(time.Duration(x.catalog.soon[0].at-now.UnixNano()), longest)
	}
	return longest
}

// cleared returns what may be cleared away, or some of it.
func (x *index) cleared(now time.Time) (records []expiring, bodies []string, uploads map[string]marker) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loading {
		return nil, nil, nil
	}
	c := x.catalog
	if x.pending == nil { // or what points at them may not be known yet
		bodies = c.garbage(maxPurge / 2)
	}
	return c.expired(now.UnixNano(), maxPurge), bodies, c.abandoned(now.Add(-uploadFor), maxPurge/2)
}

// known lists the entries, but for records, that the index holds something of. The
// caller holds the lock.
func (x *index) known() []string {
	var out []string
	for name, l := range x.lanes {
		for id, it := range l.items {
			out = append(out, itemKey(name, id))
			if it.leased != 0 {
				out = append(out, leaseKey(name, id))
			}
		}
	}
	for body := range x.catalog.used {
		out = append(out, sectionChunk+body+"/")
	}
	for batch := range x.catalog.markers {
		out = append(out, sectionMarker+batch)
	}
	return out
}

// pending is a catalogue of the records that is being made.
type pending struct {
	rev     int64
	changed map[string]bool // keys of which the watch has told since
}

// news notes that the watch told of a record. The caller holds the lock.
func (x *index) news(key string) {
	if x.pending != nil {
		x.pending.changed[key] = true
	}
}

// catalogueRecord notes a record that was read, unless the watch has told of it
// since. It returns false when that catalogue is no longer wanted.
func (x *index) catalogueRecord(p *pending, entry string, rev int64, r record) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending != p {
		return false
	}
	if _, key := cutSection(entry); !p.changed[key] {
		x.catalog.record(key, rev, r.expires)
		x.catalog.points(entry, r.ref.id)
	}
	return true
}

// catalogued notes that all records were read: what is known of others is over.
func (x *index) catalogued(p *pending, seen map[string]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending != p {
		return
	}
	x.pending = nil
	for key := range x.catalog.records {
		if !seen[recordKey(key)] && !p.changed[key] {
			x.catalog.record(key, p.rev, 0)
		}
	}
	for entry := range x.catalog.users {
		if section, key := cutSection(entry); section == sectionRecord && !seen[entry] && !p.changed[key] {
			x.catalog.points(entry, "")
		}
	}
	signal(x.clear)
}
