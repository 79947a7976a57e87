//go:build faults

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// effect is what the program did to its file, or said to the world.
type effect struct {
	write    []byte // to the file
	at       int64
	size     int64  // ≥ 0: it set the file's length
	synced   bool   // a sync has returned
	accepted string // a webhook of this problem was answered 202
	sent     string // to Slack or PagerDuty
}

// TestFaultPower records all that the program does to its file, and plays it
// again up to a random moment: what was synced is there, and of the rest any
// part, in any order, torn between any two sectors. Every webhook that had been
// answered by then is in the file, and so is the intent of every message that
// had been sent.
func TestFaultPower(t *testing.T) {
	const cuts = 60
	each := seeds(5)
	g := newGateway(t, each[0], "")
	trace := filepath.Join(g.dir, "trace")
	g.start([]string{"strace", "-f", "-qq", "-xx", "-s", "20000000", "-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write", "-o", trace})
	g.ready()
	rng := rand.New(rand.NewPCG(each[0], 11))
	var all sync.WaitGroup
	for n := range 40 {
		part := func() time.Duration { return time.Duration(1+rng.IntN(300)) * time.Millisecond }
		first, life := 4*part(), crash.Life{Grows: part(), Lasts: part(), Until: g.paged(n)}
		all.Go(func() {
			pause(first)
			g.sender.Live(t.Context(), n, life)
		})
	}
	all.Wait()
	g.settled(time.Minute)
	g.kill()
	deliveries := receipts(t, g.db)
	require.NotEmpty(t, deliveries)
	effects := readEffects(t, trace, deliveries)

	damaged, accepted, sent := 0, 0, 0
	for _, seed := range each {
		for range cuts {
			rng := rand.New(rand.NewPCG(seed, uint64(accepted+sent)))
			at := rng.IntN(len(effects))
			image := filepath.Join(t.TempDir(), "tocsin.db")
			told, messages := cut(t, effects[:at], image, rng)
			s, err := bolt.Open(bolt.Config{Path: image}, slog.New(slog.DiscardHandler), time.Now, nil)
			if errors.Is(err, store.ErrDamaged) {
				damaged++
				t.Logf("seed %d, cut at %d of %d: %v", seed, at, len(effects), err)
				continue
			}
			require.NoError(t, err, "seed %d, cut at %d of %d", seed, at, len(effects))
			has := webhooksIn(t, s)
			for problem, n := range told {
				require.GreaterOrEqual(t, has[problem], n, "seed %d, cut at %d: %s was answered 202 %d times", seed, at, problem, n)
				accepted += n
			}
			for delivery := range messages {
				_, err := s.Get(t.Context(), deliveries[delivery])
				require.NoError(t, err, "seed %d, cut at %d: a message left before its intent was on disk", seed, at)
				sent++
			}
			require.NoError(t, s.Close())
			require.NoError(t, os.Remove(image))
		}
	}
	t.Logf("%d effects, %d cuts: %d answers 202 and %d messages looked for, 0 lost; %d files refused as damaged",
		len(effects), cuts*len(each), accepted, sent, damaged)
	require.Positive(t, accepted)
	require.Positive(t, sent)
	require.Zero(t, damaged, "no honest disk damages the file")
}

// readEffects reads strace's record. Only the engine writes at an offset.
func readEffects(t *testing.T, trace string, deliveries map[string]string) []effect {
	t.Helper()
	f, err := os.Open(trace)
	require.NoError(t, err)
	defer f.Close()
	var (
		out     []effect
		write   = regexp.MustCompile(`pwrite64\(\d+, "([^"]*)", \d+, (\d+)`)
		length  = regexp.MustCompile(`ftruncate\(\d+, (\d+)`)
		said    = regexp.MustCompile(`write\(\d+, "([^"]*)"`)
		synced  = regexp.MustCompile(`(?:fdatasync|fsync)(?:\(\d+\)| resumed>\)) += 0`)
		answer  = regexp.MustCompile(`^HTTP/1.1 202 (?s:.*)"status":"accepted","problem":"([0-9a-f]{64})"`)
		sixteen = regexp.MustCompile(`[0-9a-f]{64}`)
	)
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		switch {
		case write.MatchString(line):
			m := write.FindStringSubmatch(line)
			at, err := strconv.ParseInt(m[2], 10, 64)
			require.NoError(t, err)
			out = append(out, effect{write: unhex(t, m[1]), at: at, size: -1})
		case length.MatchString(line):
			size, err := strconv.ParseInt(length.FindStringSubmatch(line)[1], 10, 64)
			require.NoError(t, err)
			out = append(out, effect{size: size})
		case synced.MatchString(line):
			out = append(out, effect{synced: true, size: -1})
		case said.MatchString(line):
			text := string(unhex(t, said.FindStringSubmatch(line)[1]))
			if m := answer.FindStringSubmatch(text); m != nil {
				out = append(out, effect{accepted: m[1], size: -1})
				continue
			}
			if strings.HasPrefix(text, "time=") {
				continue // the log
			}
			for _, id := range sixteen.FindAllString(text, -1) {
				if deliveries[id] != "" {
					out = append(out, effect{sent: id, size: -1})
				}
			}
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	require.NoError(t, err)
	return b
}

// cut writes the file that a power failure leaves, and returns how many webhooks
// of each problem had been answered, and which messages had been sent.
func cut(t *testing.T, effects []effect, path string, rng *rand.Rand) (told map[string]int, messages map[string]bool) {
	t.Helper()
	told, messages = map[string]int{}, map[string]bool{}
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	var pending []effect
	put := func(e effect, torn bool) {
		if e.size >= 0 {
			require.NoError(t, f.Truncate(e.size))
			return
		}
		for i := 0; i < len(e.write); i += sector {
			if torn && rng.IntN(2) == 0 {
				continue
			}
			_, err := f.WriteAt(e.write[i:min(len(e.write), i+sector)], e.at+int64(i))
			require.NoError(t, err)
		}
	}
	for _, e := range effects {
		switch {
		case e.accepted != "":
			told[e.accepted]++
		case e.sent != "":
			messages[e.sent] = true
		case e.synced:
			for _, p := range pending {
				put(p, false)
			}
			pending = nil
		default:
			pending = append(pending, e)
		}
	}
	rng.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
	for _, p := range pending {
		switch rng.IntN(3) {
		case 0:
		case 1:
			put(p, false)
		case 2:
			put(p, p.size < 0)
		}
	}
	return told, messages
}

// webhooksIn returns how many of a problem's three webhooks a store has: the
// first fires, with the second an alert joins, the third resolves.
func webhooksIn(t *testing.T, s *bolt.Store) map[string]int {
	t.Helper()
	has := map[string]int{}
	note := func(problem string, alerts int, over bool) {
		n := alerts
		if over {
			n = 3
		}
		has[problem] = max(has[problem], n)
	}
	recs, err := s.Scan(t.Context(), store.ProblemPrefix, "", 1<<20)
	require.NoError(t, err)
	for _, rec := range recs {
		var p page.Problem
		require.NoError(t, store.Unmarshal(rec.Value, &p))
		note(p.ID, len(p.Members), p.State == page.Closed)
	}
	lanes, err := s.Lanes(t.Context())
	require.NoError(t, err)
	waiting := 0
	for _, l := range lanes {
		if l.Lane == store.LaneEvents {
			waiting = l.Items
		}
	}
	for range waiting {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		l, err := s.Take(ctx, store.LaneEvents, time.Hour)
		cancel()
		require.NoError(t, err)
		var e page.Event
		require.NoError(t, store.Unmarshal(l.Value, &e))
		if n := e.Notification; n != nil {
			note(e.Problem, len(n.Alerts), n.Status == page.Resolved)
		}
		require.NoError(t, s.Apply(t.Context(), store.Done(l)))
	}
	return has
}

// receipts returns the keys of a file's receipts by the ID of their delivery.
func receipts(t *testing.T, path string) map[string]string {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	defer s.Close()
	recs, err := s.Scan(t.Context(), "receipt/", "", 1<<20)
	require.NoError(t, err)
	out := map[string]string{}
	for _, rec := range recs {
		var r page.Receipt
		require.NoError(t, store.Unmarshal(rec.Value, &r))
		out[r.Delivery] = rec.Key
	}
	return out
}
