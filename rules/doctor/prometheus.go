// Package doctor predicts the time to notify of each alerting rule from the
// files that set it (rules, prometheus.yml, Thanos Ruler's flags,
// alertmanager.yml) and names the line that would shorten it most.
package doctor

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// Setting is an interval, and where it is written: the line of its key, or that
// of the section it would stand in while its default holds.
type Setting struct {
	Key     string
	Value   time.Duration
	File    string
	Line    int
	Default bool
}

// Prometheus is what of a Prometheus or Thanos Ruler decides the time to notify.
type Prometheus struct {
	Eval      Setting // evaluation_interval, or --eval-interval
	Offset    Setting // rule_query_offset, or --rule-query-offset
	Resend    Setting // --rules.alert.resend-delay, or --resend-delay
	Scrape    Setting // scrape_interval of jobs that set none
	Jobs      []Job
	External  map[string]string // labels that every alert carries; those that replicas differ by are among them
	RuleFiles []string          // patterns
	Relabels  bool              // alert_relabel_configs may change labels before the route sees them
}

// Job is one scrape job.
type Job struct {
	Name   string
	Scrape Setting
}

// Defaults are Prometheus' own, for the places in file where they would be written.
func Defaults(file string) Prometheus {
	at := func(key string, d time.Duration) Setting {
		return Setting{Key: key, Value: d, File: file, Default: true}
	}
	return Prometheus{
		Eval: at("evaluation_interval", time.Minute), Offset: at("rule_query_offset", 0),
		Resend: at("--rules.alert.resend-delay", time.Minute), Scrape: at("scrape_interval", time.Minute),
	}
}

// ReadPrometheus reads those few keys of a prometheus.yml. Everything else is
// passed over, as Prometheus' own `promtool check config` judges it; its package
// would bring the SDKs of two clouds along.
func ReadPrometheus(path string, data []byte) (Prometheus, error) {
	p := Defaults(path)
	root, err := parse(path, data)
	if err != nil {
		return p, err
	}
	f := finder{path: path}
	global, line := child(root, "global")
	for _, s := range []*Setting{&p.Eval, &p.Offset, &p.Scrape} {
		f.setting(global, line, s)
	}
	if labels, _ := child(global, "external_labels"); labels != nil && labels.Kind == yaml.MappingNode {
		p.External = map[string]string{}
		for i := 0; i+1 < len(labels.Content); i += 2 {
			p.External[labels.Content[i].Value] = labels.Content[i+1].Value
		}
	}
	patterns, _ := child(root, "rule_files")
	for _, n := range items(patterns) {
		p.RuleFiles = append(p.RuleFiles, beside(path, n.Value))
	}
	alerting, _ := child(root, "alerting")
	relabel, _ := child(alerting, "alert_relabel_configs")
	p.relabels(relabel)
	f.jobs(&p, root)
	more, _ := child(root, "scrape_config_files")
	for _, n := range items(more) {
		f.moreJobs(&p, beside(path, n.Value))
	}
	return p, f.err
}

// relabels drops what alert_relabel_configs drop from every alert.
func (p *Prometheus) relabels(list *yaml.Node) {
	for _, n := range items(list) {
		action, _ := child(n, "action")
		pattern, _ := child(n, "regex")
		if action == nil || pattern == nil || action.Value != "labeldrop" {
			p.Relabels = true
			continue
		}
		re, err := regexp.Compile("^(?:" + pattern.Value + ")$")
		for name := range p.External {
			if err == nil && re.MatchString(name) {
				delete(p.External, name)
			}
		}
	}
}

// finder reads settings and keeps the first mistake.
type finder struct {
	path string
	err  error
}

func (f *finder) setting(in *yaml.Node, line int, s *Setting) {
	s.File, s.Line = f.path, max(1, line)
	n, at := child(in, s.Key)
	if n == nil {
		return
	}
	d, err := model.ParseDuration(n.Value)
	if err != nil {
		f.err = cmp.Or(f.err, error(&config.Mistake{File: f.path, Line: at, Text: fmt.Sprintf("%s %q is not a duration: write it as 30s, 5m or 1h30m", s.Key, n.Value)}))
		return
	}
	s.Value, s.Line, s.Default = time.Duration(d), at, false
}

func (f *finder) jobs(p *Prometheus, root *yaml.Node) {
	list, _ := child(root, "scrape_configs")
	for _, n := range items(list) {
		j := Job{Scrape: p.Scrape}
		if name, _ := child(n, "job_name"); name != nil {
			j.Name = name.Value
		}
		if own, _ := child(n, "scrape_interval"); own != nil {
			f.setting(n, n.Line, &j.Scrape)
		}
		p.Jobs = append(p.Jobs, j)
	}
}

func (f *finder) moreJobs(p *Prometheus, pattern string) {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		var data []byte
		if data, err = os.ReadFile(path); err != nil {
			break
		}
		var root *yaml.Node
		if root, err = parse(path, data); err != nil {
			break
		}
		inner := finder{path: path}
		inner.jobs(p, root)
		f.err = cmp.Or(f.err, inner.err)
	}
	f.err = cmp.Or(f.err, err)
}

// beside takes a path from the folder of the file it stands in.
func beside(file, path string) string {
	if filepath.IsAbs(path) || strings.Contains(file, "://") {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// parse reads one YAML document.
func parse(path string, data []byte) (*yaml.Node, error) {
	var doc yaml.Node
	err := yaml.Unmarshal(data, &doc)
	if err == nil {
		var whole any
		err = doc.Decode(&whole)
	}
	if err != nil {
		return nil, mistake(path, err)
	}
	if len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	}
	return resolved(doc.Content[0]), nil
}

// mistake finds the line in an error of the YAML library, or of Alertmanager's.
func mistake(path string, err error) error {
	m := &config.Mistake{File: path, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if found := regexp.MustCompile(`line (\d+): ([^\n]+)`).FindStringSubmatch(m.Text); found != nil {
		_, _ = fmt.Sscan(found[1], &m.Line) // digits
		m.Text = found[2]
	}
	return m
}

func resolved(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// child returns a value of a mapping and the line of its key; nil when there is none.
func child(n *yaml.Node, key string) (*yaml.Node, int) {
	if n = resolved(n); n == nil || n.Kind != yaml.MappingNode {
		return nil, 0
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolved(n.Content[i+1]), n.Content[i].Line
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			if v, line := child(n.Content[i+1], key); v != nil {
				return v, line
			}
		}
	}
	return nil, 0
}

func items(n *yaml.Node) []*yaml.Node {
	if n = resolved(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		out[i] = resolved(c)
	}
	return out
}
