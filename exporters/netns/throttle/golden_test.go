//go:build linux

package throttle_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns/names"
	"github.com/tocsin/tocsin/exporters/netns/throttle"
)

// recorded lays out a machine with one container of a quota, on v2.
func recorded(t *testing.T) (root, stat string) {
	t.Helper()
	root = t.TempDir()
	dir := filepath.Join(root, "system.slice", "docker-"+strings.Repeat("a1", 32)+".scope")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for path, text := range map[string]string{
		filepath.Join(root, "cgroup.controllers"): "cpu memory\n",
		filepath.Join(dir, "cpu.max"):             "20000 100000\n",
		filepath.Join(dir, "cpu.stat"):            "usage_usec 9\nnr_periods 100\nnr_throttled 40\nthrottled_usec 3000000\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return root, filepath.Join(dir, "cpu.stat")
}

// A scrape of a container that was throttled for two periods, with inline labels.
func TestGolden(t *testing.T) {
	root, stat := recorded(t)
	now := time.Unix(1_700_000_000, 0)
	s, err := throttle.New(throttle.Options{
		Root: root, Names: names.New(names.Options{}), Inline: true, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	require.NoError(t, s.Scan(t.Context()))
	for _, text := range []string{
		"usage_usec 9\nnr_periods 101\nnr_throttled 41\nthrottled_usec 3080000\n",
		"usage_usec 9\nnr_periods 102\nnr_throttled 42\nthrottled_usec 3110000\n",
		"usage_usec 9\nnr_periods 103\nnr_throttled 42\nthrottled_usec 3110000\n",
	} {
		f, err := os.OpenFile(stat, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		for range 3 {
			now = now.Add(50 * time.Millisecond)
			s.Sample()
		}
	}
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(collector{s, context.Background()}))
	families, err := reg.Gather()
	require.NoError(t, err)
	var out bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&out, f)
		require.NoError(t, err)
	}
	got := regexp.MustCompile(`cgroup="\w+"`).ReplaceAllString(out.String(), `cgroup="ID"`)
	const golden = "testdata/scrape.prom"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
	problems, err := promlint.New(strings.NewReader(got)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestNoCPUController(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "memory"), 0o755))
	_, err := throttle.New(throttle.Options{Root: root})
	require.ErrorContains(t, err, "no CPU controller")
}

// A machine may have more cgroups with a quota than may be held open.
func TestFilesAreBounded(t *testing.T) {
	root, _ := recorded(t)
	for _, name := range []string{"b", "c", "d"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name, "cpu.max"), []byte("10000 100000"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(root, name, "cpu.stat"), []byte("nr_periods 1\n"), 0o644))
	}
	s, err := throttle.New(throttle.Options{Root: root, Names: names.New(names.Options{}), Log: slog.New(slog.DiscardHandler), MaxFiles: 2})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, s.Scan(t.Context()))
		reg := prometheus.NewRegistry()
		require.NoError(t, reg.Register(collector{s, t.Context()}))
		families, err := reg.Gather()
		require.NoError(t, err)
		states := map[string]float64{}
		for _, f := range families {
			if f.GetName() == "cgroup_throttle_sampler_cgroups" {
				for _, m := range f.GetMetric() {
					states[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		require.Equal(t, map[string]float64{"busy": 2, "idle": 0, "skipped": 2}, states)
	}
}
