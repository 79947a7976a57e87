package packs_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/rules/packs"
)

// sighting is what a promtool test says of firing alerts at a time.
type sighting struct {
	at     time.Duration
	firing string // labels of the samples, or of the alerts that are expected
	about  string // the only alert that was asked about; "" for all
}

// sightings reads promtool's unit tests, in either way to write them.
func sightings(t *testing.T, file string) [][]sighting {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var f struct {
		Tests []struct {
			Exprs []struct {
				At      string           `yaml:"eval_time"`
				Samples []map[string]any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
			Alerts []struct {
				At     string `yaml:"eval_time"`
				Name   string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(data, &f))
	at := func(text string) time.Duration {
		d, err := model.ParseDuration(text)
		require.NoError(t, err)
		return time.Duration(d)
	}
	var out [][]sighting
	for _, one := range f.Tests {
		var seen []sighting
		for _, e := range one.Exprs {
			var labels []string
			for _, s := range e.Samples {
				text, _ := s["labels"].(string)
				labels = append(labels, text)
			}
			seen = append(seen, sighting{at: at(e.At), firing: strings.Join(labels, " ")})
		}
		for _, a := range one.Alerts {
			s := sighting{at: at(a.At), about: a.Name}
			if len(a.Alerts) > 0 {
				s.firing = `alertname="` + a.Name + `"`
			}
			seen = append(seen, s)
		}
		out = append(out, seen)
	}
	return out
}

// TestEveryAlertIsTested looks for a promtool test that sees the alert fire, and
// later no more, and for one of its pack in which nothing ever fires.
func TestEveryAlertIsTested(t *testing.T) {
	for _, a := range alerts(t) {
		name := `alertname="` + a.Alert + `"`
		resolved, silent := false, false
		for _, seen := range sightings(t, "tests/"+a.pack+"_test.yml") {
			began, quiet := time.Duration(-1), true
			for _, s := range seen {
				quiet = quiet && s.firing == ""
				fires := strings.Contains(s.firing, name)
				if fires && began < 0 {
					began = s.at
				}
				resolved = resolved || began >= 0 && s.at > began && !fires && (s.about == "" || s.about == a.Alert)
			}
			silent = silent || quiet
		}
		require.True(t, resolved, "%s is seen to fire, then to resolve", a.Alert)
		require.True(t, silent, "%s: a near miss", a.pack)
	}
}

// TestEveryAlertHasItsRunbook looks for the page that says what to do. Where it
// shows a layer, that layer changes the alert's template.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n# rules/(layers/[^\n]+)\n(.+?)```")
	shown := 0
	for _, a := range alerts(t) {
		require.Equal(t, a.Alert, strings.TrimSuffix(path.Base(a.Annotations["runbook_url"]), ".md"))
		page, err := os.ReadFile("../../docs/runbooks/" + a.Alert + ".md")
		require.NoError(t, err)
		require.Contains(t, string(page), "# "+a.Alert+"\n")
		for _, m := range block.FindAllStringSubmatch(string(page), -1) {
			shown++
			require.Contains(t, m[2], "  "+a.pack+":", "%s shows the layer of its pack", a.Alert)
			_, err := compiled(t, m[1], m[2])
			require.NoError(t, err, a.Alert)
		}
	}
	require.NotZero(t, shown)
	_, err := compiled(t, "layers/app/checkout.yaml", "templates: {http: {params: {fast_ratio: 400%}}}")
	require.Error(t, err, "a layer that says too much is seen")
}

// compiled is the shipped tree with one layer put in.
func compiled(t *testing.T, file, layer string) ([]layers.Group, error) {
	t.Helper()
	fsys := fstest.MapFS{file: {Data: []byte(layer)}}
	for _, name := range packs.Files() {
		data, err := packs.Tree.ReadFile(name)
		require.NoError(t, err)
		if name != file {
			fsys[name] = &fstest.MapFile{Data: data}
		}
	}
	tree, err := layers.Load(fsys, ".", nil)
	if err != nil {
		return nil, err
	}
	return tree.Compile()
}
