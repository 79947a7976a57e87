package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Board follows the store: it knows the open problems as rows, and of all other
// pages when they were opened, so that a history can be told newest first. It
// tells its readers what changed. One board serves all of them.
type Board struct {
	archive *Archive
	log     *slog.Logger

	mu      sync.Mutex
	opened  map[string]int64  // stub.at by key of the page
	order   []stub            // oldest first
	rows    map[string]Row    // of the open ones, by key
	names   map[string]string // of receivers: few, and on many pages
	known   bool              // all there is was read
	dirty   map[string]bool   // keys of pages that changed
	moved   map[string]bool   // problems of which something else changed
	lagged  bool              // changes were missed: read all again
	readers map[*reader]bool
	wake    chan struct{}
}

// stub is what is remembered of a page that is not open.
type stub struct {
	key      string // store.PageKey
	at       int64  // opened, Unix nanoseconds
	severity page.Severity
	receiver string
	open     bool
}

// reader is somebody who wants to be told. Its channel holds one signal at most:
// whoever is slow misses none but the doubles.
type reader struct {
	problem string // "": of any change
	changed chan struct{}
}

const (
	settle = 200 * time.Millisecond // between two looks at what changed: many changes of one page are one
	again  = 5 * time.Second        // after a store that could not be read
)

// NewBoard returns a board that is empty until Run.
func NewBoard(a *Archive, log *slog.Logger) *Board {
	return &Board{
		archive: a, log: log, wake: make(chan struct{}, 1), readers: map[*reader]bool{},
		opened: map[string]int64{}, rows: map[string]Row{}, names: map[string]string{}, dirty: map[string]bool{}, moved: map[string]bool{},
	}
}

// Run follows the store until ctx ends.
func (b *Board) Run(ctx context.Context) {
	for _, prefix := range []string{store.PagesPrefix, store.LedgerPrefix} {
		b.archive.Store.Watch(ctx, prefix, b.watched)
	}
	b.Reread()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		if err := b.catchUp(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("read pages for the board: tried again", "err", err)
			b.signal()
			pause(ctx, again)
		}
		pause(ctx, settle)
	}
}

// Reread reads all pages again: what may be shown of them has changed.
func (b *Board) Reread() {
	b.mu.Lock()
	b.lagged = true
	b.mu.Unlock()
	b.signal()
}

func (b *Board) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// watched only notes what changed: the watcher must not wait.
func (b *Board) watched(rec store.Record, err error) {
	b.mu.Lock()
	switch {
	case errors.Is(err, store.ErrLagged):
		b.lagged = true
	case err != nil:
	case strings.HasPrefix(rec.Key, store.PagesPrefix):
		b.dirty[rec.Key] = true
	default:
		problem, _, _ := strings.Cut(strings.TrimPrefix(rec.Key, store.LedgerPrefix), "/")
		b.moved[problem] = true
	}
	b.mu.Unlock()
	b.signal()
}

// catchUp reads what changed since it was last called, and tells the readers.
func (b *Board) catchUp(ctx context.Context) error {
	b.mu.Lock()
	all := b.lagged
	b.lagged = false
	b.mu.Unlock()
	if all {
		if err := b.readAll(ctx); err != nil {
			b.mu.Lock()
			b.lagged = true
			b.mu.Unlock()
			return err
		}
	}
	return b.refresh(ctx)
}

// refresh reads the pages that changed.
func (b *Board) refresh(ctx context.Context) error {
	b.mu.Lock()
	dirty, moved := b.dirty, b.moved
	b.dirty, b.moved = map[string]bool{}, map[string]bool{}
	b.mu.Unlock()
	for key := range dirty {
		rec, err := b.archive.Store.Get(ctx, key)
		switch {
		case missing(err):
			b.forget(key)
		case errors.Is(err, store.ErrDamaged):
			b.log.Error("read page for the board", "key", key, "err", err)
		case err != nil:
			b.mu.Lock()
			maps.Copy(b.dirty, dirty)
			maps.Copy(b.moved, moved)
			b.mu.Unlock()
			return fmt.Errorf("read page: %w", err)
		default:
			b.note(rec)
		}
		problem, _ := parsePageKey(key)
		moved[problem] = true
	}
	b.tell(moved)
	return nil
}

// readAll reads every page there is, and forgets those that are gone. Changes
// meanwhile do not wait for its end.
func (b *Board) readAll(ctx context.Context) error {
	there := map[string]bool{}
	for after := ""; ; {
		recs, err := b.archive.Store.Scan(ctx, store.PagesPrefix, after, batch)
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return fmt.Errorf("read pages: %w", err)
		}
		for _, rec := range recs {
			there[rec.Key], after = true, rec.Key
			b.note(rec)
		}
		if err != nil { // what lies behind a damaged record shows once it changes
			b.log.Error("read pages for the board: the history is not whole", "err", err)
			break
		}
		if len(recs) < batch {
			break
		}
		if err := b.refresh(ctx); err != nil {
			return err
		}
	}
	b.mu.Lock()
	var gone []string
	for key := range b.opened {
		if !there[key] && !b.dirty[key] {
			gone = append(gone, key)
		}
	}
	b.known = true
	b.mu.Unlock()
	for _, key := range gone { // one that came meanwhile is there
		if _, err := b.archive.Store.Get(ctx, key); missing(err) {
			b.forget(key)
		}
	}
	b.tell(nil)
	return nil
}

// note takes in a page's record. Of one that is over little is read.
func (b *Board) note(rec store.Record) {
	var v struct { // of page.Page
		State    page.State    `json:"state"`
		Severity page.Severity `json:"severity"`
		Receiver string        `json:"receiver"`
		Cluster  string        `json:"cluster"`
		Clock    page.Clock    `json:"clock"`
	}
	if err := store.Unmarshal(rec.Value, &v); err != nil {
		b.log.Error("read page for the board", "key", rec.Key, "err", err)
		return
	}
	if (page.Page{Cluster: v.Cluster, Receiver: v.Receiver}).IsCanary() {
		return // Tocsin tried itself: that is nobody's history
	}
	s := stub{key: rec.Key, at: store.Nanos(opened(v.Clock)), severity: v.Severity, receiver: v.Receiver, open: v.State == page.Open}
	var row Row
	if s.open {
		var whole page.Page
		if err := store.Unmarshal(rec.Value, &whole); err != nil {
			b.log.Error("read page for the board", "key", rec.Key, "err", err)
			return
		}
		row = rowOf(whole.Redact(b.archive.Redact()...))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names[s.receiver] == "" {
		b.names[s.receiver] = s.receiver
	}
	s.receiver = b.names[s.receiver]
	b.drop(s.key)
	b.opened[s.key] = s.at
	i, _ := slices.BinarySearchFunc(b.order, s, stub.compare)
	b.order = slices.Insert(b.order, i, s)
	if s.open {
		b.rows[s.key] = row
	}
}

func (b *Board) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(key)
}

// drop forgets a page. The caller holds the lock.
func (b *Board) drop(key string) {
	at, ok := b.opened[key]
	if !ok {
		return
	}
	delete(b.opened, key)
	delete(b.rows, key)
	if i, found := slices.BinarySearchFunc(b.order, stub{key: key, at: at}, stub.compare); found {
		b.order = slices.Delete(b.order, i, i+1)
	}
}

func (s stub) compare(o stub) int {
	return cmp.Or(cmp.Compare(s.at, o.at), strings.Compare(s.key, o.key))
}

// Open returns the open problems, the worst first, and whether that is all:
// after a start, reading them takes a moment.
func (b *Board) Open() (rows []Row, all bool) {
	b.mu.Lock()
	rows, all = slices.Collect(maps.Values(b.rows)), b.known
	b.mu.Unlock()
	slices.SortFunc(rows, worstFirst)
	return rows, all
}

// Follow returns a channel on which a problem's changes are signalled, or those
// of all where that is "", until ctx ends. Signals that nobody took are one.
func (b *Board) Follow(ctx context.Context, problem string) <-chan struct{} {
	r := &reader{problem, make(chan struct{}, 1)}
	b.mu.Lock()
	b.readers[r] = true
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		delete(b.readers, r)
		b.mu.Unlock()
	})
	return r.changed
}

// tell signals those who follow one of the problems, or all; nil means that any
// may have changed.
func (b *Board) tell(problems map[string]bool) {
	if problems != nil && len(problems) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.readers {
		if r.problem == "" || problems == nil || problems[r.problem] {
			select {
			case r.changed <- struct{}{}:
			default:
			}
		}
	}
}

func parsePageKey(key string) (problem string, episode int) {
	problem, n, _ := strings.Cut(strings.TrimPrefix(key, store.PagesPrefix), "/")
	episode, _ = strconv.Atoi(n) // what is no number is nobody's page
	return problem, episode
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
