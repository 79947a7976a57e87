package openapi_test

import (
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi"
)

// Every metric and every key of the config is in the docs, and nothing that is
// not there; the example is a config.
func TestTheDocsSayWhatThereIs(t *testing.T) {
	docs, err := os.ReadFile("../../docs/openapi.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)```yaml\n(# openapi.yml.*?)```").FindSubmatch(docs)
	require.NotNil(t, example)
	_, err = openapi.Parse(example[1], "")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```yaml\n(services:.*?)```").FindAllSubmatch(docs, -1)
	require.Len(t, examples, 3)
	for _, more := range examples {
		_, err = openapi.Parse(more[1], "")
		require.NoError(t, err, string(more[1]))
	}

	var keys []string
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
			if of.Kind() == reflect.Slice {
				prefix += "[]"
			}
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			keys = append(keys, prefix)
			return
		}
		for field := range of.Fields() {
			walk(strings.TrimPrefix(prefix+"."+field.Tag.Get("yaml"), "."), field.Type)
		}
	}
	walk("", reflect.TypeFor[openapi.Config]())
	_, table, _ := strings.Cut(string(docs), "## Config")
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1) {
		told = append(told, row[1])
	}
	require.Equal(t, keys, told)

	w := begin(t)
	write(t, w.dir, "broken", "")
	require.Eventually(t, func() bool { return w.value(t, "openapi_probe_operation_failed", "reason", "status") == 1 }, time.Minute, 10*time.Millisecond)
	rec := httptest.NewRecorder()
	w.house.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(rec.Body)
	require.NoError(t, err)
	for name := range families {
		if strings.HasPrefix(name, "openapi_") && name != "openapi_exporter_build_info" {
			require.Contains(t, string(docs), "`"+name+"`")
		}
	}
	for _, name := range regexp.MustCompile("`(openapi_[a-z_]+)`").FindAllStringSubmatch(string(docs), -1) {
		if name[1] != "openapi_exporter" {
			require.Contains(t, families, name[1])
		}
	}
	require.NoError(t, w.stop())
}
