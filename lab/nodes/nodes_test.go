//go:build linux

package nodes_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/nodes"
)

// TestMain lets the test binary be the parts of a node, and an exporter that says
// what a node's exporter can see.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == nodes.Argument {
		fmt.Fprintln(os.Stderr, nodes.Inside(os.Args[2:]))
		os.Exit(1)
	}
	for i, arg := range os.Args {
		if sys, ok := strings.CutPrefix(arg, "--path.sysfs="); ok {
			stand(sys, strings.TrimPrefix(os.Args[i+1], "--names.logs="))
		}
	}
	m.Run()
}

func stand(sys, logs string) {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, glob := range []string{"/proc/[0-9]*", sys + "/fs/cgroup/*/kubepods/*/*/cgroup.procs", sys + "/fs/cgroup/kubepods/*/*/cgroup.procs", logs + "/pods/*", logs + "/containers/*"} {
			paths, _ := filepath.Glob(glob)
			fmt.Fprintln(w, strings.Join(paths, "\n"))
		}
		snmp, _ := filepath.Glob("/proc/[0-9]*/net/snmp")
		for _, path := range snmp {
			b, _ := os.ReadFile(path)
			fmt.Fprintf(w, "%s\n%s", path, b)
		}
	})))
}

// A node sees its own three processes and its pod's cgroup, the lossy wire makes
// TCP send again, and nothing is left over.
func TestANodeIsItsOwn(t *testing.T) {
	if err := nodes.Possible(); err != nil {
		t.Log("NO NODES: nothing was tested:", err)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	list := []*nodes.Node{{Name: "node-a", Pod: "cart-0", Loss: .2}, {Name: "node-b", Pod: "cart-1", Busy: true, Quiet: true}}
	up, err := nodes.Start(t.Context(), nodes.Options{Dir: t.TempDir(), Exporter: self}, list)
	require.NoError(t, err)
	t.Cleanup(up.Stop)
	look := func(n *nodes.Node) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Addr, nil)
		require.NoError(t, err)
		resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(b)
	}
	for i, n := range list {
		text := look(n)
		pids := 0
		for l := range strings.Lines(text) {
			if p := strings.TrimSpace(l); filepath.Dir(p) == "/proc" {
				pids++
			}
		}
		require.Equal(t, 3, pids, text)
		require.Contains(t, text, "/cgroup.procs\n")
		require.Contains(t, text, "/pods/shop_"+n.Pod+"_")
		require.NotContains(t, text, "shop_"+list[1-i].Pod+"_")
	}
	require.Eventually(t, func() bool { return retransmitted(look(list[0])) }, time.Minute, 100*time.Millisecond, "the wire loses nothing")
	require.False(t, retransmitted(look(list[1])))
	up.Stop()
	left, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/tocsin-lab-%d", os.Getpid()))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, fmt.Sprintf("/sys/fs/cgroup/tocsin-lab-%d", os.Getpid()))
}

// retransmitted says whether Tcp's RetransSegs is not 0 in one of the tables.
func retransmitted(text string) bool {
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		if len(f) > 12 && f[0] == "Tcp:" && f[12] != "RetransSegs" && f[12] != "0" {
			return true
		}
	}
	return false
}
