package world_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

// options are of a whole world whose programs are all stand-ins.
func options(t *testing.T) world.Options {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("WORLD_CHILD", "stands in")
	return world.Options{
		Dir: filepath.Join(t.TempDir(), "run"), Settings: ttn.Fast(), Replicas: 2, Alertmanagers: 2, Thanos: true,
		Finder: world.Finder{Out: io.Discard, Given: map[string]string{"prometheus": self, "alertmanager": self, "thanos": self, "tocsin": self}},
		Out:    io.Discard,
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestWorld(t *testing.T) {
	o := options(t)
	w, err := world.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	for _, url := range []string{w.Plan.Fleet + "/t/0/metrics", w.Plan.Fleet + "/fault", w.Slack + "/", w.PagerDuty + "/", w.Query.HTTP + "/"} {
		require.Equal(t, http.StatusOK, status(t, "http://"+url), url)
	}
	require.Equal(t, "http://"+w.Query.HTTP, w.Querier())
	for _, f := range []string{"prometheus-a.yml", "prometheus-b.yml", "rules.yml", "alertmanager.yml", "tocsin.yml", "targets.json", "env", "logs/tocsin.log", "logs/thanos-query.log"} {
		require.FileExists(t, filepath.Join(o.Dir, f))
	}
	secret, err := w.Secret(w.SecretFiles.Alertmanager)
	require.NoError(t, err)
	require.Len(t, secret, 26)
	pid := w.Gateway.Pid()
	w.Stop()
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "nothing is left over")
	require.FileExists(t, filepath.Join(o.Dir, "logs", "tocsin.log"), "logs stay")

	again, err := world.Start(t.Context(), o)
	require.NoError(t, err, "its own run folder is emptied and used again")
	again.Stop()
}

func TestWorldTellsWhatEnded(t *testing.T) {
	o := options(t)
	w, err := world.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	select {
	case err := <-w.Failed():
		t.Fatal("ended at once:", err)
	default:
	}
	log, err := os.ReadFile(filepath.Join(o.Dir, "logs", "prometheus-b.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), w.Prometheus[1])
	require.NoError(t, syscall.Kill(pidOf(t, w.Prometheus[1]), syscall.SIGKILL))
	err = <-w.Failed()
	require.ErrorContains(t, err, "prometheus-b ended (signal: killed)")
	require.ErrorContains(t, err, "listening at "+w.Prometheus[1])
}

// pidOf finds the child that was given an address on its command line.
func pidOf(t *testing.T, addr string) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, p := range paths {
		line, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(line), "--web.listen-address="+addr+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
			require.NoError(t, err)
			return pid
		}
	}
	t.Fatalf("nobody was told to listen at %s", addr)
	return 0
}

func TestStartFailsClearly(t *testing.T) {
	o := options(t)
	t.Setenv("WORLD_CHILD", "dies")
	_, err := world.Start(t.Context(), o)
	require.ErrorContains(t, err, "ended before it was ready (exit status 3)")
	require.ErrorContains(t, err, "no luck today")
}

func TestStrangersFolderIsLeftAlone(t *testing.T) {
	o := options(t)
	require.NoError(t, os.MkdirAll(o.Dir, 0o755))
	precious := filepath.Join(o.Dir, "thesis.txt")
	require.NoError(t, os.WriteFile(precious, nil, 0o600))
	_, err := world.Start(t.Context(), o)
	require.ErrorContains(t, err, "not a run folder of the lab")
	require.FileExists(t, precious)
}

func TestStubbornProcessIsKilledWithItsGroup(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("WORLD_CHILD", "stubborn")
	t.Setenv("WORLD_ADDR", "127.0.0.1:0")
	p := &world.Process{Name: "stubborn", Path: self, Dir: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	require.NoError(t, p.Start())
	var child int
	require.Eventually(t, func() bool {
		first, _, _ := strings.Cut(p.Tail(5), "\n")
		child, err = strconv.Atoi(first)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	p.Stop(50 * time.Millisecond)
	require.Eventually(t, func() bool { return gone(child) }, 30*time.Second, 10*time.Millisecond, "the grandchild too")
	require.True(t, gone(p.Pid()))
}

// gone reports whether a process has ended; an orphan nobody has waited for is
// a zombie, and that counts.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestAwaitQuotesTheLog(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("WORLD_CHILD", "stands in")
	t.Setenv("WORLD_ADDR", "127.0.0.1:0")
	p := &world.Process{Name: "mute", Path: self, Dir: t.TempDir(), Log: filepath.Join(t.TempDir(), "log"), Ready: "http://127.0.0.1:1/-/ready"}
	require.NoError(t, p.Start())
	t.Cleanup(p.Kill)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, p.Await(ctx), "mute is not ready at http://127.0.0.1:1/-/ready: context canceled")
}
