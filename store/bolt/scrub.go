package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tocsin/tocsin/store"
)

const (
	// scrubEvery is how often all entries are read: damage is best found before
	// the entry is needed, while a backup still holds it.
	scrubEvery = time.Hour
	// scrubAtOnce is how many are read in one transaction: bbolt reuses no page
	// while a reader is under way.
	scrubAtOnce = 256
)

// scrub reads all entries now and then, until the store is closed.
func (s *Store) scrub() {
	timer := time.NewTimer(scrubEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.scrubBucket(bucketRecords, func(k, v []byte) error {
				_, err := unsealRecord(k, v)
				return err
			})
			s.scrubBucket(bucketItems, func(k, v []byte) error {
				_, err := unsealItem(k, v)
				return err
			})
			timer.Reset(scrubEvery)
		case <-s.stop:
			return
		}
	}
}

func (s *Store) scrubBucket(name string, check func(k, v []byte) error) {
	next := []byte{} // the first key that was not read yet; nil: none is left
	for next != nil {
		select {
		case <-s.stop:
			return
		default:
		}
		var found []error
		err := s.read(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte(name)).Cursor()
			k, v := c.Seek(next)
			for range scrubAtOnce {
				if k == nil {
					break
				}
				if err := check(k, v); err != nil {
					found = append(found, err)
				}
				k, v = c.Next()
			}
			next = clone(k)
			return nil
		})
		for _, err := range found {
			s.metrics.note(err)
			s.log.Error("scrub found damage: restore it from a backup", "bucket", name, "err", err)
		}
		if err != nil {
			if !errors.Is(err, store.ErrClosed) {
				s.log.Error("scrub", "bucket", name, "err", err)
			}
			return
		}
	}
}
