package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

const month = 30 * 24 * time.Hour

// keeper is a Keeper on a real store, inside a bubble of synctest.
type keeper struct {
	*testing.T
	pipeline.Keeper
	used int64
	log  bytes.Buffer
}

func newKeeper(t *testing.T, dir string) *keeper {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(dir, "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	k := &keeper{T: t}
	k.Keeper = pipeline.Keeper{
		Store: s, Retention: month, MaxBytes: 1000, Used: func() int64 { return k.used },
		History: &pipeline.History{Path: filepath.Join(dir, "history.jsonl"), Now: time.Now},
		Lanes:   map[string]bool{"deliver/slack/here": true},
		Log:     slog.New(slog.NewTextHandler(&k.log, nil)), Now: time.Now, Metrics: pipeline.NewMetrics(nil),
	}
	return k
}

// put stores a problem that ended at, zero for an open one, with a page and two
// receipts for each of its episodes.
func (k *keeper) put(id string, episodes int, ended time.Time) {
	k.Helper()
	p := page.Problem{ID: id, State: page.Open, Episode: episodes, Ended: ended}
	if !ended.IsZero() {
		p.State = page.Closed
	}
	ops := []store.Op{k.record(store.ProblemKey(id), p)}
	for e := 1; e <= episodes; e++ {
		at := time.Now().Add(-time.Duration(episodes-e) * 20 * 24 * time.Hour)
		ops = append(ops, k.record(store.PageKey(id, e), page.Page{Problem: id, Episode: e, Title: fmt.Sprintf("%s of %s", id, at), Clock: page.Clock{Decided: at}}))
		for _, target := range []string{"slack/a", "pagerduty/b"} {
			ops = append(ops, k.record(store.ReceiptKey(id, e, target), page.Receipt{Problem: id, Episode: e, Target: target, At: at}))
		}
	}
	for _, op := range ops {
		require.NoError(k, k.Store.Apply(k.Context(), op))
	}
}

func (k *keeper) record(key string, v any) store.Op {
	b, err := store.Marshal(v)
	require.NoError(k, err)
	return store.Put(key, b)
}

func (k *keeper) keys() []string {
	recs, err := k.Store.Scan(k.Context(), "", "", 10_000)
	require.NoError(k, err)
	var keys []string
	for _, r := range recs {
		keys = append(keys, r.Key)
	}
	return keys
}

func (k *keeper) history() []string {
	b, err := os.ReadFile(k.History.Path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(k, err)
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestOverAndOldGoes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		now := time.Now()
		k.put("old", 1, now.Add(-month-time.Second))
		k.put("older than its neighbour", 1, now.Add(-month-time.Second))
		k.put("young", 1, now.Add(-month+time.Minute))
		k.put("open", 1, time.Time{})
		k.put("often", 60, now.Add(-month-time.Second)) // more than one batch
		require.NoError(t, k.Store.Apply(t.Context(), k.record("change/1", 1), k.record("quarantine/1", 1)))
		require.NoError(t, k.Sweep(t.Context()))
		require.Equal(t, []string{
			"change/1", "page/open/00000001", "page/young/00000001", "problem/open", "problem/young", "quarantine/1",
			"receipt/open/00000001/pagerduty/b", "receipt/open/00000001/slack/a", "receipt/young/00000001/pagerduty/b", "receipt/young/00000001/slack/a",
		}, k.keys())
		lines := k.history()
		require.Len(t, lines, 3)
		var line struct {
			Dropped  time.Time
			Problem  string
			Pages    []page.Page
			Receipts []page.Receipt
		}
		require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
		require.Equal(t, "often", line.Problem)
		require.True(t, line.Dropped.Equal(now))
		require.Len(t, line.Pages, 60)
		require.Len(t, line.Receipts, 120)
		require.Equal(t, 60, line.Receipts[119].Episode)
		require.NoError(t, k.Sweep(t.Context()), "again")
		require.Len(t, k.history(), 3)
	})
}

func TestOldEpisodesOfTheLivingGo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		k.put("flaps", 4, time.Time{}) // of 60, 40, 20 days ago and of now
		require.NoError(t, k.Sweep(t.Context()))
		require.Equal(t, []string{
			"page/flaps/00000003", "page/flaps/00000004", "problem/flaps",
			"receipt/flaps/00000003/pagerduty/b", "receipt/flaps/00000003/slack/a", "receipt/flaps/00000004/pagerduty/b", "receipt/flaps/00000004/slack/a",
		}, k.keys())
		require.Len(t, k.history(), 1)
	})
}

// All that a problem left behind goes with it, and its timeline is written down.
func TestTheTrailGoesWhole(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		old := time.Now().Add(-2 * month)
		receipt := page.Receipt{Delivery: "d", Ref: "r", Further: []string{"f"}, Problem: "old", Episode: 1, Target: "slack/a", At: old}
		for _, op := range []store.Op{
			k.record(store.ProblemKey("old"), page.Problem{ID: "old", State: page.Closed, Episode: 1, Ended: old}),
			k.record(store.ReceiptKey("old", 1, "slack/a"), receipt),
			k.record(store.TimelineKey("old", 1, "pipeline", 0), page.Entry{At: old.Add(time.Second), Text: "second"}),
			k.record(store.TimelineKey("old", 1, "notify", 0), page.Entry{At: old.Add(2 * time.Second), Text: "third"}),
			k.record(store.TimelineKey("old", 1, "pipeline", 1), page.Entry{At: old, Text: "first"}),
			k.record(store.ChartKey("old", 1), page.Chart{Title: "x"}),
			k.record(store.DeadKey("slack/a", "old", 1), receipt),
			k.record(store.DeliveryKey("slack/a", "d"), "k"), k.record(store.DeliveryKey("slack/a", "r"), "k"), k.record(store.DeliveryKey("slack/a", "f"), "k"),
			k.record(store.TimelineKey("older", 1, "pipeline", 0), page.Entry{}), // of another problem
		} {
			require.NoError(t, k.Store.Apply(t.Context(), op))
		}
		require.NoError(t, k.Sweep(t.Context()))
		require.Equal(t, []string{store.TimelineKey("older", 1, "pipeline", 0)}, k.keys())
		var line struct{ Timeline []page.Entry }
		require.NoError(t, json.Unmarshal([]byte(k.history()[0]), &line))
		require.Equal(t, []string{"first", "second", "third"}, texts(line.Timeline))
	})
}

// What is over goes before its time when the store is too large: the oldest
// first, and nothing that has just closed.
func TestTooLarge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		for i := range 5 {
			k.put(fmt.Sprintf("closed %d", i), 1, time.Now().Add(-time.Duration(5-i)*time.Hour))
		}
		k.put("just closed", 1, time.Now().Add(-time.Minute))
		k.put("open", 1, time.Time{})
		k.Used = func() int64 { return int64(len(k.keys())) * 50 } // 28 records
		require.NoError(t, k.Sweep(t.Context()))
		require.Len(t, k.history(), 3, "1400, 1200, 1000, and 800 is at most 900")
		require.Contains(t, k.history()[0], "closed 0")
		require.NotContains(t, k.log.String(), "larger than it may be")
		k.MaxBytes = 100
		require.NoError(t, k.Sweep(t.Context()))
		require.Equal(t, 8, len(k.keys()), "what is open and what has just closed stays")
		require.Contains(t, k.log.String(), "raise store.bolt.max_bytes")
	})
}

// A problem that opens again while it is being dropped stays.
func TestDropLosesToAFiring(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		k.put("p", 1, time.Now().Add(-2*month))
		k.Store = &opening{Store: k.Store, open: func() {
			require.NoError(t, k.Store.(*opening).Store.Apply(t.Context(), k.record(store.ProblemKey("p"), page.Problem{ID: "p", State: page.Open, Episode: 2})))
		}}
		require.NoError(t, k.Sweep(t.Context()))
		require.Contains(t, k.keys(), "problem/p")
	})
}

// opening lets something happen before a batch that deletes.
type opening struct {
	store.Store
	open func()
}

func (o *opening) Apply(ctx context.Context, ops ...store.Op) error {
	if ops[0].Kind == store.OpDelete {
		o.open()
	}
	return o.Store.Apply(ctx, ops...)
}

func TestOrphanedWork(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		k.put("open", 1, time.Time{})
		var ops []store.Op
		for _, lane := range []string{"deliver/slack/here", "deliver/slack/gone", store.LaneEvents} {
			for _, p := range []string{"open", "dropped"} {
				ops = append(ops, store.Enqueue(store.Item{Lane: lane, ID: p, Key: p}))
			}
		}
		require.NoError(t, k.Store.Apply(t.Context(), ops...))
		require.NoError(t, k.Sweep(t.Context()))
		stats, err := k.Store.Lanes(t.Context())
		require.NoError(t, err)
		left := map[string]int{}
		for _, s := range stats {
			left[s.Lane] = s.Items
		}
		require.Equal(t, map[string]int{"deliver/slack/here": 2, "deliver/slack/gone": 1, store.LaneEvents: 2}, left)
		require.Contains(t, k.log.String(), "not in the config")
		lease, err := k.Store.Take(t.Context(), "deliver/slack/gone", time.Minute)
		require.NoError(t, err, "whoever takes the lane again finds it")
		require.Equal(t, "open", lease.ID)
	})
}

func TestHistoryIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	h := &pipeline.History{Path: filepath.Join(dir, "h.jsonl"), Now: time.Now}
	require.NoError(t, h.Append([]byte(`{"n":1}`)))
	require.NoError(t, os.Truncate(h.Path, 64<<20))
	require.NoError(t, h.Append([]byte(`{"n":2}`)))
	require.NoError(t, h.Append([]byte(`{"n":3}`)))
	b, err := os.ReadFile(h.Path)
	require.NoError(t, err)
	require.Equal(t, "{\"n\":2}\n{\"n\":3}\n", string(b))
	files, err := filepath.Glob(h.Path + ".*")
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(h.Path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// Nothing is dropped that could not be written to the history.
func TestHistoryBroken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, dir)
		k.History.Path = filepath.Join(dir, "no such folder", "h.jsonl")
		k.put("old", 1, time.Now().Add(-2*month))
		require.ErrorContains(t, k.Sweep(t.Context()), "write history")
		require.Len(t, k.keys(), 4)
	})
}
