package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// What a failed commit leaves behind. A kernel that could not write a page says
// so once, to the sync under way, and may then hold the page for clean although
// it is not on disk: a sync that is simply repeated would succeed and mean
// nothing. bbolt never changes a page that is in use, so there are two cases:
//
//   - The sync of the pages failed. The transaction is undone, its pages are
//     free; whoever uses them next writes them whole.
//   - The sync of the head failed. The pages below it are on disk, the head may
//     not be, and the file shows it as long as the kernel remembers. It is
//     written anew by the second commit from here, for heads take turns.
//
// So nothing is acknowledged before two whole commits have come through, and
// there is no need to open the file again or to end the process. Should the
// kernel have forgotten the head meanwhile, the file shows the state before the
// failed commit, which nobody was told had succeeded: the index is read again.

// failed notes that a commit did not come through.
func (s *Store) failed(err error) {
	s.metrics.failed.Inc()
	if !s.failing.IsZero() {
		return
	}
	s.failing = time.Now()
	s.metrics.failing.Set(1)
	s.log.Error("store takes no writes: it goes on by itself once the disk does", "err", err)
}

// mend makes sure, after a failed commit, that the disk has what the file shows.
// Only the writer calls it.
func (s *Store) mend() error {
	if s.unsettled {
		if err := s.settleFolder(); err != nil {
			return err
		}
	}
	if s.failing.IsZero() {
		return nil
	}
	if err := s.agree(); err != nil {
		return err
	}
	for range 2 {
		if err := s.commitNothing(); err != nil {
			return err
		}
	}
	s.log.Warn("store takes writes again", "after", time.Since(s.failing))
	s.failing = time.Time{}
	s.metrics.failing.Set(0)
	return nil
}

// agree opens the file again if it shows another state than the index follows:
// bbolt's list of free pages is that of the other state too.
func (s *Store) agree() error {
	var m mark
	err := s.read(func(tx *bbolt.Tx) (err error) {
		m, err = readMark(tx.Bucket([]byte(bucketMeta)))
		return err
	})
	if err == nil && m == s.mark {
		return nil
	}
	if err == nil && m.last > s.mark.last {
		return errStranger()
	}
	return s.reopen()
}

func errStranger() error {
	return damaged("file", "mark", errors.New("it is not what was last written to it: is a second tocsin running?"))
}

// reopen reads the state of the file anew. Readers wait; leases of before are lost.
func (s *Store) reopen() error {
	s.reopening.Lock()
	defer s.reopening.Unlock()
	if err := s.db.Load().Close(); err != nil {
		return err
	}
	found, err := inspect(s.path)
	if err != nil {
		return err
	}
	if !found.buckets {
		return damaged("file", "root", errors.New("there is nothing in it"))
	}
	db, err := openFile(s.path)
	if err != nil {
		return err
	}
	if err := prepare(db, found, s.path); err != nil {
		return errors.Join(err, db.Close())
	}
	s.log.Warn("disk has lost a commit that had failed: the state of before is read again")
	s.durable.reset(found.tx)
	s.mark = found.mark
	s.db.Store(db)
	s.index.load(found.items)
	s.expiries.load(found.expiring)
	s.watchers.lag()
	return nil
}

// commitNothing writes a head, and syncs it.
func (s *Store) commitNothing() error {
	tx, err := s.db.Load().Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	g := &group{index: s.index, now: s.now}
	if err := g.begin(tx); err != nil {
		return err
	}
	if g.mark != s.mark {
		return errStranger()
	}
	if err := g.seal(); err != nil {
		return err
	}
	g.wrote = true
	err = s.commit(tx, 0)
	if err == nil || s.took(g) {
		s.mark = g.mark
	}
	return err
}
