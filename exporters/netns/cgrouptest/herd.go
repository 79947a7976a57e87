//go:build linux

package cgrouptest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Herd puts a thread into each group that runs for a moment twenty times a second,
// so that each has something to run in each period. Threads of one process can
// be in several cgroups with v1 only; with v2 it returns false and does nothing.
func Herd(t testing.TB, groups []Group) bool {
	t.Helper()
	if groups[0].v2 {
		return false
	}
	b := start(t, "herd")
	for _, g := range groups {
		_, err := fmt.Fprintln(b.in, g.Dir)
		require.NoError(t, err)
	}
	_, err := fmt.Fprintln(b.in)
	require.NoError(t, err)
	_, err = b.out.ReadString('\n')
	require.NoError(t, err)
	return true
}

// herd reads directories up to an empty line, has a thread in each, and answers with a line.
func herd(in io.Reader, out io.Writer) {
	var ready sync.WaitGroup
	for lines := bufio.NewScanner(in); lines.Scan() && lines.Text() != ""; {
		dir := lines.Text()
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			err := os.WriteFile(dir+"/tasks", []byte("0"), 0o644) // 0 is the thread that writes
			ready.Done()
			for err == nil {
				err = unix.Nanosleep(&unix.Timespec{Nsec: int64(50 * time.Millisecond)}, nil)
				if err == unix.EINTR { //nolint:errorlint // a bare errno
					err = nil
				}
			}
		}()
	}
	ready.Wait()
	if _, err := io.WriteString(out, "\n"); err == nil {
		_, _ = io.Copy(io.Discard, in) // until the test is over
		time.Sleep(time.Hour)          //nolint:forbidigo // it is killed
	}
}
