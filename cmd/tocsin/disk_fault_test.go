//go:build faults

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/crash"
)

// sickness is what a disk may have. It strikes a program that runs, and is
// healed by what strike returns.
type sickness struct {
	name   string
	strike func(g *gateway) (heal func())
	slow   bool // webhooks are taken all the same
}

// injected has the kernel answer the program's calls on the state's file with an
// error, or late.
func injected(name, calls, what string) sickness {
	return sickness{name: name, strike: func(g *gateway) func() {
		cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-P", g.db, "-e", "trace="+calls,
			"-e", "inject="+calls+":"+what, "-p", fmt.Sprint(g.group()))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(g, cmd.Start())
		require.Eventually(g, func() bool { // it is traced
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.group()))
			return err == nil && !strings.Contains(string(status), "TracerPid:\t0\n")
		}, 10*time.Second, time.Millisecond)
		return func() {
			_ = cmd.Process.Signal(syscall.SIGINT)
			_ = cmd.Wait()
		}
	}}
}

func sicknesses() []sickness {
	slow := injected("every sync takes 500 ms", "fdatasync", "delay_enter=500000")
	slow.slow = true
	all := []sickness{
		injected("no space: ENOSPC", "pwrite64,ftruncate,fallocate", "error=ENOSPC"),
		injected("writes fail: EIO", "pwrite64", "error=EIO"),
		injected("syncs fail: EIO", "fdatasync", "error=EIO"),
		injected("one sync in three fails: EIO", "fdatasync", "error=EIO:when=1+3"),
		injected("read-only: EROFS", "pwrite64,ftruncate,fdatasync", "error=EROFS"),
		injected("quota: EDQUOT", "pwrite64,ftruncate,fallocate", "error=EDQUOT"),
		slow,
	}
	if os.Geteuid() == 0 {
		all = append(all, full())
	}
	return all
}

// full is a file system of its own that is really full, and then larger.
func full() sickness {
	return sickness{name: "a full file system", strike: func(g *gateway) func() {
		g.kill()
		disk := filepath.Join(g.dir, "disk")
		require.NoError(g, os.Mkdir(disk, 0o700))
		b, err := os.ReadFile(g.db)
		require.NoError(g, err)
		used := bytes.TrimRight(b, "\x00")
		require.NoError(g, syscall.Mount("none", disk, "tmpfs", 0, fmt.Sprintf("size=%d", len(used)+64<<10)))
		g.Cleanup(func() {
			g.kill()
			_ = syscall.Unmount(disk, syscall.MNT_DETACH)
		})
		g.db = filepath.Join(disk, "tocsin.db")
		require.NoError(g, os.WriteFile(g.db, used, 0o600))
		require.NoError(g, os.Truncate(g.db, int64(len(b))))
		config := filepath.Join(g.dir, "tocsin.yml")
		text, err := os.ReadFile(config)
		require.NoError(g, err)
		require.NoError(g, os.WriteFile(config, bytes.ReplaceAll(text, []byte("path: tocsin.db"), []byte("path: disk/tocsin.db")), 0o600))
		g.start(nil)
		g.ready()
		return func() { require.NoError(g, syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=256m")) }
	}}
}

// TestFaultDisk makes the disk sick under the running program and heals it:
// within 3 s webhooks are refused by a 503, the metric says so, and within 30 s
// of the healing all is well by itself; nothing is lost.
func TestFaultDisk(t *testing.T) {
	for _, s := range sicknesses() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, 1, "")
			g.start(nil)
			g.ready()
			var all sync.WaitGroup
			live := func(n int, l crash.Life) {
				l.Until = g.paged(n)
				all.Go(func() { g.sender.Live(t.Context(), n, l) })
			}
			for n := range 4 {
				live(n, crash.Life{Grows: time.Second, Lasts: 3 * time.Second})
			}
			pause(300 * time.Millisecond)
			heal := s.strike(g)
			defer heal()
			for n := range 20 {
				live(4+n, crash.Life{Grows: 2 * time.Second, Lasts: time.Second})
			}
			if !s.slow {
				refusedInTime(t, g, s)
			}
			pause(2 * time.Second)
			heal()
			healed := time.Now()
			all.Wait()
			v := g.settled(30 * time.Second)
			took := time.Since(healed)
			require.LessOrEqual(t, took, 30*time.Second+5*time.Second, "problems end by themselves within 5 s")
			require.Equal(t, 24, v.Problems)
			if !s.slow {
				require.Positive(t, g.metric("tocsin_store_commit_failures_total"))
				require.Zero(t, g.metric("tocsin_store_failing"))
				require.Contains(t, g.logged(), "store takes writes again")
				told := func() bool { return strings.Contains(g.ledger(), "TocsinStoreFailed") }
				for end := time.Now().Add(30 * time.Second); !told() && time.Now().Before(end); pause(50 * time.Millisecond) {
				}
				require.True(t, told(), "a page tells of it:\n%s", g.tail())
			}
			t.Logf("%d pages, all done %.1f s after the disk was well", v.Problems, took.Seconds())
		})
	}
}

// refusedInTime makes sure that a webhook is answered 503 within 3 s at some
// time while the disk is sick, and that nothing takes longer.
func refusedInTime(t *testing.T, g *gateway, s sickness) {
	t.Helper()
	refused := 0
	for n := 0; n < 200 && refused < 3; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		began := time.Now()
		status := g.sender.Once(ctx, 1000+n)
		cancel()
		require.Less(t, time.Since(began), 3500*time.Millisecond, "%s: status %d", s.name, status)
		require.Contains(t, []int{202, 503}, status)
		if status == 503 {
			refused++
		}
	}
	require.Equal(t, 3, refused, "%s", s.name)
	require.Contains(t, g.logged(), "store takes no writes")
}
