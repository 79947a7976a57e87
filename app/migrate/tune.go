package migrate

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

const groupBy = "[alertname, cluster, service]"

// tune names what in the routes delays a page, or makes it one of too much or
// too little, with its line.
func (m *migration) tune(doc *yaml.Node) {
	root := child(child(doc, ""), "route")
	if root == nil {
		return
	}
	if child(root, "group_wait") == nil {
		m.slow(root.Line, "route has no group_wait, which is 30s then: write group_wait: 0s, for Tocsin edits its message as alerts join")
	}
	if child(root, "group_interval") == nil {
		m.slow(root.Line, "route has no group_interval, which is 5m then: write group_interval: 10s, or a second alert and the resolve come 5m late")
	}
	if child(root, "group_by") == nil {
		m.slow(root.Line, "route has no group_by, so all alerts are one problem: write group_by: "+groupBy)
	}
	m.tuneRoute(root, "")
}

// leads reports whether a route, or one below it, leads to Tocsin.
func (m *migration) leads(n *yaml.Node, inherited string) bool {
	if r := child(n, "receiver"); r != nil {
		inherited = r.Value
	}
	if slices.ContainsFunc(m.receivers, func(r receiver) bool { return r.name == inherited }) {
		return true
	}
	routes := child(n, "routes")
	return routes != nil && slices.ContainsFunc(routes.Content, func(sub *yaml.Node) bool { return m.leads(sub, inherited) })
}

func (m *migration) slow(line int, text string) {
	m.res.Tune = append(m.res.Tune, fmt.Sprintf("%s:%d: %s", m.o.From, line, text))
}

func (m *migration) tuneRoute(n *yaml.Node, inherited string) {
	if !m.leads(n, inherited) {
		return
	}
	if r := child(n, "receiver"); r != nil {
		inherited = r.Value
	}
	if v := child(n, "group_wait"); longer(v, 0) {
		m.slow(v.Line, fmt.Sprintf("group_wait: %s holds every first page back for that long: write 0s, for Tocsin edits its message as alerts join", v.Value))
	}
	if v := child(n, "group_interval"); longer(v, 10*time.Second) {
		m.slow(v.Line, fmt.Sprintf("group_interval: %s holds further alerts and the resolve back for that long: write 10s", v.Value))
	}
	if v := child(n, "group_by"); v != nil && len(v.Content) == 1 && v.Content[0].Value == "..." {
		m.slow(v.Line, "group_by: ['...'] makes every alert a problem and a page of its own: write "+groupBy)
	}
	if routes := child(n, "routes"); routes != nil {
		for _, sub := range routes.Content {
			m.tuneRoute(sub, inherited)
		}
	}
}

func longer(v *yaml.Node, than time.Duration) bool {
	if v == nil {
		return false
	}
	d, err := model.ParseDuration(v.Value)
	return err == nil && time.Duration(d) > than
}
