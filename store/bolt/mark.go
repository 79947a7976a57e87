package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// The file's buckets.
const (
	bucketMeta    = "meta"    // the mark
	bucketRecords = "records" // key -> entry
	bucketItems   = "items"   // sequence, big endian -> stored
	keyMark       = "mark"
)

// tally is what a bucket must hold: how many entries, and the sum of their
// checksums. A lost entry changes both, one that is older than it should be
// (a stale page) changes the sum.
type tally struct{ count, sum uint64 }

func (t *tally) add(sum uint32)    { t.count++; t.sum += uint64(sum) }
func (t *tally) remove(sum uint32) { t.count--; t.sum -= uint64(sum) }

// mark is written in every transaction, and compared with what is there when
// the file is opened.
type mark struct {
	last    uint64 // the last revision or sequence that was given out
	records tally
	items   tally
}

// next gives out a revision.
func (m *mark) next() uint64 {
	m.last++
	return m.last
}

func (m mark) write(b *bbolt.Bucket) error {
	e := sealed(formMark, 40)
	for _, n := range []uint64{m.last, m.records.count, m.records.sum, m.items.count, m.items.sum} {
		e = binary.LittleEndian.AppendUint64(e, n)
	}
	return b.Put([]byte(keyMark), seal([]byte(keyMark), e))
}

func readMark(b *bbolt.Bucket) (mark, error) {
	body, err := unseal(formMark, []byte(keyMark), b.Get([]byte(keyMark)))
	if err != nil || len(body) != 40 {
		return mark{}, damaged("record", keyMark, err)
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(body[8*i:]) }
	return mark{last: n(0), records: tally{n(1), n(2)}, items: tally{n(3), n(4)}}, nil
}

// match compares what was counted in a bucket with what its mark says.
func (t tally) match(bucket string, found tally) error {
	switch {
	case found.count < t.count:
		return damaged("bucket", bucket, fmt.Errorf("%d entries are missing (%d of %d are there)", t.count-found.count, found.count, t.count))
	case found != t:
		return damaged("bucket", bucket, fmt.Errorf("%d entries where %d were written, or an old version of one came back", found.count, t.count))
	}
	return nil
}
