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
	"strings"
	"sync"
	"time"
)

// Options shape a fleet. The zero value of a field means its default.
type Options struct {
	Targets  int      // 300
	Services []string // checkout, cart, payments, search, catalog
	Rate     float64  // requests per second of a middling target: 30
	PerHost  int      // instances of one service on one host: 6
	Signals  bool     // targets tell all that alert expressions ask for, beside their requests
	Seed     uint64
	Now      func() time.Time // time.Now
}

// Base is the version a target runs unless an effect says otherwise.
const Base = "v41"

// Fleet is the targets and what is wrong with them.
type Fleet struct {
	services []string
	now      func() time.Time
	users    users
	targets  []*target
	watches  bool      // one more target watches the others from outside
	born     time.Time // of the fleet

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
	if o.PerHost == 0 {
		o.PerHost = 6
	}
	if least := o.PerHost * len(o.Services); o.Targets < least {
		return nil, fmt.Errorf("%d targets are too few: %d services need %d or more", o.Targets, len(o.Services), least)
	}
	f := &Fleet{services: o.Services, now: o.Now, users: newUsers(), effects: map[string]Effect{}}
	start := o.Now()
	for i := range o.Targets {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		t := &target{
			users: f.users, rng: rng, labels: place(i, o), cond: healthy(),
			rate: o.Rate * (0.7 + 0.6*rng.Float64()), version: Base, started: start, at: start,
		}
		if o.Signals {
			t.more = newSignals(start, rand.New(rand.NewPCG(o.Seed, uint64(o.Targets+i))))
		}
		f.targets = append(f.targets, t)
	}
	f.watches, f.born = o.Signals, start
	return f, nil
}

// place is where target i stands: services take turns, some instances of one
// service share a host, hosts alternate between data centres.
func place(i int, o Options) map[string]string {
	services := o.Services
	s := i % len(services)
	k := i / len(services)
	host := k / o.PerHost
	dc := []string{"ams", "fra", "iad"}[host%3]
	return map[string]string{
		"service":  services[s],
		"instance": fmt.Sprintf("10.%d.%d.%d:8080", s, host, k%o.PerHost+1),
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
	groups := make([]group, len(f.targets), len(f.targets)+1)
	for i, t := range f.targets {
		l := maps.Clone(t.labels)
		l["job"] = t.labels["service"]
		l["__metrics_path__"] = path(i)
		groups[i] = group{Targets: []string{addr}, Labels: l}
	}
	if f.watches {
		groups = append(groups, group{Targets: []string{addr}, Labels: map[string]string{
			"job": "watch", "instance": "watch-1:9115", "__metrics_path__": watchPath,
		}})
	}
	return json.MarshalIndent(groups, "", " ")
}

func path(i int) string { return "/t/" + strconv.Itoa(i) + "/metrics" }

// ServeHTTP answers GET /t/<n>/metrics, and /t/watch/metrics where the fleet is
// watched; GET /front/<dc>/<service> is a user's request. A target that is down
// hangs up.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if where, ok := strings.CutPrefix(r.URL.Path, FrontPath); ok {
		f.front(w, r, where)
		return
	}
	if f.watches && r.URL.Path == watchPath {
		writeText(w, f.watch(f.now()))
		return
	}
	var n int
	if _, err := fmt.Sscanf(r.URL.Path, "/t/%d/metrics", &n); err != nil || n < 0 || n >= len(f.targets) || r.URL.Path != path(n) {
		http.NotFound(w, r)
		return
	}
	body, calls, up := f.targets[n].scrape(f.now())
	switch {
	case !up:
		panic(http.ErrAbortHandler)
	case calls != nil && strings.Contains(r.Header.Get("Accept"), "application/vnd.google.protobuf"):
		writeProto(w, body, calls)
	default:
		writeText(w, body)
	}
}

func writeText(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(body) // a scraper that went away is no trouble of ours
}
