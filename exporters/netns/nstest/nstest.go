//go:build linux

// Package nstest makes real network namespaces for tests. That takes root; a
// test that runs as root and cannot have one fails, it is not skipped.
package nstest

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Root says whether the test may make namespaces, and says so in its log if not.
func Root(t testing.TB) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: no namespace is made, nothing was tested")
		return false
	}
	return true
}

// Namespace is a network namespace in which one process sleeps.
type Namespace struct {
	PID   int
	sleep *exec.Cmd
}

// New makes a namespace that ends with the test, unless End ended it.
func New(t testing.TB) *Namespace {
	t.Helper()
	c := exec.Command("sleep", "900") //nolint:noctx // End ends it
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	require.NoError(t, c.Start())
	n := &Namespace{c.Process.Pid, c}
	t.Cleanup(n.End)
	return n
}

// End ends the process, and with it the namespace.
func (n *Namespace) End() {
	if n.sleep.ProcessState == nil {
		_ = n.sleep.Process.Kill()
		_ = n.sleep.Wait()
	}
}

// Path is the file of the namespace.
func (n *Namespace) Path() string { return "/proc/" + strconv.Itoa(n.PID) + "/ns/net" }

// Do runs f on a thread that is in the namespace. The thread is not used again.
func (n *Namespace) Do(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	var entered error
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			n.Do(t, f) // the main thread stays where it is
			runtime.UnlockOSThread()
			return
		}
		var fd int
		if fd, entered = unix.Open(n.Path(), unix.O_RDONLY|unix.O_CLOEXEC, 0); entered != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		if entered = unix.Setns(fd, unix.CLONE_NEWNET); entered == nil {
			f()
		}
	}()
	<-done
	require.NoError(t, entered)
}

// Up brings the loopback device of the namespace up.
func (n *Namespace) Up(t testing.TB) {
	t.Helper()
	n.Do(t, func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		defer func() { _ = unix.Close(fd) }()
		req, err := unix.NewIfreq("lo")
		require.NoError(t, err)
		req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req))
	})
}
