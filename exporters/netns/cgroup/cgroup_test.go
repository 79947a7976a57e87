//go:build linux

package cgroup_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

func TestMain(m *testing.M) { cgrouptest.Main(m) }

// scraper returns what a scrape of the cgroups at root says.
func scraper(t testing.TB, root string, inline bool) func() string {
	t.Helper()
	c, err := cgroup.NewCollector(cgroup.Options{Root: root, Names: names.New(names.Options{}), Inline: inline})
	require.NoError(t, err)
	e, err := exporters.New(exporters.Options{Prefix: "netns", Exposers: []exporters.Exposer{c}, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	h, err := e.Handler()
	require.NoError(t, err)
	return func() string {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		body, err := io.ReadAll(rec.Body)
		require.NoError(t, err)
		return string(body)
	}
}

// ours is a scrape without what the frame says of itself, each cgroup under its path.
func ours(text string) string {
	for _, m := range regexp.MustCompile(`(?m)^cgroup_info\{cgroup="(\w+)",path="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		text = strings.ReplaceAll(text, `cgroup="`+m[1]+`"`, `cgroup="`+m[2]+`"`)
	}
	var out strings.Builder
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, "cgroup_") || strings.HasPrefix(l, "# HELP cgroup_") || strings.HasPrefix(l, "# TYPE cgroup_") {
			out.WriteString(l)
		}
	}
	return out.String()
}

// unpack lays a recorded tree out in a folder.
func unpack(t testing.TB, file string) string {
	t.Helper()
	dir := t.TempDir()
	ar, err := txtar.ParseFile(file)
	require.NoError(t, err)
	for _, f := range ar.Files {
		path := filepath.Join(dir, f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
	}
	for _, link := range regexp.MustCompile(`(\w+)=([\w,]+)`).FindAllStringSubmatch(string(ar.Comment), -1) {
		require.NoError(t, os.Symlink(link[2], filepath.Join(dir, link[1])))
	}
	return dir
}

func TestRecordedTrees(t *testing.T) {
	trees, err := filepath.Glob("testdata/trees/*.txtar")
	require.NoError(t, err)
	require.Len(t, trees, 5)
	for _, file := range trees {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			scrape := scraper(t, unpack(t, file), false)
			text := scrape()
			require.Contains(t, text, `netns_scrape_collector_success{collector="cgroup"} 1`)
			got := ours(text)
			golden := strings.TrimSuffix(file, ".txtar") + ".prom"
			if os.Getenv("UPDATE") != "" {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
			require.Equal(t, got, ours(scrape()), "a second scrape says the same")
			problems, err := promlint.New(strings.NewReader(got)).Lint()
			require.NoError(t, err)
			require.Empty(t, problems)
		})
	}
}

// value is that of the one series whose line begins so.
func value(t *testing.T, text, series string) string {
	t.Helper()
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	require.Fail(t, "no such series", "%s in\n%s", series, text)
	return ""
}

func TestInlineNames(t *testing.T) {
	text := scraper(t, unpack(t, "testdata/trees/v1-systemd-5.4-docker.txtar"), true)()
	require.Contains(t, text, `cgroup="`)
	require.Regexp(t, `cgroup_pids\{cgroup="\w{12}",app="nginx",container="",namespace="",pod=""\} 3`, text)
}

func TestNoCgroups(t *testing.T) {
	_, err := cgroup.Open(t.TempDir())
	require.ErrorContains(t, err, "neither v1 nor v2")
}

// A cgroup that was removed and made anew under its path is another one: nothing
// of the new one is read as the old one's.
func TestARemadeCgroupIsAnother(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	g := cgrouptest.Make(t)
	g.Quota(t, 10*time.Millisecond, 100*time.Millisecond)
	tree, err := cgroup.Open(cgrouptest.Root)
	require.NoError(t, err)
	find := func() *cgroup.Group {
		groups, err := tree.Scan(t.Context())
		require.NoError(t, err)
		for _, c := range groups {
			if c.Path == g.Path {
				return c
			}
		}
		return nil
	}
	old := find()
	require.NotNil(t, old)
	require.Same(t, old, find(), "the same as long as it lives")
	var stats cgroup.Stats
	require.NoError(t, tree.Read(old, &stats))
	quota, ok := stats.Get(cgroup.Quota)
	require.True(t, ok)
	require.Equal(t, uint64(10*time.Millisecond), quota)
	g.Remove(t)
	require.ErrorIs(t, tree.Read(old, &stats), cgroup.ErrGone)
	require.NoError(t, os.Mkdir(g.Dir, 0o755))
	require.ErrorIs(t, tree.Read(old, &stats), cgroup.ErrGone)
	anew := find()
	require.NotEqual(t, old.ID, anew.ID)
	require.NoError(t, tree.Read(anew, &stats))
	_, ok = stats.Get(cgroup.Quota)
	require.False(t, ok)
	g.Remove(t)
	require.Nil(t, find())
	require.NoError(t, os.Mkdir(g.Dir, 0o755)) // for the test's end
}
