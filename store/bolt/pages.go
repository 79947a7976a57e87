package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"go.etcd.io/bbolt"
)

// bbolt's file, format 2, as far as its structure goes. Numbers are in the
// machine's own byte order.
//
//	page     id 8 · flags 2 · count 2 · overflow 4 · count elements · keys and values
//	head     magic 4 · version 4 · page size 4 · flags 4 · root 8 · sequence 8 · freelist 8 · end 8 · transaction 8 · FNV-1a 8
//	branch   position 4 · key size 4 · page 8
//	leaf     flags 4 · position 4 · key size 4 · value size 4
//
// Positions count from their element. A bucket is a leaf's element with flag 1,
// whose value begins with its root page; 0: it lies in the value itself.
const (
	pageHeader  = 16
	headSize    = 64
	headSum     = 56
	elementSize = 16

	branchPage    = 1
	leafPage      = 2
	bucketElement = 1
)

// pages checks what bbolt takes on trust: that both heads are right, and that
// every page is what it says, as long as it says, and in one place only. Without
// that its search for free pages can run out of memory, or take a page for free
// that is not.
type pages struct {
	file *os.File
	size int64 // of a page
	used []bool
}

func checkPages(path string, db *bbolt.DB) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p := &pages{file: f, size: int64(db.Info().PageSize)}
	root, end, err := p.heads()
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if end > uint64(info.Size()/p.size) {
		return damaged("file", "end", fmt.Errorf("it has %d pages, and should have %d", info.Size()/p.size, end))
	}
	p.used = make([]bool, end)
	return p.walk(root)
}

// heads checks both head pages, and returns the root page of the last commit and
// the number of pages. bbolt makes do with one head, and so with the state before
// the last commit when the newer one is damaged. A crash tears neither: what
// counts of them is shorter than a disk's sector.
func (p *pages) heads() (root, end uint64, err error) {
	var ids [2]uint64
	for i := range ids {
		head := make([]byte, headSize)
		if _, err := p.file.ReadAt(head, int64(i)*p.size+pageHeader); err != nil {
			return 0, 0, err
		}
		h := fnv.New64a()
		_, _ = h.Write(head[:headSum])
		if h.Sum64() != u64(head[headSum:]) {
			return 0, 0, damaged("page", fmt.Sprint(i), errors.New("one of the file's two heads: the last commit may be missing"))
		}
		if ids[i] = u64(head[48:]); ids[i] >= ids[0] {
			root, end = u64(head[16:]), u64(head[40:])
		}
	}
	if ids[0]+1 != ids[1] && ids[1]+1 != ids[0] {
		return 0, 0, damaged("file", "heads", fmt.Errorf("they are of commits %d and %d, which do not follow one another: the last commit may be missing", ids[0], ids[1]))
	}
	return root, end, nil
}

// walk checks the page id and all below it.
func (p *pages) walk(id uint64) error {
	wrong := func(format string, args ...any) error {
		return damaged("page", fmt.Sprint(id), fmt.Errorf(format, args...))
	}
	if id < 2 || id >= uint64(len(p.used)) {
		return wrong("it lies outside of the file's %d pages", len(p.used))
	}
	page, err := p.read(id, p.size)
	if err != nil {
		return err
	}
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	overflow := uint64(u32(page[12:]))
	if u64(page) != id || flags != branchPage && flags != leafPage {
		return wrong("it says that it is page %d of sort %d", u64(page), flags)
	}
	if id+overflow >= uint64(len(p.used)) {
		return wrong("it says that %d more belong to it", overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if p.used[i] {
			return wrong("page %d is in two places", i)
		}
		p.used[i] = true
	}
	if need := pageHeader + int64(count)*elementSize; need > p.size {
		if page, err = p.read(id, min(need, int64(overflow+1)*p.size)); err != nil {
			return err
		}
		if need > int64(len(page)) {
			return wrong("its %d elements do not fit in it", count)
		}
	}
	children, length := p.elements(id, page, count, flags == leafPage)
	if (length+p.size-1)/p.size != int64(overflow)+1 { // as bbolt's spill allocates: a page may be full to the last byte
		return wrong("it holds %d bytes in %d pages", length, overflow+1)
	}
	for _, child := range children {
		if err := p.walk(child); err != nil {
			return err
		}
	}
	return nil
}

// elements returns the pages that a page leads to, and how long it is.
func (p *pages) elements(id uint64, page []byte, count int, leaf bool) (children []uint64, length int64) {
	length = pageHeader
	for i := range count {
		at := pageHeader + int64(i)*elementSize
		e := page[at : at+elementSize]
		if !leaf {
			children = append(children, u64(e[8:]))
			length = max(length, at+int64(u32(e))+int64(u32(e[4:])), at+elementSize)
			continue
		}
		value := at + int64(u32(e[4:])) + int64(u32(e[8:]))
		length = max(length, value+int64(u32(e[12:])), at+elementSize)
		if u32(e)&bucketElement == 0 {
			continue
		}
		var root [8]byte
		if _, err := p.file.ReadAt(root[:], int64(id)*p.size+value); err != nil {
			return []uint64{0}, length // no page leads to the head
		}
		if child := u64(root[:]); child != 0 {
			children = append(children, child)
		}
	}
	return children, length
}

func (p *pages) read(id uint64, n int64) ([]byte, error) {
	b := make([]byte, n)
	_, err := p.file.ReadAt(b, int64(id)*p.size)
	return b, err
}

func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }
