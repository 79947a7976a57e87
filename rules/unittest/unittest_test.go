package unittest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/unittest"
)

// silentPages says that there is no page, ever.
func silentPages(context.Context, *unittest.File, unittest.World) ([]unittest.Shown, error) {
	return nil, nil
}

// judged runs a file and returns whether it passes, and what is said else.
func judged(t *testing.T, path string) (bool, string) {
	t.Helper()
	f, err := unittest.Read(path)
	if err != nil {
		return false, err.Error()
	}
	results, err := f.Run(t.Context(), unittest.Options{Pages: silentPages}, &unittest.Coverage{})
	require.NoError(t, err)
	passes := true
	var said strings.Builder
	for _, r := range results {
		passes = passes && len(r.Failures) == 0
		for _, x := range r.Failures {
			require.Positive(t, x.Line)
			fmt.Fprintln(&said, x.What, x.Text, x.Expected, x.Got)
		}
	}
	return passes, said.String()
}

func TestVerdicts(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			passes, said := judged(t, c.write(t))
			require.Equal(t, c.passes, passes, said)
			require.Contains(t, said, c.says)
		})
	}
}

func TestMistakesOfRuleFiles(t *testing.T) {
	path := tested{file: "tests: [{input_series: []}]\n"}.write(t)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "rules.yml"), []byte("groups: [{name: g, rules: [{alert: A, expr: 'up =='}]}]"), 0o600))
	passes, said := judged(t, path)
	require.False(t, passes)
	require.Contains(t, said, "rule_files")

	_, err := unittest.Read(filepath.Join(t.TempDir(), "none.yml"))
	require.ErrorContains(t, err, "none.yml: no such file")
	f, err := unittest.Parse("x/test.yml", []byte("rule_files: [rules/*.yml]"))
	require.NoError(t, err)
	require.Equal(t, []string{"x/test.yml:1: no file is called x/rules/*.yml: if it is compiled from layers, run tocsin rules build first"}, f.Warnings)
}

func TestOnlyTestsOfTheName(t *testing.T) {
	path := tested{file: "tests:\n  - {name: one, alert_rule_test: [{}]}\n  - {name: two}\n  - {}\n"}.write(t)
	f, err := unittest.Read(path)
	require.NoError(t, err)
	for pattern, want := range map[string][]string{"": {"one", "two", "unnamed#2"}, "^t": {"two"}, "x": nil} {
		results, err := f.Run(t.Context(), unittest.Options{Run: regexp.MustCompile(pattern)}, &unittest.Coverage{})
		require.NoError(t, err)
		var names []string
		for _, r := range results {
			names = append(names, r.Name)
		}
		require.Equal(t, want, names, pattern)
	}
}

func TestFeatures(t *testing.T) {
	path := tested{file: "tests: [{promql_expr_test: [{expr: 'limitk(1, up)', eval_time: 1m}]}]\n"}.write(t)
	passes, said := judged(t, path)
	require.False(t, passes)
	require.Contains(t, said, "experimental")
	f, err := unittest.Read(path)
	require.NoError(t, err)
	var features unittest.Features
	require.True(t, features.Enable("promql-delayed-name-removal"))
	require.False(t, features.Enable("promql-magic"))
	results, err := f.Run(t.Context(), unittest.Options{Features: features}, &unittest.Coverage{})
	require.NoError(t, err)
	require.NotEmpty(t, results[0].Failures)
}

// The public tests of the Thanos mixin, where they are at hand.
func TestPublicTests(t *testing.T) {
	data := os.Getenv("RULES_DATA")
	if data == "" {
		data = "testdata/none"
	}
	names, err := filepath.Glob(filepath.Join(data, "*promtool-tests.yaml"))
	require.NoError(t, err)
	for _, name := range names {
		dir := t.TempDir()
		for from, to := range map[string]string{name: "tests.yaml", filepath.Join(data, "thanos-alerts.yaml"): "alerts.yaml", filepath.Join(data, "extra/thanos-rules.yaml"): "rules.yaml"} {
			text, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, to), text, 0o600))
		}
		passes, said := judged(t, filepath.Join(dir, "tests.yaml"))
		require.True(t, passes, said)
	}
}

func TestCoverage(t *testing.T) {
	path := tested{file: down + `
    alert_rule_test:
      - {eval_time: 1m, alertname: Down}
      - {eval_time: 3m, alertname: Same, exp_alerts: [{exp_labels: {job: x, from: b}}, {exp_labels: {job: x, from: a}}]}
    promql_expr_test:
      - {expr: 'ALERTS{alertstate="firing", alertname!="Kept"}', eval_time: 30s, exp_samples: []}
      - {expr: 'sum(ALERTS)', eval_time: 3m, exp_samples: []}
`}.write(t)
	f, err := unittest.Read(path)
	require.NoError(t, err)
	var c unittest.Coverage
	for range 2 { // what is seen twice is there once
		_, err = f.Run(t.Context(), unittest.Options{}, &c)
		require.NoError(t, err)
	}
	var got []string
	for _, a := range c.Alerts() {
		got = append(got, fmt.Sprintf("%s:%d %s %s %v %v %v", filepath.Base(a.File), a.Line, a.Group, a.Alert, a.Firing, a.Silent, a.Whole()))
	}
	require.Equal(t, []string{
		"rules.yml:6 a Down false true false",
		"rules.yml:11 a Same true true true",
		"rules.yml:14 b Same true true true",
		"rules.yml:15 b Kept false false false",
	}, got)
}

// What a test holds answers as a server: queries, spans of time, rules.
func TestWorldAnswersAsPrometheus(t *testing.T) {
	path := tested{file: down + "---\npages: [{eval_time: 3m, alertname: Down}, {eval_time: 9m, alertname: Down}]\n"}.write(t)
	f, err := unittest.Read(path)
	require.NoError(t, err)
	var at []time.Time
	results, err := f.Run(t.Context(), unittest.Options{Pages: func(ctx context.Context, _ *unittest.File, w unittest.World) ([]unittest.Shown, error) {
		at = append(at, w.Now)
		var shown []unittest.Shown
		for _, o := range w.Outcomes {
			for _, x := range o.Firings {
				if x.At(w.Now) && o.Rule.Alert == "Down" {
					require.Equal(t, page.Labels{"dc": "dc1"}, o.Rule.External)
					require.Equal(t, "x is down in dc1, see http://prometheus", x.Annotations["summary"])
					shown = append(shown, unittest.Shown{Alerts: []string{x.Alert}})
				}
			}
		}
		ask := func(path string, form url.Values) (int, string) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://any"+path, strings.NewReader(form.Encode()))
			require.NoError(t, err)
			res, err := w.Prometheus.RoundTrip(req)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.True(t, json.Valid(body))
			return res.StatusCode, string(body)
		}
		status, body := ask("/api/v1/query", url.Values{"query": {"up"}, "time": {"180"}})
		require.Equal(t, http.StatusOK, status)
		require.JSONEq(t, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"x"},"value":[180,"0"]}]}}`, body)
		_, body = ask("/api/v1/query_range", url.Values{"query": {"sum(up)"}, "start": {"0"}, "end": {"120"}, "step": {"60"}})
		require.JSONEq(t, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[60,"0"],[120,"0"]]}]}}`, body)
		_, body = ask("/api/v1/rules?type=record", nil)
		require.Contains(t, body, "job:up:sum")
		require.NotContains(t, body, "Kept")
		for path, form := range map[string]url.Values{"/api/v1/query": {"query": {"sum("}, "time": {"1"}}, "/api/v1/query_range": {"start": {"x"}}} {
			status, _ = ask(path, form)
			require.Equal(t, http.StatusBadRequest, status)
		}
		status, _ = ask("/api/v1/query_exemplars", nil)
		require.Equal(t, http.StatusNotFound, status)
		return shown, nil
	}}, &unittest.Coverage{})
	require.NoError(t, err)
	require.Equal(t, []time.Time{time.Unix(180, 0).UTC(), time.Unix(540, 0).UTC()}, at)
	require.Equal(t, 2, results[0].Pages)
	require.Len(t, results[0].Failures, 1, "at 9m it is over")
	require.Equal(t, "there is no such page; there are: none", results[0].Failures[0].Text)
}

func TestExpectedPages(t *testing.T) {
	have := []unittest.Shown{
		{Receiver: "team", Group: page.Labels{"service": "a"}, Title: "Down · a", Headline: "2 of 2 failing share deploy=v42", Alerts: []string{"Down", "Same"}, Traits: []string{"deploy=v42", "host=h1"}, Policies: []string{"restart", "drain"}},
		{Receiver: "log", Group: page.Labels{"service": "a"}, Title: "Down · a", Alerts: []string{"Down"}},
	}
	for _, c := range []struct{ page, says string }{
		{"alertname: Down, receiver: team", ""},
		{"group: {service: a}, receiver: log, traits: [], policies: []", ""},
		{"alertname: Same, headline: share deploy=v42, title: Down, alerts: 2, traits: [host=h1], policies: [drain, restart]", ""},
		{"alertname: Down", `2 pages are meant; name one by receiver or group: "Down · a" to team, "Down · a" to log`},
		{"alertname: Other", `there is no such page; there are: "Down · a" to team, "Down · a" to log`},
		{"group: {service: b}, no_page: true", ""},
		{"alertname: Same, no_page: true", "there is a page: Down · a to team"},
		{"alertname: Same, headline: v43", "headline: v43 headline: 2 of 2 failing share deploy=v42"},
		{"alertname: Same, title: Up", "title: Up title: Down · a"},
		{"alertname: Same, alerts: 3", "alerts: 3 alerts: 2"},
		{"alertname: Same, traits: [deploy=v41]", "traits: [deploy=v41] traits: [deploy=v42, host=h1]"},
		{"alertname: Same, traits: []", "traits: [] traits: [deploy=v42, host=h1]"},
		{"alertname: Same, policies: [restart]", "policies: [restart] policies: [restart, drain]"},
	} {
		t.Run(c.page, func(t *testing.T) {
			f, err := unittest.Read(tested{file: down + "---\npages:\n  - {eval_time: 3m, " + c.page + "}\n"}.write(t))
			require.NoError(t, err)
			results, err := f.Run(t.Context(), unittest.Options{Pages: func(context.Context, *unittest.File, unittest.World) ([]unittest.Shown, error) { return have, nil }}, &unittest.Coverage{})
			require.NoError(t, err)
			if c.says == "" {
				require.Empty(t, results[0].Failures)
				return
			}
			require.Len(t, results[0].Failures, 1)
			x := results[0].Failures[0]
			require.Equal(t, c.says, strings.TrimSpace(x.Text+" "+strings.Join(append(x.Expected, x.Got...), " ")))
			require.Equal(t, 12, x.Line)
		})
	}
}

func TestMistakesOfPages(t *testing.T) {
	for text, says := range map[string]string{
		"pages: [{eval_time: 1m}]":                               "names no page: write alertname, or group",
		"pages: [{alertname: A, eval_tme: 1m}]":                  `t.yml:3: unknown key "eval_tme"`,
		"pages: [{alertname: A, eval_time: soon}]":               `"soon" is no duration: write it as 5m`,
		"pages: [{alertname: A, traits: [v42]}]":                 `"v42" is no trait: write it as deploy=v42`,
		"pages: [{alertname: A, no_page: true, alerts: 1}]":      "stands beside what the page should say",
		"pages: [{alertname: A, test: other}]":                   `t.yml:3: no test is called "other"`,
		"pages: [{alertname: A, eval_time: 100y}]":               "t.yml:3: eval_time 100y is more than 1000000 evaluations away",
		"pages: [{alertname: A, eval_time: 1m}]\n---\npages: []": "t.yml:4: a third document begins here",
		"pages: [":                     "t.yml:3: ",
		"- pages":                      "t.yml:3: ",
		"pages: []\nalertmanager: [x]": "t.yml:4: ",
		"pages: [{alertname: A, test: one, eval_time: 1m}, {group: {}, test: one}]": "t.yml:3: pages[1]: names no page",
	} {
		_, err := unittest.Parse("t.yml", []byte("tests: [{name: one}]\n---\n"+text))
		require.ErrorContains(t, err, says, text)
	}
	_, err := unittest.Parse("t.yml", []byte("tests: [{name: one}, {name: one}]\n---\npages: [{alertname: A}, {alertname: B, test: one}]"))
	require.ErrorContains(t, err, "t.yml:3: the file has 2 tests: write test, with the name of one")
	require.ErrorContains(t, err, `t.yml:3: several tests are called "one": give each its own name`)
	f, err := unittest.Parse("x/t.yml", []byte("tests: [{name: one}]\n---\nalertmanager: am.yml\nconfig: /etc/tocsin.yml\n"))
	require.NoError(t, err)
	require.Equal(t, "x/am.yml", f.Pages.Alertmanager)
	require.Equal(t, "/etc/tocsin.yml", f.Pages.Config)
}

func FuzzParse(f *testing.F) {
	for _, c := range cases() {
		f.Add([]byte(c.file))
	}
	f.Add([]byte("tests: [{name: one}]\n---\nalertmanager: am.yml\npages:\n  - {test: one, eval_time: 1m, alertname: A, group: {a: b}, traits: [], alerts: 1}\n"))
	f.Add([]byte("tests: &t [{name: one}]\n---\npages: *t\n"))
	f.Add([]byte("--- a\n--- b\n--- c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := unittest.Parse("t.yml", data)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for _, p := range file.Pages.Pages {
			require.True(t, p.Alertname != "" || len(p.Group) > 0)
			require.Positive(t, p.Line)
		}
	})
}
