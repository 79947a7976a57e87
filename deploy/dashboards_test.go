package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/dashboards"
)

// Each shipped dashboard holds to the ten checks, and asks for what is there.
func TestDashboards(t *testing.T) {
	all, err := dashboards.Shipped()
	require.NoError(t, err)
	there, err := filepath.Glob("../dashboards/*.json")
	require.NoError(t, err)
	require.Len(t, all, len(there))
	known := netnsMetrics(t)
	maps.Copy(known, tocsinMetrics(t))
	uids, titles := map[string]bool{}, map[string]bool{}
	for _, d := range all {
		for _, f := range dashboards.Lint(d, dashboards.House{Metrics: known, Others: all}) {
			t.Error(f)
		}
		require.False(t, uids[d.UID] || titles[d.Title], "%s: another has its uid or title", d.File)
		uids[d.UID], titles[d.Title] = true, true
	}
}

// Every alert links to a dashboard that is there, with variables that it has
// filled in from labels that the alert has.
func TestAlertsLinkToDashboards(t *testing.T) {
	all, err := dashboards.Shipped()
	require.NoError(t, err)
	variables := map[string][]string{} // by uid
	for _, d := range all {
		for _, v := range d.Templating.List {
			variables[d.UID] = append(variables[d.UID], v.Name)
		}
	}
	for _, r := range append(rules(t, "tocsin"), rules(t, "netns")...) {
		if r.Alert == "TocsinWatchdog" {
			continue // it always fires, and nobody is to look
		}
		link := regexp.MustCompile(`^https://grafana\.example\.org/d/([\w-]+)\?(.+)$`).FindStringSubmatch(r.Annotations["dashboard_url"])
		require.NotNil(t, link, r.Alert)
		require.Contains(t, variables, link[1], r.Alert)
		for part := range strings.SplitSeq(link[2], "&") {
			m := regexp.MustCompile(`^var-(\w+)=(?:tocsin|\{\{ \$labels\.(\w+) \| urlquery \}\})$`).FindStringSubmatch(part)
			require.NotNil(t, m, "%s: %s", r.Alert, part)
			require.Contains(t, variables[link[1]], m[1], r.Alert)
			require.True(t, m[2] == "" || m[2] == m[1] && dashboards.Keeps(r.Expr, m[2]), "%s has no label %s", r.Alert, m[2])
		}
	}
}

// tocsinMetrics are Tocsin's metrics with their labels.
func tocsinMetrics(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(tocsin_\\w+)` \\| ([a-z_, ]*) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/reference/metrics.md"), -1) {
		for _, part := range []string{"", "_bucket", "_count", "_sum"} { // the reference does not tell histograms
			out[m[1]+part] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	require.Contains(t, out, "tocsin_fault_to_page_seconds_bucket")
	return out
}

// docs/dashboards.md lists every dashboard with its uid, every check, and panels
// that are there.
func TestDashboardsInTheDocuments(t *testing.T) {
	text := read(t, "../docs/dashboards.md")
	all, err := dashboards.Shipped()
	require.NoError(t, err)
	panels := map[string]bool{}
	for _, d := range all {
		require.Contains(t, text, "| [`dashboards/"+d.File+"`](../dashboards/"+d.File+") | `"+d.UID+"` |")
		panels[d.Title] = true
		for p := range d.Drawn() {
			panels[p.Title] = true
		}
	}
	require.Equal(t, len(all), strings.Count(text, "| [`dashboards/"), "a dashboard is listed that is not there")
	for _, c := range dashboards.Checks() {
		require.Contains(t, text, "| `"+c.Name+"` | "+c.Says+" |\n")
	}
	_, why, _ := strings.Cut(text, "## Was the page late, and why?")
	why, _, _ = strings.Cut(why, "\n## ")
	named := regexp.MustCompile(`\*([A-Z][^*]+)\*`).FindAllStringSubmatch(why, -1)
	require.Greater(t, len(named), 8)
	for _, m := range named {
		require.True(t, panels[m[1]] || panels[m[1]+", median"], "no panel is called %q", m[1])
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		require.FileExists(t, filepath.Join("../docs", m[1]))
	}
}
