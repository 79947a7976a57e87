package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

// watchedStore notices when the store takes no writes, and has that told once it
// does again: before, there is nowhere to put the page.
type watchedStore struct {
	store.Store
	now  func() time.Time
	tell func(since time.Time, err error)

	mu    sync.Mutex
	since time.Time // of the first write that failed; zero: the last one did not
	first error
}

// Apply is the contract's.
func (s *watchedStore) Apply(ctx context.Context, ops ...store.Op) error {
	err := s.Store.Apply(ctx, ops...)
	switch {
	case err == nil:
		s.works()
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrFenced), errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled):
	default:
		s.fails(err)
	}
	return err
}

func (s *watchedStore) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since, s.first = s.now(), err
	}
}

func (s *watchedStore) works() {
	s.mu.Lock()
	since, err := s.since, s.first
	s.since, s.first = time.Time{}, nil
	s.mu.Unlock()
	if !since.IsZero() {
		go s.tell(since, err) // it writes to the store itself
	}
}

// storeAlarm tells people that the store took no writes for a while.
func (h *house) storeAlarm(since time.Time, err error) {
	rooms := h.rooms.Load()
	if rooms == nil {
		return
	}
	now := h.lent.now()
	severity := page.Critical
	if now.Sub(since) < 10*time.Second {
		severity = page.Warning
	}
	e := webhook.Alarm("TocsinStoreFailed",
		fmt.Sprintf("the store took no writes for %s: %v", now.Sub(since).Round(100*time.Millisecond), err),
		"Webhooks were answered 503 meanwhile, and Alertmanager sends them again. It works again; see what the disk has: docs/runbooks/store.md.",
		page.Labels{"severity": string(severity)}, now)
	if err := rooms.door.Door.Put(context.Background(), e); err != nil {
		h.options.Log.Error("raise alarm", "err", err)
	}
}
