package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/storetest"
)

// childWorks makes the child a replica that works instead of one that writes.
const childWorks = "TOCSIN_TEST_ETCD_WORKS"

// child is what this binary does when a test runs it to kill it.
func child() {
	s, err := Open(context.Background(), childConfig(), slog.New(slog.DiscardHandler), time.Now, nil)
	if err != nil {
		panic(err)
	}
	if os.Getenv(childWorks) == "" {
		storetest.WriteUntilKilled(s, os.Stdout)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { work(context.Background(), s) })
	}
	all.Wait()
}

// work does what a room does: take an item, spend some time on it, and write the
// outcome together with Done. The ledger of an order key lists what was done of it.
func work(ctx context.Context, s *Store) {
	for {
		l, err := s.Take(ctx, "work", time.Minute)
		if err != nil {
			if errors.Is(err, store.ErrClosed) || ctx.Err() != nil {
				return
			}
			s.pause(200 * time.Millisecond)
			continue
		}
		for {
			s.pause(time.Duration(30+rand.IntN(60)) * time.Millisecond)
			if err = enter(ctx, s, l); err == nil || errors.Is(err, store.ErrFenced) {
				break
			}
		}
		if err != nil {
			_, _ = fmt.Fprintln(os.Stdout, "fenced", l.ID)
		}
	}
}

// enter writes an item into the ledger of its key.
func enter(ctx context.Context, s *Store, l store.Lease) error {
	within, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	key := "ledger/" + l.Key
	r, err := s.Get(within, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.Apply(within, store.Swap(key, r.Rev, append(r.Value, l.ID+" "...)), store.Done(l))
}
