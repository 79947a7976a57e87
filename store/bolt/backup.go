package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"go.etcd.io/bbolt"
)

// Backup writes a consistent copy of the file to w while the store is in use:
// all that was acknowledged before the call. A reader who is slow lets the file
// grow, for no page that he may still read is used again.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	return s.view(ctx, func(tx *bbolt.Tx) error {
		if _, err := tx.WriteTo(&until{ctx, w}); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
		return nil
	})
}

// until is a writer that fails once ctx has ended.
type until struct {
	ctx context.Context
	w   io.Writer
}

// Write is io.Writer's.
func (u *until) Write(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(b)
}

// Content says what a file holds.
type Content struct {
	Format  int // version of the file
	Records int
	Items   int    // of all lanes
	Last    uint64 // revision of its last change
}

// Check reads a whole file that nobody writes to, and checks it as Open does:
// every checksum, every page, and the mark. It changes nothing. A file that a
// running tocsin has locked is an error.
func Check(path string) (Content, error) {
	if _, err := os.Stat(path); err != nil {
		return Content{}, err // to inspect it would be a store that is not made yet
	}
	found, err := inspect(path)
	if err != nil {
		return Content{}, explain(path, err)
	}
	if !found.buckets {
		return Content{}, explain(path, damaged("file", "root", errors.New("there is nothing in it")))
	}
	return Content{
		Format: int(found.format), Last: found.mark.last,
		Records: int(found.mark.records.count), Items: int(found.mark.items.count),
	}, nil
}

// Unlocked makes sure that no process has a file open as its store. A file that
// is not there is unlocked.
func Unlocked(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s is in use: stop tocsin first", path)
	}
	return err
}
