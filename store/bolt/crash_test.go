package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// childDir names the folder on which this binary is to write until it is killed.
const childDir = "TOCSIN_TEST_BOLT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled lets many writers create records, count, and enqueue, and
// says on stdout what was acknowledged.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := bolt.Open(bolt.Config{Path: file(dir)}, slog.New(slog.DiscardHandler), time.Now, nil)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	run := time.Now().UnixNano()
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			counter := fmt.Sprintf("counter/%d", w)
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", run, w, i)
				r, err := s.Get(ctx, counter)
				n, _ := strconv.Atoi(string(r.Value))
				if err != nil && r.Rev != 0 {
					continue
				}
				err = s.Apply(ctx,
					store.Create("k/"+id, []byte(strings.Repeat(id, 20))),
					store.Swap(counter, r.Rev, strconv.AppendInt(nil, int64(n+1), 10)),
					store.Enqueue(store.Item{Lane: "l", ID: id, Key: counter, Value: []byte(id)}))
				if err == nil {
					say("%s %s %d", id, counter, n+1)
				}
			}
		})
	}
	all.Wait()
}

// TestKill kills a writing process again and again: what it had acknowledged
// is there.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	counters := map[string]int{}
	for round := range 20 {
		lines := killed(t, dir, time.Duration(20+rand.IntN(180))*time.Millisecond)
		for _, line := range lines {
			var id, counter string
			var n int
			_, err := fmt.Sscan(line, &id, &counter, &n)
			require.NoError(t, err, "%q", line)
			acked[id] = true
			counters[counter] = max(counters[counter], n)
		}
		if round%5 == 4 {
			checkAcked(t, dir, acked, counters)
		}
	}
	require.NotEmpty(t, acked)
	t.Logf("%d batches were acknowledged", len(acked))
}

// killed runs a child on dir, kills it, and returns the whole lines it wrote.
func killed(t *testing.T, dir string, after time.Duration) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	in := bufio.NewReader(out)
	var lines []string
	var kill <-chan time.Time
	read := make(chan string)
	go func() {
		defer close(read)
		for {
			line, err := in.ReadString('\n')
			if err != nil { // the last line may be torn: it was not said
				return
			}
			read <- strings.TrimSuffix(line, "\n")
		}
	}()
	kill = time.After(after)
	for {
		select {
		case line, ok := <-read:
			if !ok {
				require.ErrorContains(t, cmd.Wait(), "killed", "it did not end by itself")
				return lines
			}
			lines = append(lines, line)
		case <-kill:
			require.NoError(t, cmd.Process.Kill())
		}
	}
}

func checkAcked(t *testing.T, dir string, acked map[string]bool, counters map[string]int) {
	t.Helper()
	s := open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	for id := range acked {
		r, err := s.Get(t.Context(), "k/"+id)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat(id, 20), string(r.Value))
	}
	total := 0
	for counter, n := range counters {
		r, err := s.Get(t.Context(), counter)
		require.NoError(t, err)
		now, err := strconv.Atoi(string(r.Value))
		require.NoError(t, err)
		require.GreaterOrEqual(t, now, n)
		total += now
	}
	records, err := s.Scan(t.Context(), "k/", "", 1<<30)
	require.NoError(t, err)
	lanes, err := s.Lanes(t.Context())
	require.NoError(t, err)
	require.Len(t, lanes, 1)
	require.Equal(t, len(records), lanes[0].Items, "all of a batch or none")
	require.Equal(t, len(records), total, "all of a batch or none")
}
