//go:build faults

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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

// compactFile names the variable with the path of the file that a child is to
// write to, and to compact.
const compactFile = "TOCSIN_COMPACT"

// writeAndCompact writes records one by one and says which were acknowledged.
// By its clock minutes go by between them, so that compacting is thought of.
func writeAndCompact(t *testing.T, path string) {
	began := time.Now()
	s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), func() time.Time {
		now := time.Now()
		return now.Add(10_000 * now.Sub(began))
	}, nil)
	require.NoError(t, err)
	for i := range 300 {
		key := fmt.Sprintf("new/%03d", i)
		require.NoError(t, s.Apply(context.Background(), store.Put(key, []byte(key))))
		fmt.Fprintln(os.Stdout, key)
		pause(10 * time.Millisecond)
	}
	require.NoError(t, s.Close())
}

// TestFaultCompact kills a program in the middle of compacting its file: what
// was acknowledged before or after is there, and of the copy nothing is left
// once the file was opened again.
func TestFaultCompact(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full.db")
	fillAndFree(t, full)
	for _, d := range []struct {
		name, path, calls string
		most              int
	}{
		{"before the copy", ".compact", "openat", 1},
		{"in the copy", ".compact", "pwrite64", 4},
		{"before the copy is synced", ".compact", "fdatasync", 2},
		{"before the rename", ".compact", "renameat,renameat2", 1},
		{"before the folder is synced", "/", "fsync", 1},
	} {
		for _, seed := range seeds(3) {
			t.Run(fmt.Sprintf("%s/seed %d", d.name, seed), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "tocsin.db")
				b, err := os.ReadFile(full)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(path, b, 0o600))
				watched := path + d.path
				if d.path == "/" {
					watched = filepath.Dir(path)
				}
				when := 1 + rand.New(rand.NewPCG(seed, 17)).IntN(d.most)
				acked := runUntilKilled(t, path, "strace", "-f", "-qq", "-o", "/dev/null", "-P", watched, "-e", "trace="+d.calls,
					"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", d.calls, when), os.Args[0], "-test.run=^TestFaultChild$")
				s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
				require.NoError(t, err)
				require.NoFileExists(t, path+".compact")
				for i := range 200 {
					acked = append(acked, fmt.Sprintf("old/%03d", i))
				}
				for _, key := range acked {
					r, err := s.Get(t.Context(), key)
					require.NoError(t, err)
					require.True(t, strings.HasPrefix(string(r.Value), key))
				}
				require.NoError(t, s.Close())
			})
		}
	}
}

// fillAndFree makes a file that is large, and nearly all free.
func fillAndFree(t *testing.T, path string) {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	var ops, gone []store.Op
	for i := range 80 {
		key := fmt.Sprintf("big/%d", i)
		ops, gone = append(ops, store.Put(key, make([]byte, 1<<20))), append(gone, store.Delete(key))
	}
	for part := range 8 {
		require.NoError(t, s.Apply(t.Context(), ops[10*part:10*part+10]...))
	}
	for part := range 8 {
		require.NoError(t, s.Apply(t.Context(), gone[10*part:10*part+10]...))
	}
	for i := range 200 {
		key := fmt.Sprintf("old/%03d", i)
		require.NoError(t, s.Apply(t.Context(), store.Put(key, []byte(key+strings.Repeat(" ", 20_000)))))
	}
	require.NoError(t, s.Close())
}

// runUntilKilled returns what a child said until it was killed.
func runUntilKilled(t *testing.T, path string, args ...string) (said []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), compactFile+"="+path, "GOMAXPROCS=1") // strace counts for each thread
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break // the last line may be torn: it was not said
		}
		require.NoError(t, err)
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "new/") {
			said = append(said, line)
		}
	}
	require.ErrorContains(t, cmd.Wait(), "killed", "it ended by itself, after %d records", len(said))
	require.NoError(t, ctx.Err())
	return said
}

// TestFaultSweep kills the program while it drops what is over. Every problem is
// in the history, maybe twice, and nothing of it is in the store after the next
// sweep.
func TestFaultSweep(t *testing.T) {
	const problems = 5
	strace := func(call string) func(*gateway, int, string) {
		return func(g *gateway, n int, clock string) {
			g.start([]string{
				"strace", "-f", "-qq", "-o", "/dev/null", "-P", "history.jsonl", "-P", filepath.Join(g.dir, "history.jsonl"),
				"-e", "trace=" + call,
				"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, min(n, 2)),
			}, clock)
		}
	}
	batch := func(when string) func(*gateway, int, string) {
		return func(g *gateway, n int, clock string) {
			g.start(nil, clock, fmt.Sprintf("%s=%s drop,%d", dieAt, when, n))
		}
	}
	for name, arm := range map[string]func(*gateway, int, string){
		"before a line": strace("openat"), "before a line is written": strace("write"), "before a line is synced": strace("fsync"),
		"before the records go": batch("before"), "after they went": batch("after"),
	} {
		for _, seed := range seeds(2) {
			t.Run(fmt.Sprintf("%s/seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				g := newGateway(t, seed, ", history: history.jsonl")
				clock := filepath.Join(g.dir, "clock")
				require.NoError(t, os.WriteFile(clock, []byte("0s"), 0o600))
				g.start(nil, clockFile+"="+clock)
				g.ready()
				var all sync.WaitGroup
				for n := range problems {
					all.Go(func() { g.sender.Live(t.Context(), n, crash.Life{Until: g.paged(n)}) })
				}
				all.Wait()
				g.settled(30 * time.Second)
				g.kill()
				require.NoError(t, os.WriteFile(clock, []byte("1000h"), 0o600))
				arm(g, 1+rand.New(rand.NewPCG(seed, 19)).IntN(problems-1), clockFile+"="+clock)
				select {
				case <-g.ended():
				case <-time.After(30 * time.Second):
					t.Fatalf("it did not die\n%s", g.tail())
				}
				g.start(nil, clockFile+"="+clock)
				require.Eventually(t, func() bool { return len(notIn(t, g.dir, problems)) == 0 }, 30*time.Second, 20*time.Millisecond)
				g.ready()
				pause(time.Second) // the sweep ends
				g.kill()
				require.Empty(t, notIn(t, g.dir, problems))
				s, err := bolt.Open(bolt.Config{Path: g.db}, slog.New(slog.DiscardHandler), time.Now, nil)
				require.NoError(t, err)
				left, err := s.Scan(t.Context(), store.ProblemPrefix, "", 100)
				require.NoError(t, err)
				for _, r := range left {
					var p page.Problem
					require.NoError(t, store.Unmarshal(r.Value, &p))
					require.True(t, p.Self, "%s is over", p.GroupKey)
				}
				require.NoError(t, s.Close())
			})
		}
	}
}

// notIn returns the problems of which the history has no whole line.
func notIn(t *testing.T, dir string, problems int) (missing []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "history.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	for n := range problems {
		found := false
		for line := range strings.Lines(string(b)) {
			found = found || strings.Contains(line, crash.Name(n)) && strings.HasSuffix(line, "}\n")
		}
		if !found {
			missing = append(missing, crash.Name(n))
		}
	}
	return missing
}
