//go:build linux

package netns_test

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters/netns"
	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
	"github.com/tocsin/tocsin/exporters/netns/nstest"
)

// flags are those of a command line without any.
func flags(t testing.TB, args ...string) netns.Flags {
	t.Helper()
	f, err := netns.Parse(args)
	require.NoError(t, err)
	return f
}

func handler(t testing.TB, args ...string) http.Handler {
	t.Helper()
	house, err := netns.New(flags(t, args...), "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, house.Close()) })
	h, err := house.Exporter.Handler()
	require.NoError(t, err)
	return h
}

// discard is a scraper that reads nothing.
type discard struct {
	header http.Header
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }

// cpu is the CPU time of this process.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floor opens, reads and closes the files, and does nothing with what they hold.
type floor struct {
	paths []string
	buf   []byte
}

func newFloor(pids []int) *floor {
	f := &floor{buf: make([]byte, 64<<10)}
	for _, pid := range pids {
		for _, name := range []string{"dev", "snmp", "netstat", "snmp6", "sockstat", "sockstat6", "stat/nf_conntrack"} {
			f.paths = append(f.paths, "/proc/"+strconv.Itoa(pid)+"/net/"+name)
		}
	}
	return f
}

func (f *floor) read(t testing.TB) {
	for _, p := range f.paths {
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		for n := 1; n > 0; {
			n, err = unix.Read(fd, f.buf)
			require.NoError(t, err)
		}
		_ = unix.Close(fd)
	}
}

// procfsReads is what node_exporter's library makes of the same files.
func procfsReads(t testing.TB, pids []int) {
	for _, pid := range pids {
		p, err := procfs.NewProc(pid)
		require.NoError(t, err)
		_, err = p.Netstat()
		require.NoError(t, err)
		_, err = p.Snmp()
		require.NoError(t, err)
		_, err = p.Snmp6()
		require.NoError(t, err)
		_, err = p.NetDev()
		require.NoError(t, err)
		fs, err := procfs.NewFS("/proc/" + strconv.Itoa(pid))
		require.NoError(t, err)
		_, err = fs.NetSockstat()
		require.NoError(t, err)
		_, err = fs.NetSockstat6()
		require.NoError(t, err)
		_, err = fs.ConntrackStat()
		require.NoError(t, err)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkScrape sets the CPU time of a scrape of 200 real namespaces, from the
// request to the compressed answer, beside that of its peers, in one run. Only
// the median counts, and of it only the ratios: the machine is not alone.
//
// `listen` has no floor among files: it is the scrape with the collector listen.
// `all` is the whole program, with a cgroup for each namespace, beside a floor of
// both's files.
func BenchmarkScrape(b *testing.B) {
	if !nstest.Root(b) || !cgrouptest.Possible(b) {
		return
	}
	const namespaces = 200
	var pids []int
	for range namespaces {
		pids = append(pids, nstest.New(b).PID)
	}
	f := newFloor(pids)
	var floorCost time.Duration
	row := func(name string, once func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			once(b) // buffers, headers, names
			runtime.GC()
			var costs []time.Duration
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				began := cpu()
				once(b)
				costs = append(costs, cpu()-began)
			}
			runtime.ReadMemStats(&after)
			cost := median(costs)
			if strings.HasPrefix(name, "floor") {
				floorCost = cost
			}
			b.ReportMetric(float64(cost.Microseconds())/namespaces, "cpu-µs/netns")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(len(costs)), "allocs/scrape")
			b.ReportMetric(float64(cost)/float64(floorCost), "x-floor")
		})
	}
	scraped := func(h http.Handler) func(b *testing.B) {
		return func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			w := &discard{header: http.Header{}}
			h.ServeHTTP(w, r)
			require.Greater(b, w.bytes, 1000)
		}
	}
	row("floor", func(b *testing.B) { f.read(b) })
	row("ours", scraped(handler(b, "--no-collector.listen", "--no-collector.cgroup", "--no-collector.throttle")))
	row("listen", scraped(handler(b, "--no-collector.cgroup", "--no-collector.throttle")))
	row("procfs", func(b *testing.B) { procfsReads(b, pids) })
	b.Run("cadvisor", func(b *testing.B) { cadvisor(b, pids, floorCost) })
	f.paths = append(f.paths, cgrouptest.Populate(b, pids)...)
	row("floor-with-cgroups", func(b *testing.B) { f.read(b) })
	row("all-but-listen", scraped(handler(b, "--no-collector.listen")))
	row("all", scraped(handler(b)))
}

// cadvisor is cAdvisor's library with tcp, udp and advtcp, in a process of its
// own (tools/cadvisor): exposition is not in it.
func cadvisor(b *testing.B, pids []int, floorCost time.Duration) {
	program := os.Getenv("CADVISOR")
	if program == "" {
		b.Log("CADVISOR does not name the program: make bench-netns builds it")
		return
	}
	pids = pids[:20] // each costs the same
	args := []string{"3"}
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	var costs []time.Duration
	for b.Loop() {
		out, err := exec.CommandContext(b.Context(), program, args...).Output()
		require.NoError(b, err)
		for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
			µs, err := strconv.Atoi(lines.Text())
			require.NoError(b, err)
			costs = append(costs, time.Duration(µs)*time.Microsecond)
		}
	}
	each := median(costs) / time.Duration(len(pids))
	b.ReportMetric(float64(each.Microseconds()), "cpu-µs/netns")
	b.ReportMetric(float64(each)*200/float64(floorCost), "x-floor")
}
