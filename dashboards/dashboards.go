// Package dashboards holds the Grafana dashboards that are shipped, reads any,
// lints them, and asks a Prometheus their queries as Grafana would.
package dashboards

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

//go:embed *.json
var files embed.FS

// Dashboard is what is read of Grafana's JSON.
type Dashboard struct {
	File          string `json:"-"`
	UID           string
	Title         string
	Description   string
	Tags          []string
	SchemaVersion int
	GraphTooltip  int // 1: one crosshair over all panels
	Timezone      string
	Time          struct{ From, To string }
	Links         []Link
	Templating    struct{ List []Variable }
	Panels        []Panel
}

// Link leads from a dashboard to others: to one address, or to all of some tags.
type Link struct {
	Type string // dashboards, link
	URL  string
	Tags []string
}

// Panel is a panel or a row; a row that is folded holds its panels.
type Panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  *Source
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []any }
		}
	}
	Targets []Target
	Panels  []Panel
}

// Target is one query of a panel.
type Target struct {
	RefID        string
	Datasource   *Source
	Expr         string
	LegendFormat string
	Instant      bool
	Hide         bool
}

// Variable is chosen at the top of a dashboard.
type Variable struct {
	Name       string
	Type       string // datasource, query, custom, interval, constant, textbox, adhoc
	Datasource *Source
	Query      Query
	Regex      string // keeps some of the values, or a part of each
	Multi      bool
	IncludeAll bool
	AllValue   string
	Current    struct{ Value Values }
}

// Source is the uid of a data source; Grafana writes it in two ways.
type Source struct{ UID string }

// UnmarshalJSON reads both.
func (s *Source) UnmarshalJSON(b []byte) error {
	var object struct{ UID string }
	if json.Unmarshal(b, &s.UID) == nil {
		return nil
	}
	err := json.Unmarshal(b, &object)
	s.UID = object.UID
	return err
}

// Query is what a variable asks; Grafana writes it in two ways.
type Query string

// UnmarshalJSON reads both.
func (q *Query) UnmarshalJSON(b []byte) error {
	var object struct{ Query string }
	if json.Unmarshal(b, (*string)(q)) == nil {
		return nil
	}
	err := json.Unmarshal(b, &object)
	*q = Query(object.Query)
	return err
}

// Values are what of a variable is chosen: one, or several.
type Values []string

// UnmarshalJSON reads both.
func (v *Values) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*v = nil
		if one != "" {
			*v = Values{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(v))
}

// Parse reads a dashboard as Grafana exports it, or as its API wraps it.
func Parse(file string, text []byte) (Dashboard, error) {
	var wrapped struct{ Dashboard json.RawMessage }
	if err := json.Unmarshal(text, &wrapped); err == nil && len(wrapped.Dashboard) > 0 {
		text = wrapped.Dashboard
	}
	d := Dashboard{File: file}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("%s: read dashboard: %w", file, err)
	}
	if len(d.Panels) == 0 {
		return d, fmt.Errorf("%s: read dashboard: %w", file, errors.New("it has no panels"))
	}
	return d, nil
}

// Shipped are the dashboards of this folder, by name of file.
func Shipped() ([]Dashboard, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	var out []Dashboard
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d, err := Parse(name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Load reads dashboards from files; globs are followed.
func Load(patterns ...string) ([]Dashboard, error) {
	var out []Dashboard
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			names = []string{pattern} // its error names it
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			d, err := Parse(name, text)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// Drawn are the panels that draw something: neither rows nor text.
func (d Dashboard) Drawn() iter.Seq[Panel] {
	return func(yield func(Panel) bool) {
		for p := range d.all() {
			if p.Type != "row" && p.Type != "text" && !yield(p) {
				return
			}
		}
	}
}

// all are the panels, rows and what is folded into them too.
func (d Dashboard) all() iter.Seq[Panel] {
	return func(yield func(Panel) bool) {
		for _, p := range d.Panels {
			if !yield(p) {
				return
			}
			for _, folded := range p.Panels {
				if !yield(folded) {
					return
				}
			}
		}
	}
}
