//go:build linux

// Package nstest makes real network namespaces for tests. A test asks Root first:
// it takes a root who may make and enter them.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Root says whether this process can make network namespaces and work in them, and
// tells the test's log what is in the way if not: it is not root, or a root that a
// container keeps from it. Where it can, a test that cannot do its work fails.
func Root(t testing.TB) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("NO NAMESPACES, this was not tested: not root")
		return false
	}
	n, err := start()
	if err == nil {
		err = n.up()
		n.End()
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, exec.ErrNotFound) {
		t.Log("NO NAMESPACES, this was not tested:", err)
		return false
	}
	require.NoError(t, err)
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
	n, err := start()
	require.NoError(t, err)
	t.Cleanup(n.End)
	return n
}

func start() (*Namespace, error) {
	c := exec.Command("sleep", "900") //nolint:noctx // End ends it
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return &Namespace{c.Process.Pid, c}, nil
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
	require.NoError(t, n.do(f))
}

func (n *Namespace) do(f func()) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			done <- n.do(f) // the main thread stays where it is
			runtime.UnlockOSThread()
			return
		}
		var entered error
		defer func() { done <- entered }() // also where f ends the goroutine
		fd, err := unix.Open(n.Path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			entered = fmt.Errorf("open the namespace: %w", err)
			return
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			entered = fmt.Errorf("enter the namespace: %w", err)
			return
		}
		f()
	}()
	return <-done
}

// Up brings the loopback device of the namespace up.
func (n *Namespace) Up(t testing.TB) {
	t.Helper()
	require.NoError(t, n.up())
}

func (n *Namespace) up() error {
	var up error
	err := n.do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			up = err
			return
		}
		defer func() { _ = unix.Close(fd) }()
		req, err := unix.NewIfreq("lo")
		if err != nil {
			up = err
			return
		}
		req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
			up = fmt.Errorf("bring lo up: %w", err)
		}
	})
	return errors.Join(err, up)
}
