package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/tocsin/tocsin/store"
)

const (
	// lockTimeout is how long Open waits for another process to let go.
	lockTimeout = 2 * time.Second
	// mapped is how much address space is set aside for the file at once: as
	// long as it suffices, readers and a growing file do not wait for one another.
	mapped = 1 << 30
)

// Open opens the file, or makes it and its folder. Every entry is read and
// checked before anything is written: a file that is not whole is refused with
// an ErrDamaged that says what is wrong with it, and left as it is.
func Open(c Config, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s, err := open(c, log, now, reg)
	if err != nil {
		return nil, explain(c.Path, err)
	}
	return s, nil
}

// explain says what to do about a file that cannot be opened.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("open %s: another process has locked it: is a second tocsin running?", path)
	case errors.Is(err, errNewer):
		return fmt.Errorf("open %s: %w: run that release, or restore a backup of before the upgrade (tocsin restore)", path, err)
	case errors.Is(err, store.ErrDamaged):
		return fmt.Errorf("open %s: %w; move the file aside (keep it, it may be repaired) and start with a backup or without", path, err)
	default:
		return fmt.Errorf("open %s: %w", path, err)
	}
}

func open(c Config, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, err
	}
	found, err := inspect(c.Path)
	if err != nil {
		return nil, err
	}
	var db *bbolt.DB
	err = guard(func() error {
		if db, err = openFile(c.Path); err != nil {
			return err
		}
		return prepare(db, found, c.Path)
	})
	if err == nil {
		_ = os.Remove(c.Path + compacting) // of a crash: nothing is lost with it
		var s *Store
		if s, err = start(db, c.Path, found, log, now, reg); err == nil {
			return s, nil
		}
	}
	if db != nil {
		_ = db.Close()
	}
	return nil, err
}

// openFile opens a file for writing. The list of free pages is not kept in it but
// made anew here: it has no checksum, and a wrong one would let good pages be
// overwritten.
func openFile(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapped,
	})
}

// contents is what a file holds: what the index and the expiries start from.
type contents struct {
	tx       int // ID of its last transaction
	mark     mark
	items    []sequenced
	expiring []store.Record
	buckets  bool // false: nothing was ever committed
	format   uint64
	written  int64 // the index's clock at the last commit, Unix nanoseconds; 0: not known
}

type sequenced struct {
	seq    uint64
	stored stored
}

// inspect reads and checks a whole file without changing it. bbolt must not open
// a file for writing before that: it follows the pages in a goroutine of its
// own, where nobody could catch the panic with which it meets a wrong one.
func inspect(path string) (*contents, error) {
	found := &contents{}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return found, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no plain file: write the path of one")
	}
	if err != nil {
		return nil, err
	}
	err = guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
		if err != nil {
			return refused(err)
		}
		defer func() { _ = db.Close() }()
		if err := checkPages(path, db); err != nil {
			return err
		}
		return db.View(found.read)
	})
	return found, err
}

// refused makes ErrDamaged of bbolt's words for a file that is none of its own,
// and leaves alone what the system says about reaching it.
func refused(err error) error {
	_, path := errors.AsType[*fs.PathError](err)
	_, system := errors.AsType[syscall.Errno](err)
	if path || system || errors.Is(err, berrors.ErrTimeout) {
		return err
	}
	return damaged("file", "head", err)
}

// prepare makes the buckets of a new file, and makes sure that an old one has
// not changed since it was inspected.
func prepare(db *bbolt.DB, found *contents, path string) error {
	if !found.buckets {
		err := db.Update(func(tx *bbolt.Tx) error {
			for _, name := range []string{bucketRecords, bucketItems, bucketMeta} {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			meta := tx.Bucket([]byte(bucketMeta))
			if err := writeFormat(meta, format); err != nil {
				return err
			}
			return mark{}.write(meta)
		})
		if err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return db.View(func(tx *bbolt.Tx) error {
		m, err := readMark(tx.Bucket([]byte(bucketMeta)))
		if err == nil && m != found.mark {
			err = errors.New("it changed while it was opened: is a second tocsin running?")
		}
		found.tx = tx.ID()
		return err
	})
}

// syncFolder makes a new file's name durable: bbolt syncs only what is in it.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// read walks all entries, and compares them with the mark.
func (c *contents) read(tx *bbolt.Tx) error {
	meta, records, items := tx.Bucket([]byte(bucketMeta)), tx.Bucket([]byte(bucketRecords)), tx.Bucket([]byte(bucketItems))
	if meta == nil && records == nil && items == nil && tx.ID() <= 1 {
		return nil // bbolt's first two heads, and no transaction since
	}
	if meta == nil || records == nil || items == nil {
		return damaged("bucket", "root", errors.New("it lacks one of the buckets"))
	}
	c.buckets = true
	var err error
	if c.format, err = readFormat(meta); err != nil {
		return err
	}
	if c.mark, err = readMark(meta); err != nil {
		return err
	}
	written, err := readNumber(meta, keyClock, formClock, 0)
	if err != nil {
		return err
	}
	c.written = int64(written)
	var tally1, tally2 tally
	err = walk(records, func(k, v []byte) error {
		e, err := unsealRecord(k, v)
		tally1.add(e.sum)
		if e.expires != 0 {
			c.expiring = append(c.expiring, store.Record{Key: string(k), Value: []byte{}, Expires: store.Instant(e.expires)})
		}
		return err
	})
	if err != nil {
		return err
	}
	err = walk(items, func(k, v []byte) error {
		s, err := unsealItem(k, v)
		tally2.add(s.sum)
		s.value = nil
		c.items = append(c.items, sequenced{seq: binary.BigEndian.Uint64(k), stored: s})
		return err
	})
	if err != nil {
		return err
	}
	if err := c.mark.records.match(bucketRecords, tally1); err != nil {
		return err
	}
	return c.mark.items.match(bucketItems, tally2)
}

// walk calls fn for every entry, and makes sure that a search finds it too: a
// key that is wrong in a page above it would hide it.
func walk(b *bbolt.Bucket, fn func(k, v []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		if err := fn(k, v); err != nil {
			return err
		}
		if !bytes.Equal(b.Get(k), v) {
			return damaged("entry", string(k), errors.New("a search does not find it"))
		}
		return nil
	})
}
