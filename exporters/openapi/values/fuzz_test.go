package values_test

import (
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// Whatever an answer is, it makes series that can be scraped, as many as may be
// at most, and none if it is no JSON.
func FuzzAnswers(f *testing.F) {
	api := load(f, document)
	for _, body := range []string{
		`{"queues":[{"depth":7,"name":"mail","sent":"12","paused":true,"state":"up","since":"2026-11-23T00:00:00Z"}],"region":"eu","zones":{"a":[1,2]}}`,
		`{"build":{"version":null,"git":{"commit":[]}},"build":{}}`, `{"zones":{"\ud800":[1e308,-0]}}`, `[]`, "{\"zones\":{\"\xff\":[1]}}", `{"queues":[{"depth":1e999},{"depth":"NaN"}]} x`,
	} {
		f.Add([]byte(body))
	}
	o := options()
	o.MaxSeries, o.MaxElements = 5, 10
	f.Fuzz(func(t *testing.T, body []byte) {
		reg := prometheus.NewPedanticRegistry()
		s := values.New(reg).Service("mq", o, slog.New(slog.DiscardHandler))
		s.Load(api)
		s.Take(values.Answer{Operation: "listQueues", Code: "200", Body: body})
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if strings.HasPrefix(family.GetName(), "openapi_") {
				continue
			}
			if !json.Valid(body) {
				t.Errorf("%q is no JSON, and made %s", body, family.GetName())
			}
			if len(family.GetMetric()) > o.MaxSeries {
				t.Errorf("%d series of %s", len(family.GetMetric()), family.GetName())
			}
			for _, m := range family.GetMetric() {
				if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%s is %v", family.GetName(), v)
				}
			}
		}
	})
}

// Whatever an annotation is, it is told to be wrong, or makes metrics that can
// be scraped.
func FuzzAnnotations(f *testing.F) {
	for _, annotation := range []string{
		`"a"`, `{"name":"a_total","labels":{"b":"c"}}`, `{"name":"a","type":"stateset","states":["x","y"]}`, `{"name":"a_seconds","unit":"ms","scale":1e308}`,
		`{"name":"a_info","labels":["b","../b"]}`, `{"name":"a","labels":{"k":"@key","l":"../@key"}}`, `[]`, `{"name":"openapi_x"}`,
	} {
		f.Add([]byte(annotation))
	}
	file := filepath.Join(f.TempDir(), "doc.json")
	f.Fuzz(func(t *testing.T, annotation []byte) {
		if !json.Valid(annotation) {
			return
		}
		text := `{"openapi":"3.0.3","info":{"title":"","version":""},"paths":{"/a":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":
			{"type":"array","items":{"type":"object","properties":{"v":{"type":"number","x-prometheus-metric":` + string(annotation) + `}}}}}}}}}}}}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		api, err := model.Load(t.Context(), model.Options{Location: file})
		if err != nil {
			return
		}
		reg := prometheus.NewPedanticRegistry()
		s := values.New(reg).Service("mq", options(), slog.New(slog.DiscardHandler))
		problems := s.Load(api)
		s.Take(values.Answer{Operation: "GET /a", Code: "200", Body: []byte(`[{"v":1,"b":"x"},{"v":2,"b":"y"},{"v":"x"}]`)})
		if _, err := reg.Gather(); err != nil {
			t.Errorf("%s: %v", annotation, err)
		}
		if s.Wants("GET /a") == (len(problems) > 0) && string(annotation) != "null" {
			t.Errorf("%s: %v", annotation, problems)
		}
		for _, p := range problems {
			if p.Where != "doc.json:2" {
				t.Errorf("%s: %v", annotation, p)
			}
		}
	})
}
