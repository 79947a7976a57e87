package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// The file's buckets.
const (
	bucketMeta    = "meta"    // the mark, the format, the clock
	bucketRecords = "records" // key -> entry
	bucketItems   = "items"   // sequence, big endian -> stored
	keyMark       = "mark"
	keyFormat     = "format"
	keyClock      = "clock"
)

// format is the version of the file that this release writes. It grows when an
// older release could no longer read what is written; a file of format 1 may
// lack the entry, which is younger than the format.
const format = 1

// errNewer says that a file was written by a release that is newer than this.
var errNewer = errors.New("a newer release of tocsin wrote it")

// writeNumber and readNumber keep one number under a key of the meta bucket.
func writeNumber(b *bbolt.Bucket, key string, form byte, n uint64) error {
	e := binary.LittleEndian.AppendUint64(sealed(form, 8), n)
	return b.Put([]byte(key), seal([]byte(key), e))
}

// readNumber returns what stands for a key that is missing, too.
func readNumber(b *bbolt.Bucket, key string, form byte, missing uint64) (uint64, error) {
	e := b.Get([]byte(key))
	if e == nil {
		return missing, nil
	}
	body, err := unseal(form, []byte(key), e)
	if err != nil || len(body) != 8 {
		return 0, damaged("record", key, err)
	}
	return binary.LittleEndian.Uint64(body), nil
}

func writeFormat(b *bbolt.Bucket, version uint64) error {
	return writeNumber(b, keyFormat, formFormat, version)
}

// readFormat returns a file's format, or errNewer where this release cannot
// read it. Nothing else of the file may be read before that.
func readFormat(b *bbolt.Bucket) (uint64, error) {
	v, err := readNumber(b, keyFormat, formFormat, 1)
	if err == nil && v > format {
		err = fmt.Errorf("its format is %d, this release reads up to %d: %w", v, format, errNewer)
	}
	return v, err
}

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
