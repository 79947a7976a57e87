package values

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Metric is one as the config has it; an annotation has the same fields but
// Operation, Code and Path.
type Metric struct {
	// Operation whose answers hold the value.
	Operation string `yaml:"operation"`
	// Code as the document declares it. Default: 200.
	Code string `yaml:"code"`
	// Path to the value: a JSON pointer in which * is each element.
	Path string `yaml:"path"`
	// Name of the metric.
	Name string `yaml:"name"`
	// Type is gauge, counter, info or stateset.
	Type string `yaml:"type"`
	// Help of the metric.
	Help string `yaml:"help"`
	// Labels are values beside it: name, ../region, or @key for the element's own key.
	Labels map[string]string `yaml:"labels"`
	// Unit that the value has: ms, MiB, percent …; the metric is in its base unit.
	Unit string `yaml:"unit"`
	// Scale that the value is multiplied with.
	Scale float64 `yaml:"scale"`
	// States of a stateset.
	States []string `yaml:"states"`
	// Format of a string that is a time: date-time or date.
	Format string `yaml:"format"`
}

// stateLabel is the label of a stateset.
const stateLabel = "state"

// ownLabels are on every value.
func ownLabels() []string { return []string{"service", "operation", "target"} }

// Limits of words, in bytes.
const (
	maxState = 128
	maxHelp  = 1000
)

// definition is what all series of a name have in common.
type definition struct {
	name, kind, help string
	labels           []string // beside ownLabels, sorted
	at               string   // of the first that defines it
}

func (d *definition) same(e *definition) bool {
	return d.name == e.name && d.kind == e.kind && d.help == e.help && slices.Equal(d.labels, e.labels)
}

// family is the name under which OpenMetrics knows the metric: that of a counter
// is without _total, and may be no other metric's.
func (d *definition) family() string { return strings.TrimSuffix(d.name, "_total") }

func (d *definition) String() string {
	return fmt.Sprintf("%s, a %s with labels %v and help %q", d.name, d.kind, d.labels, d.help)
}

// units are factors to base units, and how a metric in that unit ends.
func units() map[string]struct {
	factor float64
	base   string
} {
	type unit = struct {
		factor float64
		base   string
	}
	return map[string]unit{
		"ns": {1e-9, "seconds"}, "us": {1e-6, "seconds"}, "ms": {1e-3, "seconds"}, "s": {1, "seconds"},
		"min": {60, "seconds"}, "h": {3600, "seconds"}, "d": {86400, "seconds"},
		"B": {1, "bytes"}, "kB": {1e3, "bytes"}, "MB": {1e6, "bytes"}, "GB": {1e9, "bytes"}, "TB": {1e12, "bytes"},
		"KiB": {1 << 10, "bytes"}, "MiB": {1 << 20, "bytes"}, "GiB": {1 << 30, "bytes"}, "TiB": {1 << 40, "bytes"},
		"percent": {0.01, "ratio"},
	}
}

// definition checks a metric and returns what its series have in common. Names
// that could be the exporter's own are refused.
func (m *Metric) definition() (*definition, error) {
	var err error
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`).MatchString(m.Name) {
		wrong("name %q: letters, digits and underscores, 128 at most", m.Name)
	}
	if own := regexp.MustCompile(`^(openapi_|go_|process_|promhttp_|probe_|scrape_|__|up$)`).FindString(m.Name); own != "" {
		wrong("name %q: what begins with %s is the exporter's own, or Prometheus'", m.Name, own)
	}
	counter := strings.HasSuffix(m.Name, "_total")
	switch m.Type {
	case "gauge", "stateset", "counter":
		if counter != (m.Type == "counter") {
			wrong("name %q: counters end in _total, and nothing else does", m.Name)
		}
	case "info":
		if !strings.HasSuffix(m.Name, "_info") {
			wrong("name %q: of type info it ends in _info", m.Name)
		}
	default:
		wrong("type %q: gauge, counter, info or stateset", m.Type)
	}
	if m.Type == "stateset" && (len(m.States) == 0 || len(m.States) > 64) {
		wrong("states: a stateset has 1 to 64, from the enum or said here")
	}
	if m.Type != "stateset" && len(m.States) > 0 {
		wrong("states: only a stateset has any")
	}
	if slices.ContainsFunc(m.States, func(s string) bool { return len(s) > maxState }) || len(m.Help) > maxHelp {
		wrong("states have %d bytes at most, help %d", maxState, maxHelp)
	}
	if math.IsNaN(m.Scale) || math.IsInf(m.Scale, 0) {
		wrong("scale: no number")
	}
	if u, ok := units()[m.Unit]; m.Unit != "" && !ok {
		wrong("unit %q: one of %s", m.Unit, strings.Join(slices.Sorted(maps.Keys(units())), " "))
	} else if m.Unit != "" && !strings.HasSuffix(strings.TrimSuffix(m.Name, "_total"), "_"+u.base) {
		wrong("name %q: %s make %s, so it ends in _%s", m.Name, m.Unit, u.base, u.base)
	}
	if !slices.Contains([]string{"", "date-time", "date"}, m.Format) {
		wrong("format %q: date-time or date", m.Format)
	}
	return &definition{name: m.Name, kind: m.Type, help: m.Help, labels: m.labels(wrong)}, err
}

func (m *Metric) labels(wrong func(string, ...any)) []string {
	if len(m.Labels) > 16 {
		wrong("labels: more than 16")
	}
	names := slices.Sorted(maps.Keys(m.Labels))
	for _, name := range names {
		if !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`).MatchString(name) || strings.HasPrefix(name, "__") {
			wrong("label %q: letters, digits and underscores, 64 at most", name)
		}
		if slices.Contains(ownLabels(), name) || m.Type == "stateset" && name == stateLabel || name == "le" || name == "quantile" {
			wrong("label %q: is the exporter's own", name)
		}
	}
	return names
}

// defaults are what the schema, or the field, says where the author did not.
func (m *Metric) defaults(types []string, format string, enum []any) {
	if m.Help == "" {
		m.Help = "A value in answers of the API."
	}
	if m.Scale == 0 {
		m.Scale = 1
	}
	if m.Format == "" && (format == "date-time" || format == "date") {
		m.Format = format
	}
	texts := slices.Contains(types, "string") && len(enum) > 0
	if m.Type == "" {
		switch {
		case texts, len(m.States) > 0:
			m.Type = "stateset"
		case slices.Contains(types, "object"), strings.HasSuffix(m.Name, "_info"):
			m.Type = "info"
		case strings.HasSuffix(m.Name, "_total"):
			m.Type = "counter"
		default:
			m.Type = "gauge"
		}
	}
	if m.Type == "stateset" && len(m.States) == 0 {
		for _, v := range enum {
			if text, ok := v.(string); ok {
				m.States = append(m.States, text)
			}
		}
	}
}

// annotated is the Metric of an annotation: its name alone, or a mapping.
func annotated(a model.Annotation) (Metric, error) {
	m := Metric{Path: model.Pointer(a.Path)}
	fields, ok := a.Value.(map[string]any)
	if name, is := a.Value.(string); is {
		m.Name = name
	} else if !ok {
		return m, errors.New("it is the name of a metric, or a mapping with name, type, help, labels, unit, scale, states, format")
	}
	var err error
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		err = errors.Join(err, m.set(key, fields[key]))
	}
	m.defaults(a.Types, a.Format, a.Enum)
	return m, err
}

func (m *Metric) set(key string, value any) error {
	texts := map[string]*string{"name": &m.Name, "type": &m.Type, "help": &m.Help, "unit": &m.Unit, "format": &m.Format}
	ok := false
	switch to, text := texts[key], value; {
	case to != nil:
		*to, ok = text.(string)
	case key == "scale":
		m.Scale, ok = value.(float64)
	case key == "states":
		var list []any
		list, ok = value.([]any)
		for _, v := range list {
			state, is := v.(string)
			ok = ok && is
			m.States = append(m.States, state)
		}
	case key == "labels":
		m.Labels, ok = labelPaths(value)
	default:
		return fmt.Errorf("%q: there is name, type, help, labels, unit, scale, states, format", key)
	}
	if !ok {
		return fmt.Errorf("%s: not of its type", key)
	}
	return nil
}

// labelPaths are labels by name; a list names properties that are labels.
func labelPaths(value any) (map[string]string, bool) {
	labels := map[string]string{}
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			name, ok := v.(string)
			if !ok {
				return nil, false
			}
			labels[name[strings.LastIndexByte(name, '/')+1:]] = name
		}
	case map[string]any:
		for name, v := range value {
			path, ok := v.(string)
			if !ok {
				return nil, false
			}
			labels[name] = path
		}
	default:
		return nil, false
	}
	return labels, true
}
