package openapi_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

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
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(w.scrape()))
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

// A new user's first five minutes: the commands of the docs, in an empty folder.
func TestTheFiveMinutes(t *testing.T) {
	docs, err := os.ReadFile("../../docs/openapi.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(# openapi.yml.*?)```.*?```sh\n(.*?)```.*?```yaml\n(# prometheus.yml.*?)```").FindSubmatch(docs)
	require.NotNil(t, blocks)
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			fmt.Fprintf(rw, document, "1")
		}
	}))
	defer service.Close()
	ports := strings.NewReplacer("http://127.0.0.1:8000", service.URL, ":8080", freePort(t))
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, "openapi.yml", ports.Replace(string(blocks[1])))

	c, err := openapi.Read("openapi.yml")
	require.NoError(t, err)
	w := &world{dir: dir, front: c.Services[0].Proxy.Listen}
	w.house, err = openapi.New(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	for line := range strings.Lines(string(blocks[2])) {
		line, _, _ = strings.Cut(line, "#")
		line, args := strings.TrimSuffix(strings.TrimSpace(line), " &"), []string(nil)
		if words, ours := strings.CutPrefix(line, "openapi_exporter "); ours {
			args = strings.Fields(words)
		}
		switch {
		case args != nil && args[0] == "serve":
			require.Equal(t, []string{"serve"}, args)
			go func() { _ = w.house.Run(ctx) }() // the program would end with the test's process
			require.Eventually(t, func() bool { return w.value(t, "openapi_document_last_load_successful") == 1 }, time.Minute, 10*time.Millisecond)
		case args != nil:
			var out bytes.Buffer
			require.Equal(t, 0, openapi.Run(args, "test", &out, &out), "%s: %s", line, out.String())
		case strings.HasPrefix(line, "curl -s localhost:8080/"):
			status, _ := w.get(t, strings.TrimPrefix(line, "curl -s localhost:8080"))
			require.Equal(t, http.StatusOK, status)
		default:
			pattern := regexp.MustCompile(`^curl -s localhost:9418/metrics \| grep '(.*)'$`).FindStringSubmatch(line)
			require.NotNil(t, pattern, line)
			require.Regexp(t, "(?m)"+pattern[1]+`.* 1$`, w.scrape())
			asked++
		}
	}
	require.Equal(t, 1, asked)
	var prometheus struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	require.NoError(t, yaml.Unmarshal(blocks[3], &prometheus))
	files, err := filepath.Glob(prometheus.RuleFiles[0])
	require.NoError(t, err)
	require.Len(t, files, 1, "what generate wrote is what Prometheus reads")
}
