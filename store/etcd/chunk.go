package etcd

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// How much of values one transaction may carry: etcd refuses requests of more
// than 1.5 MiB, and keys and conditions need their part.
const (
	maxInline = 512 << 10
	chunkSize = 512 << 10
)

// upload writes the largest values of a batch as chunks, so that what is left of
// it fits into one transaction. A marker comes first. The batch that points at
// the chunks deletes it, and can only be done while it is there; so an upload
// that was given up is known by its marker, and can be cleared away at any time.
func (s *Store) upload(ctx context.Context, b *batch) error {
	large := outsized(b.bodies)
	if len(large) == 0 {
		return nil
	}
	b.upload = rand.Text()
	key := sectionMarker + b.upload
	res, err := s.cluster.txn(ctx, nil, []clientv3.Op{clientv3.OpPut(s.at(key), seal(key, sealed(formMarker, 0)))}, nil)
	if err != nil {
		return fmt.Errorf("announce upload: %w", err)
	}
	b.marker = res.Header.Revision
	for _, i := range large {
		value := b.bodies[i].inline
		to := ref{id: fmt.Sprintf("%s/%02d", b.upload, i), size: len(value)}
		for part := range slices.Chunk(value, chunkSize) {
			key := fmt.Sprintf("%s%s/%06d", sectionChunk, to.id, to.chunks)
			put := clientv3.OpPut(s.at(key), seal(key, append(sealed(formChunk, len(part)), part...)))
			if _, err := s.cluster.txn(ctx, nil, []clientv3.Op{put}, nil); err != nil {
				return fmt.Errorf("upload chunk: %w", err)
			}
			to.chunks++
		}
		b.bodies[i] = body{ref: to}
	}
	return nil
}

// outsized returns the bodies, largest first, without which the rest fits.
func outsized(bodies []body) []int {
	var total int
	var order []int
	for i, b := range bodies {
		total += len(b.inline)
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(bodies[b].inline), len(bodies[a].inline)) })
	n := 0
	for ; total > maxInline; n++ {
		total -= len(bodies[order[n]].inline)
	}
	return order[:n]
}

// discard clears away an upload that came to nothing. If that fails, the janitor
// does it.
func (s *Store) discard(ctx context.Context, upload string) {
	_, _ = s.cluster.txn(context.WithoutCancel(ctx), nil, s.clearing(upload), nil)
}

// clearing deletes an upload and its marker.
func (s *Store) clearing(upload string) []clientv3.Op {
	return []clientv3.Op{
		clientv3.OpDelete(s.at(sectionMarker + upload)),
		clientv3.OpDelete(s.at(sectionChunk+upload+"/"), clientv3.WithPrefix()),
	}
}

// batchOf is the upload that a body belongs to.
func batchOf(body string) string {
	upload, _, _ := strings.Cut(body, "/")
	return upload
}
