//go:build linux

package nsproc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkParse reads snmp and netstat of a recorded machine: as we do, for the
// fields that people look at, and into maps of all words.
func BenchmarkParse(b *testing.B) {
	file := append(recorded(b, "snmp"), recorded(b, "netstat")...)
	b.Run("ours", func(b *testing.B) {
		f := newFields(nil)
		m := mib{picker: f}
		var samples []sample
		b.ReportAllocs()
		for b.Loop() {
			clear(samples)
			samples = m.parse(file, samples, f.grow)
		}
	})
	b.Run("naive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.NotEmpty(b, naive(string(file)))
		}
	})
}

// BenchmarkLook finds the namespace of every process of this machine: as we do,
// by its identity, and by reading links.
func BenchmarkLook(b *testing.B) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(b, err)
	row := func(name string, once func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(processes)), "ns/process")
		})
	}
	t := NewTable(Options{ProcFS: "/proc"})
	defer func() { _ = t.Close() }()
	row("ours", func() {
		t.Forget()
		look, err := t.Look(b.Context())
		require.NoError(b, err)
		require.NotEmpty(b, look.Namespaces)
	})
	row("naive", func() {
		entries, err := os.ReadDir("/proc")
		require.NoError(b, err)
		found := map[string]int{}
		for _, e := range entries {
			if pid, err := strconv.Atoi(e.Name()); err == nil {
				if link, err := os.Readlink("/proc/" + e.Name() + "/ns/net"); err == nil && strings.HasPrefix(link, "net:[") {
					found[link] = pid
				}
			}
		}
		require.NotEmpty(b, found)
	})
}
