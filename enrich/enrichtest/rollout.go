package enrichtest

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Rollout brings version v42 in place of v41 to some targets. It shows in
// api_build_info{job, instance, version} and nowhere else.
type Rollout struct {
	Ago time.Duration            // before Fleet.Now
	To  func(labels.Labels) bool // of a target's labels
}

// built is the info metric of one target: a series for each version it ran.
func (f Fleet) built(target []string) []Series {
	ls := labels.FromStrings(target...)
	series := func(version string) Series {
		return Series{Labels: labels.FromStrings(
			"__name__", "api_build_info", "job", ls.Get("job"), "instance", ls.Get("instance"), "version", version)}
	}
	was, is := series("v41"), series("v42")
	switched := false
	for _, at := range f.scrapes() {
		if f.Rollout.To(ls) && at.After(f.Now.Add(-f.Rollout.Ago)) {
			if !switched { // Prometheus marks the end of a series
				was.Samples = append(was.Samples, Sample{At: at, Value: math.Float64frombits(value.StaleNaN)})
			}
			switched = true
			is.Samples = append(is.Samples, Sample{At: at, Value: 1})
			continue
		}
		was.Samples = append(was.Samples, Sample{At: at, Value: 1})
	}
	if !switched {
		return []Series{was}
	}
	return []Series{was, is}
}
