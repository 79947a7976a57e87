package fleet

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Effect is one thing that is wrong with a part of the fleet.
type Effect struct {
	Where     map[string]string // target labels, and "user", that must all match
	Instances []string          // if set, only these instances
	Version   string            // they run this version: their counters start again
	Errors    float64           // share of their requests that fail, 0..1
	Latency   float64           // factor on their latency; 0 means 1
	Full      bool              // queues, pools and disks fill, work stands still, workers restart, sessions end
	Down      bool              // they refuse to be scraped
}

func (e Effect) on(labels map[string]string) bool {
	for name, value := range e.Where {
		if name != "user" && labels[name] != value {
			return false
		}
	}
	return len(e.Instances) == 0 || slices.Contains(e.Instances, labels["instance"])
}

// Apply puts an effect into force under a name and returns the moment it took
// hold. An effect of that name is replaced.
func (f *Fleet) Apply(name string, e Effect) time.Time {
	return f.change(func() { f.effects[name] = e })
}

// Remove ends the effect of that name and returns the moment it ended.
func (f *Fleet) Remove(name string) time.Time {
	return f.change(func() { delete(f.effects, name) })
}

// Effects returns what is in force.
func (f *Fleet) Effects() map[string]Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.effects)
}

// change lets every target serve its requests up to now as things were, then
// serves the rest as they are.
func (f *Fleet) change(do func()) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	do()
	names := slices.Sorted(maps.Keys(f.effects))
	for _, t := range f.targets {
		c := healthy()
		for _, name := range names {
			if e := f.effects[name]; e.on(t.labels) {
				c = c.worsen(e, f.users)
			}
		}
		t.set(now, c)
	}
	return now
}

// condition is the sum of the effects on one target.
type condition struct {
	version string
	errors  [userCount]float64
	latency [userCount]float64
	starved [userCount]bool // what is kept for each user is full
	full    bool            // what is kept for the target is
	down    bool
}

func healthy() condition {
	c := condition{version: Base}
	for i := range c.latency {
		c.latency[i] = 1
	}
	return c
}

func (c condition) worsen(e Effect, u users) condition {
	if e.Version != "" {
		c.version = e.Version
	}
	c.down = c.down || e.Down
	only, one := e.Where["user"]
	c.full = c.full || e.Full && !one
	for i, name := range u.names {
		if one && only != name {
			continue
		}
		c.errors[i] = max(c.errors[i], e.Errors)
		c.starved[i] = c.starved[i] || e.Full
		if e.Latency > 0 {
			c.latency[i] *= e.Latency
		}
	}
	return c
}

// Level returns what an effect alone does to a service: the share of its
// requests that fail, that take longer than bound seconds, and of its targets
// that are down.
func (f *Fleet) Level(service string, e Effect, bound float64) (errors, slow, down float64) {
	var all, members float64
	for _, t := range f.targets {
		if t.labels["service"] != service {
			continue
		}
		all += t.rate
		members++
		if !e.on(t.labels) {
			continue
		}
		c := healthy().worsen(e, f.users)
		for u, weight := range f.users.weights {
			errors += t.rate * weight * c.errors[u]
			slow += t.rate * weight * slowerThan(bound/c.latency[u])
		}
		if c.down {
			down++
		}
	}
	return errors / all, slow / all, down / members
}

// slowerThan is the share of healthy requests that take longer than d seconds.
func slowerThan(d float64) float64 {
	return 0.5 * math.Erfc(math.Log(d/latencyMedian)/(latencySigma*math.Sqrt2))
}
