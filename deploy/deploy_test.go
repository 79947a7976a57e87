// Package deploy_test keeps what an operator installs from rotting: units,
// manifests, examples, alerts and their runbooks are read as strictly as those
// read them whom they are for.
package deploy_test

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/app"
)

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

// strictly decodes the one document of a file; a key that is not known is an error.
func strictly(t *testing.T, path string, into any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(read(t, path)))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(into), path)
	require.ErrorIs(t, dec.Decode(new(any)), io.EOF, path)
}

// checked runs tocsin check on a config, with its secrets in a folder of the test.
func checked(t *testing.T, text, secrets string) {
	t.Helper()
	dir := t.TempDir()
	for _, path := range regexp.MustCompile(regexp.QuoteMeta(secrets)+`/([\w.-]+)`).FindAllStringSubmatch(text, -1) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path[1]), []byte("0123456789abcdef0123456789abcdef"), 0o600))
	}
	conf := filepath.Join(dir, "tocsin.yml")
	require.NoError(t, os.WriteFile(conf, []byte(strings.ReplaceAll(text, secrets, dir)), 0o600))
	require.NoError(t, app.Check(t.Context(), io.Discard, app.CheckOptions{ConfigFile: conf}))
}

func TestExampleOfAlertmanager(t *testing.T) {
	am, err := amconfig.LoadFile("examples/alertmanager.yml")
	require.NoError(t, err)
	root := dispatch.NewRoute(am.Route, nil)
	to := func(name string) string {
		return root.Match(model.LabelSet{"alertname": model.LabelValue(name)})[0].RouteOpts.Receiver
	}
	require.Equal(t, []string{"team-payments", "dead-man", "past-tocsin"}, []string{to("CheckoutErrors"), to("TocsinWatchdog"), to("TocsinDown")})
	opts := root.RouteOpts
	require.Zero(t, opts.GroupWait)
	require.Equal(t, "10s", model.Duration(opts.GroupInterval).String())
	require.Len(t, opts.GroupBy, 4)
	w := am.Receivers[0].WebhookConfigs[0]
	require.True(t, w.SendResolved())
	require.Zero(t, w.MaxAlerts)
	require.True(t, strings.HasSuffix(w.HTTPConfig.Authorization.CredentialsFile, "/secrets/alertmanager.token"))
	require.True(t, strings.HasSuffix(string(w.URL), "/webhook/alertmanager"))
	for _, r := range am.Receivers[1:] {
		for _, c := range r.WebhookConfigs {
			require.NotContains(t, string(c.URL), "tocsin", "what Tocsin says about itself goes past it")
		}
	}
}

// Prometheus' own config package needs the SDK of every cloud; make rules has
// promtool read the example. Here stands what the alerts lean on.
func TestExampleOfPrometheus(t *testing.T) {
	var p struct {
		Global struct {
			ScrapeInterval     string            `yaml:"scrape_interval"`
			EvaluationInterval string            `yaml:"evaluation_interval"`
			ExternalLabels     map[string]string `yaml:"external_labels"`
		}
		RuleFiles []string `yaml:"rule_files"`
		Alerting  struct {
			Relabel       []map[string]string `yaml:"alert_relabel_configs"`
			Alertmanagers []any
		}
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	strictly(t, "examples/prometheus.yml", &p)
	require.Equal(t, "tocsin", p.ScrapeConfigs[0].JobName)
	require.Equal(t, []string{"tocsin:9095"}, p.ScrapeConfigs[0].StaticConfigs[0].Targets)
	require.Equal(t, []string{"tocsin.rules.yml"}, p.RuleFiles)
	require.Contains(t, read(t, "alerts/tocsin.rules.yml"), `up{job="tocsin"}`)
}

type rule struct {
	Alert       string
	Record      string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
	Keep        string `yaml:"keep_firing_for"`
}

// rules are those of a file in alerts.
func rules(t *testing.T, name string) []rule {
	t.Helper()
	return rulesOf(t, "alerts/"+name+".rules.yml")
}

func rulesOf(t *testing.T, name string) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name, Interval string
			Rules          []rule
		}
	}
	strictly(t, name, &file)
	require.Len(t, file.Groups, 1)
	return file.Groups[0].Rules
}

// Each alert asks for metrics and labels that are there, has a runbook, and is
// among promtool's tests both as firing and, but for the one that always fires,
// as not firing.
func TestAlerts(t *testing.T) {
	checkAlerts(t, "tocsin", metrics(t))
	checkAlerts(t, "netns", netnsMetrics(t))
}

func checkAlerts(t *testing.T, name string, known map[string][]string) {
	t.Helper()
	tests := read(t, "alerts/tests/"+name+"_test.yml")
	ql := parser.NewParser(parser.Options{})
	for _, r := range rules(t, name) {
		expr, err := ql.ParseExpr(r.Expr)
		require.NoError(t, err, r.Alert)
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			v, ok := n.(*parser.VectorSelector)
			if !ok || v.Name == "up" {
				return nil
			}
			base := v.Name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if b, cut := strings.CutSuffix(v.Name, suffix); cut && known[b] != nil {
					base = b
				}
			}
			require.Contains(t, known, base, "%s asks for a metric that is not there", r.Alert)
			for _, m := range v.LabelMatchers {
				require.Contains(t, append(known[base], "__name__", "job", "instance", "le"), m.Name, "%s: %s", r.Alert, v.Name)
			}
			return nil
		})
		require.Contains(t, []string{"critical", "warning", "none"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.True(t, strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+r.Alert+".md"), r.Alert)
		book := read(t, "../docs/runbooks/"+r.Alert+".md")
		for _, head := range []string{"# " + r.Alert + "\n", "## What it means\n", "## What to look at\n", "## What to do\n"} {
			require.Contains(t, book, head, r.Alert)
		}
		asked := `ALERTS{alertname="` + r.Alert + `", alertstate="firing"}`
		require.Contains(t, tests, "alertname=\""+r.Alert+"\", alertstate=\"firing\",", "%s fires in no test", r.Alert)
		require.True(t, r.Alert == "TocsinWatchdog" || regexp.MustCompile(regexp.QuoteMeta(asked)+`\n.*\n +exp_samples: \[\]`).MatchString(tests), "%s is silent in no test", r.Alert)
	}
}

func TestEveryRunbookHasItsAlert(t *testing.T) {
	shipped := append(rules(t, "tocsin"), rules(t, "netns")...)
	packs, err := filepath.Glob("../rules/packs/compiled/*.rules.yml")
	require.NoError(t, err)
	for _, file := range packs {
		shipped = append(shipped, rulesOf(t, file)...)
	}
	names := map[string]bool{}
	for _, r := range shipped {
		if r.Alert != "" {
			names[r.Alert] = true
		}
	}
	books, err := filepath.Glob("../docs/runbooks/*.md")
	require.NoError(t, err)
	require.Len(t, books, len(names))
	for _, b := range books {
		require.Contains(t, names, strings.TrimSuffix(filepath.Base(b), ".md"))
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(read(t, b), -1) {
			require.FileExists(t, filepath.Join("../docs/runbooks", link[1]), b)
		}
	}
}

// metrics are the labels of every metric in the reference.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(tocsin_\\w+)` \\| ([^|]*) \\|").FindAllStringSubmatch(read(t, "../docs/reference/metrics.md"), -1) {
		out[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
	}
	require.NotEmpty(t, out)
	return out
}

// netnsMetrics are the metrics of netns_exporter with their labels, as its own
// reference has them.
func netnsMetrics(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (counter|gauge|histogram) \\| ([a-z_, ]*) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/netns.md"), -1) {
		labels := append(strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' }), "")
		out[m[1]] = labels
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				out[m[1]+part] = labels
			}
		}
	}
	require.Greater(t, len(out), 100)
	return out
}

func TestContainerfile(t *testing.T) {
	text := read(t, "container/Containerfile")
	var stages []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if from, ok := strings.CutPrefix(line, "FROM "); ok {
			stages = append(stages, from)
		}
	}
	require.Equal(t, []string{"${BASE} AS build", "scratch"}, stages, "the last stage holds nothing but what is copied")
	last := text[strings.LastIndex(text, "FROM scratch"):]
	for _, want := range []string{"USER 65532:65532\n", "COPY --from=build /out/ /\n", `ENTRYPOINT ["/bin/tocsin"]`, `CMD ["serve", "--config.file", "/etc/tocsin/tocsin.yml"]`} {
		require.Contains(t, last, want)
	}
	require.NotContains(t, last, "RUN ", "scratch has no shell")
	require.Contains(t, text, "CGO_ENABLED=0 go build")
	require.Contains(t, text, "ca-certificates.crt")
	require.Contains(t, read(t, "container/Containerfile.dockerignore"), "secrets\n")
}

// No file names a registry or a host that is not an example.
func TestNoFileNamesARegistry(t *testing.T) {
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		for _, image := range regexp.MustCompile(`(?m)^\s*(?:- )?(?:image|newName): *(\S+)|^FROM (\S+)`).FindAllStringSubmatch(read(t, path), -1) {
			require.NotContains(t, image[1]+image[2], "/", path)
		}
		return nil
	}))
}

// found runs a program of the machine, where it has it.
func found(t *testing.T, name string, args ...string) (out string, ok bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Logf("%s is not on this machine: our own check stands alone", name)
		return "", false
	}
	raw, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), raw)
	return string(raw), true
}

// What a runbook sends its reader to look for is there: the metrics in the
// reference, the words of the log in the code.
func TestRunbooksNameWhatThereIs(t *testing.T) {
	known := metrics(t)
	maps.Copy(known, netnsMetrics(t))
	books, err := filepath.Glob("../docs/runbooks/*.md")
	require.NoError(t, err)
	all := ""
	for _, b := range books {
		text := read(t, b)
		all += text
		for _, m := range regexp.MustCompile(`\b(?:tocsin|netns|cgroup)_\w+`).FindAllString(text, -1) {
			if m != "netns_exporter" {
				require.Contains(t, known, strings.TrimSuffix(m, "_bucket"), b)
			}
		}
	}
	for words, file := range map[string]string{
		"webhook is quarantined": "webhook/handler.go", "webhook with wrong credentials": "webhook/handler.go",
		"event is tried again": "pipeline/worker.go", "reload refused: the old config goes on": "app/run.go",
	} {
		require.Contains(t, all, "`"+words+"`")
		require.Contains(t, read(t, "../"+file), `"`+words+`"`)
	}
}
