package replay

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/tocsin/tocsin/page"
)

// Agreement is how far a replay and the server's own record of the same rule
// agree, in moments: one alert at one evaluation that fires in either.
type Agreement struct {
	Alert    string     `json:"alert"`
	Both     int        `json:"both"`
	Replayed int        `json:"only_replayed"`
	Recorded int        `json:"only_recorded"`
	Firings  int        `json:"firings"` // of the replay
	Example  *Disagreed `json:"example,omitempty"`
}

// Disagreed is the first moment at which they differ.
type Disagreed struct {
	At     time.Time   `json:"at"`
	Labels page.Labels `json:"labels"`
	Fires  string      `json:"fires"` // "replayed" or "recorded"
}

// Share is the part of the moments at which both fire; 1 where nothing did.
func (a Agreement) Share() float64 {
	all := a.Both + a.Replayed + a.Recorded
	if all == 0 {
		return 1
	}
	return float64(a.Both) / float64(all)
}

// Check compares an outcome with ALERTS, the series that the server itself
// wrote at each evaluation. Labels of other names than the replayed alerts have
// that stand in beside are those that the way to the store adds (external
// labels, replicas): they are left out.
func Check(ctx context.Context, h *History, o Outcome, w Window, beside []string) (Agreement, error) {
	r := o.Rule
	a := Agreement{Alert: r.Alert, Firings: len(o.Firings)}
	recorded := map[string]map[int64]bool{}
	begin, end := r.first(w.From), r.first(w.To)
	question := "ALERTS{" + strings.Join([]string{
		labels.MustNewMatcher(labels.MatchEqual, "alertname", r.Alert).String(),
		labels.MustNewMatcher(labels.MatchEqual, "alertstate", "firing").String(),
	}, ",") + "}"
	drop := slices.Concat(slices.Collect(maps.Keys(r.External)), beside, []string{"__name__", "alertstate"})
	for at := begin; at.Before(end); {
		c, err := h.chunk(ctx, question, at.Add(-r.Offset), end.Add(-r.Offset-time.Nanosecond), r.Every)
		if err != nil {
			return a, fmt.Errorf("%s: %w", question, err)
		}
		for _, s := range c.series {
			id := bare(s.metric, drop, r.Labels).ID()
			if recorded[id] == nil {
				recorded[id] = map[int64]bool{}
			}
			for _, k := range s.Steps {
				recorded[id][at.Add(time.Duration(k)*r.Every).UnixNano()] = true
			}
		}
		at = at.Add(time.Duration(c.steps) * r.Every)
	}
	a.count(r, o.Firings, recorded, begin, end)
	return a, nil
}

// count sets the moments side by side.
func (a *Agreement) count(r Rule, firings []Firing, recorded map[string]map[int64]bool, begin, end time.Time) {
	replayed := map[string]map[int64]bool{}
	for _, f := range firings {
		id := f.Labels.ID()
		if replayed[id] == nil {
			replayed[id] = map[int64]bool{}
		}
		for t := maxTime(f.Fired, begin); t.Before(end) && f.At(t); t = t.Add(r.Every) {
			replayed[id][t.UnixNano()] = true
			if recorded[id][t.UnixNano()] {
				a.Both++
			} else {
				a.Replayed++
				a.example(t, f.Labels, "replayed")
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(recorded)) {
		for t := range recorded[id] {
			if !replayed[id][t] {
				a.Recorded++
				a.example(time.Unix(0, t).UTC(), page.Labels{"alertname": r.Alert, "recorded": id}, "recorded")
			}
		}
	}
}

func (a *Agreement) example(t time.Time, l page.Labels, fires string) {
	if a.Example == nil || t.Before(a.Example.At) {
		a.Example = &Disagreed{At: t, Labels: l, Fires: fires}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// bare is a series without what did not come from the rule. A label that the
// rule itself sets stays, whatever the server calls its own.
func bare(l labels.Labels, drop []string, own page.Labels) page.Labels {
	out := page.Labels{}
	l.Range(func(x labels.Label) {
		if _, sets := own[x.Name]; sets || !slices.Contains(drop, x.Name) {
			out[x.Name] = x.Value
		}
	})
	return out
}

// Phase finds out when in its interval the server evaluates a group, from the
// times at which it recorded the group's alerts. False: it recorded none of them.
func Phase(ctx context.Context, h *History, alerts []string, every, offset time.Duration, w Window) (time.Duration, bool, error) {
	if len(alerts) == 0 || every < time.Millisecond {
		return 0, false, nil
	}
	quoted := make([]string, len(alerts))
	for i, name := range alerts {
		quoted[i] = regexp.QuoteMeta(name)
	}
	question := "max(timestamp(ALERTS{" + labels.MustNewMatcher(labels.MatchRegexp, "alertname", strings.Join(quoted, "|")).String() + "}))"
	step := max(every, w.To.Sub(w.From)/mostSteps).Truncate(time.Second)
	step = max(step, time.Second)
	for at := w.From.Truncate(time.Second); at.Before(w.To); {
		c, err := h.chunk(ctx, question, at, w.To, step)
		if err != nil {
			return 0, false, fmt.Errorf("%s: %w", question, err)
		}
		for _, s := range c.series {
			if n := len(s.Values); n > 0 {
				recorded := time.UnixMilli(int64(math.Round(s.Values[n-1] * 1000))).Add(offset)
				return time.Duration(recorded.UnixNano() % int64(every)), true, nil
			}
		}
		at = at.Add(time.Duration(c.steps) * step)
	}
	return 0, false, nil
}
