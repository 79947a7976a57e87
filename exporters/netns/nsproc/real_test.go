//go:build linux

package nsproc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/nsproc"
	"github.com/tocsin/tocsin/exporters/netns/nstest"
)

func all() *regexp.Regexp  { return regexp.MustCompile(`^.*$`) }
func none() *regexp.Regexp { return regexp.MustCompile(`^$`) }

func table(t testing.TB, o nsproc.Options) *nsproc.Table {
	t.Helper()
	if o.ProcFS == "" {
		o.ProcFS = "/proc"
	}
	tab := nsproc.NewTable(o)
	t.Cleanup(func() { require.NoError(t, tab.Close()) })
	return tab
}

// scraper serves the exposers; a scrape is what is read back of it.
type scraper struct {
	table   *nsproc.Table
	handler http.Handler
}

func serve(t testing.TB, tab *nsproc.Table, exposers ...exporters.Exposer) scraper {
	t.Helper()
	e, err := exporters.New(exporters.Options{Prefix: "netns", Exposers: exposers, Timeout: time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	h, err := e.Handler()
	require.NoError(t, err)
	return scraper{tab, h}
}

func (s scraper) text(t testing.TB) string {
	t.Helper()
	s.table.Forget()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	raw, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return string(raw)
}

type families map[string]*dto.MetricFamily

func (s scraper) scrape(t testing.TB) families {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	mfs, err := parser.TextToMetricFamilies(strings.NewReader(s.text(t)))
	require.NoError(t, err)
	return mfs
}

// value is that of the one sample of a metric which has these labels, given as
// name, value, name, value and so on.
func (f families) value(t testing.TB, metric string, labels ...string) float64 {
	t.Helper()
	v, ok := f.find(metric, labels...)
	require.True(t, ok, "%s%v is not there", metric, labels)
	return v
}

func (f families) find(metric string, labels ...string) (float64, bool) {
	for _, m := range f[metric].GetMetric() {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// name is the label netns of a process, by the same word that readlink shows.
func name(t testing.TB, pid int) string {
	t.Helper()
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	require.NoError(t, err)
	return strings.TrimSuffix(strings.TrimPrefix(link, "net:["), "]")
}

// What happens in a namespace is counted there, exactly, and nowhere else.
func TestCountersShowOnlyWhereTheyWereCaused(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	noisy, quiet := nstest.New(t), nstest.New(t)
	noisy.Up(t)
	tab := table(t, nsproc.Options{})
	s := serve(t, tab, nsproc.NewCounters(tab, nil), nsproc.NewSockets(tab), nsproc.NewInterfaces(tab, none(), none(), all()), nsproc.NewConntrack(tab))
	before := s.scrape(t)
	var held []int
	noisy.Do(t, func() { held = cause(t) })
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	after := s.scrape(t)
	n, q := name(t, noisy.PID), name(t, quiet.PID)
	for metric, want := range map[string]float64{
		"netns_tcp_active_opens_total":         50 + 3, // refused, and into the listener
		"netns_tcp_attempt_fails_total":        50,
		"netns_udp_no_ports_total":             20,
		"netns_udp_out_datagrams_total":        20,
		"netns_tcp_ext_listen_overflows_total": 1,
		"netns_tcp_curr_estab":                 4, // both ends of two: the queue of the listener holds no more
		"netns_sockets_used":                   4,
	} {
		got := after.value(t, metric, "netns", n) - before.value(t, metric, "netns", n)
		if metric == "netns_tcp_ext_listen_overflows_total" || metric == "netns_sockets_used" {
			require.GreaterOrEqual(t, got, want, metric) // the SYN is sent again, and dropped again
		} else {
			require.InDelta(t, want, got, 0, metric)
		}
		require.InDelta(t, before.value(t, metric, "netns", q), after.value(t, metric, "netns", q), 0, "%s of a namespace in which nothing happened", metric)
	}
	lo := after.value(t, "netns_interface_receive_packets_total", "netns", n, "device", "lo")
	require.Greater(t, lo, 100.0)
	require.InDelta(t, lo, after.value(t, "netns_interface_transmit_packets_total", "netns", n, "device", "lo"), 0)
	require.Zero(t, after.value(t, "netns_interface_receive_packets_total", "netns", q, "device", "lo"))
	require.Zero(t, after.value(t, "netns_conntrack_entries", "netns", q))
	_, perNamespace := after.find("netns_host_tcp_allocated_sockets", "netns", n)
	require.False(t, perNamespace, "the kernel counts it for the whole machine")
	require.Len(t, after["netns_host_tcp_allocated_sockets"].Metric, 1)
}

// cause makes 50 refused connections, 20 datagrams nobody reads, and three
// connections to a listener that takes none and has room for two.
func cause(t testing.TB) (held []int) {
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9}
	for range 50 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		require.ErrorIs(t, unix.Connect(fd, to), unix.ECONNREFUSED)
		require.NoError(t, unix.Close(fd))
	}
	for range 20 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Sendto(fd, []byte("x"), 0, to))
		require.NoError(t, unix.Close(fd))
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	held = append(held, l)
	at := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 8080}
	require.NoError(t, unix.Bind(l, at))
	require.NoError(t, unix.Listen(l, 1))
	for i := range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		held = append(held, fd)
		require.ErrorIs(t, unix.Connect(fd, at), unix.EINPROGRESS)
		if i < 2 { // open before the next one knocks
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 10000)
			require.NoError(t, err)
		}
	}
	return held
}

func TestListenQueues(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	n, other := nstest.New(t), nstest.New(t)
	n.Up(t)
	tab := table(t, nsproc.Options{})
	s := serve(t, tab, nsproc.NewListen(tab, time.Minute, 64))
	var held []int
	n.Do(t, func() { held = cause(t) })
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	at := []string{"netns", name(t, n.PID), "port", "8080"}
	f := s.scrape(t)
	require.InDelta(t, 2, f.value(t, "netns_listen_queue_length", at...), 0, "one more than the limit: then it is full")
	require.InDelta(t, 1, f.value(t, "netns_listen_queue_limit", at...), 0)
	require.InDelta(t, 1, f.value(t, "netns_listen_sockets", at...), 0)
	_, there := f.find("netns_listen_queue_length", "netns", name(t, other.PID))
	require.False(t, there)
	// the threads that went there came back
	require.Equal(t, name(t, os.Getpid()), threadName(t))
}

func threadName(t testing.TB) string {
	t.Helper()
	link, err := os.Readlink("/proc/thread-self/ns/net")
	require.NoError(t, err)
	return strings.TrimSuffix(strings.TrimPrefix(link, "net:["), "]")
}

// A budget of nothing is one namespace at each scrape, and says so; all have
// their turn.
func TestListenBudget(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	waiting := map[string]bool{}
	for range 3 {
		n := nstest.New(t)
		n.Up(t)
		n.Do(t, func() {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:8080")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
		})
		waiting[name(t, n.PID)] = true
	}
	tab := table(t, nsproc.Options{})
	s := serve(t, tab, nsproc.NewListen(tab, 0, 64))
	for range 2000 { // there may be others' namespaces, too
		f := s.scrape(t)
		require.Zero(t, f.value(t, "netns_scrape_collector_success", "collector", "listen"))
		seen := map[string]bool{}
		for _, m := range f["netns_listen_sockets"].GetMetric() {
			seen[m.Label[0].GetValue()] = true
			delete(waiting, m.Label[0].GetValue())
		}
		require.LessOrEqual(t, len(seen), 1)
		if len(waiting) == 0 {
			return
		}
	}
	require.Empty(t, waiting, "they never had their turn")
}

// Of too many ports the fullest are exposed, and the others counted.
func TestListenPorts(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	n := nstest.New(t)
	n.Up(t)
	n.Do(t, func() {
		for port := range 5 {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 8000+port))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.Close()) })
			if port == 3 {
				c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, c.Close()) })
			}
		}
	})
	tab := table(t, nsproc.Options{})
	f := serve(t, tab, nsproc.NewListen(tab, time.Minute, 1)).scrape(t)
	require.InDelta(t, 1, f.value(t, "netns_listen_queue_length", "netns", name(t, n.PID), "port", "8003"), 0)
	require.InDelta(t, 4, f.value(t, "netns_listen_hidden_ports", "netns", name(t, n.PID)), 0)
}

// A namespace that only a bind mount keeps is found by the mount, called by its
// name, entered to be read, and gone when it is unmounted.
func TestNamespaceOfABindMount(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	n := nstest.New(t)
	n.Up(t)
	inode := name(t, n.PID)
	point := filepath.Join(t.TempDir(), "blue and\tgreen")
	require.NoError(t, os.WriteFile(point, nil, 0o600))
	err := unix.Mount(n.Path(), point, "", unix.MS_BIND, "")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Log("NO BIND MOUNTS, this was not tested:", err)
		return
	}
	require.NoError(t, err)
	mounted := true
	t.Cleanup(func() {
		if mounted {
			_ = unix.Unmount(point, unix.MNT_DETACH)
		}
	})
	tab := table(t, nsproc.Options{})
	s := serve(t, tab, nsproc.NewNamespaces(tab), nsproc.NewInterfaces(tab, none(), none(), all()))
	f := s.scrape(t)
	require.InDelta(t, 1, f.value(t, "netns_info", "netns", inode, "name", "blue and\tgreen", "host", "false"), 0)
	empty := f.value(t, "netns_empty_namespaces")
	n.End()
	f = s.scrape(t)
	require.InDelta(t, 1, f.value(t, "netns_info", "netns", inode, "name", "blue and\tgreen"), 0)
	require.InDelta(t, empty+1, f.value(t, "netns_empty_namespaces"), 0)
	_, there := f.find("netns_interface_receive_bytes_total", "netns", inode, "device", "lo")
	require.True(t, there, "it is entered to be read")
	require.NoError(t, unix.Unmount(point, 0))
	mounted = false
	_, there = s.scrape(t).find("netns_info", "netns", inode)
	require.False(t, there)
}

// Numbers are used again; what is counted under one name is never of two
// namespaces, with the kernel's ids and without.
func TestRecycledNumbersAreTold(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	for _, ids := range []bool{true, false} {
		t.Run(fmt.Sprintf("ids=%t", ids), func(t *testing.T) {
			tab := table(t, nsproc.Options{IgnoreIDs: !ids})
			names := map[string]bool{} // every namespace must bring a name that was never seen
			recycled := false
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
				n := nstest.New(t)
				inode := name(t, n.PID)
				got := ""
				for range 2 { // and it keeps its name
					look, err := tab.Look(t.Context())
					require.NoError(t, err)
					for _, ns := range look.Namespaces {
						if ns.Name == inode || strings.HasPrefix(ns.Name, inode+"-") {
							require.True(t, got == "" || got == ns.Name, "%s became %s", got, ns.Name)
							got = ns.Name
						}
					}
					tab.Forget()
				}
				require.NotEmpty(t, got)
				require.False(t, names[got], "%s is the name of two namespaces", got)
				names[got] = true
				n.End()
				if recycled = strings.HasSuffix(got, "-2"); recycled {
					break
				}
			}
			t.Logf("%d namespaces, a number used again: %t", len(names), recycled)
		})
	}
}

// A number is used again between two looks, neither of which saw it free.
func TestRecycledBetweenTwoLooks(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	for _, ids := range []bool{true, false} {
		t.Run(fmt.Sprintf("ids=%t", ids), func(t *testing.T) {
			tab := table(t, nsproc.Options{IgnoreIDs: !ids})
			s := serve(t, tab, nsproc.NewNamespaces(tab))
			var first []*nstest.Namespace
			was := map[string]bool{}
			for range 10 { // somebody else may get the number of one
				first = append(first, nstest.New(t))
				was[name(t, first[len(first)-1].PID)] = true
			}
			s.scrape(t)
			for _, n := range first {
				n.End()
			}
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
				n := nstest.New(t)
				inode := name(t, n.PID)
				if !was[inode] {
					n.End()
					continue
				}
				f := s.scrape(t)
				f.value(t, "netns_info", "netns", inode+"-2")
				_, there := f.find("netns_info", "netns", inode)
				require.False(t, there)
				return
			}
			t.Log("no number was used again in 10 s: this kernel does not do so, or others took them all")
		})
	}
}

// Nothing that is read keeps a namespace: while they come and go under scrapes,
// no file, goroutine, thread or namespace is left over.
func TestComingAndGoing(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	tab := table(t, nsproc.Options{})
	s := serve(
		t, tab, nsproc.NewNamespaces(tab), nsproc.NewCounters(tab, nil), nsproc.NewSockets(tab),
		nsproc.NewInterfaces(tab, none(), none(), all()), nsproc.NewConntrack(tab), nsproc.NewListen(tab, time.Minute, 64),
	)
	s.text(t)
	files, threads, goroutines := count(t, "/proc/self/fd"), count(t, "/proc/self/task"), runtime.NumGoroutine()
	ctx, stop := context.WithCancel(t.Context())
	scraped := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			_ = s.text(t)
		}
		scraped <- n
	}()
	seen := map[string]bool{}
	var alive []*nstest.Namespace
	var handles []unix.FileHandle
	for range 1000 {
		n := nstest.New(t)
		seen[name(t, n.PID)] = true
		if h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, n.Path(), unix.AT_SYMLINK_FOLLOW); err == nil {
			handles = append(handles, h)
		}
		if alive = append(alive, n); len(alive) > 20 {
			alive[0].End()
			alive = alive[1:]
		}
	}
	for _, n := range alive {
		n.End()
	}
	stop()
	require.Greater(t, <-scraped, 3)
	links, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, l := range links {
		to, err := os.Readlink(l)
		require.False(t, err == nil && (strings.HasPrefix(to, "net:[") || strings.Contains(to, "/net/")), "%s is still open", to)
	}
	require.LessOrEqual(t, count(t, "/proc/self/fd"), files+3)
	require.LessOrEqual(t, count(t, "/proc/self/task"), threads+32, "threads of the runtime, none that was lost")
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, 10*time.Second, 10*time.Millisecond)
	f := s.scrape(t)
	for inode := range seen {
		_, there := f.find("netns_info", "netns", inode)
		require.False(t, there, "%s is gone, and exposed", inode)
	}
	gone(t, handles)
}

func count(t testing.TB, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(entries)
}

// gone waits until the kernel has freed every one of the namespaces. Before
// Linux 6.18 there are no handles to ask it by: then it is enough that no file is open.
func gone(t *testing.T, handles []unix.FileHandle) {
	t.Helper()
	nsfs, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(nsfs) }()
	t.Logf("%d namespaces are looked for by their handles", len(handles))
	for _, h := range handles {
		require.Eventually(t, func() bool {
			fd, err := unix.OpenByHandleAt(nsfs, h, unix.O_RDONLY|unix.O_CLOEXEC)
			if err == nil {
				_ = unix.Close(fd)
			}
			return errors.Is(err, unix.ESTALE)
		}, 30*time.Second, 10*time.Millisecond, "a namespace was kept")
	}
}
