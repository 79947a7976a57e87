// Package etcd is the store's second engine: the same contract on an etcd
// cluster that exists already, shared by two or more replicas of Tocsin.
//
// # Keys
//
// All keys lie under the configured prefix.
//
//	r/<key>          a record: expiry, and the value or where its chunks are
//	i/<lane>/<id>    an item of a lane: place, due, priority, attempt, order key, value (the lane is escaped)
//	l/<lane>/<id>    the lease of that item, attached to the etcd lease of the replica that holds it
//	c/<body>/<n>     a chunk of a value that is too large for one transaction, never changed
//	o/<batch>        the marker of an upload that no record or item points at yet
//
// Every value is sealed with a CRC32C over key and value (see envelope.go), and
// checked on every read: etcd's own pages carry none.
//
// A record's revision is etcd's ModRevision of its key, which only grows, also
// over a delete and a new create. An item's place is the revision that enqueued
// it, and its index in that batch; Retry writes the place down, for it changes
// the ModRevision.
//
// # Batches
//
// One batch is one etcd transaction: what it asks for is compared, and done, at
// one revision, after a quorum has it on disk. An operation that touches two
// keys is a transaction inside it, so that 100 operations stay below etcd's 128.
//
// # Lanes
//
// Each replica keeps an index of all lanes in memory: read once, at one revision,
// then kept by a watch from the next. Take chooses by the index, and lets a
// transaction judge: the item must be the version that was chosen, and its lease
// must not exist. So the index may lag, and harms nobody. A choice cannot be
// outdated in a way that the transaction does not see: nothing ever comes before
// the head of an order key while that exists, and only heads are leased.
//
// # Leases, fencing and clocks
//
// A lease is a key, and its token the key's ModRevision: Done, Retry and Extend
// compare it in the transaction that does the work. No clock takes part in that.
//
// When a lease ends is judged by two. While the holder lives, by the holder: when
// its own monotonic clock says that the time is over, it deletes the key. When it
// is killed, stopped, or cut off, by etcd: the key hangs on an etcd lease of ten
// seconds, which the holder keeps alive. A replica that was stopped for a minute
// and wakes finds its leases gone, and its batches are refused.
//
// What is done outside of etcd cannot be refused. Therefore an Extend also renews
// the etcd lease, unless half of it is left for sure: counted from before the
// request that renewed it, for nobody else is given the item sooner. That is
// [store.Sure], within which a holder begins what it does elsewhere.
//
// Due times and expiries of records are wall clock times, judged by the replica
// that looks: of several clocks the one most ahead decides. A skew moves them by
// as much as the clocks differ, and never makes two replicas own one item.
//
// # What the cluster must allow
//
// Transactions of 128 operations and requests of 1.5 MiB (etcd's defaults), read
// and write on the prefix, and leases. Compaction is the cluster's own business;
// the engine reads only the present, and rereads when it finds its place
// compacted. auto-compaction-mode=periodic with a retention of 5m or so, and a
// quota of a few times the live data, keep the file small.
package etcd
