// Package fleet simulates a fleet of instrumented services: every target is a
// real /metrics endpoint whose counters are the requests it would have served
// since it was asked last. Nothing runs between scrapes, so thousands of
// targets cost what their scrapes cost.
package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Options shape a fleet. The zero value of a field means its default.
type Options struct {
	Targets  int      // 300
	Services []string // checkout, cart, payments, search, catalog
	Rate     float64  // requests per second of a middling target: 30
	Seed     uint64
	Now      func() time.Time // time.Now
}

// Base is the version a target runs unless an effect says otherwise.
const Base = "v41"

const perHost = 6 // instances of one service on one host

// Fleet is the targets and what is wrong with them.
type Fleet struct {
	services []string
	now      func() time.Time
	users    users
	targets  []*target

	mu      sync.Mutex // guards effects; taken before any target's
	effects map[string]Effect
}

// New returns a healthy fleet.
func New(o Options) (*Fleet, error) {
	if o.Targets == 0 {
		o.Targets = 300
	}
	if len(o.Services) == 0 {
		o.Services = []string{"checkout", "cart", "payments", "search", "catalog"}
	}
	if o.Rate == 0 {
		o.Rate = 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Targets < perHost*len(o.Services) {
		return nil, fmt.Errorf("%d targets are too few: %d services need %d or more", o.Targets, len(o.Services), perHost*len(o.Services))
	}
	f := &Fleet{services: o.Services, now: o.Now, users: newUsers(), effects: map[string]Effect{}}
	start := o.Now()
	for i := range o.Targets {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		f.targets = append(f.targets, &target{
			users: f.users, rng: rng, labels: place(i, o.Services),
			rate: o.Rate * (0.7 + 0.6*rng.Float64()), version: Base, started: start, at: start,
		})
	}
	return f, nil
}

// place is where target i stands: services take turns, six instances of one
// service share a host, hosts alternate between data centres.
func place(i int, services []string) map[string]string {
	s := i % len(services)
	k := i / len(services)
	host := k / perHost
	dc := []string{"ams", "fra", "iad"}[host%3]
	return map[string]string{
		"service":  services[s],
		"instance": fmt.Sprintf("10.%d.%d.%d:8080", s, host, k%perHost+1),
		"pod":      fmt.Sprintf("%s-%05x-%d", services[s], (i+1)*7919%0xfffff, k),
		"host":     fmt.Sprintf("%s-%02d", services[s], host+1),
		"dc":       dc,
		"zone":     dc + "-" + string(rune('a'+host/3%2)),
	}
}

// Services returns the names of the services.
func (f *Fleet) Services() []string { return slices.Clone(f.services) }

// Users returns the users whose requests are told apart, busiest first.
func (f *Fleet) Users() []string { return slices.Clone(f.users.names) }

// Members returns the label sets of a service's targets.
func (f *Fleet) Members(service string) []map[string]string {
	var out []map[string]string
	for _, t := range f.targets {
		if t.labels["service"] == service {
			out = append(out, maps.Clone(t.labels))
		}
	}
	return out
}

// Size is the number of targets.
func (f *Fleet) Size() int { return len(f.targets) }

// Discovery returns the targets in the form of Prometheus' file and HTTP
// service discovery; addr is where the fleet is served.
func (f *Fleet) Discovery(addr string) ([]byte, error) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := make([]group, len(f.targets))
	for i, t := range f.targets {
		l := maps.Clone(t.labels)
		l["job"] = t.labels["service"]
		l["__metrics_path__"] = path(i)
		groups[i] = group{Targets: []string{addr}, Labels: l}
	}
	return json.MarshalIndent(groups, "", " ")
}

func path(i int) string { return "/t/" + strconv.Itoa(i) + "/metrics" }

// ServeHTTP answers GET /t/<n>/metrics. A target that is down hangs up.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var n int
	if _, err := fmt.Sscanf(r.URL.Path, "/t/%d/metrics", &n); err != nil || n < 0 || n >= len(f.targets) || r.URL.Path != path(n) {
		http.NotFound(w, r)
		return
	}
	body, up := f.targets[n].scrape(f.now())
	if !up {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(body) // a scraper that went away is no trouble of ours
}
