package thanos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// A deploy and a node that only info metrics know are traits all the same.
func TestInfoMetrics(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fleet := func(bad func(i int) bool) []enrichtest.Series {
		var out []enrichtest.Series
		for i := range 20 {
			pod := []string{"job", "api", "instance", fmt.Sprintf("10.0.0.%d:80", i), "namespace", "shop", "pod", fmt.Sprintf("api-%d", i)}
			v := 1.0
			if bad(i) {
				v = 9
			}
			with := func(more ...string) []string { return append(append([]string{}, pod...), more...) }
			out = append(out,
				enrichtest.Gauge(now, v, with("__name__", "queue_length")...),
				enrichtest.Gauge(now, 1, "__name__", "api_build_info", "job", "api", "instance", pod[3], "version", fmt.Sprintf("v%d", 41+i%4/3)),
				enrichtest.Gauge(now, 1, "__name__", "go_build_info", "job", "api", "instance", pod[3], "version", "(devel)"),
				enrichtest.Gauge(now, 1, "__name__", "kube_pod_info", "job", "ksm", "instance", "ksm:80", "namespace", "shop", "pod", pod[7], "node", fmt.Sprintf("n%d", i%5)),
				enrichtest.Gauge(now, 1, "__name__", "kube_pod_info", "job", "ksm", "instance", "ksm:80", "namespace", "bank", "pod", pod[7], "node", "elsewhere"),
			)
		}
		return out
	}
	roles := enrich.Roles{"deploy": {"deploy", "version"}, "host": {"node"}}
	for _, c := range []struct {
		name string
		bad  func(int) bool
		want page.Labels
		show string
	}{
		{"version", func(i int) bool { return i%4 == 3 }, page.Labels{"version": "v42"}, `queue_length and on (job, instance) {__name__="api_build_info",version="v42"}`},
		{"node", func(i int) bool { return i%5 == 2 }, page.Labels{"node": "n2"}, `queue_length and on (namespace, pod) {__name__="kube_pod_info",node="n2"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := enrichtest.New(t, fleet(c.bad)...)
			kind := thanos.Kind()
			cfg, ok := kind.Config().(*thanos.Config)
			require.True(t, ok)
			cfg.HTTP = f.URL
			s, err := kind.New(cfg, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Now: time.Now, Roles: roles})
			require.NoError(t, err)
			q := enrich.Question{Alert: "A", Expr: `queue_length > 5`, At: now, Labels: page.Labels{"job": "api"}}
			table, err := s.Table(t.Context(), q)
			require.NoError(t, err)
			got := traits.New(roles).Explain(table)
			require.Len(t, got.Traits, 1)
			require.Equal(t, c.want, got.Traits[0].Labels)
			require.Equal(t, c.show, table.Query(c.want))

			var asked []string
			for _, text := range f.Asked() {
				if strings.Contains(text, "_info") {
					asked = append(asked, text)
				}
			}
			require.Len(t, asked, 2)
			require.Contains(t, strings.Join(asked, "\n"), `namespace=~"shop"`, "only about the members' own namespace")

			q.Deadline = time.Now().Add(time.Second)
			table, err = s.Table(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, table.Queries, 1, "there is no time for more")
			require.Len(t, table.Cols, 4)
		})
	}
}

// A rule is planned once: how many members it has, and which info metrics say
// more about them. A further page of it asks only for what there is to know,
// until the plan is old, or a thousand others were made.
func TestPlannedOnce(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var list []enrichtest.Series
	for i := range 4 {
		list = append(list,
			enrichtest.Gauge(now, float64(i), "__name__", "queue_length", "job", "api", "instance", fmt.Sprint(i), "namespace", "shop", "pod", fmt.Sprint("p", i)),
			enrichtest.Gauge(now, 1, "__name__", "api_build_info", "job", "api", "instance", fmt.Sprint(i), "version", fmt.Sprint("v", i/2)),
		)
	}
	f := enrichtest.New(t, list...)
	clock := now
	cfg, ok := thanos.Kind().Config().(*thanos.Config)
	require.True(t, ok)
	cfg.HTTP = f.URL
	s, err := thanos.Kind().New(cfg, enrich.Deps{
		Name: "main", Transport: http.DefaultTransport, Now: func() time.Time { return clock }, Roles: enrich.Roles{"deploy": {"version"}},
	})
	require.NoError(t, err)
	before := 0
	asked := func(rule string, ls page.Labels) (plans, joins int) {
		_, err := s.Table(t.Context(), enrich.Question{Alert: "A", Expr: rule, At: now, Labels: ls})
		require.NoError(t, err)
		all := f.Asked()
		for _, text := range all[before:] {
			switch {
			case strings.HasPrefix(text, "count("), strings.Contains(text, "kube_pod"): // how many, and what says nothing
				plans++
			case strings.Contains(text, "_info"):
				joins++
			}
		}
		before = len(all)
		return plans, joins
	}
	const rule = `queue_length > 2`
	plans, joins := asked(rule, nil)
	require.Positive(t, plans)
	require.LessOrEqual(t, plans, 2)
	require.Equal(t, 1, joins)
	for range 3 {
		plans, joins = asked(rule, page.Labels{"alertname": "A", "instance": "3"})
		require.Zero(t, plans, "another page of the rule")
		require.Equal(t, 1, joins)
	}
	clock = clock.Add(11 * time.Minute)
	plans, _ = asked(rule, nil)
	require.Positive(t, plans, "the plan is old")
	for i := range 1001 {
		asked(fmt.Sprintf(`queue_length{job!="%d"} > 2`, i), nil)
	}
	plans, _ = asked(rule, nil)
	require.Positive(t, plans, "a thousand others were planned")
}

// What says nothing about a rule's members is not asked again.
func TestInfoPlan(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var list []enrichtest.Series
	for i := range 4 {
		list = append(list, enrichtest.Gauge(now, float64(i), "__name__", "queue_length", "job", "api", "instance", fmt.Sprint(i), "version", "v1"))
	}
	f := enrichtest.New(t, list...)
	s := open(t, func(c *thanos.Config) { c.HTTP = f.URL; c.Timeout = config.Duration(time.Minute) })
	q := enrich.Question{Alert: "A", Expr: `queue_length > 2`, At: now}
	for _, want := range []int{2, 3, 4} { // the members, and once what more is known of them
		_, err := s.Table(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, slices.DeleteFunc(f.Asked(), func(text string) bool { return strings.HasPrefix(text, "count(") }), want)
	}
}
