//go:build linux

// Package cgrouptest makes real cgroups for tests, with processes in them that
// burn CPU time, on machines with cgroup v1, v2 or both. A test asks Possible
// first: it takes root, and cgroups that may be made.
package cgrouptest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Root is where cgroups are mounted.
const Root = "/sys/fs/cgroup"

// burning is set in the environment of a process that burns.
const burning = "TOCSIN_TEST_BURNER"

// Main runs a package's tests, or burns CPU time if the program was started for
// it. A package that calls Burner calls it from its TestMain.
func Main(m *testing.M) {
	switch os.Getenv(burning) {
	case "burn":
		burn(os.Stdin, os.Stdout)
		return
	case "herd":
		herd(os.Stdin, os.Stdout)
		return
	}
	m.Run()
}

// burn reads durations in nanoseconds and answers each with a line once this
// thread has used as much CPU time.
func burn(in io.Reader, out io.Writer) {
	runtime.LockOSThread()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		ns, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return
		}
		for end := threadTime() + ns; threadTime() < end; {
			for range 10_000 { // some 5 us without a call
			}
		}
		if _, err := io.WriteString(out, "\n"); err != nil {
			return
		}
	}
}

func threadTime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

// Group is a cgroup with a CPU controller that lives as long as the test.
type Group struct {
	Dir  string
	Path string // below the root of the hierarchy
	v2   bool
}

// Possible says whether this process can make cgroups with a CPU quota, and tells
// the test's log what is in the way if not: it is not root, /sys/fs/cgroup is not
// there or read-only, or the CPU controller is not handed down to it. Where it is
// possible, a test that cannot do its work fails.
func Possible(t testing.TB) bool {
	t.Helper()
	g, err := create()
	if err != nil {
		t.Log("NO CGROUPS, this was not tested:", err)
		return false
	}
	require.NoError(t, unix.Rmdir(g.Dir))
	return true
}

func create() (Group, error) {
	if os.Geteuid() != 0 {
		return Group{}, errors.New("not root")
	}
	g, root, quota := Group{v2: true}, Root, "cpu.max"
	if _, err := os.Stat(filepath.Join(Root, "cgroup.controllers")); err != nil {
		g.v2, root, quota = false, filepath.Join(Root, "cpu"), "cpu.cfs_quota_us"
	} else if err := os.WriteFile(filepath.Join(Root, "cgroup.subtree_control"), []byte("+cpu"), 0o644); err != nil {
		return Group{}, fmt.Errorf("the CPU controller is not handed down: %w", err)
	}
	dir, err := os.MkdirTemp(root, "tocsin-test-")
	if err != nil {
		return Group{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, quota)); err != nil {
		return Group{}, errors.Join(fmt.Errorf("no CPU controller: %w", err), os.Remove(dir))
	}
	g.Dir, g.Path = dir, "/"+filepath.Base(dir)
	return g, nil
}

// Make makes a cgroup.
func Make(t testing.TB) Group {
	t.Helper()
	g, err := create()
	require.NoError(t, err)
	remove(t, g.Dir)
	return g
}

// Child makes a cgroup in g, which may have no processes of its own then.
func (g Group) Child(t testing.TB, name string) Group {
	t.Helper()
	if g.v2 {
		g.write(t, "cgroup.subtree_control", "+cpu")
	}
	c := Group{Dir: filepath.Join(g.Dir, name), Path: g.Path + "/" + name, v2: g.v2}
	require.NoError(t, os.Mkdir(c.Dir, 0o755))
	remove(t, c.Dir)
	return c
}

// remove removes the cgroup when the test is over; its processes may take a moment to end.
func remove(t testing.TB, dir string) {
	t.Cleanup(func() {
		require.Eventually(t, func() bool { err := unix.Rmdir(dir); return err == nil || err == unix.ENOENT }, 10*time.Second, 10*time.Millisecond)
	})
}

// Remove removes the cgroup now.
func (g Group) Remove(t testing.TB) {
	t.Helper()
	require.NoError(t, unix.Rmdir(g.Dir))
}

// Quota lets g use quota of CPU time per period.
func (g Group) Quota(t testing.TB, quota, period time.Duration) {
	t.Helper()
	if g.v2 {
		g.write(t, "cpu.max", fmt.Sprint(quota.Microseconds(), " ", period.Microseconds()))
		return
	}
	g.write(t, "cpu.cfs_period_us", fmt.Sprint(period.Microseconds()))
	g.write(t, "cpu.cfs_quota_us", fmt.Sprint(quota.Microseconds()))
}

func (g Group) write(t testing.TB, file, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(g.Dir, file), []byte(value), 0o644))
}

// Stat reads a file of "key value" lines.
func (g Group) Stat(t testing.TB, file string) map[string]uint64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(g.Dir, file))
	require.NoError(t, err)
	out := map[string]uint64{}
	for l := range strings.Lines(string(raw)) {
		key, val, _ := strings.Cut(strings.TrimSpace(l), " ")
		n, err := strconv.ParseUint(val, 10, 64)
		require.NoError(t, err)
		out[key] = n
	}
	return out
}

// Throttled is what cpu.stat says: periods, those throttled, and their time.
func (g Group) Throttled(t testing.TB, file string) (periods, throttled uint64, d time.Duration) {
	t.Helper()
	s := g.Stat(t, file)
	return s["nr_periods"], s["nr_throttled"], time.Duration(s["throttled_time"] + 1000*s["throttled_usec"])
}

// Burner is a process in a cgroup that burns CPU time on one thread.
type Burner struct {
	in  io.Writer
	out *bufio.Reader
	// PID is the process'.
	PID int
}

// Burner starts one in g; it ends with the test.
func (g Group) Burner(t testing.TB) *Burner {
	t.Helper()
	b := start(t, "burn")
	b.Burn(t, 1) // it is up, and what starting cost is not g's
	g.write(t, "cgroup.procs", strconv.Itoa(b.PID))
	return b
}

func start(t testing.TB, what string) *Burner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), burning+"="+what, "GOMAXPROCS=1", "GOGC=off")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &Burner{in: in, out: bufio.NewReader(out), PID: cmd.Process.Pid}
}

// Burn has it use d of CPU time, and returns when it has.
func (b *Burner) Burn(t testing.TB, d time.Duration) {
	t.Helper()
	_, err := fmt.Fprintln(b.in, d.Nanoseconds())
	require.NoError(t, err)
	_, err = b.out.ReadString('\n')
	require.NoError(t, err)
}
