package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/store/storetest"
)

const filled = 400 // records, and as many items

func content(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("%04d ", i), 1+i%300)) }

// fill makes a file of several levels of pages, with free ones between them.
func fill(t testing.TB, dir string) {
	t.Helper()
	s := open(t, dir)
	for i := range filled {
		require.NoError(t, s.Apply(t.Context(), store.Put(fmt.Sprintf("k/%04d", i), []byte("old")), store.Put(fmt.Sprintf("gone/%04d", i), content(i))))
	}
	var ops []store.Op
	for i := range filled {
		ops = append(ops, store.Put(fmt.Sprintf("k/%04d", i), content(i)), store.Delete(fmt.Sprintf("gone/%04d", i)),
			store.Enqueue(store.Item{Lane: "l", ID: fmt.Sprint(i), Key: fmt.Sprint(i), Value: content(i)}))
		if len(ops) > store.MaxOps-3 {
			require.NoError(t, s.Apply(t.Context(), ops...))
			ops = nil
		}
	}
	require.NoError(t, s.Apply(t.Context(), ops...))
	require.NoError(t, s.Close())
}

// used reads a file up to its last page that holds anything: it grows by 16 MiB
// at a time.
func used(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	n := len(strings.TrimRight(string(b), "\x00"))
	return b[:min(len(b), (n+4095)/4096*4096)]
}

// write makes a new file: the one of before may still be locked, where bbolt
// gave up half-way.
func write(t testing.TB, path string, b []byte) {
	t.Helper()
	_ = os.Remove(path)
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

// whole makes sure that everything is served as it was written, or refused.
// It reports what was refused.
func whole(t *testing.T, s *bolt.Store) (refused int) {
	t.Helper()
	for i := range filled {
		key := fmt.Sprintf("k/%04d", i)
		r, err := s.Get(t.Context(), key)
		switch {
		case errors.Is(err, store.ErrDamaged):
			refused++
		case err != nil:
			require.NoError(t, err, key)
		default:
			require.Equal(t, string(content(i)), string(r.Value))
		}
	}
	records, err := s.Scan(t.Context(), "k/", "", 2*filled)
	if errors.Is(err, store.ErrDamaged) {
		refused++
	} else {
		require.NoError(t, err)
		require.Len(t, records, filled)
	}
	for _, r := range records {
		var i int
		_, err := fmt.Sscanf(r.Key, "k/%d", &i)
		require.NoError(t, err)
		require.Equal(t, string(content(i)), string(r.Value))
	}
	seen := map[string]bool{}
	for range filled {
		l, err := s.Take(t.Context(), "l", time.Hour)
		if errors.Is(err, store.ErrDamaged) {
			refused++
			continue
		}
		require.NoError(t, err)
		require.False(t, seen[l.ID])
		seen[l.ID] = true
		require.Equal(t, l.ID, l.Key)
		var i int
		_, err = fmt.Sscan(l.ID, &i)
		require.NoError(t, err)
		require.Equal(t, string(content(i)), string(l.Value))
	}
	return refused
}

// try opens a file that may be damaged.
func try(t *testing.T, path string) (*bolt.Store, error) {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	if err != nil {
		require.ErrorIs(t, err, store.ErrDamaged, "%v", err)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "move the file aside")
	}
	return s, err
}

func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	noticed := 0
	flips := 300
	if n, err := strconv.Atoi(os.Getenv("FLIPS")); err == nil { // make faults has many
		flips = n
	}
	for range flips {
		bad := append([]byte{}, good...)
		at := rand.IntN(len(bad))
		if rand.IntN(2) == 0 { // the beginnings of pages are where it hurts most
			at = at/4096*4096 + rand.IntN(80)
		}
		bad[at] ^= 1 << rand.IntN(8)
		write(t, path, bad)
		s, err := try(t, path)
		if err != nil {
			noticed++
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, bad, after, "a damaged file is left as it is")
			continue
		}
		if n := whole(t, s); n != 0 {
			t.Errorf("byte %d: Open did not notice, %d reads did", at, n)
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, noticed, flips/4)
	t.Logf("%d of %d were noticed, the others hit nothing that counts", noticed, flips)
}

func TestDamagedPages(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	const page = 4096
	for at := 0; at < len(good); at += page * (1 + rand.IntN(4)) {
		for name, harm := range map[string]func([]byte){
			"zeroed":  func(b []byte) { clear(b[at : at+page]) },
			"of ones": func(b []byte) { copy(b[at:at+page], strings.Repeat("\xff", page)) },
			"another": func(b []byte) { copy(b[at:at+page], good[(at+5*page)%len(good):]) },
		} {
			bad := append([]byte{}, good...)
			harm(bad)
			write(t, path, bad)
			s, err := try(t, path)
			if err != nil {
				continue
			}
			require.Zero(t, whole(t, s), "page %d %s", at/page, name)
			require.NoError(t, s.Close())
		}
	}
}

func TestShortFile(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	for _, size := range []int{1, 100, 4096, 5000, 8192, 12288, len(good) / 4, len(good) / 2} {
		write(t, path, good[:size])
		_, err := try(t, path)
		require.Error(t, err, "%d bytes", size)
	}
}

// TestStalePage puts an old state of one page back: every checksum in it is
// right, and still something is missing.
func TestStalePage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Put("a", []byte("1"))))
	r, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	before := used(t, file(dir))
	s = open(t, dir)
	require.NoError(t, s.Apply(t.Context(), store.Swap("a", r.Rev, []byte("2"))))
	require.NoError(t, s.Close())
	after := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	const page = 4096
	// Not its two heads: a head whose last write was lost is the state before
	// the last commit, and nothing in the file could tell.
	for at := 2 * page; at < min(len(before), len(after)); at += page {
		bad := append([]byte{}, after...)
		copy(bad[at:at+page], before[at:])
		write(t, path, bad)
		s, err := try(t, path)
		if err != nil {
			continue
		}
		got, err := s.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "2", string(got.Value), "page %d", at/page)
		require.NoError(t, s.Close())
	}
}

// TestDamageWhileOpen flips bits under an engine that runs.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	good := used(t, file(dir))
	path := filepath.Join(dir, "damaged.db")
	noticed := 0
	for range 60 {
		write(t, path, good)
		reg := prometheus.NewRegistry()
		s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, reg)
		require.NoError(t, err)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		at := int64(8192 + rand.IntN(len(good)-8192))
		if string(good[at:at+1]) != " " { // most of the file is text: hit values, mostly
			at = int64(8192 + rand.IntN(len(good)-8192))
		}
		_, err = f.WriteAt([]byte{good[at] ^ 1<<rand.IntN(8)}, at)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		refused := readable(t, s)
		noticed += min(refused, 1)
		require.GreaterOrEqual(t, damages(t, reg), float64(refused))
		require.NoError(t, s.Close())
	}
	require.Greater(t, noticed, 5)
}

// readable is whole for a file whose pages changed under the engine: a search
// may then miss a key, and what it finds must be right.
func readable(t *testing.T, s *bolt.Store) (refused int) {
	t.Helper()
	for i := range filled {
		r, err := s.Get(t.Context(), fmt.Sprintf("k/%04d", i))
		if errors.Is(err, store.ErrDamaged) {
			refused++
		}
		if err != nil {
			continue
		}
		require.Equal(t, string(content(i)), string(r.Value))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range filled {
		l, err := s.Take(ctx, "l", time.Hour)
		if err != nil {
			require.ErrorIs(t, err, store.ErrDamaged)
			refused++
			continue
		}
		var i int
		_, err = fmt.Sscan(l.ID, &i)
		require.NoError(t, err)
		require.Equal(t, string(content(i)), string(l.Value))
	}
	return refused
}

func TestDamage(t *testing.T) {
	storetest.Damage(t, func(t *testing.T, dir string) store.Store { return open(t, dir) },
		func(t *testing.T, dir, text string) { flip(t, file(dir), text) })
}

// TestWriteOverDamage: what a damaged record was cannot be known.
func TestWriteOverDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Apply(t.Context(), store.Put("r", []byte("the value that is hit"))))
	flip(t, file(dir), "the value that is hit")
	_, err := s.Get(t.Context(), "r")
	require.ErrorContains(t, err, `record "r"`)
	require.ErrorIs(t, s.Apply(t.Context(), store.Put("r", nil)), store.ErrDamaged)
	require.NoError(t, s.Apply(t.Context(), store.Put("other", nil)))
}

// flip changes one byte of a text wherever the file holds it: in live pages, and
// in free ones.
func flip(t *testing.T, path, text string) {
	t.Helper()
	b := used(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	for at := bytes.Index(b, []byte(text)); at >= 0; at = bytes.Index(b, []byte(text)) {
		b[at] = '!'
		_, err = f.WriteAt(b[at:at+1], int64(at))
		require.NoError(t, err)
	}
}

// damages is what the metric says.
func damages(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "tocsin_store_damaged_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble it costs nothing
}

// TestScrub: damage is found although nobody reads what is damaged.
func TestScrub(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var log bytes.Buffer
		s, err := bolt.Open(bolt.Config{Path: file(dir)}, slog.New(slog.NewTextHandler(&log, nil)), time.Now, reg)
		require.NoError(t, err)
		pass(90 * time.Minute)
		synctest.Wait()
		require.Empty(t, log.String())
		flip(t, file(dir), strings.Repeat("0299 ", 300))
		pass(time.Hour)
		synctest.Wait()
		require.Contains(t, log.String(), "scrub found damage")
		require.Contains(t, log.String(), "k/0299")
		require.Equal(t, 2.0, damages(t, reg), "a record and an item hold it")
		require.NoError(t, s.Close())
	})
}
