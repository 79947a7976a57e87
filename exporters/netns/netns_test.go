//go:build linux

package netns_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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

// A scrape of two namespaces, of a kernel that is newer than the code. Times and
// the exporter's own process are left out, numbers of namespaces are their names.
func TestGoldenScrape(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/kubepods/pod1/abc", 100)
	tree.Process(101, "pod", "/kubepods/pod1/def", 100)
	text := scrape(t, handler(t, "--path.procfs", tree.Dir, "--no-collector.self", "--no-collector.listen"))
	for _, name := range []string{"host", "pod"} {
		text = strings.ReplaceAll(text, `netns="`+tree.Inode(name)+`"`, `netns="`+name+`"`)
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
	few = allocs()
	for range 100 {
		nstest.New(t)
	}
	many = allocs()
	t.Logf("%.2f for each namespace of the machine", (many-few)/100)
	if _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/proc/self/ns/net", unix.AT_SYMLINK_FOLLOW); err == nil {
		require.Less(t, (many-few)/100, 0.5, "others may make namespaces meanwhile")
	}
}

func TestHelpAndMistakes(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, netns.Run([]string{"--help"}, "v1", &out, &errs))
	for _, want := range []string{"--[no-]collector.listen", "--path.procfs", "--web.config.file", "collect[]=counters", ":9417"} {
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
	tree := nstest.NewTree(t)
	house, err := netns.New(flags(t, "--path.procfs", tree.Dir), "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, house.Close()) }()
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n")
	for _, f := range house.Exporter.Families() {
		if strings.HasPrefix(f.Name, "go_") || strings.HasPrefix(f.Name, "process_") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, strings.Join(f.Labels, ", "), strings.ReplaceAll(f.Help, "|", `\|`))
	}
	return b.String()
}

// The program ends with 0 when it is told to.
func TestRunEndsWhenItIsTold(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	code := make(chan int, 1)
	go func() {
		code <- netns.Run([]string{"--web.listen-address", addr, "--path.procfs", nstest.NewTree(t).Dir}, "v1", io.Discard, io.Discard)
	}()
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
	require.Eventually(t, func() bool { return get("/-/healthy") == "healthy\n" }, 30*time.Second, 10*time.Millisecond)
	require.Contains(t, get("/metrics?collect[]=counters"), "netns_tcp_active_opens_total{")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.Zero(t, <-code)
}
