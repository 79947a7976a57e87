package values_test

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

const document = `openapi: 3.1.0
info: {title: Queues, version: "1"}
paths:
  /queues:
    get:
      operationId: listQueues
      responses:
        "200":
          description: queues
          content:
            application/json:
              schema:
                type: object
                properties:
                  region: {type: string}
                  build: {$ref: "#/components/schemas/Build"}
                  queues: {type: array, items: {$ref: "#/components/schemas/Queue"}}
                  zones:
                    type: object
                    additionalProperties:
                      type: array
                      items: {type: number, x-prometheus-metric: {name: zone_load_ratio, unit: percent, labels: {zone: ../@key, core: "@key"}}}
  /queue:
    get: {operationId: getQueue, responses: {"200": {description: a queue, content: {application/json: {schema: {$ref: "#/components/schemas/Queue"}}}}}}
components:
  schemas:
    Build:
      type: object
      x-prometheus-metric: {name: queue_build_info, labels: [version, git/commit]}
    Queue:
      allOf:
        - {$ref: "#/components/schemas/Named"}
        - type: object
          properties:
            depth:
              type: integer
              x-prometheus-metric:
                name: queue_depth
                help: Messages that wait.
                labels: {queue: name, region: ../region}
            oldest: {type: integer, x-prometheus-metric: {name: queue_oldest_seconds, unit: ms, labels: {queue: name}}}
            sent: {type: string, x-prometheus-metric: {name: queue_sent_total, labels: [name]}}
            paused: {type: boolean, x-prometheus-metric: {name: queue_paused, labels: [name]}}
            state: {type: string, enum: [up, down], x-prometheus-metric: {name: queue_state, labels: [name]}}
            since: {type: string, format: date-time, x-prometheus-metric: {name: queue_since_timestamp_seconds, labels: [name]}}
            next: {$ref: "#/components/schemas/Queue"}
    Named: {type: object, properties: {name: {type: string}}}
`

func load(t testing.TB, text string) *model.API {
	t.Helper()
	file := filepath.Join(t.TempDir(), "doc.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	api, err := model.Load(t.Context(), model.Options{Location: file})
	require.NoError(t, err)
	return api
}

func options() values.Options {
	return values.Options{MaxSeries: 100, MaxElements: 1000, MaxLabel: 20, Stale: time.Minute}
}

// feed is a service with its registry.
type feed struct {
	*values.Service
	reg *prometheus.Registry
	all *values.Values
}

func begin(t testing.TB, o values.Options) feed {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	all := values.New(reg)
	f := feed{all.Service("mq", o, slog.New(slog.DiscardHandler)), reg, all}
	require.Empty(t, f.Load(load(t, document)))
	return f
}

func answer(body string) values.Answer {
	return values.Answer{Operation: "listQueues", Code: "200", Target: "http://mq", Body: []byte(body)}
}

// series are those of values, and of what was dropped, as name{label=value} without
// the labels that all have.
func (f feed) series(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := f.reg.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if name := family.GetName(); name == "openapi_values_dropped_total" && v > 0 || !strings.HasPrefix(name, "openapi_") {
				all[name+labels(m)] = v
			}
		}
	}
	return all
}

func labels(m *dto.Metric) string {
	var all []string
	for _, l := range m.GetLabel() {
		if name := l.GetName(); name != "service" && name != "operation" && name != "target" {
			all = append(all, name+"="+l.GetValue())
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

func TestValuesBecomeMetrics(t *testing.T) {
	f := begin(t, options())
	f.Take(answer(`{
		"queues": [
			{"depth": 7, "name": "mail", "oldest": 1500, "sent": "12", "paused": true, "state": "up", "since": "2026-11-23T00:00:00.5Z", "other": {"name": [1]}},
			{"name": "r\u00e9s\"", "depth": -1e2, "state": "down", "next": {"name": "x", "depth": 9}, "oldest": null}
		],
		"zones": {"a": [50, 25], "b": []},
		"build": {"version": 3, "git": {"commit": "abc"}},
		"region": "eu"
	}`))
	require.Equal(t, map[string]float64{
		"queue_depth{queue=mail,region=eu}":        7,
		"queue_depth{queue=rés\",region=eu}":       -100,
		"queue_oldest_seconds{queue=mail}":         1.5,
		"queue_sent_total{name=mail}":              12,
		"queue_paused{name=mail}":                  1,
		"queue_state{name=mail,state=up}":          1,
		"queue_state{name=mail,state=down}":        0,
		"queue_state{name=rés\",state=up}":         0,
		"queue_state{name=rés\",state=down}":       1,
		"queue_since_timestamp_seconds{name=mail}": 1795392000.5,
		"zone_load_ratio{core=0,zone=a}":           0.5,
		"zone_load_ratio{core=1,zone=a}":           0.25,
		"queue_build_info{commit=abc,version=3}":   1,
	}, f.series(t))
	families, _ := f.reg.Gather()
	for _, family := range families {
		if family.GetName() == "queue_depth" {
			require.Equal(t, "Messages that wait.", family.GetHelp())
			require.Equal(t, dto.MetricType_GAUGE, family.GetType())
		}
		if family.GetName() == "queue_sent_total" {
			require.Equal(t, dto.MetricType_COUNTER, family.GetType())
			require.Equal(t, "operation=listQueues", family.GetMetric()[0].GetLabel()[1].GetName()+"="+family.GetMetric()[0].GetLabel()[1].GetValue())
		}
	}
}

// What cannot be a series is left out and counted, with the reason.
func TestHostileAnswers(t *testing.T) {
	queue := func(fields string) string { return `{"queues": [{` + fields + `}]}` }
	for name, c := range map[string]struct {
		body string
		want string // reason of a drop
	}{
		"truncated":         {`{"queues": [{"name": "a", "depth": 1}`, "body"},
		"more follows":      {`{} {}`, "body"},
		"empty":             {``, "body"},
		"no JSON":           {`<html>`, "body"},
		"deep":              {strings.Repeat(`{"queues":[`, 20_000), "body"},
		"deep elsewhere":    {`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "body"},
		"huge":              {queue(`"depth": 1e999, "name": "a"`), "value"},
		"long digits":       {queue(`"depth": ` + strings.Repeat("9", 400)), "value"},
		"NaN":               {queue(`"depth": "NaN"`), "value"},
		"Inf":               {queue(`"depth": "Infinity"`), "value"},
		"hex":               {queue(`"depth": "0x10"`), "value"},
		"empty string":      {queue(`"depth": ""`), "value"},
		"object":            {queue(`"depth": {"a": 1}`), "value"},
		"array":             {queue(`"depth": [1]`), "value"},
		"no time":           {queue(`"since": "yesterday"`), "value"},
		"counter below 0":   {queue(`"sent": -1`), "value"},
		"unknown state":     {queue(`"state": "sideways"`), "state"},
		"state is none":     {queue(`"state": 7`), "state"},
		"long label":        {queue(`"depth": 1, "name": "` + strings.Repeat("x", 21) + `"`), "label"},
		"label is object":   {queue(`"depth": 1, "name": {}`), "label"},
		"label no UTF-8":    {queue("\"depth\": 1, \"name\": \"\xff\""), "label"},
		"the same twice":    {`{"queues": [{"name": "a", "depth": 1}, {"name": "a", "depth": 2}]}`, "duplicate"},
		"a key twice":       {queue(`"name": "a", "depth": 1, "depth": 2`), "duplicate"},
		"too many series":   {`{"queues": [` + strings.TrimSuffix(strings.Repeat(`{"depth":1},`, 101), ",") + `]}`, "series"},
		"too many elements": {`{"queues": [` + strings.TrimSuffix(strings.Repeat(`1,`, 1001), ",") + `]}`, "elements"},
		"null":              {`{"queues": [{"depth": null, "name": null}, null], "zones": null}`, ""},
		"another shape":     {`[{"queues": 7}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := begin(t, options())
			f.Take(answer(c.body))
			got := f.series(t)
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, got, "openapi_values_dropped_total{reason="+c.want+"}", "%v", got)
		})
	}
}

func TestAnAnswerStandsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, options())
		f.Take(answer(`{"queues": [{"name": "a", "depth": 1}, {"name": "b", "depth": 2}]}`))
		require.Len(t, f.series(t), 2)
		f.Take(answer(`{"queues": [{"name": "b", "depth": 3}]}`))
		require.Equal(t, map[string]float64{"queue_depth{queue=b,region=}": 3}, f.series(t), "a is gone")
		f.Take(answer(`{"queues": [`))
		require.Contains(t, f.series(t), "queue_depth{queue=b,region=}", "what is broken changes nothing")

		part := answer(`{"queues": [{"name": "c", "depth": 4}]}`)
		part.Part = true
		pass(40 * time.Second)
		f.Take(part)
		require.Contains(t, f.series(t), "queue_depth{queue=b,region=}", "the rest of a page stays")
		pass(30 * time.Second)
		got := f.series(t)
		require.NotContains(t, got, "queue_depth{queue=b,region=}", "b is stale")
		require.Contains(t, got, "queue_depth{queue=c,region=}")
		for i := range 200 {
			part.Body = fmt.Appendf(nil, `{"queues": [{"name": "n%d", "depth": 4}]}`, i)
			f.Take(part)
		}
		require.Equal(t, 101.0, f.series(t)["openapi_values_dropped_total{reason=series}"], "100 series, pages or not")
		pass(2 * time.Minute)
		for name := range f.series(t) {
			require.Contains(t, name, "dropped")
		}
	})
}

// A schema that is an answer by itself has no object around.
func TestALabelThatOneAnswerDoesNotHave(t *testing.T) {
	f := begin(t, options())
	f.Take(values.Answer{Operation: "getQueue", Code: "200", Body: []byte(`{"name": "a", "depth": 1, "paused": true}`)})
	require.Equal(t, map[string]float64{"queue_paused{name=a}": 1}, f.series(t))
}

func TestTargetsAndServicesStandBesideEachOther(t *testing.T) {
	f := begin(t, options())
	other := f.all.Service("mq2", options(), slog.New(slog.DiscardHandler))
	require.Empty(t, other.Load(load(t, document)))
	a := answer(`{"queues": [{"name": "a", "depth": 1}]}`)
	f.Take(a)
	other.Take(a)
	a.Target = "http://other"
	f.Take(a)
	families, err := f.reg.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "queue_depth" {
			require.Len(t, family.GetMetric(), 3)
		}
	}
}

func TestOnce(t *testing.T) {
	f := begin(t, options())
	once := f.Once()
	once.Take(answer(`{"queues": [{"name": "a", "depth": 1}]}`))
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(once))
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Len(t, families[0].GetMetric()[0].GetLabel(), 3, "operation, queue and region")
	require.Empty(t, f.series(t), "it is nowhere else")
}

// What is wrong is told with its line, and the rest works.
func TestAnnotationsThatAreWrong(t *testing.T) {
	const good = "{name: queue_paused, labels: [name]}"
	for annotation, want := range map[string]string{
		"7":                                          "it is the name of a metric, or a mapping",
		"{}":                                         `name "": letters`,
		"{name: 'a b'}":                              `name "a b": letters`,
		"openapi_mine":                               "the exporter's own",
		"up":                                         "the exporter's own",
		"queue_paused_total":                         "",
		"{name: queue_x_total, type: gauge}":         "counters end in _total",
		"{name: queue_x, type: counter}":             "counters end in _total",
		"{name: queue_x, type: info}":                "ends in _info",
		"{name: queue_x, type: histogram}":           "gauge, counter, info or stateset",
		"{name: queue_x, typ: gauge}":                `"typ": there is name`,
		"{name: queue_x, help: 7}":                   "help: not of its type",
		"{name: queue_x, unit: ms}":                  "ends in _seconds",
		"{name: queue_x, unit: parsec}":              `unit "parsec"`,
		"{name: queue_x, type: stateset}":            "1 to 64",
		"{name: queue_x, states: [a], type: gauge}":  "only a stateset",
		"{name: queue_x, labels: {service: name}}":   "the exporter's own",
		"{name: queue_x, labels: {'a-b': name}}":     `label "a-b"`,
		"{name: queue_x, labels: {a: ../../region}}": "leads out of the answer",
		"{name: queue_x, labels: {a: ../@key}}":      "no array or map around",
		"{name: queue_x, labels: {a: 'b/*'}}":        "name, a/b, ../name or @key",
		"{name: queue_x, labels: {a: 7}}":            "labels: not of its type",
		"queue_sent":                                 "metric queue_sent",
		"{name: queue_x, states: [" + strings.Repeat("a", 200) + "]}": "states have 128 bytes",
		"{name: queue_x, help: " + strings.Repeat("a", 2000) + "}":    "help 1000",
		"{name: queue_depth, labels: [name]}":                         "metric queue_depth, a gauge with labels [name]",
	} {
		t.Run(annotation, func(t *testing.T) {
			text := strings.Replace(document, good, annotation, 1)
			line := lineOf(text, "paused:")
			all := values.New(nil)
			s := all.Service("mq", options(), slog.New(slog.DiscardHandler))
			problems := s.Load(load(t, text))
			if want == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1, "%v", problems)
			require.Equal(t, "metric", problems[0].Kind)
			if strings.HasPrefix(want, "metric") { // the second of them is told
				require.Contains(t, problems[0].Text, want)
				require.Contains(t, problems[0].Text, "; at doc.yaml:")
				return
			}
			require.Equal(t, fmt.Sprintf("doc.yaml:%d", line), problems[0].Where)
			require.Contains(t, problems[0].Text, want)
		})
	}
}

func lineOf(text, word string) int {
	return 1 + strings.Count(text[:strings.Index(text, word)], "\n")
}

func TestAClashBetweenServicesIsTold(t *testing.T) {
	f := begin(t, options())
	other := f.all.Service("mq2", options(), slog.New(slog.DiscardHandler))
	problems := other.Load(load(t, strings.Replace(document, "help: Messages that wait.", "help: Letters.", 1)))
	require.Len(t, problems, 1)
	require.Regexp(t, `^metric doc.yaml:\d+: metric queue_depth, a gauge with labels \[queue region\] and help "Letters."; in service mq at doc.yaml:\d+ it is queue_depth, a gauge .*Messages`, problems[0].String())
	f.Take(answer(`{"queues": [{"name": "a", "depth": 1}]}`))
	other.Take(answer(`{"queues": [{"name": "a", "depth": 1, "paused": true}]}`))
	got := f.series(t)
	require.Equal(t, 1.0, got["queue_depth{queue=a,region=}"])
	require.Equal(t, 1.0, got["queue_paused{name=a}"], "what does not clash is there")
}

func TestAReloadKeepsSeriesWhereTheMetricsStay(t *testing.T) {
	f := begin(t, options())
	f.Take(answer(`{"queues": [{"name": "a", "depth": 1}]}`))
	require.Empty(t, f.Load(load(t, strings.Replace(document, "title: Queues", "title: Mail", 1))))
	require.Len(t, f.series(t), 1)
	require.Empty(t, f.Load(load(t, strings.Replace(document, "queue_paused", "queue_held", 1))))
	require.Empty(t, f.series(t))
	f.Take(answer(`{"queues": [{"name": "a", "paused": false}]}`))
	require.Contains(t, f.series(t), "queue_held{name=a}")
}

func TestMetricsOfTheConfig(t *testing.T) {
	metric := values.Metric{Operation: "listQueues", Path: "/queues/*/a~1b/~0n", Name: "queue_n_bytes", Unit: "KiB", Scale: 2, Labels: map[string]string{"name": "../name", "nth": "@key"}}
	require.NoError(t, metric.Check())
	o := options()
	o.Metrics = []values.Metric{
		metric,
		{Operation: "listQueues", Path: "/meta", Name: "queue_meta_info", Labels: map[string]string{"version": "version"}},
		{Operation: "listQueues", Path: "/mode", Name: "queue_mode", States: []string{"rw", "ro"}},
	}
	f := begin(t, o)
	f.Take(answer(`{"queues": [{"name": "a", "a/b": {"~n": "3"}}], "meta": {"version": "v1"}, "mode": "ro"}`))
	require.Equal(t, map[string]float64{
		"queue_n_bytes{name=a,nth=0}": 6144, "queue_meta_info{version=v1}": 1, "queue_mode{state=rw}": 0, "queue_mode{state=ro}": 1,
	}, f.series(t))

	for want, m := range map[string]values.Metric{
		"operation: missing": {Path: "/a", Name: "a"},
		"a JSON pointer":     {Operation: "a", Path: "a", Name: "a"},
		"more than 32 steps": {Operation: "a", Path: strings.Repeat("/a", 33), Name: "a"},
		"letters, digits":    {Operation: "a", Path: "/a"},
		"scale: no number":   {Operation: "a", Path: "/a", Name: "a", Scale: math.Inf(1)},
		"format":             {Operation: "a", Path: "/a", Name: "a", Format: "time"},
		"label b: @key":      {Operation: "a", Path: "/a", Name: "a", Labels: map[string]string{"b": "@key"}},
	} {
		require.ErrorContains(t, m.Check(), want)
	}
	for want, change := range map[string]func(m *values.Metric){
		`operation "none": the document has none`:         func(m *values.Metric) { m.Operation = "none" },
		`code "404": operation listQueues declares [200]`: func(m *values.Metric) { m.Code = "404" },
	} {
		wrong := metric
		change(&wrong)
		o.Metrics = []values.Metric{wrong}
		problems := values.New(nil).Service("mq", o, slog.New(slog.DiscardHandler)).Load(load(t, document))
		require.Len(t, problems, 1)
		require.Equal(t, "services[mq].values.metrics[0]", problems[0].Where)
		require.Equal(t, want, problems[0].Text)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // virtual time
}
