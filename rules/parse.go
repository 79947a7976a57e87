package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// ReadAll reads the files that the patterns match (path/filepath's globs; a
// pattern that is a file's name is that file), each once, in the order of the
// patterns and then of the names. A pattern that matches nothing is an error.
// As with Parse, files are returned as far as they could be read.
func ReadAll(patterns ...string) ([]File, error) {
	var files []File
	var errs []error
	seen := map[string]bool{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if _, missing := os.Lstat(pattern); missing == nil {
			paths, err = []string{pattern}, nil // a name that holds [ or *
		}
		if err == nil && len(paths) == 0 {
			err = errors.New("no file is called so")
		}
		if err != nil {
			errs = append(errs, &config.Mistake{File: pattern, Text: err.Error()})
		}
		for _, path := range paths {
			if seen[path] {
				continue
			}
			seen[path] = true
			f, err := ReadFile(path)
			files, errs = append(files, f), append(errs, err)
		}
	}
	return files, errors.Join(errs...)
}

// ReadFile reads one file, as Parse does.
func ReadFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{Path: path}, &config.Mistake{File: path, Text: strings.TrimPrefix(err.Error(), "open "+path+": ")}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return File{Path: path}, &config.Mistake{File: path, Text: err.Error()}
	}
	return Parse(path, data)
}

// Parse reads rules as strictly as Prometheus does, by its own validation, and
// says of each mistake where it stands: the error joins *config.Mistake of path.
// Beside Prometheus' rule files it reads Thanos' partial_response_strategy and
// PrometheusRule objects; other Kubernetes objects beside them are passed over.
// The File holds what is right: rules with a mistake are left out of it.
func Parse(path string, data []byte) (File, error) {
	p := &reader{path: path}
	f := File{Path: path}
	if len(data) > MaxFile {
		p.mistake(0, "the file has over %d bytes, which is more than is read", MaxFile)
		return f, p.err()
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			var whole any // aliases that hold themselves, keys that stand twice
			err = doc.Decode(&whole)
		}
		if err != nil {
			p.yaml(err)
			break
		}
		f.Groups = append(f.Groups, p.document(&doc)...)
	}
	return f, p.err()
}

// reader reads one file and gathers its mistakes.
type reader struct {
	path     string
	mistakes []error
}

func (p *reader) mistake(line int, format string, args ...any) {
	p.mistakes = append(p.mistakes, &config.Mistake{File: p.path, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (p *reader) err() error { return errors.Join(p.mistakes...) }

// yaml adds the library's own errors, which carry their line in the text.
func (p *reader) yaml(err error) {
	texts := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = te.Errors
	}
	for _, text := range texts {
		line, rest := 0, text
		if n, err := fmt.Sscanf(text, "line %d: ", &line); err == nil && n == 1 {
			_, rest, _ = strings.Cut(text, ": ")
		}
		p.mistake(line, "%s", rest)
	}
}

// document reads a rule file, an object, or a list of objects.
func (p *reader) document(n *yaml.Node) []Group {
	n = target(n)
	if n == nil || n.Tag == "!!null" {
		return nil // an empty file, or one of comments
	}
	m, ok := p.section(n, "a rule file")
	if !ok {
		return nil
	}
	kind := m.text("kind")
	switch {
	case kind == "PrometheusRule":
		return p.object(m)
	case kind == "List" || kind == "PrometheusRuleList":
		var out []Group
		for _, item := range p.list(m, "items") {
			out = append(out, p.document(item)...)
		}
		return out
	case kind != "" && m.has("apiVersion"):
		return nil // another object of the same manifest
	}
	p.known(m, "groups")
	if !m.has("groups") {
		p.mistake(n.Line, "`groups:` is missing: this is no rule file")
	}
	return p.groups(m)
}

func (p *reader) object(m fields) []Group {
	spec, ok := p.sub(m, "spec")
	if !ok {
		return nil
	}
	p.known(spec, "groups")
	meta, _ := p.sub(m, "metadata")
	groups := p.groups(spec)
	for i := range groups {
		groups[i].Object = meta.text("namespace") + "/" + meta.text("name")
	}
	return groups
}

func (p *reader) groups(m fields) []Group {
	var out []Group
	seen := map[string]bool{}
	for _, n := range p.list(m, "groups") {
		g, ok := p.group(n)
		if !ok {
			continue
		}
		if g.Name != "" && seen[g.Name] {
			p.mistake(g.Line, "group %q stands twice in this file", g.Name)
			continue
		}
		seen[g.Name] = true
		out = append(out, g)
	}
	return out
}

func (p *reader) group(n *yaml.Node) (Group, bool) {
	m, ok := p.section(n, "a group")
	if !ok {
		return Group{}, false
	}
	before := len(p.mistakes)
	g := Group{Line: n.Line, Lines: m.lines(), Name: p.string(m, "name")}
	g.Labels = p.texts(m, "labels", g.Lines)
	p.known(m, "name", "interval", "query_offset", "limit", "labels", "partial_response_strategy", "rules")
	if g.Name == "" {
		p.mistake(n.Line, "the group has no name: write `name: …`")
	}
	g.Interval = p.duration(m, "interval")
	if m.has("query_offset") {
		offset := p.duration(m, "query_offset")
		g.QueryOffset = &offset
	}
	if m.has("limit") {
		if err := m.get("limit").Decode(&g.Limit); err != nil {
			p.mistake(m.line("limit"), "limit %q is not a whole number", m.text("limit"))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(g.Labels)) {
		if !model.UTF8Validation.IsValidLabelName(k) || k == model.MetricNameLabel {
			p.mistake(g.Lines.Of("labels."+k, n.Line), "invalid label name: %s", k)
		}
	}
	switch s := strings.ToLower(p.string(m, "partial_response_strategy")); s {
	case "", "abort", "warn":
		g.PartialResponse = s
	default:
		p.mistake(m.line("partial_response_strategy"), "partial_response_strategy %q is not known: write abort or warn", s)
	}
	if len(p.mistakes) > before {
		return Group{}, false
	}
	for _, n := range p.list(m, "rules") {
		if r, ok := p.rule(n); ok {
			g.Rules = append(g.Rules, r)
		}
	}
	return g, true
}
