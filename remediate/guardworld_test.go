package remediate_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// noon is when tests happen.
func noon() time.Time { return time.Date(2026, 6, 3, 12, 0, 0, 0, time.UTC) }

// hostPolicy is a good policy about hosts.
func hostPolicy() *remediate.Policy {
	p := remediate.Policy{
		Name: "restart", Team: "infra", Mode: remediate.Auto, Danger: remediate.Reversible,
		Match: []string{`alertname="Down"`},
		Target: remediate.TargetRule{
			Kind: remediate.HostTarget, Label: "instance", Validate: `web-[0-9]+(\.example\.org)?`, Inventory: "prod",
			Pool: remediate.Pool{Label: "cluster", Size: `count(up{cluster=$pool})`},
		},
		Guards: remediate.GuardRules{Silences: true},
		Steps:  []remediate.Step{{Name: "restart", Backend: "awx/main", Template: "restart-web"}},
	}
	return p.Filled()
}

// servicePolicy is a good policy about a bad deploy.
func servicePolicy() *remediate.Policy {
	p := remediate.Policy{
		Name: "rollback", Team: "payments", Mode: remediate.Approve, Danger: remediate.Reversible,
		Match: []string{`alertname="Errors"`},
		Target: remediate.TargetRule{
			Kind: remediate.ServiceTarget, Label: "version", Trait: true, Validate: `[vV][0-9]+`, Variable: "bad_version",
			Pool: remediate.Pool{Size: `count(count by (service) (requests_total))`},
		},
		Guards: remediate.GuardRules{Silences: true},
		Steps:  []remediate.Step{{Name: "rollback", Backend: "awx/main", Template: "rollback"}},
	}
	return p.Filled()
}

// firing is an alert that fires since ago before noon.
func firing(ago time.Duration, pairs ...string) page.Alert {
	ls := page.Labels{"alertname": "Down", "severity": "critical", "cluster": "web"}
	for i := 0; i < len(pairs); i += 2 {
		ls[pairs[i]] = pairs[i+1]
	}
	return page.Alert{
		ID: ls.ID(), Status: page.Firing, Labels: ls, StartsAt: noon().Add(-ago),
		GeneratorURL: "http://prometheus/graph?g0.expr=" + url.QueryEscape(`up{job="web"} == 0`),
	}
}

// pageOf is a page about alerts, ten minutes old.
func pageOf(alerts ...page.Alert) page.Page {
	return page.Page{
		Problem: "p1", Episode: 1, State: page.Open, Cluster: "dc1", Receiver: "ops", Title: "Down",
		Alerts: alerts, Traits: []page.Trait{},
		Clock: page.Clock{Started: noon().Add(-10 * time.Minute), Received: noon().Add(-10 * time.Minute)},
	}
}

// candidate asks about the first target of a policy on a page.
func candidate(t testing.TB, p *remediate.Policy, pg page.Page) remediate.Candidate {
	t.Helper()
	targets, refused := p.Targets(pg)
	require.NotEmpty(t, targets, "%v", refused)
	return remediate.Candidate{Policy: p, Step: p.Steps[0], Attempt: 1, Page: pg, Target: targets[0], Now: noon()}
}

// cluster is an Alertmanager that answers over HTTP.
type cluster struct {
	mu       sync.Mutex
	alerts   []page.Alert // active ones
	silenced []page.Alert
	silences []map[string]any
	status   int // of every answer; 0: 200
	client   *alertmanager.Client
}

func newCluster(t testing.TB, active ...page.Alert) *cluster {
	t.Helper()
	c := &cluster{alerts: active}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.client = &alertmanager.Client{Base: s.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
	return c
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != 0 {
		w.WriteHeader(c.status)
		return
	}
	if r.URL.Path == "/api/v2/silences" {
		_ = json.NewEncoder(w).Encode(c.silences)
		return
	}
	list := c.alerts
	if r.URL.Query().Get("silenced") != "false" {
		list = slices.Concat(c.alerts, c.silenced)
	}
	out := []alertmanager.Alert{}
	for _, a := range list {
		if fits(a, r.URL.Query()["filter"]) {
			out = append(out, alertmanager.Alert{Labels: a.Labels, StartsAt: a.StartsAt, GeneratorURL: a.GeneratorURL})
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func fits(a page.Alert, filters []string) bool {
	for _, f := range filters {
		m, err := amlabels.ParseMatcher(f)
		if err != nil || !m.Matches(a.Labels[m.Name]) {
			return false
		}
	}
	return true
}

// silence makes one in force.
func (c *cluster) silence(name, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silences = append(c.silences, map[string]any{
		"id": "s1", "matchers": []map[string]any{{"name": name, "value": value, "isEqual": true, "isRegex": false}},
		"createdBy": "alice", "comment": "swapping a disk", "endsAt": noon().Add(time.Hour), "status": map[string]string{"state": "active"},
	})
}

// steady is a series that has had a value for half an hour, until ago before noon.
func steady(value float64, ago time.Duration, pairs ...string) enrichtest.Series {
	s := enrichtest.Series{Labels: labels.FromStrings(pairs...)}
	for at := noon().Add(-30 * time.Minute); !at.After(noon().Add(-ago)); at = at.Add(15 * time.Second) {
		s.Samples = append(s.Samples, enrichtest.Sample{At: at, Value: value})
	}
	return s
}

// fleetOf is a pool of hosts, the first of which are down.
func fleetOf(size, down int) []enrichtest.Series {
	var out []enrichtest.Series
	for i := range size {
		up := 1.0
		if i < down {
			up = 0
		}
		out = append(out, steady(up, 0, "__name__", "up", "job", "web", "cluster", "web", "instance", fmt.Sprintf("web-%d:9100", i+1)))
	}
	return out
}

// sourcesOf asks fakes by name; the first is the one asked where none is named.
func sourcesOf(t testing.TB, first string, fakes map[string]*enrichtest.Fake) remediate.Prometheus {
	t.Helper()
	out := remediate.Prometheus{First: first, Clients: map[string]*prometheus.Client{}}
	for name, f := range fakes {
		c, err := prometheus.New(prometheus.Options{URL: f.URL, Transport: http.DefaultTransport, Params: url.Values{"partial_response": {"false"}}})
		require.NoError(t, err)
		out.Clients[name] = c
	}
	return out
}

// calm is a world in which every guard of hostPolicy passes: one host of ten is down.
func calm(t testing.TB) (remediate.World, *cluster, *enrichtest.Fake, page.Page) {
	t.Helper()
	down := firing(10*time.Minute, "instance", "web-1:9100")
	am, thanos := newCluster(t, down), enrichtest.New(t, fleetOf(10, 1)...)
	w := remediate.World{
		Alertmanager: remediate.Alertmanagers{"dc1": am.client},
		Sources:      sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": thanos}),
	}
	return w, am, thanos, pageOf(down)
}

// verdictOf is what one guard of a world says.
func verdictOf(t testing.TB, w remediate.World, name string, c remediate.Candidate) remediate.Verdict {
	t.Helper()
	for _, g := range remediate.Guards(w) {
		if g.Name() == name {
			return g.Check(t.Context(), c)
		}
	}
	require.Fail(t, "no guard "+name)
	return remediate.Verdict{}
}

func hours(n int) config.Duration { return config.Duration(time.Duration(n) * time.Hour) }
