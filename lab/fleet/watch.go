package fleet

import (
	"fmt"
	"strings"
	"time"
)

const watchPath = "/t/watch/metrics"

// watch is what one more target tells about the others, as a prober and an
// orchestrator see them: it is up while they are not.
func (f *Fleet) watch(now time.Time) []byte {
	w := &writer{}
	all := make([]seen, len(f.targets))
	for i, t := range f.targets {
		all[i] = t.seen(now)
	}
	each := func(name, kind, help, more string, of func(s seen) float64) {
		if help != "" {
			w.family(name, kind, help)
		}
		for _, s := range all {
			w.sample(name, "{"+s.labels+more+"}", of(s))
		}
	}
	each("probe_success", "gauge", "1 if the target answered.", "", func(s seen) float64 { return either(s.up, 1, 0) })
	each("probe_duration_seconds", "gauge", "How long the target took to answer.", "", func(s seen) float64 { return either(s.up, 0.03, 5) })
	each("probe_attempts_total", "counter", "Times the target was asked.", "", func(seen) float64 { return now.Sub(f.born).Truncate(time.Second).Seconds() })
	each("probe_failures_total", "counter", "Times the target did not answer.", "", func(s seen) float64 { return float64(int(s.failed)) })
	each("member_last_seen_timestamp_seconds", "gauge", "When the target was last heard of, in Unix time.", "", func(s seen) float64 { return unix(s.last) })
	each("pod_status_ready", "gauge", "Whether the pod is ready, by condition.", `,condition="true"`, func(s seen) float64 { return either(s.up, 1, 0) })
	each("pod_status_ready", "", "", `,condition="false"`, func(s seen) float64 { return either(s.up, 0, 1) })
	each("pod_status_phase", "gauge", "Phase of the pod's life.", `,phase="Running"`, func(s seen) float64 { return either(s.up, 1, 0) })
	each("pod_status_phase", "", "", `,phase="Unknown"`, func(s seen) float64 { return either(s.up, 0, 1) })
	return w.b
}

// seen is a target as it looks from outside.
type seen struct {
	labels string
	up     bool
	last   time.Time // it was up
	failed float64   // seconds in which it was not
}

func (t *target) seen(now time.Time) seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	s := seen{labels: labelsOutside(t.labels), up: !t.cond.down, last: now, failed: t.absent.Seconds()}
	if !s.up {
		s.last = t.lost
	}
	return s
}

// labelsOutside names a target as those outside do.
func labelsOutside(labels map[string]string) string {
	var parts []string
	for _, name := range []string{"dc", "host", "pod", "service", "zone"} {
		parts = append(parts, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return strings.Join(append(parts, fmt.Sprintf("target=%q", labels["instance"])), ",")
}
