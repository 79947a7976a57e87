//go:build !race

// Alertmanager waits for time.After(0). A timer that is over when it is waited for
// may crash the race detector inside a bubble of testing/synctest (Go 1.26, in
// runtime.(*timer).maybeRunChan): `make test` runs this without.

package replay_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/timeinterval"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/replay"
)

const routes = `
route:
  receiver: everybody
  group_by: [alertname, service]
  group_wait: 30s
  group_interval: 2m
  repeat_interval: 40m
  routes:
    - {receiver: pagers, matchers: ['severity="critical"'], group_wait: 0s, group_interval: 10s, continue: true}
    - {receiver: single, matchers: ['alertname="Disk"'], group_by: ['...'], repeat_interval: 1h}
    - {receiver: night, matchers: ['service="b"'], mute_time_intervals: [half]}
    - {receiver: day, matchers: ['alertname="Slow"'], active_time_intervals: [half]}
inhibit_rules:
  - {source_matchers: ['alertname="Down"'], target_matchers: ['alertname=~"Slow|Down"'], equal: [service]}
time_intervals:
  - {name: half, time_intervals: [{times: [{start_time: '00:30', end_time: '01:15'}]}]}
receivers: [{name: everybody}, {name: pagers}, {name: single}, {name: night}, {name: day}]
`

// What the model says of groups, inhibition, muted times and repeats is what
// Alertmanager's own dispatcher and pipeline do with the same alerts.
func TestPagesAreAlertmanagers(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now() // midnight
				firings := randomFirings(rand.New(rand.NewPCG(seed, 3)), begin)
				until := begin.Add(3 * time.Hour)
				am, err := replay.NewAlertmanager(routes)
				require.NoError(t, err)
				pages, err := am.Pages([]replay.Outcome{{Firings: firings}}, until)
				require.NoError(t, err)
				var got []string
				for _, p := range pages {
					got = append(got, told(p.Receiver, p.Group.ID(), p.Opened, p.Closed, p.Notifications))
				}
				slices.Sort(got)
				want := served(t, firings, until)
				require.NotEmpty(t, want)
				require.Equal(t, want, got)
			})
		})
	}
}

func told(receiver, group string, opened, closed time.Time, n int) string {
	end := "open"
	if !closed.IsZero() {
		end = closed.UTC().Format("15:04:05.000")
	}
	return fmt.Sprintf("%s %s %s to %s: %d", receiver, group, opened.UTC().Format("15:04:05.000"), end, n)
}

// randomFirings come and go at odd milliseconds, so that no two things happen at once.
func randomFirings(rng *rand.Rand, begin time.Time) []replay.Firing {
	odd := map[int]bool{}
	moment := func(most time.Duration) time.Duration {
		for {
			ms := rng.IntN(int(most.Milliseconds()))
			if key := ms % 10_000; !odd[key] && key%1000 != 0 {
				odd[key] = true
				return time.Duration(ms) * time.Millisecond
			}
		}
	}
	var out []replay.Firing
	for _, name := range []string{"Slow", "Down", "Disk"} {
		for _, service := range []string{"a", "b"} {
			for host := range 2 {
				l := page.Labels{"alertname": name, "service": service, "host": fmt.Sprint(host), "severity": []string{"critical", "warning"}[host]}
				at := begin.Add(time.Second)
				for range 3 {
					at = at.Add(moment(25 * time.Minute))
					f := replay.Firing{Alert: name, Labels: l, Active: at, Fired: at}
					at = at.Add(time.Second + moment(30*time.Minute))
					f.Resolved = at
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// quiet is a notifier that notes when it was called.
type quiet struct {
	note func(ctx context.Context, alerts []*alert.Alert)
}

func (q quiet) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	q.note(ctx, alerts)
	return false, nil
}

func (quiet) SendResolved() bool { return true }

// served puts the firings through Alertmanager itself.
func served(t *testing.T, firings []replay.Firing, until time.Time) []string {
	t.Helper()
	c, err := config.Load(routes)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	log, reg, none := slog.New(slog.DiscardHandler), client.NewRegistry(), eventrecorder.NopRecorder()
	alerts, err := mem.NewAlerts(ctx, time.Hour*100, 0, nil, log, none, reg, featurecontrol.NoopFlags{})
	require.NoError(t, err)
	entries, err := nflog.New(nflog.Options{Retention: 120 * time.Hour, Logger: log, Metrics: reg})
	require.NoError(t, err)
	silences, err := silence.New(silence.Options{Retention: time.Hour, Logger: log, Metrics: reg, EventRecorder: none})
	require.NoError(t, err)
	inhibitor := inhibit.NewInhibitor(alerts, c.InhibitRules, log, none)
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, i := range c.TimeIntervals {
		intervals[i.Name] = i.TimeIntervals
	}
	type key struct{ receiver, group string }
	type state struct {
		opened time.Time
		n      int
	}
	var mu sync.Mutex
	open, out := map[key]*state{}, []string(nil)
	receivers := map[string][]notify.Integration{}
	for _, r := range c.Receivers {
		q := quiet{func(ctx context.Context, list []*alert.Alert) {
			group, _ := notify.GroupLabels(ctx)
			now, _ := notify.Now(ctx)
			k := key{r.Name, labelsOf(group).ID()}
			firing := slices.ContainsFunc(list, func(a *alert.Alert) bool { return !a.Resolved() })
			mu.Lock()
			defer mu.Unlock()
			if open[k] == nil {
				open[k] = &state{opened: now}
			}
			if open[k].n++; !firing {
				out = append(out, told(k.receiver, k.group, open[k].opened, now, open[k].n))
				delete(open, k)
			}
		}}
		receivers[r.Name] = []notify.Integration{notify.NewIntegration(q, q, "quiet", 0, r.Name)}
	}
	groups := marker.NewGroupMarker()
	stage := notify.NewPipelineBuilder(reg, featurecontrol.NoopFlags{}, none).New(receivers, func() time.Duration { return 0 },
		inhibitor, silence.NewSilencer(silences, log, none), timeinterval.NewIntervener(intervals), groups, entries, nil)
	d := dispatch.NewDispatcher(alerts, dispatch.NewRoute(c.Route, nil), stage, groups, func(d time.Duration) time.Duration { return d },
		100*time.Hour, nil, log, none, dispatch.NewDispatcherMetrics(false, reg, featurecontrol.NoopFlags{}), nil)
	go inhibitor.Run()
	go d.Run(time.Now())
	synctest.Wait()
	feed(t, alerts, firings)
	time.Sleep(time.Until(until) - time.Nanosecond) //nolint:forbidigo // virtual time
	synctest.Wait()
	for k, s := range open {
		out = append(out, told(k.receiver, k.group, s.opened, time.Time{}, s.n))
	}
	d.Stop()
	inhibitor.Stop()
	alerts.Close()
	stop()
	synctest.Wait()
	slices.Sort(out)
	return out
}

func labelsOf(set model.LabelSet) page.Labels {
	l := page.Labels{}
	for name, value := range set {
		l[string(name)] = string(value)
	}
	return l
}

// feed sends each alert when it fires, and again when it has resolved.
func feed(t *testing.T, alerts *mem.Alerts, firings []replay.Firing) {
	t.Helper()
	type post struct {
		at    time.Time
		alert alert.Alert
	}
	var posts []post
	for _, f := range firings {
		set := model.LabelSet{}
		for name, value := range f.Labels {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		a := alert.Alert{Alert: model.Alert{Labels: set, StartsAt: f.Fired, EndsAt: f.Fired.Add(100 * time.Hour)}, UpdatedAt: f.Fired}
		posts = append(posts, post{f.Fired, a})
		a.EndsAt, a.UpdatedAt = f.Resolved, f.Resolved
		posts = append(posts, post{f.Resolved, a})
	}
	sort.Slice(posts, func(i, k int) bool { return posts[i].at.Before(posts[k].at) })
	for _, p := range posts {
		time.Sleep(time.Until(p.at)) //nolint:forbidigo // virtual time
		require.NoError(t, alerts.Put(t.Context(), &p.alert))
		synctest.Wait()
	}
}
