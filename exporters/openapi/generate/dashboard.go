package generate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// panel is a time series of a dashboard.
type panel struct {
	title, description, unit string
	query, legend            string
}

func panels(o Options) []panel {
	chosen := o.selector(`job=~"$job"`, `operation=~"$operation"`)
	service := o.selector(`job=~"$job"`)
	all := []panel{
		{"Requests", "By operation.", "reqps", "sum by (operation) (rate(openapi_requests_total" + chosen + "[$__rate_interval]))", "{{operation}}"},
		{"Share of server errors", "By operation; the rules alert on it.", "percentunit", "sum by (operation) (rate(openapi_requests_total" + o.selector(`job=~"$job"`, `operation=~"$operation"`, `code=~"`+serverErrors+`"`) +
			"[$__rate_interval])) / sum by (operation) (rate(openapi_requests_total" + chosen + "[$__rate_interval]))", "{{operation}}"},
		{"99 % are answered within", "By operation, of the last five minutes.", "s", "max by (operation) (job_service_operation:openapi_request_duration_seconds:p99_rate5m" + chosen + ")", "{{operation}}"},
		{"Requests by code", "default_ and other_ are codes that the document does not name.", "reqps", "sum by (code) (rate(openapi_requests_total" + chosen + "[$__rate_interval]))", "{{code}}"},
		{"In flight", "Requests being answered.", "short", "sum by (operation) (openapi_requests_in_flight" + chosen + ")", "{{operation}}"},
		{"Contract violations", "In the sample of requests that is checked.", "short", "sum by (operation, check) (increase(openapi_contract_violations_total" + chosen + "[$__rate_interval])) > 0", "{{operation}} {{check}}"},
		{"Sent", "Bodies of responses.", "Bps", "sum by (operation) (rate(openapi_response_size_bytes_sum" + chosen + "[$__rate_interval]))", "{{operation}}"},
		{"Deprecated operations in use", "Requests for what the document calls deprecated.", "reqps", "sum by (operation) (rate(openapi_deprecated_requests_total" + chosen + "[$__rate_interval])) > 0", "{{operation}}"},
		{"Requests for no operation", "No such path, or not with that method.", "reqps", "sum by (reason) (rate(openapi_unmatched_requests_total" + service + "[$__rate_interval]))", "{{reason}}"},
	}
	if o.ProbedOnly {
		all = nil
	}
	if o.Probe {
		all = append(all,
			panel{"Probes that succeed", "Share of the targets at which an operation answers as the document says.", "percentunit", "avg by (operation) (openapi_probe_operation_success" + chosen + ")", "{{operation}}"},
			panel{"Probes take", "All phases, at the slowest target.", "s", "max by (operation) (sum by (operation, target) (openapi_probe_http_duration_seconds" + chosen + "))", "{{operation}}"})
	}
	if o.Values {
		all = append(all, panel{"Values that make no series", "By reason.", "short", "sum by (reason) (increase(openapi_values_dropped_total" + service + "[$__rate_interval])) > 0", "{{reason}}"})
	}
	return all
}

// Dashboard is a Grafana dashboard of a service.
func Dashboard(api *model.API, o Options) ([]byte, error) {
	source := map[string]any{"type": "prometheus", "uid": "${datasource}"}
	variable := func(name, label, query string) map[string]any {
		return map[string]any{
			"name": name, "label": label, "type": "query", "datasource": source, "query": map[string]any{"query": query, "refId": name}, "definition": query,
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*", "current": map[string]any{"text": "All", "value": "$__all"},
		}
	}
	var drawn []any
	for i, p := range panels(o) {
		drawn = append(drawn, map[string]any{
			"id": i + 1, "type": "timeseries", "title": p.title, "description": p.description, "datasource": source,
			"gridPos":     map[string]any{"x": i % 2 * 12, "y": i / 2 * 8, "w": 12, "h": 8},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0, "custom": map[string]any{"fillOpacity": 10, "lineWidth": 1}}, "overrides": []any{}},
			"options":     map[string]any{"legend": map[string]any{"displayMode": "table", "placement": "bottom", "calcs": []string{"mean", "max"}}, "tooltip": map[string]any{"mode": "multi", "sort": "desc"}},
			"targets":     []any{map[string]any{"refId": "A", "expr": p.query, "legendFormat": p.legend, "datasource": source}},
		})
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(map[string]any{
		"uid": uid(o.Service), "title": "API " + o.Service, "tags": []string{"openapi_exporter"}, "schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1,
		"description": fmt.Sprintf("%d operations of %s, as openapi_exporter sees them.", len(api.Operations), model.Label(api.Title)),
		"refresh":     "30s", "time": map[string]any{"from": "now-1h", "to": "now"}, "timezone": "", "links": []any{}, "annotations": map[string]any{"list": []any{}},
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": map[string]any{}, "refresh": 1},
			variable("job", "Job", "label_values(openapi_operation_info"+o.selector()+", job)"),
			variable("operation", "Operation", "label_values(openapi_operation_info"+o.selector()+", operation)"),
		}},
		"panels": drawn,
	})
	return out.Bytes(), err
}

// uid is one that Grafana takes: 40 characters at most.
func uid(service string) string {
	id := "openapi-" + service
	if len(id) <= 40 {
		return id
	}
	sum := sha256.Sum256([]byte(service))
	return id[:31] + "-" + hex.EncodeToString(sum[:4])
}
