//go:build linux

package netns_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns"
	"github.com/tocsin/tocsin/exporters/netns/nstest"
)

// The recorded pod and one of its containers.
const (
	slice     = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8d3cf0f2_1c0b_4a5e_9a37_2a3b1c7f4d11.slice"
	container = "aaa0f3c9d6b7e841255555555555555555555555555555555555555555555555"
)

// docker is an engine that knows the app of the recorded container.
func docker(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "netns") //nolint:usetesting // a test's own is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket = filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"Id": %q, "Names": ["/web"], "Labels": {"app": "checkout"}}]`, container)
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

// The program as it is run: names that its sources learn in the background stand on
// namespaces and cgroups alike, the sampler holds what has a quota, and when it is
// told to end it does, with 0, and leaves nothing behind.
func TestTheProgram(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", slice+"/cri-containerd-"+container+".scope", 100)
	logs := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(logs, "pods/shop_checkout-0_8d3cf0f2-1c0b-4a5e-9a37-2a3b1c7f4d11"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(logs, "containers"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(logs, "containers/checkout-0_shop_web-"+container+".log"), nil, 0o600))
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	args := []string{
		"--web.listen-address", addr, "--path.procfs", tree.Dir, "--path.sysfs", sysfs(t, "v2-systemd-6.8-containerd"),
		"--names.logs", logs, "--names.docker", docker(t), "--names.cri", filepath.Join(logs, "nobody.sock"), "--no-collector.listen",
	}
	before := runtime.NumGoroutine()
	code := make(chan int, 1)
	go func() { code <- netns.Run(args, "v1", io.Discard, io.Discard) }()
	get := func(path string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return string(raw)
	}
	require.Eventually(t, func() bool { return get("/-/healthy") == "healthy\n" }, time.Minute, 10*time.Millisecond)
	require.Contains(t, get("/metrics?collect[]=counters"), "netns_tcp_active_opens_total{")
	var text string
	require.Eventually(t, func() bool {
		text = get("/metrics")
		return strings.Contains(text, `netns_info{netns="`+tree.Inode("pod")+`",host="false",namespace="shop",pod="checkout-0",app="checkout"} 1`) &&
			strings.Contains(text, `,app="checkout",container="web",container_id="`+container+`",namespace="shop",pod="checkout-0",`) &&
			strings.Count(text, "cgroup_cpu_throttle_max_seconds{") == 2
	}, time.Minute, 50*time.Millisecond)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		require.Regexp(t, `^go_`, p.Metric, p.Text)
	}
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.Zero(t, <-code)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+3 }, time.Minute, 10*time.Millisecond, "the signal's own, and a docker that hears late")
}
