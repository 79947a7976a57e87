package doctor

import (
	"maps"
	"slices"
	"strings"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Alertmanager is the route tree, by Alertmanager's own packages, and how long
// its peers wait for one another.
type Alertmanager struct {
	PeerTimeout Setting // --cluster.peer-timeout
	root        *dispatch.Route
	at          map[*dispatch.Route]*place
	file        string
}

// place is where a route stands in the file.
type place struct {
	node   *yaml.Node
	line   int
	parent *place
}

// ReadAlertmanager reads an alertmanager.yml as strictly as Alertmanager does.
func ReadAlertmanager(path string, data []byte) (*Alertmanager, error) {
	root, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	c, err := amconfig.Load(string(data))
	if err != nil {
		return nil, mistake(path, err)
	}
	a := &Alertmanager{
		PeerTimeout: Setting{Key: "--cluster.peer-timeout", Value: 15 * time.Second, Default: true},
		root:        dispatch.NewRoute(c.Route, nil), at: map[*dispatch.Route]*place{}, file: path,
	}
	node, line := child(root, "route")
	a.locate(a.root, &place{node: node, line: line})
	return a, nil
}

// Flags lays Alertmanager's flags over its defaults.
func (a *Alertmanager) Flags(file string, flags []Flag) error {
	for _, f := range flags {
		if f.Name != "cluster.peer-timeout" {
			continue
		}
		d, err := flagDuration(file, f)
		if err != nil {
			return err
		}
		a.PeerTimeout = Setting{Key: "--" + f.Name, Value: d, File: file, Line: f.Line}
	}
	return nil
}

func (a *Alertmanager) locate(r *dispatch.Route, at *place) {
	a.at[r] = at
	list, _ := child(at.node, "routes")
	nodes := items(list)
	for i, sub := range r.Routes {
		p := &place{parent: at, line: at.line}
		if i < len(nodes) {
			p.node, p.line = nodes[i], nodes[i].Line
		}
		a.locate(sub, p)
	}
}

// Route is one way that an alert takes.
type Route struct {
	Receiver string            `json:"receiver"`
	When     map[string]string `json:"when,omitempty"` // labels that the alert must have beside those its rule sets
	Wait     Setting           `json:"-"`
	Interval Setting           `json:"-"`
	GroupBy  []string          `json:"group_by,omitempty"`
	Alone    bool              `json:"alone,omitempty"` // group_by: ['...']: no alert joins a group of another
	Line     int               `json:"line,omitempty"`
}

// Ways returns the routes of an alert that carries these labels, first those it
// takes whatever labels its series add, then those it takes when they add the
// labels of When: series decide those, and no file knows them.
func (a *Alertmanager) Ways(set map[string]string) []Route {
	seen := map[*dispatch.Route]bool{}
	var out []Route
	add := func(when map[string]string) {
		ls := model.LabelSet{}
		for _, m := range []map[string]string{set, when} {
			for k, v := range m {
				ls[model.LabelName(k)] = model.LabelValue(v)
			}
		}
		for _, r := range a.root.Match(ls) {
			if !seen[r] {
				seen[r] = true
				out = append(out, a.route(r, when))
			}
		}
	}
	add(nil)
	var walk func(r *dispatch.Route, when map[string]string)
	walk = func(r *dispatch.Route, when map[string]string) {
		when = maps.Clone(when)
		for _, m := range r.Matchers {
			if _, known := set[m.Name]; !known && m.Type == labels.MatchEqual && m.Value != "" {
				when[m.Name] = m.Value
			}
		}
		if len(when) > 0 {
			add(when)
		}
		for _, sub := range r.Routes {
			walk(sub, when)
		}
	}
	walk(a.root, map[string]string{})
	return out
}

func (a *Alertmanager) route(r *dispatch.Route, when map[string]string) Route {
	out := Route{
		Receiver: r.RouteOpts.Receiver, When: when, Alone: r.RouteOpts.GroupByAll, Line: a.at[r].line,
		Wait:     a.setting(r, "group_wait", r.RouteOpts.GroupWait),
		Interval: a.setting(r, "group_interval", r.RouteOpts.GroupInterval),
	}
	for name := range r.RouteOpts.GroupBy {
		out.GroupBy = append(out.GroupBy, string(name))
	}
	slices.Sort(out.GroupBy)
	return out
}

// setting finds the line that decides a route's timer: its own, or the nearest above.
func (a *Alertmanager) setting(r *dispatch.Route, key string, value time.Duration) Setting {
	s := Setting{Key: key, Value: value, File: a.file, Line: a.at[r].line, Default: true}
	for p := a.at[r]; p != nil; p = p.parent {
		if n, line := child(p.node, key); n != nil {
			s.Line, s.Default = line, false
			break
		}
	}
	return s
}

// templated reports whether a label's value is made when the alert fires.
func templated(value string) bool { return strings.Contains(value, "{{") }
