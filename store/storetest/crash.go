package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/store"
)

// WriteUntilKilled is the body of a process that Crash kills: many writers create
// records, count, and enqueue on s, and out is told what was acknowledged.
func WriteUntilKilled(s store.Store, out io.Writer) {
	ctx := context.Background()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(out, format+"\n", args...)
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

// Crash kills a writing process again and again: what it had acknowledged is
// there. child is a command that runs WriteUntilKilled on the state of dir.
func Crash(t *testing.T, child func(dir string) *exec.Cmd, open func(t *testing.T, dir string) store.Store) {
	t.Helper()
	dir := t.TempDir()
	acked := map[string]bool{}
	counters := map[string]int{}
	for round := range 20 {
		lines := killed(t, child(dir), time.Duration(20+rand.IntN(180))*time.Millisecond)
		for _, line := range lines {
			var id, counter string
			var n int
			_, err := fmt.Sscan(line, &id, &counter, &n)
			require.NoError(t, err, "%q", line)
			acked[id] = true
			counters[counter] = max(counters[counter], n)
		}
		if round%5 == 4 {
			s := open(t, dir)
			checkAcked(t, s, acked, counters)
			require.NoError(t, s.Close())
		}
	}
	require.NotEmpty(t, acked)
	t.Logf("%d batches were acknowledged", len(acked))
}

// killed runs a child, kills it some time after its first word, and returns the
// whole lines it wrote.
func killed(t *testing.T, cmd *exec.Cmd, after time.Duration) []string {
	t.Helper()
	cmd.Stderr = t.Output()
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
	for {
		select {
		case line, ok := <-read:
			if !ok {
				require.ErrorContains(t, cmd.Wait(), "killed", "it did not end by itself")
				return lines
			}
			if lines = append(lines, line); kill == nil {
				kill = time.After(after)
			}
		case <-kill:
			require.NoError(t, cmd.Process.Kill())
		}
	}
}

func checkAcked(t *testing.T, s store.Store, acked map[string]bool, counters map[string]int) {
	t.Helper()
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
