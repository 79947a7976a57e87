// Package bolt is the store's default engine: one bbolt file, with a group
// commit, checksums and an index of the lanes of its own.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store"
)

// Config is the store's section.
type Config struct {
	Path     string `yaml:"path" doc:"File that holds the state. Its folder is made if it is missing; only this user can read either. Not on NFS, and not on tmpfs."`
	MaxBytes int64  `yaml:"max_bytes" doc:"How large the state may grow: beyond it problems that are over go before their time, the oldest first. What is open is never dropped, nor a webhook refused for it. 0: any size."`
}

// DefaultConfig is what a key that is not written means.
func DefaultConfig() Config {
	return Config{Path: "data/tocsin.db", MaxBytes: 1 << 30}
}

// minMaxBytes is the least that can be meant: an empty file has some size.
const minMaxBytes = 16 << 20

// Validate is config.Validator's.
func (c Config) Validate() error {
	if c.Path == "" {
		return config.Bad("path", "is empty: write the path of the state's file, e.g. data/tocsin.db")
	}
	if c.MaxBytes != 0 && c.MaxBytes < minMaxBytes {
		return config.Bad("max_bytes", "%d is too small: write at least %d (16 MiB)", c.MaxBytes, minMaxBytes)
	}
	return nil
}

// Store is the engine. Open makes one.
type Store struct {
	db        atomic.Pointer[bbolt.DB] // compacting puts another in its place
	path      string
	log       *slog.Logger
	now       func() time.Time
	sync      func(*bbolt.Tx) error // commits; a test puts a failing disk here
	metrics   *metrics
	requests  chan *request // to the writer
	durable   durable
	index     *index
	expiries  *expiries
	watchers  *watchers
	stop      chan struct{} // closed by Close
	once      sync.Once
	running   sync.WaitGroup // writer, janitor and scrub
	reopening sync.RWMutex   // held while there is no file to read
	calls     sync.WaitGroup // the watchers' calls

	// the writer's own
	mark      mark         // of the last transaction that the index follows
	failing   time.Time    // since when no commit has come through; zero: the last one did
	unsettled bool         // the folder does not surely name the file yet
	looked    atomic.Int64 // when compacting was last thought of, Unix nanoseconds
}

var _ store.Store = (*Store)(nil)

// start begins the work of a store whose file has been checked.
func start(db *bbolt.DB, path string, c *contents, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (*Store, error) {
	s := &Store{
		path: path, log: log, now: now, sync: (*bbolt.Tx).Commit, mark: c.mark,
		requests: make(chan *request),
		durable:  durable{last: c.tx},
		index:    newIndex(now),
		expiries: newExpiries(),
		watchers: newWatchers(),
		stop:     make(chan struct{}),
	}
	s.db.Store(db)
	s.looked.Store(now().UnixNano())
	s.index.clock.atLeast(c.written)
	s.index.load(c.items)
	for _, r := range c.expiring {
		s.expiries.set(r)
	}
	var err error
	if s.metrics, err = newMetrics(reg, s); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.running.Go(s.write)
	s.running.Go(s.janitor)
	s.running.Go(s.scrub)
	return s, nil
}

// Get is the contract's.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	var out store.Record
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketRecords)).Get([]byte(key))
		if b == nil {
			return fmt.Errorf("%w: record %q", store.ErrNotFound, key)
		}
		e, err := unsealRecord([]byte(key), b)
		if err != nil {
			return err
		}
		if e.expired(s.now().UnixNano()) {
			return fmt.Errorf("%w: record %q has expired", store.ErrNotFound, key)
		}
		out = e.record(key)
		return nil
	})
	return out, err
}

// Scan is the contract's.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	var out []store.Record
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		now := s.now().UnixNano()
		c := tx.Bucket([]byte(bucketRecords)).Cursor()
		k, v := c.Seek([]byte(max(prefix, after)))
		if string(k) == after {
			k, v = c.Next()
		}
		for ; len(out) < limit && k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			e, err := unsealRecord(k, v)
			if err != nil {
				return err
			}
			if !e.expired(now) {
				out = append(out, e.record(string(k)))
			}
		}
		return nil
	})
	return out, err
}

// Take is the contract's. A damaged item is told of once, with ErrDamaged; it is
// kept in the file, and the items behind it have their turn.
func (s *Store) Take(ctx context.Context, lane string, ttl time.Duration) (store.Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return store.Lease{}, err
		}
		if s.closed() {
			return store.Lease{}, store.ErrClosed
		}
		it, lease, wait := s.index.take(lane, ttl)
		if it != nil {
			return s.fetch(it, lease)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return store.Lease{}, ctx.Err()
		case <-s.stop:
			return store.Lease{}, store.ErrClosed
		}
	}
}

// fetch reads the item of a lease.
func (s *Store) fetch(it *item, lease store.Lease) (store.Lease, error) {
	err := s.read(func(tx *bbolt.Tx) error {
		seq := sequence(it.seq)
		f, err := unsealItem(seq, tx.Bucket([]byte(bucketItems)).Get(seq))
		if err != nil {
			return err
		}
		lease.Item = store.Item{
			Lane: f.lane, ID: f.id, Key: f.key, Priority: int(f.priority),
			Due:   store.Instant(shift(f.due, -s.index.clock.offset())),
			Value: append([]byte{}, f.value...), Attempt: int(f.attempt),
		}
		return nil
	})
	if errors.Is(err, store.ErrDamaged) {
		s.index.setAside(it)
		return store.Lease{}, fmt.Errorf("take from lane %q: %w", it.lane.name, err)
	}
	return lease, err
}

// Lanes is the contract's.
func (s *Store) Lanes(context.Context) ([]store.LaneStat, error) { return s.index.stats(), nil }

// Watch is the contract's.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(store.Record, error)) {
	w := s.watchers.add(prefix)
	s.calls.Go(func() {
		defer s.watchers.remove(w)
		w.run(ctx, s.stop, fn)
	})
}

// Close is the contract's.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	s.running.Wait()
	s.index.close()
	s.metrics.close()
	s.calls.Wait()
	return s.db.Load().Close() // waits for readers
}

// view runs fn on what is durable. A commit that failed may still show in the
// file: then nothing is said before another one has succeeded.
func (s *Store) view(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var id int
	failed := s.read(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return fn(tx)
	})
	safe, err := s.durable.wait(ctx, id)
	if err == nil && !safe {
		err = s.submit(ctx, &request{force: true})
	}
	if err != nil {
		return err
	}
	return failed
}

// read runs fn on what the file shows.
func (s *Store) read(fn func(*bbolt.Tx) error) error {
	db := s.db.Load()
	err := guard(func() error { return db.View(fn) })
	for errors.Is(err, store.ErrClosed) { // it was compacted or opened again meanwhile
		s.reopening.RLock()
		next := s.db.Load()
		s.reopening.RUnlock()
		if next == db {
			break
		}
		db = next
		err = guard(func() error { return db.View(fn) })
	}
	if errors.Is(err, store.ErrClosed) && !s.closed() {
		err = errors.New("the file could not be opened again")
	}
	s.metrics.note(err)
	return err
}

func (s *Store) closed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// guard runs fn, and makes an error of what bbolt does where the pages make no
// sense: it panics, or follows them to memory that is not there.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: pages of the file: %v", store.ErrDamaged, p)
		}
	}()
	err = fn()
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}
