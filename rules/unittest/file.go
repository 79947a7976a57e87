// Package unittest runs unit tests of rules: promtool's test files, by the
// libraries of Prometheus that promtool itself is made of (promqltest, rules),
// and beside them expectations of our own: what page the alerts of a test would
// become (pages), and which alerts no test looks at (coverage). The verdicts on
// a test file are promtool's; a test holds them against the real one.
package unittest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
)

// File is one test file that was read: promtool's document, and ours behind it.
type File struct {
	Path     string
	Pages    Pages    // what stands behind the first `---`; zero where nothing does
	Warnings []string // rule_files that match nothing

	doc   document
	lines *yaml.Node // of the first document; nil where it cannot tell them
}

// document is promtool's test file (cmd/promtool/unittest.go; docs/configuration/unit_testing_rules.md).
type document struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval,omitempty"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []test         `yaml:"tests"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare,omitempty"`
}

// test is input series and what is expected of them.
type test struct {
	Interval       model.Duration `yaml:"interval"`
	InputSeries    []series       `yaml:"input_series"`
	Alerts         []alertTest    `yaml:"alert_rule_test,omitempty"`
	Exprs          []exprTest     `yaml:"promql_expr_test,omitempty"`
	ExternalLabels labels.Labels  `yaml:"external_labels,omitempty"`
	ExternalURL    string         `yaml:"external_url,omitempty"`
	Name           string         `yaml:"name,omitempty"`
	Start          start          `yaml:"start_timestamp,omitempty"`
}

type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	EvalTime  model.Duration `yaml:"eval_time"`
	Alertname string         `yaml:"alertname"`
	Expected  []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

type exprTest struct {
	Expr     string         `yaml:"expr"`
	EvalTime model.Duration `yaml:"eval_time"`
	Expected []struct {
		Labels    string  `yaml:"labels"`
		Value     float64 `yaml:"value"`
		Histogram string  `yaml:"histogram"` // not "": the value says nothing
	} `yaml:"exp_samples"`
}

// start is seconds since 1970, or RFC 3339.
type start struct{ time.Time }

// UnmarshalYAML reads it as promtool does.
func (s *start) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		whole, part := math.Modf(f)
		s.Time = time.Unix(int64(whole), int64(part*float64(time.Second))).UTC()
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("cannot parse %q to a valid timestamp", text)
	}
	s.Time = t
	return nil
}

// Read reads a test file. What is wrong with it comes back as *config.Mistake.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &config.Mistake{File: path, Text: strings.TrimPrefix(err.Error(), "open "+path+": ")}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, rules.MaxFile+1))
	if err != nil {
		return nil, &config.Mistake{File: path, Text: err.Error()}
	}
	return Parse(path, data)
}

// Parse is Read for bytes at hand; rule_files are found from the folder of path.
func Parse(path string, data []byte) (*File, error) {
	if len(data) > rules.MaxFile {
		return nil, &config.Mistake{File: path, Text: fmt.Sprintf("the file has over %d bytes, which is more than is read", rules.MaxFile)}
	}
	f := &File{Path: path}
	if err := yamlv2.UnmarshalStrict(data, &f.doc); err != nil { // as promtool: the first document, and by this library
		return nil, unread(path, err)
	}
	first := map[string]bool{}
	for _, name := range f.doc.GroupEvalOrder {
		if first[name] {
			return nil, &config.Mistake{File: path, Line: f.line("group_eval_order"), Text: "group name repeated in evaluation order: " + name}
		}
		first[name] = true
	}
	f.doc.EvaluationInterval = cmp.Or(f.doc.EvaluationInterval, model.Duration(time.Minute))
	for i := range f.doc.Tests {
		f.doc.Tests[i].Interval = cmp.Or(f.doc.Tests[i].Interval, f.doc.EvaluationInterval)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var node yaml.Node
	if err := dec.Decode(&node); err == nil {
		f.lines = &node
	} else if !errors.Is(err, io.EOF) {
		return nil, unread(path, err)
	}
	if f.lines != nil {
		if err := f.readPages(dec); err != nil {
			return nil, err
		}
	}
	return f, f.find()
}

// unread is what the YAML library says, one mistake a line of it.
func unread(path string, err error) error {
	texts := []string{err.Error()}
	if e, ok := errors.AsType[*yamlv2.TypeError](err); ok {
		texts = e.Errors
	}
	var all []error
	for _, text := range texts {
		m := &config.Mistake{File: path, Text: strings.TrimPrefix(text, "yaml: ")}
		if n, _ := fmt.Sscanf(m.Text, "line %d:", &m.Line); n == 1 {
			_, m.Text, _ = strings.Cut(m.Text, ": ")
		}
		all = append(all, m)
	}
	return errors.Join(all...)
}

// find resolves the rule files.
func (f *File) find() error {
	var found []string
	for _, pattern := range f.doc.RuleFiles {
		if pattern != "" && !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(f.Path), pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			return &config.Mistake{File: f.Path, Line: f.line("rule_files"), Text: fmt.Sprintf("%s: %v", pattern, err)}
		}
		if len(names) == 0 {
			f.Warnings = append(f.Warnings, fmt.Sprintf("%s:%d: no file is called %s: if it is compiled from layers, run tocsin rules build first", f.Path, f.line("rule_files"), pattern))
		}
		found = append(found, names...)
	}
	f.doc.RuleFiles = found
	return nil
}

// line returns where something stands in the first document; a step is a key,
// or the index of an item. Where a step leads nowhere the last line is taken.
func (f *File) line(steps ...any) int {
	if f.lines == nil || len(f.lines.Content) == 0 {
		return 0
	}
	n, line := f.lines.Content[0], 1
	for _, step := range steps {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := (*yaml.Node)(nil)
		switch s := step.(type) {
		case string:
			for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
				if n.Content[i].Value == s {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		case int:
			if n.Kind == yaml.SequenceNode && s < len(n.Content) {
				next, line = n.Content[s], n.Content[s].Line
			}
		}
		if next == nil {
			return line
		}
		n = next
	}
	return line
}

// name is how promtool calls a test.
func (t *test) name(i int) string {
	return cmp.Or(t.Name, fmt.Sprintf("unnamed#%d", i))
}
