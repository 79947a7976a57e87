package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/store"
)

// Salvaged says what came of a damaged file.
type Salvaged struct {
	Aside   string // where it lies now
	Records int    // that were whole, and are in the new file
	Items   int    // likewise
	Lost    int    // entries and pages that were not
}

// Recover moves a damaged file aside and opens a new one, with every entry that
// can still be reached and whose checksum is right. The damaged file is kept as
// it is: its name gains `.damaged-` and the time.
func Recover(c Config, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, Salvaged, error) {
	out := Salvaged{Aside: c.Path + ".damaged-" + now().UTC().Format("20060102T150405Z")}
	if err := os.Rename(c.Path, out.Aside); err != nil {
		return nil, out, fmt.Errorf("move the damaged file aside: %w", err)
	}
	if err := syncFolder(filepath.Dir(c.Path)); err != nil {
		return nil, out, fmt.Errorf("move the damaged file aside: %w", err)
	}
	s, err := Open(c, log, now, reg)
	if err != nil {
		return nil, out, err
	}
	if err := s.takeIn(&out); err != nil {
		return nil, out, errors.Join(fmt.Errorf("salvage %s: %w", out.Aside, err), s.Close())
	}
	return s, out, nil
}

// takeIn copies what can be read of the file that was set aside.
func (s *Store) takeIn(out *Salvaged) error {
	var batch []store.Op
	size := 0
	flush := func() error {
		ops := batch
		batch, size = nil, 0
		if len(ops) == 0 {
			return nil
		}
		return s.Apply(context.Background(), ops...)
	}
	add := func(op store.Op, n int) error {
		batch, size = append(batch, op), size+n
		if len(batch) == store.MaxOps || size > 4<<20 {
			return flush()
		}
		return nil
	}
	w, err := openWreck(out.Aside)
	if err != nil {
		out.Lost++
		return nil // not even its head can be read: nothing is saved, and the count says so
	}
	defer w.file.Close()
	w.record = func(key string, e entry) error {
		out.Records++
		return add(store.Put(key, slices.Clone(e.value)).Until(store.Instant(e.expires)), len(e.value))
	}
	var items []sequenced
	w.item = func(seq uint64, it stored) {
		it.value = slices.Clone(it.value)
		items = append(items, sequenced{seq: seq, stored: it})
	}
	if err := w.salvage(); err != nil {
		return err
	}
	slices.SortFunc(items, func(a, b sequenced) int { return int(int64(a.seq - b.seq)) })
	for _, it := range items {
		op := store.Enqueue(store.Item{
			Lane: it.stored.lane, ID: it.stored.id, Key: it.stored.key, Priority: int(it.stored.priority),
			Due: store.Instant(it.stored.due), Value: it.stored.value,
		})
		if err := add(op, len(it.stored.value)); err != nil {
			return err
		}
	}
	out.Items, out.Lost = len(items), w.lost
	return flush()
}

// wreck reads a damaged file page by page, by its structure (see pages) and not
// by bbolt, which stops at the first page that is wrong.
type wreck struct {
	pages
	root   uint64
	lost   int
	record func(key string, e entry) error
	item   func(seq uint64, it stored)
}

// openWreck finds the root of the last commit whose head can be read.
func openWreck(path string) (*wreck, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := &wreck{pages: pages{file: f, size: int64(os.Getpagesize())}} // as bbolt chose it
	var last uint64
	for i := range int64(2) {
		head := make([]byte, headSize)
		if _, err := f.ReadAt(head, i*w.size+pageHeader); err != nil {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write(head[:headSum])
		if h.Sum64() == u64(head[headSum:]) && u64(head[48:]) >= last {
			last, w.root = u64(head[48:]), u64(head[16:])
		}
	}
	if w.root == 0 {
		return nil, errors.Join(errors.New("neither head can be read"), f.Close())
	}
	w.used = make([]bool, info.Size()/w.size)
	return w, nil
}

// salvage reads the buckets that the root page names.
func (w *wreck) salvage() error {
	return w.leaves(w.root, func(flags uint32, name, value []byte) error {
		if flags&bucketElement == 0 || len(value) < pageHeader {
			return nil
		}
		entry := w.entry(string(name))
		if entry == nil {
			return nil
		}
		if root := u64(value); root != 0 {
			return w.leaves(root, entry)
		}
		return w.leaf(value[pageHeader:], entry) // a small bucket lies in its element, behind root and sequence
	})
}

type element func(flags uint32, key, value []byte) error

// entry is what is done with the elements of a bucket.
func (w *wreck) entry(bucket string) element {
	switch bucket {
	case bucketRecords:
		return func(_ uint32, key, value []byte) error {
			e, err := unsealRecord(key, value)
			if err == nil {
				return w.record(string(key), e)
			}
			w.lost++
			return nil
		}
	case bucketItems:
		return func(_ uint32, key, value []byte) error {
			if it, err := unsealItem(key, value); err == nil && len(key) == 8 {
				w.item(binary.BigEndian.Uint64(key), it)
			} else {
				w.lost++
			}
			return nil
		}
	default:
		return nil
	}
}

// leaves calls fn for the elements of all leaf pages at and below page id. What
// is no page is counted, and passed over.
func (w *wreck) leaves(id uint64, fn element) error {
	page, ok := w.whole(id)
	if !ok {
		w.lost++
		return nil
	}
	if binary.NativeEndian.Uint16(page[8:]) == leafPage {
		return w.leaf(page, fn)
	}
	for i := range int64(binary.NativeEndian.Uint16(page[10:])) {
		at := pageHeader + i*elementSize
		if at+elementSize > int64(len(page)) {
			w.lost++
			break
		}
		if err := w.leaves(u64(page[at+8:]), fn); err != nil {
			return err
		}
	}
	return nil
}

// whole reads a page with all that belongs to it, once.
func (w *wreck) whole(id uint64) ([]byte, bool) {
	if id < 2 || id >= uint64(len(w.used)) || w.used[id] {
		return nil, false
	}
	w.used[id] = true
	head, err := w.read(id, pageHeader)
	flags := binary.NativeEndian.Uint16(head[8:])
	overflow := uint64(u32(head[12:]))
	if err != nil || u64(head) != id || flags != branchPage && flags != leafPage || overflow >= uint64(len(w.used))-id {
		return nil, false
	}
	page, err := w.read(id, int64(overflow+1)*w.size)
	return page, err == nil
}

// leaf calls fn for the elements of one leaf page that lie within it.
func (w *wreck) leaf(page []byte, fn element) error {
	if len(page) < pageHeader {
		w.lost++
		return nil
	}
	n := int64(len(page))
	for i := range int64(binary.NativeEndian.Uint16(page[10:])) {
		at := pageHeader + i*elementSize
		if at+elementSize > n {
			w.lost++
			break
		}
		e := page[at:]
		key := at + int64(u32(e[4:]))
		value := key + int64(u32(e[8:]))
		end := value + int64(u32(e[12:]))
		if end > n {
			w.lost++
			continue
		}
		if err := fn(u32(e), page[key:value], page[value:end]); err != nil {
			return err
		}
	}
	return nil
}
