package names

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxMapping is how long a mapping file may be.
const maxMapping = 1 << 20

// Mapping names cgroups that nothing else names, as on a host without containers:
//
//   - path: /system.slice/checkout-*.service   # * does not cross a slash
//     labels: {app: checkout, namespace: shop}
//   - regex: /batch/(?P<team>[^/]+)/job-(\d+)  # the whole path
//     labels: {app: batch, namespace: $team, container: job-$2}
//
// The first that matches counts. Labels may be app, container, namespace and pod.
type Mapping struct{ rules []mapped }

type mapped struct {
	glob   string
	regex  *regexp.Regexp // nil: glob
	labels Name           // with $1 and ${name} of regex
}

// LoadMapping reads a mapping file. Errors name the file and the line.
func LoadMapping(file string) (*Mapping, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open mapping: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxMapping+1))
	if err != nil {
		return nil, fmt.Errorf("read mapping: %w", err)
	}
	if len(raw) > maxMapping {
		return nil, fmt.Errorf("%s: longer than %d bytes", file, maxMapping)
	}
	return ParseMapping(file, raw)
}

// ParseMapping reads a mapping; file is its name in errors.
func ParseMapping(file string, raw []byte) (*Mapping, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(raw)))
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := &Mapping{}
	if len(doc.Content) == 0 {
		return m, nil
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: one document is expected", file)
	}
	list := doc.Content[0]
	if list.Kind != yaml.SequenceNode {
		return nil, at(file, list, "expected a list of rules")
	}
	for _, n := range list.Content {
		r, bad, what := rule(n)
		if bad != nil {
			return nil, at(file, bad, what)
		}
		m.rules = append(m.rules, r)
	}
	return m, nil
}

func at(file string, n *yaml.Node, what string) error {
	return fmt.Errorf("%s:%d: %s", file, n.Line, what)
}

// rule reads one rule, or says which node is wrong and why.
func rule(n *yaml.Node) (r mapped, bad *yaml.Node, what string) {
	if n.Kind != yaml.MappingNode {
		return r, n, "expected path or regex, and labels"
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if seen[k.Value] {
			return r, k, k.Value + " stands there twice"
		}
		seen[k.Value] = true
		switch {
		case k.Value == "labels":
			if bad, what = labels(v, &r.labels); bad != nil {
				return r, bad, what
			}
		case k.Value != "path" && k.Value != "regex":
			return r, k, fmt.Sprintf("unknown key %q: there are path, regex and labels", k.Value)
		case v.Kind != yaml.ScalarNode || v.Value == "":
			return r, v, k.Value + ": expected text"
		case k.Value == "path":
			if _, err := path.Match(v.Value, ""); err != nil {
				return r, v, "path: " + err.Error()
			}
			r.glob = v.Value
		default:
			re, err := regexp.Compile(`^(?:` + v.Value + `)$`)
			if err != nil {
				return r, v, "regex: " + err.Error()
			}
			r.regex = re
		}
	}
	switch {
	case seen["path"] == seen["regex"]:
		return r, n, "expected either path or regex"
	case r.labels == Name{}:
		return r, n, "expected labels"
	}
	return r, nil, ""
}

// labels reads the labels of a rule.
func labels(n *yaml.Node, into *Name) (bad *yaml.Node, what string) {
	if n.Kind != yaml.MappingNode {
		return n, "labels: expected name: value"
	}
	fields := map[string]*string{"app": &into.App, "container": &into.Container, "namespace": &into.Namespace, "pod": &into.Pod}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		field := fields[k.Value]
		switch {
		case field == nil:
			return k, fmt.Sprintf("unknown label %q: there are app, container, namespace and pod", k.Value)
		case *field != "":
			return k, "label " + k.Value + " stands there twice"
		case v.Kind != yaml.ScalarNode || v.Value == "":
			return v, "label " + k.Value + ": expected text"
		}
		*field = v.Value
	}
	return nil, ""
}

// Match returns what the first rule that matches says of a cgroup.
func (m *Mapping) Match(cgroup string) Name {
	for _, r := range m.rules {
		if r.regex == nil {
			if ok, _ := path.Match(r.glob, cgroup); ok { // the pattern was tried when it was read
				return r.labels
			}
			continue
		}
		if hit := r.regex.FindStringSubmatchIndex(cgroup); hit != nil {
			expand := func(s string) string { return string(r.regex.ExpandString(nil, s, cgroup, hit)) }
			return Name{App: expand(r.labels.App), Container: expand(r.labels.Container), Namespace: expand(r.labels.Namespace), Pod: expand(r.labels.Pod)}
		}
	}
	return Name{}
}
