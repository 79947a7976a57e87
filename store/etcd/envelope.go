package etcd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tocsin/tocsin/store"
)

// etcd checks its log, not its pages, and a flipped bit is else served as good
// data. So every value is sealed: CRC32C over the length of its key (below the
// prefix), the key, and all that follows the sum. The form comes first below the
// sum, so that no sort of entry can be read as another.
const (
	formRecord = 1 // expires, body
	formItem   = 2 // place, due, enqueued, priority, attempt, key, body
	formLease  = 3 // owner, nonce
	formChunk  = 4 // bytes
	formMarker = 5 // nothing

	sumSize = 4
)

// The forms of a body.
const (
	bodyInline = 0 // the bytes follow
	bodyRef    = 1 // chunks, size, ID
)

var errSum = errors.New("checksum does not match")

func sealed(form byte, size int) []byte {
	return append(make([]byte, sumSize, sumSize+1+size), form)
}

// seal fills in the sum of b, which sealed started.
func seal(key string, b []byte) string {
	binary.LittleEndian.PutUint32(b, checksum(key, b[sumSize:]))
	return string(b)
}

// unseal checks the sum of a value and returns what follows its form.
func unseal(form byte, key string, b []byte) ([]byte, error) {
	if len(b) <= sumSize || binary.LittleEndian.Uint32(b) != checksum(key, b[sumSize:]) {
		return nil, damaged(key, errSum)
	}
	if b[sumSize] != form {
		return nil, damaged(key, fmt.Errorf("form %d where %d was expected: was it written by a newer release?", b[sumSize], form))
	}
	return b[sumSize+1:], nil
}

func checksum(key string, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // the standard library's own, made once
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(key)))
	return crc32.Update(crc32.Update(crc32.Update(0, table, n[:]), table, []byte(key)), table, rest)
}

// damaged returns a store.ErrDamaged that names the key.
func damaged(key string, err error) error {
	return fmt.Errorf("%w: key %q: %w", store.ErrDamaged, key, err)
}

// body is a value: the bytes, or where they are.
type body struct {
	inline []byte
	ref    ref
}

// ref names the chunks of a value; the zero ref names none.
type ref struct {
	id     string
	chunks int
	size   int
}

func (b body) append(to []byte) []byte {
	if b.ref.id == "" {
		return append(append(to, bodyInline), b.inline...)
	}
	to = binary.AppendUvarint(append(to, bodyRef), uint64(b.ref.chunks))
	return append(binary.AppendUvarint(to, uint64(b.ref.size)), b.ref.id...)
}

// readBody takes what is left of an entry.
func readBody(r *store.Fields) body {
	switch form := r.Byte(); form {
	case bodyInline:
		return body{inline: r.Rest}
	case bodyRef:
		b := body{ref: ref{chunks: int(r.Uvarint()), size: int(r.Uvarint())}}
		b.ref.id = string(r.Rest)
		r.Short = r.Short || b.ref.id == "" || b.ref.chunks <= 0
		return b
	default:
		r.Short = true
		return body{}
	}
}

// record is a record as it lies in etcd.
type record struct {
	expires int64 // Unix nanoseconds; 0: never
	body
}

func (r record) expired(now int64) bool { return r.expires != 0 && r.expires <= now }

func sealRecord(key string, r record) string {
	b := sealed(formRecord, 16+len(r.inline))
	return seal(key, r.append(binary.AppendVarint(b, r.expires)))
}

func unsealRecord(key string, b []byte) (record, error) {
	rest, err := unseal(formRecord, key, b)
	if err != nil {
		return record{}, err
	}
	r := store.Fields{Rest: rest}
	out := record{expires: r.Varint(), body: readBody(&r)}
	return out, whole(&r, key)
}

// place is where an item stands among all of its lane: enqueued earlier, smaller.
type place struct {
	rev   int64 // 0: the revision of this very version
	index int64 // in its batch
}

func (p place) before(q place) bool {
	return p.rev < q.rev || p.rev == q.rev && p.index < q.index
}

// stored is an item as it lies in etcd.
type stored struct {
	place
	due      int64 // Unix nanoseconds; 0: at once
	enqueued int64
	priority int64
	attempt  uint64
	key      string
	body
}

func sealItem(key string, it stored) string {
	b := sealed(formItem, 64+len(it.key)+len(it.inline))
	for _, n := range []int64{it.rev, it.index, it.due, it.enqueued, it.priority} {
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendUvarint(b, it.attempt)
	b = append(binary.AppendUvarint(b, uint64(len(it.key))), it.key...)
	return seal(key, it.append(b))
}

// unsealItem reads an item's version of revision rev.
func unsealItem(key string, b []byte, rev int64) (stored, error) {
	rest, err := unseal(formItem, key, b)
	if err != nil {
		return stored{}, err
	}
	r := store.Fields{Rest: rest}
	it := stored{
		place: place{rev: r.Varint(), index: r.Varint()},
		due:   r.Varint(), enqueued: r.Varint(), priority: r.Varint(), attempt: r.Uvarint(),
	}
	it.key = r.Text()
	it.body = readBody(&r)
	if it.rev == 0 {
		it.rev = rev
	}
	return it, whole(&r, key)
}

// holder says who wrote a lease: which replica, in which of its calls.
type holder struct{ owner, nonce uint64 }

func sealLease(key string, h holder) string {
	b := binary.LittleEndian.AppendUint64(sealed(formLease, 16), h.owner)
	return seal(key, binary.LittleEndian.AppendUint64(b, h.nonce))
}

func unsealLease(key string, b []byte) (holder, error) {
	rest, err := unseal(formLease, key, b)
	if err != nil {
		return holder{}, err
	}
	if len(rest) != 16 {
		return holder{}, damaged(key, errShort)
	}
	return holder{binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])}, nil
}

var errShort = errors.New("it is cut short")

// whole makes sure that nothing was cut short.
func whole(r *store.Fields, key string) error {
	if r.Short {
		return damaged(key, errShort)
	}
	return nil
}
