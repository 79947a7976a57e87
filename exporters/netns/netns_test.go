//go:build linux

package netns_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns"
	"github.com/tocsin/tocsin/exporters/netns/nstest"
)

func scrape(t testing.TB, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	raw, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return string(raw)
}

func golden(t testing.TB, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "%s is not what the code says: run make golden", path)
}

// sysfs lays a recorded tree of cgroups out in a folder.
func sysfs(t testing.TB, tree string) string {
	t.Helper()
	dir := t.TempDir()
	ar, err := txtar.ParseFile(filepath.Join("cgroup/testdata/trees", tree+".txtar"))
	require.NoError(t, err)
	for _, f := range ar.Files {
		path := filepath.Join(dir, "fs/cgroup", f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
	}
	return dir
}

// A scrape of two namespaces and the cgroups of a pod, of a kernel that is newer
// than the code. Times and the exporter's own process are left out, numbers of
// namespaces are their names and those of cgroups their paths.
func TestGoldenScrape(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-"+strings.Repeat("c0ffee00", 8)+".scope", 100)
	tree.Process(101, "pod", "/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-"+strings.Repeat("c0ffee01", 8)+".scope", 100)
	mapping := filepath.Join(t.TempDir(), "names.yml")
	require.NoError(t, os.WriteFile(mapping, []byte("- regex: .*-pod([0-9a-f_]{8}).*\n  labels: {namespace: shop, pod: checkout-$1, app: checkout}\n"), 0o600))
	text := scrape(t, handler(t, "--path.procfs", tree.Dir, "--path.sysfs", sysfs(t, "v2-systemd-6.8-containerd"), "--names.mapping", mapping,
		"--names.logs=", "--no-collector.self", "--no-collector.listen", "--no-collector.throttle"))
	for _, name := range []string{"host", "pod"} {
		text = strings.ReplaceAll(text, `netns="`+tree.Inode(name)+`"`, `netns="`+name+`"`)
	}
	for _, m := range regexp.MustCompile(`(?m)^cgroup_info\{cgroup="(\w+)",path="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		text = strings.ReplaceAll(text, `cgroup="`+m[1]+`"`, `cgroup="`+m[2]+`"`)
	}
	text = regexp.MustCompile(`(?m)^(netns_scrape_collector_(duration|cpu)_.*) \S+$`).ReplaceAllString(text, "$1 TIME")
	golden(t, "testdata/scrape.golden", ordered(text))
}

// ordered sorts the samples of each family: which namespace has the lower number is chance.
func ordered(text string) string {
	lines := slices.Collect(strings.Lines(text))
	for i := 0; i < len(lines); i++ {
		j := i
		for j < len(lines) && lines[j][0] != '#' {
			j++
		}
		slices.Sort(lines[i:j])
		i = j
	}
	return strings.Join(lines, "")
}

// On a machine without cgroups, or without the CPU controller, the others work;
// what is off is said once, and is no failure.
func TestWhatTheMachineLacksIsOff(t *testing.T) {
	v2 := sysfs(t, "v2-systemd-6.8-containerd")
	require.NoError(t, os.WriteFile(filepath.Join(v2, "fs/cgroup/cgroup.controllers"), []byte("memory pids\n"), 0o600))
	for dir, want := range map[string][2]int{t.TempDir(): {0, 0}, v2: {1, 0}, sysfs(t, "hybrid-6.6"): {1, 1}} {
		var log bytes.Buffer
		house, err := netns.New(flags(t, "--path.procfs", nstest.NewTree(t).Dir, "--path.sysfs", dir, "--no-collector.listen"), "test", slog.New(slog.NewTextHandler(&log, nil)))
		require.NoError(t, err)
		h, err := house.Exporter.Handler()
		require.NoError(t, err)
		for range 2 {
			text := scrape(t, h)
			require.Contains(t, text, fmt.Sprintf("netns_collector_available{collector=\"cgroup\"} %d\n", want[0]))
			require.Contains(t, text, fmt.Sprintf("netns_collector_available{collector=\"throttle\"} %d\n", want[1]))
			require.Contains(t, text, `netns_scrape_collector_success{collector="counters"} 1`)
			require.Equal(t, want[0] == 1, strings.Contains(text, `netns_scrape_collector_success{collector="cgroup"} 1`))
		}
		require.Equal(t, 2-want[0]-want[1], strings.Count(log.String(), "collector is off"), log.String())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?collect[]=throttle", nil))
		require.Equal(t, http.StatusOK, w.Code, "who asks all machines for it is answered by all")
		require.NoError(t, house.Close())
	}
}

// Names keep the rules that promtool check metrics has, with every field and column.
func TestNamesOfMetrics(t *testing.T) {
	text := scrape(t, handler(t, "--collector.counters.fields=.*", "--collector.interfaces.columns=.*", "--no-collector.listen"))
	require.Greater(t, strings.Count(text, "# TYPE"), 100)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		require.Regexp(t, `^go_`, p.Metric, p.Text)
	}
}

func TestFieldsAreChosen(t *testing.T) {
	tree := nstest.NewTree(t)
	only := scrape(t, handler(t, "--path.procfs", tree.Dir, "--collector.counters.fields", "Quic_.*|Tcp_MaxConn|TcpExt_Listen", "--no-collector.listen"))
	require.Contains(t, only, "netns_quic_streams_total{")
	require.NotContains(t, only, "netns_tcp_active_opens_total")
	require.NotContains(t, only, "max_conn", "it is a constant")
	require.NotContains(t, only, "listen_drops", "an expression matches the whole name")
}

func TestDevicesAreChosen(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/", 100)
	text := scrape(t, handler(t, "--path.procfs", tree.Dir, "--no-collector.listen"))
	require.NotContains(t, text, `device="lo"`)
	require.Contains(t, text, `netns="`+tree.Inode("pod")+`",device="veth\"1"`)
	require.NotContains(t, text, `netns="`+tree.Inode("host")+`",device="veth`)
	text = scrape(t, handler(t, "--path.procfs", tree.Dir, "--no-collector.listen", "--collector.interfaces.exclude=", "--collector.interfaces.host-exclude="))
	require.Contains(t, text, `netns="`+tree.Inode("host")+`",device="lo"`)
}

// What is known of a namespace is not made anew at each scrape.
func TestSteadyStateAllocatesNothingPerNamespace(t *testing.T) {
	allocs := func(args ...string) float64 {
		h := handler(t, append(args, "--no-collector.self")...)
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		least := math.Inf(1) // of scrapes during which others made the fewest namespaces
		for range 20 {
			least = min(least, testing.AllocsPerRun(1, func() { h.ServeHTTP(&discard{header: http.Header{}}, r) }))
		}
		return least
	}
	tree := nstest.NewTree(t)
	few := allocs("--path.procfs", tree.Dir, "--no-collector.listen")
	for i := range 100 {
		tree.Process(100+i, fmt.Sprint("ns", i), "/", i)
	}
	many := allocs("--path.procfs", tree.Dir, "--no-collector.listen")
	t.Logf("%.2f for each namespace of a tree", (many-few)/100)
	require.Less(t, (many-few)/100, 0.5)
	if !nstest.Root(t) {
		return
	}
	before := processes(t)
	few = allocs()
	for range 100 {
		nstest.New(t)
	}
	many = allocs()
	t.Logf("%.2f for each namespace of the machine", (many-few)/100)
	if _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/proc/self/ns/net", unix.AT_SYMLINK_FOLLOW); err == nil && processes(t) == before+100 {
		require.Less(t, (many-few)/100, 0.5)
	}
}

// processes are how many the machine has: who come and go meanwhile are not known yet.
func processes(t *testing.T) int {
	t.Helper()
	pids, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	return len(pids)
}

func TestHelpAndMistakes(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, netns.Run([]string{"--help"}, "v1", &out, &errs))
	for _, want := range []string{"--[no-]collector.listen", "--[no-]collector.throttle", "--names.cri", "--path.procfs", "--web.config.file", "collect[]=counters", ":9417"} {
		require.Contains(t, out.String(), want)
	}
	out.Reset()
	require.Zero(t, netns.Run([]string{"--version"}, "v1", &out, &errs))
	require.Equal(t, "v1\n", out.String())
	for args, want := range map[string]string{
		"--collector.none":                 "unknown flag",
		"--collector.counters.fields=(":    "--collector.counters.fields",
		"--collector.interfaces.exclude=(": "--collector.interfaces.exclude",
		"--web.timeout=0s":                 "timeout",
		"--log.format=xml":                 "--log.format",
		"--names.mapping=none.yml":         "open mapping: open none.yml",
		"--collector.throttle.interval=0s": "want 1ms to 1s",
		"--collector.throttle.window=1ms":  "want at least 1s",
		"--collector.throttle.budget=NaN":  "more than 0 and at most 1",
	} {
		errs.Reset()
		require.Equal(t, 2, netns.Run([]string{args}, "v1", io.Discard, &errs), args)
		require.Contains(t, errs.String(), want)
	}
	errs.Reset()
	require.Equal(t, 1, netns.Run([]string{"--web.listen-address=256.0.0.1:1"}, "v1", io.Discard, &errs))
	require.Contains(t, errs.String(), "serve:")
}

// The reference in docs/netns.md is written from the code: UPDATE=1 (make golden).
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "netns.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	re := regexp.MustCompile(`(?s)(<!-- metrics, written by make golden -->\n).*(<!-- end -->\n)`)
	require.Regexp(t, re, string(raw))
	golden(t, path, re.ReplaceAllLiteralString(string(raw), "<!-- metrics, written by make golden -->\n"+reference(t)+"<!-- end -->\n"))
}

// reference lists every metric of the default flags.
func reference(t testing.TB) string {
	t.Helper()
	house, err := netns.New(flags(t, "--path.procfs", nstest.NewTree(t).Dir, "--path.sysfs", sysfs(t, "v2-systemd-6.8-containerd")), "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, house.Close()) }()
	h, err := house.Exporter.Handler()
	require.NoError(t, err)
	types := map[string]exporters.Type{} // what client_golang's metrics do not say of themselves
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scrape(t, h), -1) {
		types[m[1]] = exporters.Type(m[2])
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n")
	for _, f := range house.Exporter.Families() {
		if strings.HasPrefix(f.Name, "go_") || strings.HasPrefix(f.Name, "process_") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, cmp.Or(f.Type, types[f.Name]), strings.Join(f.Labels, ", "), strings.ReplaceAll(f.Help, "|", `\|`))
	}
	return b.String()
}
