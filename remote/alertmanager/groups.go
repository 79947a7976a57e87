package alertmanager

import (
	"context"
	"maps"
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
// by now. Keys come from the cluster's own routing tree, by Alertmanager's own
// package (dispatch), so that they are those of its webhooks. Left out are
// groups younger than their route's group_wait, and routes with time intervals:
// whether those are muted now is Alertmanager's to say, and it will send them.
func (c *Client) Groups(ctx context.Context, now time.Time) ([]Group, error) {
	root, err := c.routes(ctx)
	if err != nil {
		return nil, err
	}
	alerts, err := c.Alerts(ctx, nil)
	if err != nil {
		return nil, err
	}
	found := map[string]*grouped{}
	for _, a := range alerts {
		set := make(model.LabelSet, len(a.Labels))
		for name, value := range a.Labels {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		for _, r := range root.Match(set) {
			if o := r.RouteOpts; len(o.MuteTimeIntervals)+len(o.ActiveTimeIntervals) > 0 {
				continue
			}
			g := group(found, r, set)
			g.sent = g.sent || now.Sub(a.StartsAt) >= r.RouteOpts.GroupWait
			if id := a.Labels.ID(); !g.holds[id] { // two routes may lead to one group
				g.holds[id] = true
				g.Alerts = append(g.Alerts, a)
			}
		}
	}
	var out []Group
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if g := found[id]; g.sent {
			out = append(out, g.Group)
		}
	}
	return out, nil
}

// grouped is a group being put together.
type grouped struct {
	Group
	sent  bool            // it waited for longer than group_wait
	holds map[string]bool // alerts, by the ID of their labels
}

// group finds the group of a route to which an alert with these labels belongs.
func group(found map[string]*grouped, r *dispatch.Route, set model.LabelSet) *grouped {
	by := groupLabels(set, r.RouteOpts)
	key := r.Key() + ":" + by.String() // as dispatch's aggrGroup.GroupKey
	id := r.RouteOpts.Receiver + "\x00" + key
	g := found[id]
	if g == nil {
		g = &grouped{holds: map[string]bool{}, Group: Group{
			Receiver: regexp.QuoteMeta(r.RouteOpts.Receiver), Key: key, Labels: page.Labels{},
		}}
		for name, value := range by {
			g.Labels[string(name)] = string(value)
		}
		found[id] = g
	}
	return g
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
