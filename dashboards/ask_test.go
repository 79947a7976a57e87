package dashboards_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/dashboards"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// server is a Prometheus that answers what it is told to.
type server struct {
	mu     sync.Mutex
	values map[string]string // a label's, as JSON
	answer func(query string, instant bool) string
	asked  []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if label, ok := strings.CutPrefix(r.URL.Path, "/api/v1/label/"); ok {
		s.asked = append(s.asked, "values "+r.URL.Query().Get("match[]"))
		fmt.Fprintf(w, `{"status":"success","data":%s}`, s.values[strings.TrimSuffix(label, "/values")])
		return
	}
	instant := r.URL.Path == "/api/v1/query"
	query := r.FormValue("query")
	when := r.FormValue("time")
	if !instant {
		when = r.FormValue("start") + ".." + r.FormValue("end") + "/" + r.FormValue("step")
	}
	s.asked = append(s.asked, when+" "+query)
	answer := s.answer(query, instant)
	if strings.Contains(answer, `"error"`) {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write([]byte(answer))
}

func start(t *testing.T, s *server) *prometheus.Client {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c, err := prometheus.New(prometheus.Options{URL: srv.URL})
	require.NoError(t, err)
	return c
}

// values is an answer with one series of these values, a step apart.
func values(instant bool, all ...string) string {
	if instant {
		return fmt.Sprintf(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[7200,%q]}]}}`, all[len(all)-1])
	}
	var points []string
	for i, v := range all {
		points = append(points, fmt.Sprintf(`[%d,%q]`, 3600+i*15, v))
	}
	return fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[%s]}]}}`, strings.Join(points, ","))
}

func none(instant bool) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":[]}}`, map[bool]string{true: "vector", false: "matrix"}[instant])
}

func view() dashboards.View {
	return dashboards.View{From: time.Unix(3600, 0), To: time.Unix(7207, 0), Scrape: dashboards.DefaultScrape}
}

// What is asked is what Grafana asks: the variables by their own queries, one after
// the other, the queries as the dashboard opens and with all values picked, over
// the range on its grid, and as an instant.
func TestAsksAsGrafanaDoes(t *testing.T) {
	s := &server{
		values: map[string]string{"job": `["a\"b","z"]`, "instance": `["web-1:80","web-2:80"]`},
		answer: func(_ string, instant bool) string {
			if instant {
				return values(true, "2")
			}
			return values(false, "1", "2", "NaN")
		},
	}
	asked, err := parsed(t, right).Ask(t.Context(), start(t, s), view())
	require.NoError(t, err)
	const up = `sum(shop_up{job="a\"b", instance=~".*"})`
	const picked = `instance=~"(web-1:80|web-2:80)"`
	const requests = `sum by (code) (rate(shop_requests_total{job="a\"b", instance=~".*"}[60s]))`
	require.Equal(t, []string{
		"values shop_up", `values shop_up{job="a\"b"}`,
		"3600..7200/15.000 " + up, "7207 " + up, // an instant is asked at the end
		"3600..7200/15.000 " + strings.Replace(up, `instance=~".*"`, picked, 1), "7207 " + strings.Replace(up, `instance=~".*"`, picked, 1),
		"3600..7200/15.000 " + requests, "3615 " + requests, // a range where it last had a number
		"3600..7200/15.000 " + strings.Replace(requests, `instance=~".*"`, picked, 1), "3615 " + strings.Replace(requests, `instance=~".*"`, picked, 1),
	}, s.asked)
	require.Equal(t, []dashboards.Asked{
		{Panel: "Up", RefID: "A", Query: strings.Replace(up, `instance=~".*"`, picked, 1), Data: true},
		{Panel: "Requests", RefID: "A", Query: strings.Replace(requests, `instance=~".*"`, picked, 1), Data: true},
	}, asked)
}

func TestWhatIsNoData(t *testing.T) {
	for name, c := range map[string]struct {
		ranged, instant string
		err             string
	}{
		"nothing":                 {none(false), none(true), ""},
		"a range without numbers": {values(false, "NaN", "NaN"), values(true, "1"), ""},
		"no instant":              {values(false, "1"), none(true), ""},
		"an instant of NaN":       {values(false, "1"), values(true, "NaN"), ""},
		"refused":                 {`{"status":"error","errorType":"bad_data","error":"x"}`, none(true), "as a range: query_range: status 400"},
		"refused as an instant":   {values(false, "1"), `{"status":"error","errorType":"execution","error":"x"}`, "as an instant: query: status 400"},
		"a part":                  {strings.Replace(values(false, "1"), `{`, `{"warnings":["a store is gone"],`, 1), values(true, "1"), "as a range: a store is gone"},
	} {
		s := &server{values: map[string]string{"job": `["a"]`, "instance": `["b"]`}, answer: func(_ string, instant bool) string {
			return map[bool]string{true: c.instant, false: c.ranged}[instant]
		}}
		asked, err := parsed(t, right).Ask(t.Context(), start(t, s), view())
		require.NoError(t, err, name)
		require.Len(t, asked, 2)
		for _, a := range asked {
			require.False(t, a.Data, name)
			require.Equal(t, c.err == "", a.Error == "", "%s: %s", name, a.Error)
			require.Contains(t, a.Error, c.err, name)
			require.NotContains(t, a.Query, "$", "the query is told as it was asked")
		}
	}
}

func TestVariables(t *testing.T) {
	chosen := func(t *testing.T, variable string, vars map[string]string) (dashboards.Choices, error) {
		t.Helper()
		d := parsed(t, `{"title": "x", "panels": [{"id": 1}], "templating": {"list": [`+variable+`]}}`)
		v := view()
		v.Vars = vars
		return d.Choose(t.Context(), start(t, &server{values: map[string]string{"x": `["a.1","b","c"]`, "none": `[]`}}), v)
	}
	for _, c := range []struct{ variable, opened, picked string }{
		{`{"name":"v","type":"query","query":"label_values(up, x)"}`, "a.1", ""},
		{`{"name":"v","type":"query","query":"label_values(x)"}`, "a.1", ""},
		{`{"name":"v","type":"query","query":"label_values(up, x)","regex":"/^([bc])$/"}`, "b", ""},
		{`{"name":"v","type":"query","query":"label_values(up, x)","current":{"value":"c"}}`, "c", ""},
		{`{"name":"v","type":"query","query":"label_values(up, x)","current":{"value":"gone"}}`, "a.1", ""},
		{`{"name":"v","type":"query","query":"label_values(up, x)","multi":true}`, `a\\.1`, `(a\\.1|b|c)`},
		{`{"name":"v","type":"query","query":"label_values(up, x)","multi":true,"current":{"value":["b","c"]}}`, `(b|c)`, `(a\\.1|b|c)`},
		{`{"name":"v","type":"query","query":"label_values(up, x)","includeAll":true}`, `(a\\.1|b|c)`, ""},
		{`{"name":"v","type":"query","query":"label_values(up, x)","multi":true,"includeAll":true,"allValue":".+","current":{"value":["$__all"]}}`, ".+", `(a\\.1|b|c)`},
		{`{"name":"v","type":"custom","query":"5m, 1h"}`, "5m", ""},
		{`{"name":"v","type":"constant","query":"eu"}`, "eu", ""},
	} {
		got, err := chosen(t, c.variable, nil)
		require.NoError(t, err, c.variable)
		require.Equal(t, c.opened, got.Opened["v"], c.variable)
		require.Equal(t, c.picked, got.Picked["v"], c.variable)
	}
	for variable, says := range map[string]string{
		`{"name":"v","type":"query","query":"label_values(up, none)"}`:                 `values of $v: label_values(up, none) has none`,
		`{"name":"v","type":"query","query":"metrics(up.*)"}`:                          `values of $v: of queries only label_values(metric, label) is known here, not metrics(up.*)`,
		`{"name":"v","type":"query","query":"label_values(up{a=\"$b\"}, x)"}`:          `values of $v: nothing to write for $b`,
		`{"name":"v","type":"query","query":"label_values(up, x)","regex":"/(?<!a)/"}`: "values of $v: regex /(?<!a)/: ",
		`{"name":"v","type":"groupby","query":""}`:                                     `values of $v: type "groupby" is not known here`,
	} {
		_, err := chosen(t, variable, nil)
		require.ErrorContains(t, err, says)
	}
	got, err := chosen(t, `{"name":"v","type":"query","query":"metrics(up.*)"}`, map[string]string{"v": "mine"})
	require.NoError(t, err)
	require.Equal(t, "mine", got.Opened["v"], "what is chosen by hand is not asked for")
}

// The steps of a dashboard's own range are Grafana's, and no shorter than a scrape.
func TestIntervals(t *testing.T) {
	const expr = "$__interval $__interval_ms $__rate_interval ${__range} $__range_s"
	for from, want := range map[string]string{
		"now-15m": "15s 15000 60s 900s 900", "now-1h": "15s 15000 60s 3600s 3600", "now-6h": "20s 20000 60s 21600s 21600",
		"now-24h": "60s 60000 75s 86400s 86400", "now-7d": "600s 600000 615s 604800s 604800", "now-1y": "21600s 21600000 21615s 31536000s 31536000",
		"now/d": "20s 20000 60s 21600s 21600", // not read here: Grafana's own six hours
	} {
		d := parsed(t, `{"title": "x", "time": {"from": "`+from+`", "to": "now"}, "panels": [{"id": 1, "type": "stat", "targets": [{"refId": "A", "expr": "`+expr+`"}]}]}`)
		s := &server{answer: func(_ string, instant bool) string { return values(instant, "1") }}
		asked, err := d.Ask(t.Context(), start(t, s), d.Opened(time.Unix(86400*400, 0)))
		require.NoError(t, err)
		require.Equal(t, want, asked[0].Query, from)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.json": right, "b.json": `{"meta": {}, "dashboard": ` + right + `}`, "c.json": `{"title": "no panels"}`, "d.json": `{`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	all, err := dashboards.Load(filepath.Join(dir, "[ab].json"))
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []string{"Shop", "Shop"}, []string{all[0].Title, all[1].Title})
	for name, says := range map[string]string{"c.json": "c.json: read dashboard: it has no panels", "d.json": "d.json: read dashboard: unexpected end", "e*.json": "no such file"} {
		_, err := dashboards.Load(filepath.Join(dir, name))
		require.ErrorContains(t, err, says)
	}
}

// Whatever a file holds, it is read and linted without a panic, and twice alike.
func FuzzParse(f *testing.F) {
	f.Add(right)
	f.Add(strings.Replace(right, `"datasource": {"uid": "${datasource}"}`, `"datasource": "prod"`, 1))
	f.Add(`{"panels":[{"panels":[{"type":"stat","targets":[{"expr":"x[$__rate_interval:$a] offset ${b:raw} [[c]]","legendFormat":"{{d}}"}]}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := dashboards.Parse("x.json", []byte(text))
		if err != nil {
			return
		}
		require.Equal(t, dashboards.Lint(d, house()), dashboards.Lint(d, house()), "what is found depends on chance")
	})
}
