// Package store is the contract of the house's durable state: records changed
// by compare-and-set, and lanes of work, in one batch that is on disk before
// the call returns. The engines are its subfolders; storetest is what they keep.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors a caller branches on. Every engine returns them wrapped.
var (
	// ErrConflict: a condition of the batch did not hold; nothing of it was done.
	ErrConflict = errors.New("conflict")
	// ErrNotFound: no record under that key, or it has expired.
	ErrNotFound = errors.New("not found")
	// ErrFenced: the lease is no longer the caller's; nothing of the batch was done.
	ErrFenced = errors.New("lease lost")
	// ErrDamaged: what was read does not match its checksum.
	ErrDamaged = errors.New("damaged record")
	// ErrClosed: the store is closed, or closing.
	ErrClosed = errors.New("store closed")
)

// MaxOps is how many operations one batch may hold (etcd's usual limit is 128
// operations a transaction, some of which the engine needs itself).
const MaxOps = 100

// Store is one engine. All methods may be called from many goroutines.
//
// An error of Apply that is none of the above leaves the outcome unknown: the
// batch may be on disk. Callers make their batches safe to apply again (create
// if absent, compare and set) and do so.
type Store interface {
	// Apply does all operations or none, and returns once they survive a crash
	// of process and machine. Batches of concurrent callers share one sync.
	// Conditions are judged on what was there before the batch, so no batch may
	// name a record or a lease twice.
	Apply(ctx context.Context, ops ...Op) error
	// Get returns one record, ErrNotFound or ErrDamaged.
	Get(ctx context.Context, key string) (Record, error)
	// Scan returns up to limit records whose keys begin with prefix and are
	// greater than after, in byte order of their keys. A damaged record ends
	// the scan with ErrDamaged and the records before it.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Record, error)
	// Take waits for the next due item of a lane and leases it for ttl. Of the
	// items that share an order key only the oldest is ever due, and only while
	// none of them is leased; among due items the higher priority wins, then
	// the older. It returns ctx's error when ctx ends first.
	Take(ctx context.Context, lane string, ttl time.Duration) (Lease, error)
	// Lanes returns the state of every lane that holds an item.
	Lanes(ctx context.Context) ([]LaneStat, error)
	// Watch returns at once. From then on fn is called after each batch that
	// changed a record under prefix, in the order of the batches and never twice
	// at the same time, until ctx ends or the store is closed. A deleted or expired record
	// comes with a nil Value. A watcher that lags is told so by ErrLagged once,
	// and must read again what it needs.
	Watch(ctx context.Context, prefix string, fn func(Record, error))
	// Close waits for calls under way and releases the engine's resources.
	Close() error
}

// ErrLagged tells a watcher that changes were left out.
var ErrLagged = errors.New("watcher lagged")

// Record is one value and its revision. Revisions of a key only grow, also
// over a delete and a new create.
type Record struct {
	Key     string
	Value   []byte
	Rev     uint64
	Expires time.Time // zero: never
}

// Item is a piece of work in a lane.
type Item struct {
	Lane     string
	ID       string    // unique in its lane: enqueueing an ID that waits already changes nothing
	Key      string    // order key: items that share it are taken one at a time, oldest first
	Priority int       // higher first, between keys
	Due      time.Time // not before; zero: at once
	Value    []byte
	Attempt  int // how often it was put back by Retry; set by the engine
}

// Lease is an item that is the caller's until Until. What it did with the item
// goes into a batch as Done, Retry or Extend of the lease: if the lease was
// lost meanwhile, the whole batch is refused with ErrFenced.
type Lease struct {
	Item
	Token uint64
	Until time.Time
}

// Sure is for how long a lease is certain to be the caller's from the beginning of
// an Apply that extended it, by a clock that nobody sets, if it was extended for as
// long: whatever becomes of the process or its network meanwhile, nobody else is
// given the item before. What a holder does outside of the store it begins by then.
const Sure = 5 * time.Second

// LaneStat counts a lane.
type LaneStat struct {
	Lane   string
	Items  int       // all, leased ones too
	Leased int       //
	Oldest time.Time // when the oldest item was enqueued, or became due if that is later
}

// OpKind tells what an Op does.
type OpKind int

// The operations.
const (
	OpPut OpKind = iota
	OpDelete
	OpEnqueue
	OpDone
	OpRetry
	OpExtend
)

// Op is one operation of a batch; make them with the functions below.
type Op struct {
	Kind    OpKind
	Key     string
	Value   []byte
	Expires time.Time
	Cond    bool   // If must hold
	If      uint64 // the revision the record must have; 0: there must be none
	Item    Item
	Lease   Lease
	At      time.Time // OpRetry: due again; OpExtend: leased until
}

// Put writes a record whatever is there.
func Put(key string, value []byte) Op { return Op{Kind: OpPut, Key: key, Value: value} }

// Create writes a record that must not exist (an expired one does not).
func Create(key string, value []byte) Op {
	return Op{Kind: OpPut, Key: key, Value: value, Cond: true}
}

// Swap writes a record that must have revision rev; rev 0 means it must not exist.
func Swap(key string, rev uint64, value []byte) Op {
	return Op{Kind: OpPut, Key: key, Value: value, Cond: true, If: rev}
}

// Delete removes a record if it is there.
func Delete(key string) Op { return Op{Kind: OpDelete, Key: key} }

// DeleteIf removes a record that must have revision rev.
func DeleteIf(key string, rev uint64) Op { return Op{Kind: OpDelete, Key: key, Cond: true, If: rev} }

// Until lets the record of a Put, Create or Swap expire.
func (o Op) Until(t time.Time) Op { o.Expires = t; return o }

// Enqueue adds an item to its lane, unless one with its ID is there.
func Enqueue(it Item) Op { return Op{Kind: OpEnqueue, Item: it} }

// Done removes a leased item.
func Done(l Lease) Op { return Op{Kind: OpDone, Lease: l} }

// Retry puts a leased item back, due at t, in its old place among its order key.
func Retry(l Lease, t time.Time) Op { return Op{Kind: OpRetry, Lease: l, At: t} }

// Extend keeps a lease until t, for Sure at the least.
func Extend(l Lease, t time.Time) Op { return Op{Kind: OpExtend, Lease: l, At: t} }
