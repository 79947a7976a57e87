package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// What a healthy target is like.
const (
	baseErrors    = 0.002 // share of requests that fail all the same
	notFound      = 0.01  // share that is answered 404
	latencyMedian = 0.08  // seconds; latencies are log-normal
	latencySigma  = 0.5
	writes        = 0.3 // share of POST among requests

	userCount  = 12
	routeCount = 2
	codeCount  = 3
)

// users are the callers and how often each calls: a few call much, many little.
// The table draws one in constant time.
type users struct {
	names   []string
	weights [userCount]float64
	table   *[1024]uint8
}

func newUsers() users {
	u := users{table: new([1024]uint8)}
	var sum float64
	for i := range userCount {
		u.names = append(u.names, fmt.Sprintf("acct-%d", 1001+37*i))
		sum += 1 / float64(i+3)
	}
	var filled float64
	next := 0
	for i := range userCount {
		filled += 1 / float64(i+3) / sum
		end := int(math.Round(filled * float64(len(u.table))))
		u.weights[i] = float64(end-next) / float64(len(u.table))
		for ; next < end; next++ {
			u.table[next] = uint8(i)
		}
	}
	return u
}

// target is one instance. Its counters are those of its process: they start
// again when the process does.
type target struct {
	labels map[string]string
	users  users
	rate   float64 // requests per second

	mu      sync.Mutex
	rng     *rand.Rand
	cond    condition
	version string
	started time.Time
	at      time.Time // requests up to here are counted
	counts  [userCount][routeCount][codeCount]uint64
	buckets [bucketCount]uint64 // not cumulative
	seconds float64
	lost    time.Time     // since then it is down
	absent  time.Duration // it was down for so long in all
	more    *signals      // nil: only its requests are told
}

// set brings the target up to now and changes its condition.
func (t *target) set(now time.Time, c condition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	if c.down && !t.cond.down {
		t.lost = now
	}
	t.cond = c
	if c.version != t.version {
		t.version, t.started, t.seconds = c.version, now, 0
		clear(t.counts[:])
		clear(t.buckets[:])
		if t.more != nil {
			t.more.restart()
		}
	}
}

// scrape returns the exposition at now with what no text can hold, and whether
// the target answers.
func (t *target) scrape(now time.Time) (text []byte, calls *dto.MetricFamily, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	if t.cond.down {
		return nil, nil, false
	}
	text = t.exposition()
	if t.more != nil {
		text, calls = t.more.exposition(t, text), t.more.native(t.users)
	}
	return text, calls, true
}

// advance serves the requests between t.at and now.
func (t *target) advance(now time.Time) {
	dt := now.Sub(t.at).Seconds()
	if dt <= 0 {
		return
	}
	t.at = now
	if t.cond.down {
		t.absent += time.Duration(dt * float64(time.Second))
		return
	}
	if t.more != nil {
		t.more.advance(t, dt)
	}
	for range poisson(t.rng, t.rate*dt) {
		t.call()
	}
}

// call serves one request, and returns its status, as an index, and how many
// seconds it takes.
func (t *target) call() (status int, took float64) {
	bits := t.rng.Uint64()
	user := t.users.table[bits&1023]
	route := 0
	if float64(bits>>10&1023) < writes*1024 {
		route = 1
	}
	status = code(float64(bits>>20)/(1<<44), t.cond.errors[user])
	t.counts[user][route][status]++
	took = latencyMedian * max(t.cond.latency[user], 1) * math.Exp(latencySigma*t.rng.NormFloat64())
	t.buckets[bucket(took)]++
	t.seconds += took
	if t.more != nil {
		t.more.calls[user].observe(took)
	}
	return status, took
}

// code draws a status from x, uniform over 0..1.
func code(x, failing float64) int {
	switch {
	case x < max(failing, baseErrors):
		return 2
	case x > 1-notFound:
		return 1
	default:
		return 0
	}
}

// poisson draws how many of a stream of independent requests arrived; large
// means are drawn from the normal distribution they tend to.
func poisson(rng *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*rng.NormFloat64())))
	}
	n, p, limit := 0, rng.Float64(), math.Exp(-mean)
	for p > limit {
		p *= rng.Float64()
		n++
	}
	return n
}
