package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tocsin/tocsin/store"
)

// Neither bbolt nor most disks notice a flipped bit, so every value in the file
// is sealed: CRC32C over the length of its key, the key, and all that follows
// the sum. The form comes first below the sum; it tells the sorts of entry
// apart, so that one of them can never be read as another.
const (
	formRecord = 1 // rev, expires, value
	formItem   = 2 // due, enqueued, priority, attempt, lane, id, key, value
	formMark   = 3 // last, and count and sum of each bucket
	formFormat = 4 // version of the file
	formClock  = 5 // wall clock of the last commit

	sumSize = 4
)

var errSum = errors.New("checksum does not match")

// sealed starts the entry of a form, with room for its sum.
func sealed(form byte, size int) []byte {
	return append(make([]byte, sumSize, sumSize+1+size), form)
}

// seal fills in the sum of b, which sealed started.
func seal(key, b []byte) []byte {
	binary.LittleEndian.PutUint32(b, checksum(key, b[sumSize:]))
	return b
}

// unseal checks the sum of an entry and returns what follows its form.
func unseal(form byte, key, b []byte) ([]byte, error) {
	if len(b) <= sumSize || sumOf(b) != checksum(key, b[sumSize:]) {
		return nil, errSum
	}
	if b[sumSize] != form {
		return nil, fmt.Errorf("form %d where %d was expected: was it written by a newer release?", b[sumSize], form)
	}
	return b[sumSize+1:], nil
}

func sumOf(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

func checksum(key, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // the standard library's own, made once
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(key)))
	return crc32.Update(crc32.Update(crc32.Update(0, table, n[:]), table, key), table, rest)
}

// entry is a record as it lies in the file.
type entry struct {
	sum     uint32
	rev     uint64
	expires int64  // Unix nanoseconds; 0: never
	value   []byte // of the transaction it was read in: copy it to keep it
}

func (e entry) expired(now int64) bool { return e.expires != 0 && e.expires <= now }

func (e entry) record(key string) store.Record {
	return store.Record{Key: key, Value: append([]byte{}, e.value...), Rev: e.rev, Expires: store.Instant(e.expires)}
}

func sealRecord(key []byte, rev uint64, expires int64, value []byte) []byte {
	b := sealed(formRecord, 16+len(value))
	b = binary.LittleEndian.AppendUint64(b, rev)
	b = binary.LittleEndian.AppendUint64(b, uint64(expires))
	return seal(key, append(b, value...))
}

func unsealRecord(key, b []byte) (entry, error) {
	body, err := unseal(formRecord, key, b)
	if err != nil || len(body) < 16 {
		return entry{}, damaged("record", string(key), err)
	}
	return entry{
		sum:     sumOf(b),
		rev:     binary.LittleEndian.Uint64(body),
		expires: int64(binary.LittleEndian.Uint64(body[8:])),
		value:   body[16:],
	}, nil
}

// stored is an item as it lies in the file.
type stored struct {
	sum      uint32
	due      int64 // Unix nanoseconds; 0: at once
	enqueued int64
	priority int64
	attempt  uint64
	lane     string
	id       string
	key      string
	value    []byte // of the transaction it was read in: copy it to keep it
}

func sealItem(seq []byte, it stored) []byte {
	b := sealed(formItem, 64+len(it.lane)+len(it.id)+len(it.key)+len(it.value))
	for _, n := range []int64{it.due, it.enqueued, it.priority} {
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendUvarint(b, it.attempt)
	for _, s := range []string{it.lane, it.id, it.key} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return seal(seq, append(b, it.value...))
}

func unsealItem(seq, b []byte) (stored, error) {
	body, err := unseal(formItem, seq, b)
	if err != nil {
		return stored{}, damaged("item", fmt.Sprintf("%x", seq), err)
	}
	r := store.Fields{Rest: body}
	it := stored{sum: sumOf(b), due: r.Varint(), enqueued: r.Varint(), priority: r.Varint(), attempt: r.Uvarint()}
	it.lane, it.id, it.key = r.Text(), r.Text(), r.Text()
	if r.Short {
		return stored{}, damaged("item", fmt.Sprintf("%x", seq), errors.New("it is cut short"))
	}
	it.value = r.Rest
	return it, nil
}

// damaged returns a store.ErrDamaged that names what is.
func damaged(what, name string, err error) error {
	if err == nil {
		err = errors.New("it is cut short")
	}
	return fmt.Errorf("%w: %s %q: %w", store.ErrDamaged, what, name, err)
}
