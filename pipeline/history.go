package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// rotateAt is the size at which a history is begun anew.
const rotateAt = 64 << 20

// History appends lines to a file, each on disk before Append returns. A crash
// may leave one line torn and the next one doubled. The zero value with a Path
// is ready for use.
type History struct {
	Path string
	Now  func() time.Time

	mu sync.Mutex
}

// Append writes one line, which has no line break in it.
func (h *History) Append(line []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.append(line); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

func (h *History) append(line []byte) error {
	if info, err := os.Stat(h.Path); err == nil && info.Size() >= rotateAt {
		if err := os.Rename(h.Path, h.Path+"."+h.Now().UTC().Format("20060102T150405.000Z")); err != nil {
			return err
		}
	}
	_, missing := os.Stat(h.Path)
	f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(slices.Clip(line), '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil && missing != nil {
		err = syncFolder(filepath.Dir(h.Path))
	}
	return err
}

// syncFolder makes a new file's name durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// trail is what a problem leaves behind beside its own record.
type trail struct {
	pages    []kept[page.Page]
	receipts []kept[page.Receipt]
}

// kept is a record that was read.
type kept[T any] struct {
	key   string
	value T
}

// read returns the trail of a problem.
func (k *Keeper) read(ctx context.Context, problem string) (trail, error) {
	var t trail
	var err error
	if t.pages, err = scan[page.Page](ctx, k.Store, store.PagePrefix(problem)); err != nil {
		return t, err
	}
	t.receipts, err = scan[page.Receipt](ctx, k.Store, store.ReceiptsPrefix(problem))
	return t, err
}

func scan[T any](ctx context.Context, s store.Store, prefix string) ([]kept[T], error) {
	var out []kept[T]
	after := ""
	for {
		recs, err := s.Scan(ctx, prefix, after, scanned)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", prefix, err)
		}
		for _, rec := range recs {
			after = rec.Key
			r := kept[T]{key: rec.Key}
			if err := store.Unmarshal(rec.Value, &r.value); err != nil {
				return nil, fmt.Errorf("read %s: %w", rec.Key, err)
			}
			out = append(out, r)
		}
		if len(recs) < scanned {
			return out, nil
		}
	}
}

// of returns the part of the trail that is of one episode.
func (t trail) of(problem string, episode int) trail {
	var e trail
	for _, p := range t.pages {
		if p.key == store.PageKey(problem, episode) {
			e.pages = append(e.pages, p)
		}
	}
	for _, r := range t.receipts {
		if strings.HasPrefix(r.key, store.ReceiptPrefix(problem, episode)) {
			e.receipts = append(e.receipts, r)
		}
	}
	return e
}

// last is when anything of the trail changed last.
func (t trail) last() time.Time {
	var at time.Time
	for _, p := range t.pages {
		at = latest(at, p.value.Clock.Decided)
	}
	for _, r := range t.receipts {
		at = latest(at, r.value.At)
	}
	return at
}

func (t trail) keys() []string {
	var keys []string
	for _, p := range t.pages {
		keys = append(keys, p.key)
	}
	for _, r := range t.receipts {
		keys = append(keys, r.key)
	}
	return keys
}

// line is one line of the history.
type line struct {
	Dropped  time.Time      `json:"dropped"`
	Problem  string         `json:"problem"`
	Pages    []page.Page    `json:"pages"` // the last word of each episode, redacted as it was shown
	Receipts []page.Receipt `json:"receipts"`
}

func (t trail) line(problem string, at time.Time) line {
	l := line{Dropped: at, Problem: problem, Pages: []page.Page{}, Receipts: []page.Receipt{}}
	for _, p := range t.pages {
		l.Pages = append(l.Pages, p.value)
	}
	for _, r := range t.receipts {
		l.Receipts = append(l.Receipts, r.value)
	}
	slices.SortFunc(l.Receipts, func(a, b page.Receipt) int { return cmp.Compare(a.Episode, b.Episode) })
	return l
}
