package enrichtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Fault says which requests and targets a fault hits; nil hits none.
type Fault struct {
	Errors func(labels.Labels) bool // of a request's labels: 40 % fail
	Slow   func(labels.Labels) bool // of a request's labels, those of its user among them: they take ten times as long
	Down   func(labels.Labels) bool // of a target's labels: it cannot be scraped
	Busy   func(labels.Labels) bool // of a request's labels: fifty times as many
	Full   func(labels.Labels) bool // of a target's labels: queues and disks are, work stands still, it restarts
	Gone   func(labels.Labels) bool // of a target's labels: its session is
}

// Fleet is a made-up service, scraped every 5 s for six minutes: twelve hosts
// with two instances each in three data centres, two deploys, eight users.
// Requests are Poisson, 0.5 % of them fail without any fault, and the series
// of errors begin with the first one.
type Fleet struct {
	Now   time.Time     // the last scrape
	Since time.Duration // for how long the fault has been there
	Seed  uint64
	Fault Fault

	// Rollout brings a version that info metrics alone know; nil for none, and
	// then the series have a label deploy.
	Rollout *Rollout

	// Traced keeps exemplars of the durations, with the user that no series has.
	Traced bool
}

// The fleet's clock.
const (
	Scrape = 5 * time.Second
	Span   = 6 * time.Minute
	users  = 8
)

// Series scrapes the fleet.
func (f Fleet) Series() []Series {
	r := rand.New(rand.NewPCG(f.Seed, 11))
	var out []Series
	for _, target := range f.targets() {
		out = append(out, f.up(target))
		for u := range users {
			rate := 1 + 6*r.Float64() // requests per second
			request := append(append([]string{}, target...), "user", fmt.Sprintf("u%d", u))
			out = append(out, f.requests(r, request, rate)...)
		}
		out = append(out, f.durations(r, target)...)
		if f.Rollout != nil {
			out = append(out, f.built(target)...)
		}
	}
	return out
}

// targets are the labels of every instance.
func (f Fleet) targets() [][]string {
	var out [][]string
	for h := range 12 {
		for k := range 2 {
			deploy := "v41"
			if (h*2+k)%5 == 0 {
				deploy = "v42"
			}
			target := []string{
				"job", "api", "service", "checkout", "cluster", "dc1-prod",
				"dc", fmt.Sprintf("dc%d", h%3), "host", fmt.Sprintf("h%d", h),
				"instance", fmt.Sprintf("h%d:%d", h, 8080+k),
			}
			if f.Rollout == nil {
				target = append(target, "deploy", deploy)
			}
			out = append(out, target)
		}
	}
	return out
}

func (f Fleet) scrapes() []time.Time {
	var out []time.Time
	for at := f.Now.Add(-Span); !at.After(f.Now); at = at.Add(Scrape) {
		out = append(out, at)
	}
	return out
}

func (f Fleet) hit(by func(labels.Labels) bool, ls []string, at time.Time) bool {
	return by != nil && at.After(f.Now.Add(-f.Since)) && by(labels.FromStrings(ls...))
}

func named(ls []string, more ...string) labels.Labels {
	return labels.FromStrings(append(append([]string{}, ls...), more...)...)
}

func (f Fleet) up(target []string) Series {
	s := Series{Labels: named(target, "__name__", "up")}
	for _, at := range f.scrapes() {
		v := 1.0
		if f.hit(f.Fault.Down, target, at) {
			v = 0
		}
		s.Samples = append(s.Samples, Sample{At: at, Value: v})
	}
	return s
}

func (f Fleet) requests(r *rand.Rand, request []string, rate float64) []Series {
	ok := Series{Labels: named(request, "__name__", "http_requests_total", "code", "200")}
	bad := Series{Labels: named(request, "__name__", "http_requests_total", "code", "503")}
	good, failed := 0.0, 0.0
	for _, at := range f.scrapes() {
		p, load := .005, rate
		if f.hit(f.Fault.Errors, request, at) {
			p = .4
		}
		if f.hit(f.Fault.Busy, request, at) {
			load = 50 * rate
		}
		n := load * Scrape.Seconds()
		good, failed = good+poisson(r, n*(1-p)), failed+poisson(r, n*p)
		ok.Samples = append(ok.Samples, Sample{At: at, Value: good})
		if failed > 0 {
			bad.Samples = append(bad.Samples, Sample{At: at, Value: failed})
		}
	}
	return []Series{ok, bad}
}

// durations makes the histogram of one target: log-normal around 60 ms, a fault
// around 600 ms.
func (f Fleet) durations(r *rand.Rand, target []string) []Series {
	edges := []float64{.05, .1, .25, .5, 1, 2.5, math.Inf(1)}
	out := make([]Series, len(edges))
	for i, e := range edges {
		le := fmt.Sprintf("%g", e)
		if math.IsInf(e, 1) {
			le = "+Inf"
		}
		out[i].Labels = named(target, "__name__", "http_request_duration_seconds_bucket", "le", le)
	}
	counts := make([]float64, len(edges))
	sum := Series{Labels: named(target, "__name__", "http_request_duration_seconds_sum")}
	all := Series{Labels: named(target, "__name__", "http_request_duration_seconds_count")}
	total := 0.0
	if f.Traced {
		f.traced(target, edges, out)
	}
	for _, at := range f.scrapes() {
		slow := f.slow(target, at)
		for n := range int(poisson(r, 60)) {
			middle := .06
			if slow[n%len(slow)] {
				middle = .6
			}
			took := middle * math.Exp(.6*r.NormFloat64())
			total += took
			for i, e := range edges {
				if took <= e {
					counts[i]++
				}
			}
		}
		for i := range edges {
			out[i].Samples = append(out[i].Samples, Sample{At: at, Value: counts[i]})
		}
		sum.Samples = append(sum.Samples, Sample{At: at, Value: total})
		all.Samples = append(all.Samples, Sample{At: at, Value: counts[len(edges)-1]})
	}
	return append(out, sum, all)
}

// slow says of each user whether their requests to a target are.
func (f Fleet) slow(target []string, at time.Time) (out [users]bool) {
	for u := range out {
		out[u] = f.hit(f.Fault.Slow, append(slices.Clone(target), "user", fmt.Sprintf("u%d", u)), at)
	}
	return out
}

func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	k, p, limit := 0.0, r.Float64(), math.Exp(-mean)
	for p > limit {
		k++
		p *= r.Float64()
	}
	return k
}
