package alertmanager

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Group is what a webhook would hold now: the alerts of one aggregation group
// that fire, for one receiver.
type Group struct {
	Receiver string // as webhooks spell it, quoted for a regular expression
	Key      string // a webhook's groupKey
	Labels   page.Labels
	Alerts   []Alert
}

// Groups returns every group that fires and has been, or should have been, sent
// by now. Alertmanager says which groups there are (/api/v2/alerts/groups), but
// not their keys: those follow from its routing tree (/api/v2/status), by its
// own package (dispatch), so that they are those of its webhooks. Left out are
// groups younger than their route's group_wait, and routes with time intervals:
// whether those are muted now is Alertmanager's to say, and it will send them.
func (c *Client) Groups(ctx context.Context, now time.Time) ([]Group, error) {
	root, err := c.routes(ctx)
	if err != nil {
		return nil, err
	}
	var held []struct {
		Labels   page.Labels `json:"labels"`
		Receiver struct {
			Name string `json:"name"`
		} `json:"receiver"`
		Alerts []Alert `json:"alerts"`
	}
	q := active()
	q.Del("unprocessed") // not a parameter of groups
	if err := c.get(ctx, "list groups", "/api/v2/alerts/groups?"+q.Encode(), &held); err != nil {
		return nil, err
	}
	var out []Group
	for _, g := range held {
		if len(g.Alerts) == 0 {
			continue
		}
		r := routeOf(root, g.Receiver.Name, g.Labels, g.Alerts[0])
		if r == nil || len(r.RouteOpts.MuteTimeIntervals)+len(r.RouteOpts.ActiveTimeIntervals) > 0 {
			continue
		}
		if !slices.ContainsFunc(g.Alerts, func(a Alert) bool { return now.Sub(a.StartsAt) >= r.RouteOpts.GroupWait }) {
			continue
		}
		out = append(out, Group{
			Receiver: regexp.QuoteMeta(g.Receiver.Name), Labels: g.Labels, Alerts: g.Alerts,
			Key: r.Key() + ":" + labelSet(g.Labels).String(), // as dispatch's aggrGroup.GroupKey
		})
	}
	return out, nil
}

// routeOf returns the route by which an alert came to a group; nil: none that is
// known leads there. Of several to one receiver it is the one that groups by the
// group's labels. Only where there is but one its group_by is not looked at: the
// status leaves out an empty one, which then reads as its parent's.
func routeOf(root *dispatch.Route, receiver string, group page.Labels, a Alert) *dispatch.Route {
	set := labelSet(a.Labels)
	routes := slices.DeleteFunc(root.Match(set), func(r *dispatch.Route) bool { return r.RouteOpts.Receiver != receiver })
	for _, r := range routes {
		if groupLabels(set, r.RouteOpts).Equal(labelSet(group)) {
			return r
		}
	}
	if len(routes) == 1 {
		return routes[0]
	}
	return nil
}

func labelSet(l page.Labels) model.LabelSet {
	set := make(model.LabelSet, len(l))
	for name, value := range l {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set
}

// groupLabels are those of an alert's labels that its route groups by
// (dispatch.getGroupLabels, which is not exported).
func groupLabels(set model.LabelSet, o dispatch.RouteOpts) model.LabelSet {
	out := model.LabelSet{}
	for name, value := range set {
		if _, by := o.GroupBy[name]; by || o.GroupByAll {
			out[name] = value
		}
	}
	return out
}

// routes reads the cluster's routing tree off its status.
func (c *Client) routes(ctx context.Context) (*dispatch.Route, error) {
	const op = "read routes"
	var status struct {
		Config struct {
			Original string `json:"original"`
		} `json:"config"`
	}
	if err := c.get(ctx, op, "/api/v2/status", &status); err != nil {
		return nil, err
	}
	loaded, err := config.Load(status.Config.Original)
	if err != nil {
		// its text may quote the config, which is not for every log
		return nil, &remote.Error{Op: op, Class: remote.Content, Reason: "its config cannot be read: is it of a newer release? " + firstLine(err.Error())}
	}
	return dispatch.NewRoute(loaded.Route, nil), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 200)]
}

// active asks for alerts that are neither silenced nor inhibited.
func active() url.Values {
	return url.Values{"active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}, "unprocessed": {"false"}}
}
