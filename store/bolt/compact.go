package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// compacting is appended to the file's name while it is compacted.
	compacting = ".compact"
	// compactEvery is how often it is looked whether compacting is worth it.
	compactEvery = time.Minute
	// compactFree is how much must be free, and compactTimes how often what is
	// in use must fit into that: what is copied while writers wait stays small.
	compactFree  = 64 << 20
	compactTimes = 3
	// compactBatch bounds one transaction of the copy.
	compactBatch = 16 << 20
)

// Size is how large the file is, and how much of it is in use, in bytes.
type Size struct{ File, Used int64 }

// Size returns the file's size. What is free is used again before it grows.
func (s *Store) Size() Size {
	var size Size
	_ = s.read(func(tx *bbolt.Tx) error {
		info, err := os.Stat(s.path)
		if err == nil {
			stats := tx.DB().Stats()
			size = Size{File: info.Size(), Used: tx.Size() - int64(stats.FreeAlloc)}
		}
		return err
	})
	return size
}

// compactIfWorth compacts the file when it is mostly free. Only the writer calls it.
func (s *Store) compactIfWorth() {
	now := s.now()
	if since := now.Sub(time.Unix(0, s.looked.Load())); since >= 0 && since < compactEvery || !s.failing.IsZero() || s.unsettled {
		return
	}
	s.looked.Store(now.UnixNano())
	size := s.Size()
	if free := size.File - size.Used; free < compactFree || free < compactTimes*size.Used {
		return
	}
	if err := s.compact(); err != nil {
		s.log.Warn("file is not compacted: it is tried again", "err", err)
	}
}

// compact copies what is in use to a new file, and puts that in the place of the
// old one. Nothing is written meanwhile, so both say the same until the new one
// is in place; what is acknowledged from then on is in a file whose name is on
// disk, see settleFolder.
func (s *Store) compact() error {
	began := time.Now()
	old := s.db.Load()
	before := s.Size()
	copied := s.path + compacting
	_ = os.Remove(copied) // of a try that failed
	next, err := s.copyTo(copied, old)
	if err == nil {
		err = os.Rename(copied, s.path)
	}
	if err != nil {
		if next != nil {
			_ = next.Close()
		}
		return errors.Join(err, os.Remove(copied))
	}
	s.unsettled = true
	id := 0
	err = next.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	s.durable.reset(id)
	s.db.Store(next)
	s.running.Go(func() { _ = old.Close() }) // waits for its readers
	err = errors.Join(err, s.settleFolder())
	s.metrics.compact.Observe(time.Since(began).Seconds())
	s.log.Info("file compacted", "before", before.File, "after", s.Size().File, "took", time.Since(began))
	return err
}

// copyTo returns a copy of a file, synced and compared with its mark.
func (s *Store) copyTo(path string, old *bbolt.DB) (*bbolt.DB, error) {
	next, err := openFile(path)
	if err != nil {
		return nil, err
	}
	err = guard(func() error {
		if err := bbolt.Compact(next, old, compactBatch); err != nil {
			return err
		}
		var copied contents
		if err := next.View(copied.read); err != nil {
			return err
		}
		if copied.mark != s.mark {
			return errors.New("the copy is not what was copied")
		}
		return nil
	})
	return next, err
}

// settleFolder makes sure that the folder names the file that is written to.
func (s *Store) settleFolder() error {
	if err := syncFolder(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	s.unsettled = false
	return nil
}
