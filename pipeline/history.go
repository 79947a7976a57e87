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
	timeline []kept[page.Entry]
	charts   []kept[struct{}] // pictures go without a trace
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
	if t.receipts, err = scan[page.Receipt](ctx, k.Store, store.ReceiptsPrefix(problem)); err != nil {
		return t, err
	}
	if t.timeline, err = scan[page.Entry](ctx, k.Store, store.TimelinePrefix(problem)); err != nil {
		return t, err
	}
	t.charts, err = scan[struct{}](ctx, k.Store, store.ChartPrefix(problem))
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
	for _, l := range t.timeline {
		if strings.HasPrefix(l.key, store.TimelineOf(problem, episode)) {
			e.timeline = append(e.timeline, l)
		}
	}
	for _, c := range t.charts {
		if c.key == store.ChartKey(problem, episode) {
			e.charts = append(e.charts, c)
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
	for _, l := range t.timeline {
		at = latest(at, l.value.At)
	}
	return at
}

// keys are those of all records that go with the trail, each once.
func (t trail) keys() []string {
	var keys []string
	for _, p := range t.pages {
		keys = append(keys, p.key)
	}
	for _, r := range t.receipts {
		v := r.value
		keys = append(keys, r.key, store.DeadKey(v.Target, v.Problem, v.Episode))
		for _, ref := range append([]string{v.Delivery, v.Ref}, v.Further...) {
			keys = append(keys, store.DeliveryKey(v.Target, ref))
		}
	}
	for _, l := range t.timeline {
		keys = append(keys, l.key)
	}
	for _, c := range t.charts {
		keys = append(keys, c.key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// line is one line of the history.
type line struct {
	Dropped  time.Time      `json:"dropped"`
	Problem  string         `json:"problem"`
	Pages    []page.Page    `json:"pages"` // the last word of each episode, redacted as it was shown
	Receipts []page.Receipt `json:"receipts"`
	Timeline []page.Entry   `json:"timeline"` // of all episodes, in the order of time
}

func (t trail) line(problem string, at time.Time) line {
	l := line{Dropped: at, Problem: problem, Pages: []page.Page{}, Receipts: []page.Receipt{}, Timeline: []page.Entry{}}
	for _, p := range t.pages {
		l.Pages = append(l.Pages, p.value)
	}
	for _, r := range t.receipts {
		l.Receipts = append(l.Receipts, r.value)
	}
	for _, e := range t.timeline {
		l.Timeline = append(l.Timeline, e.value)
	}
	slices.SortStableFunc(l.Timeline, func(a, b page.Entry) int { return a.At.Compare(b.At) })
	slices.SortFunc(l.Receipts, func(a, b page.Receipt) int { return cmp.Compare(a.Episode, b.Episode) })
	return l
}
