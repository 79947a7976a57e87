//go:build linux

package cgroup_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

const benched = 200

// populate makes cgroups with a sleeping process each, and returns their files.
func populate(b *testing.B) (files []string) {
	b.Helper()
	var pids []int
	for range benched {
		sleep := exec.CommandContext(b.Context(), "sleep", "3600")
		require.NoError(b, sleep.Start())
		b.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
		pids = append(pids, sleep.Process.Pid)
	}
	return cgrouptest.Populate(b, pids)
}

// BenchmarkScrape is one scrape of 200 cgroups in CPU time, exposition
// included, beside the floor, which opens, reads and closes the same files and does
// nothing else, and the usual way, with strings, maps and metric objects.
func BenchmarkScrape(b *testing.B) {
	if !cgrouptest.Possible(b) {
		return
	}
	files := populate(b)
	floor := 0.0
	measure := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			f()
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				f()
			}
			us := float64((cpuTime() - before).Microseconds()) / float64(b.N) / benched
			b.ReportMetric(us, "cpu-us/cgroup")
			if name == "floor" {
				floor = us
			}
			b.ReportMetric(us/floor, "x_floor")
		})
	}
	measure("floor", readAll(files))
	measure("ours", scrapeOnly(b))
	measure("naive", naive(b, files))
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func readAll(files []string) func() {
	buf := make([]byte, 8<<10)
	return func() {
		for _, f := range files {
			fd, err := unix.Open(f, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				panic(err)
			}
			_, _ = unix.Read(fd, buf)
			_ = unix.Close(fd)
		}
	}
}

// discarding is a response nobody reads.
type discarding http.Header

func (d discarding) Header() http.Header       { return http.Header(d) }
func (discarding) Write(p []byte) (int, error) { return len(p), nil }
func (discarding) WriteHeader(int)             {}

func scrapeOnly(b *testing.B) func() {
	b.Helper()
	c, err := cgroup.NewCollector(cgroup.Options{Root: cgrouptest.Root, Names: names.New(names.Options{})})
	require.NoError(b, err)
	e, err := exporters.New(exporters.Options{Prefix: "netns", Exposers: []exporters.Exposer{c}, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	h, err := e.Handler()
	require.NoError(b, err)
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	return func() { h.ServeHTTP(discarding{}, req) }
}

// naive reads files whole, splits lines into fields, puts them into maps and makes
// a metric of each number, through a registry.
func naive(b *testing.B, files []string) func() {
	b.Helper()
	return func() {
		reg := prometheus.NewRegistry()
		require.NoError(b, reg.Register(naiveCollector(files)))
		families, err := reg.Gather()
		require.NoError(b, err)
		for _, f := range families {
			_, err := expfmt.MetricFamilyToText(io.Discard, f)
			require.NoError(b, err)
		}
	}
}

type naiveCollector []string

func (naiveCollector) Describe(chan<- *prometheus.Desc) {}

func (files naiveCollector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		values := map[string]float64{}
		for l := range strings.SplitSeq(string(raw), "\n") {
			words := strings.Fields(l)
			for _, w := range words {
				key, val, ok := strings.Cut(w, "=")
				if !ok {
					key, val = words[0], words[len(words)-1]
				}
				if v, err := strconv.ParseFloat(val, 64); err == nil {
					values[key] = v
				}
			}
		}
		name := strings.NewReplacer(".", "_", ":", "_").Replace(filepath.Base(f))
		for k, v := range values {
			ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("cgroup_"+name, "A number.", []string{"cgroup", "key"}, nil), prometheus.UntypedValue, v, filepath.Dir(f), k)
		}
	}
}
