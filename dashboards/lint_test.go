package dashboards_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/dashboards"
)

// right is a dashboard with which nothing is wrong.
const right = `{
 "uid": "shop", "title": "Shop", "description": "How it does.", "tags": ["shop"],
 "schemaVersion": 39, "graphTooltip": 1, "timezone": "", "time": {"from": "now-1h", "to": "now"},
 "links": [{"type": "dashboards", "tags": ["shop"]}, {"type": "link", "url": "/d/shop?var-job=$job"}],
 "templating": {"list": [
  {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}},
  {"name": "job", "type": "query", "datasource": {"uid": "${datasource}"}, "query": {"query": "label_values(shop_up, job)"}},
  {"name": "instance", "type": "query", "datasource": {"uid": "${datasource}"}, "query": "label_values(shop_up{job=\"$job\"}, instance)",
   "multi": true, "includeAll": true, "allValue": ".*", "current": {"value": ["$__all"]}}
 ]},
 "panels": [
  {"id": 1, "type": "row", "title": "Now", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
  {"id": 2, "type": "stat", "title": "Up", "description": "Is it?", "datasource": {"uid": "${datasource}"}, "gridPos": {"x": 0, "y": 1, "w": 4, "h": 4},
   "fieldConfig": {"defaults": {"unit": "none", "thresholds": {"steps": [{"value": null}]}}},
   "targets": [{"refId": "A", "expr": "sum(shop_up{job=\"$job\", instance=~\"$instance\"})", "legendFormat": "up", "instant": true}]},
  {"id": 3, "type": "timeseries", "title": "Requests", "description": "By code.", "datasource": {"uid": "${datasource}"}, "gridPos": {"x": 4, "y": 1, "w": 8, "h": 4},
   "fieldConfig": {"defaults": {"unit": "ops"}},
   "targets": [{"refId": "A", "expr": "sum by (code) (rate(shop_requests_total{job=\"$job\", instance=~\"${instance}\"}[$__rate_interval]))", "legendFormat": "{{code}}"}]}
 ]}`

func house() dashboards.House {
	return dashboards.House{Metrics: map[string][]string{"shop_up": nil, "shop_requests_total": {"code"}, "shop_info": {"version"}}}
}

func parsed(t *testing.T, text string) dashboards.Dashboard {
	t.Helper()
	require.True(t, json.Valid([]byte(text)), text)
	d, err := dashboards.Parse("shop.json", []byte(text))
	require.NoError(t, err)
	return d
}

func TestNothingIsWrong(t *testing.T) {
	require.Empty(t, dashboards.Lint(parsed(t, right), house()))
	require.Len(t, dashboards.Checks(), 10)
}

// Each of these changes makes one check speak, and no other.
func TestEachCheckFindsWhatItIsFor(t *testing.T) {
	const requests = `sum by (code) (rate(shop_requests_total{job=\"$job\", instance=~\"${instance}\"}[$__rate_interval]))`
	seen := map[string]bool{}
	for _, c := range []struct{ check, old, broken, says string }{
		{"frame", `"uid": "shop"`, `"uid": "a shop"`, `uid "a shop" is none that Grafana takes`},
		{"frame", `"schemaVersion": 39`, `"schemaVersion": 16`, "schema version 16 is not 39"},
		{"frame", `"graphTooltip": 1`, `"graphTooltip": 0`, "no crosshair over all panels (graphTooltip 1)"},
		{"frame", `"timezone": ""`, `"timezone": "utc"`, `the time zone "utc" is not the reader's own`},
		{"frame", `"type": "dashboards", "tags": ["shop"]`, `"type": "dashboards", "tags": ["cart"]`, "a link leads to no dashboard: [cart]"},
		{"frame", `/d/shop?`, `/d/shopping?`, "a link leads to no dashboard: /d/shopping?var-job=$job[]"},
		{"frame", `"x": 4, "y": 1, "w": 8`, `"x": 3, "y": 1, "w": 8`, "Requests covers Up"},
		{"source", `"query": "prometheus"`, `"query": "loki"`, "no variable datasource chooses a Prometheus"},
		{"source", `"description": "Is it?", "datasource": {"uid": "${datasource}"}`, `"description": "Is it?", "datasource": {"uid": "P1809F7CD0C75ACF3"}`, `Up asks "P1809F7CD0C75ACF3" and not the chosen source`},
		{"source", `"description": "Is it?", "datasource": {"uid": "${datasource}"}`, `"description": "Is it?", "datasource": "prod"`, `Up asks "prod" and not the chosen source`},
		{"source", `"description": "Is it?", "datasource": {"uid": "${datasource}"}`, `"description": "Is it?"`, "Up names no data source"},
		{"source", `"legendFormat": "up"`, `"datasource": {"uid": "prod"}, "legendFormat": "up"`, `Up A asks "prod" and not the chosen source`},
		{"source", `"name": "job", "type": "query", "datasource": {"uid": "${datasource}"}`, `"name": "job", "type": "query", "datasource": {"uid": "prod"}`, `$job asks "prod" and not the chosen source`},
		{"variables", `"sum(shop_up{job=\"$job\", `, `"sum(shop_up{`, "Up: shop_up is asked of every job"},
		{"variables", `"sum(shop_up{`, `"sum(shop_up{code=~\"$zone\", `, "Up: $zone cannot be chosen"},
		{"variables", `"name": "datasource"`, `"name": "unit", "type": "custom", "query": "a,b"}, {"name": "datasource"`, "$unit is chosen and changes nothing"},
		{"titles", `"title": "Requests"`, `"title": "Up"`, "two panels are called Up"},
		{"titles", `"id": 3`, `"id": 2`, "Requests has another's id 2"},
		{"titles", `"title": "Shop"`, `"title": ""`, "the dashboard has no title"},
		{"descriptions", `"description": "By code."`, `"description": ""`, "Requests does not say what it shows"},
		{"descriptions", `"description": "How it does."`, `"version": 1`, "the dashboard does not say what it is for"},
		{"units", `"unit": "ops"`, `"min": 0`, "Requests has no unit"},
		{"thresholds", `"steps": [{"value": null}]`, `"steps": []`, "Up has no thresholds"},
		{"legends", `"legendFormat": "up", `, ``, "Up A names its series by all their labels"},
		{"legends", `{{code}}`, `{{ instance }}`, "Requests A: the query leaves no label instance for the legend"},
		{"intervals", `[$__rate_interval]`, `[5m]`, "Requests A: [5m] does not follow the range that is looked at"},
		{"intervals", requests, `max_over_time(sum by (code) (shop_requests_total{job=\"$job\", instance=~\"$instance\"})[$__range:1m])`, "Requests A: [:1m] does not follow the range that is looked at"},
		{"metrics", `shop_requests_total`, `shop_requests_count`, `Requests A: there is no metric "shop_requests_count"`},
		{"metrics", `"sum(shop_up{`, `"sum(shop_up{zone!=\"\", `, "Up A: shop_up has no label zone"},
		{"metrics", requests, `sum by (code) (`, `Requests A: 1:16: parse error: unclosed left parenthesis`},
		{"metrics", `, "legendFormat": "up", "instant": true}]`, `, "legendFormat": "up", "instant": true}], "targets": []`, "Up asks nothing"},
	} {
		require.Equal(t, 1, strings.Count(right, c.old), c.old)
		house := house()
		if c.check == "variables" {
			house.Metrics["shop_up"] = []string{"code"}
		}
		found := dashboards.Lint(parsed(t, strings.Replace(right, c.old, c.broken, 1)), house)
		require.NotEmpty(t, found, c.broken)
		for _, f := range found {
			require.Equal(t, c.check, f.Check, "%s: %s", c.broken, f)
		}
		require.Equal(t, "shop.json: "+c.check+": "+c.says, found[0].String())
		seen[c.check] = true
	}
	require.Len(t, seen, len(dashboards.Checks()), "a check has no dashboard that violates it")
}

// A legend may name what a join brings, and no more.
func TestLegendsOfWhatAQueryKeeps(t *testing.T) {
	const at = `sum by (code) (rate(shop_requests_total{job=\"$job\", instance=~\"${instance}\"}[$__rate_interval]))`
	const all = `{job="$job", instance=~"$instance"}`
	for query, keeps := range map[string]bool{
		`topk(3, shop_requests_total` + all + `)`:                                                                    true,
		`shop_requests_total` + all + ` * on (job) group_left (code) shop_up` + all:                                  true,
		`sum without (code) (shop_requests_total` + all + `)`:                                                        false,
		`sum without (job) (shop_requests_total` + all + `)`:                                                         true,
		`histogram_quantile(0.9, sum by (le) (rate(shop_requests_total` + all + `[$__range])))`:                      false,
		`sum by (code) (shop_requests_total` + all + `) / on () group_left () sum(shop_up` + all + `)`:               true,
		`sum(shop_up` + all + `) * on () group_right () sum by (code) (shop_requests_total` + all + `)`:              true,
		`sum by (code) (shop_requests_total` + all + `) / sum by (code) (shop_requests_total` + all + `)`:            true,
		`shop_requests_total` + all + ` * on (instance) shop_up` + all:                                               false,
		`count_values("code", shop_up` + all + `)`:                                                                   true,
		`label_replace(sum(shop_up` + all + `), "code", "x", "", "")`:                                                true,
		`max_over_time(sum by (code) (shop_requests_total` + all + `)[$__range:$__interval]) * 2`:                    true,
		`-sum(shop_up` + all + `) or vector(1)`:                                                                      false,
		`count_over_time(max by (code) (shop_requests_total` + all + `)[$__range:]) / ($__range_s * $__interval_ms)`: true,
	} {
		var found []string
		for _, f := range dashboards.Lint(parsed(t, strings.Replace(right, at, strings.ReplaceAll(query, `"`, `\"`), 1)), house()) {
			if f.Check == "legends" || f.Check == "metrics" && strings.Contains(f.Text, "parse") {
				found = append(found, f.Text)
			}
		}
		require.Equal(t, keeps, len(found) == 0, "%s: %v", query, found)
	}
}

// A panel that is folded into a row is held to the checks too.
func TestFoldedPanels(t *testing.T) {
	folded := strings.Replace(right, `"title": "Now", `, `"title": "Now", "collapsed": true, "panels": [{"id": 9, "type": "timeseries", "title": "Folded"}], `, 1)
	var checks []string
	for _, f := range dashboards.Lint(parsed(t, folded), house()) {
		require.Contains(t, f.Text, "Folded")
		checks = append(checks, f.Check)
	}
	require.Equal(t, []string{"source", "descriptions", "units", "metrics"}, checks)
}
