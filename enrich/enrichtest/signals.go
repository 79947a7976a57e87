package enrichtest

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Signals scrapes what the fleet's targets say beside their requests: what is
// full, stuck, throttled, lagging or gone. The errors and durations there have
// no user label.
func (f Fleet) Signals() []Series {
	r := rand.New(rand.NewPCG(f.Seed, 13))
	var out []Series
	for i, target := range f.targets() {
		out = append(out, f.failures(r, target)...)
		out = append(out, f.saturation(r, target)...)
		out = append(out, f.disks(r, target)...)
		out = append(out, f.progress(r, target, i)...)
		out = append(out, f.native(r, target), f.session(target))
	}
	return out
}

// gauge makes one series; of is called for every scrape.
func (f Fleet) gauge(target []string, name string, of func(at time.Time) float64, more ...string) Series {
	s := Series{Labels: named(target, append([]string{"__name__", name}, more...)...)}
	for _, at := range f.scrapes() {
		s.Samples = append(s.Samples, Sample{At: at, Value: of(at)})
	}
	return s
}

// counter makes one series that grows by what of returns for every scrape.
func (f Fleet) counter(target []string, name string, of func(at time.Time) float64, more ...string) Series {
	sum := 0.0
	return f.gauge(target, name, func(at time.Time) float64 { sum += of(at); return sum }, more...)
}

// either returns hit's value where the fault is, and else calm's.
func (f Fleet) either(by func(labels.Labels) bool, target []string, at time.Time, calm, hit float64) float64 {
	if f.hit(by, target, at) {
		return hit
	}
	return calm
}

// failures are counted by three metrics of their own beside one of all.
func (f Fleet) failures(r *rand.Rand, target []string) []Series {
	part := func(at time.Time, calm, hit float64) float64 {
		return poisson(r, 60*f.either(f.Fault.Errors, target, at, calm, hit))
	}
	return []Series{
		f.counter(target, "http_server_requests_total", func(time.Time) float64 { return poisson(r, 60) }),
		f.counter(target, "http_timeouts_total", func(at time.Time) float64 { return part(at, .002, .2) }, "reason", "upstream"),
		f.counter(target, "http_panics_total", func(at time.Time) float64 { return part(at, .001, .1) }),
		f.counter(target, "http_success_total", func(at time.Time) float64 { return part(at, .997, .7) }),
	}
}

func (f Fleet) saturation(r *rand.Rand, target []string) []Series {
	about := func(calm, hit, spread float64) func(time.Time) float64 {
		return func(at time.Time) float64 {
			return math.Max(0, f.either(f.Fault.Full, target, at, calm, hit)+spread*r.NormFloat64())
		}
	}
	fixed := func(v float64) func(time.Time) float64 { return func(time.Time) float64 { return v } }
	return []Series{
		f.gauge(target, "queue_length", about(10, 200, 2)),
		f.gauge(target, "pool_connections_in_use", about(12, 46, 1)),
		f.gauge(target, "pool_connections_max", fixed(50)),
		f.gauge(target, "node_hwmon_temp_celsius", about(50, 95, 2)),
		f.gauge(target, "node_hwmon_temp_max_celsius", fixed(80)),
		f.gauge(target, "kafka_consumergroup_lag", about(50, 5000, 10), "consumergroup", "orders", "topic", "orders"),
		f.counter(target, "container_cpu_cfs_periods_total", fixed(50)),
		f.counter(target, "container_cpu_cfs_throttled_periods_total", func(at time.Time) float64 {
			return min(50, poisson(r, f.either(f.Fault.Full, target, at, 1, 30)))
		}),
		f.counter(target, "node_cpu_seconds_total", func(at time.Time) float64 { return f.either(f.Fault.Full, target, at, 4, .1) }, "mode", "idle", "cpu", "0"),
		f.counter(target, "node_cpu_seconds_total", func(at time.Time) float64 { return f.either(f.Fault.Full, target, at, 1, 4.9) }, "mode", "user", "cpu", "0"),
		f.gauge(target, "machine_cpu_cores", fixed(1)),
	}
}

// disks have a volume that fills up and a read-only one that always was full.
func (f Fleet) disks(r *rand.Rand, target []string) []Series {
	const size = 100 << 30
	avail := func(at time.Time) float64 {
		left := .6
		if f.hit(f.Fault.Full, target, at) {
			left *= max(.03, 1-at.Sub(f.Now.Add(-f.Since)).Seconds()/f.Since.Seconds())
		}
		return size * (left + .001*r.NormFloat64())
	}
	var out []Series
	for _, d := range []struct {
		device   string
		avail    func(time.Time) float64
		readonly float64
	}{{"sda1", avail, 0}, {"snap1", func(time.Time) float64 { return 0 }, 1}} {
		out = append(out,
			f.gauge(target, "filesystem_avail_bytes", d.avail, "device", d.device),
			f.gauge(target, "filesystem_size_bytes", func(time.Time) float64 { return size }, "device", d.device),
			f.gauge(target, "filesystem_readonly", func(time.Time) float64 { return d.readonly }, "device", d.device),
		)
	}
	return out
}

// progress stops, or starts again and again.
func (f Fleet) progress(r *rand.Rand, target []string, i int) []Series {
	began := f.Now.Add(-time.Hour)
	last := float64(began.Unix())
	restart := func(at time.Time) bool { return f.hit(f.Fault.Full, target, at) && at.Unix()%10 == 0 }
	return []Series{
		f.counter(target, "process_restarts_total", func(at time.Time) float64 {
			if restart(at) {
				return 1
			}
			return 0
		}),
		f.gauge(target, "process_start_time_seconds", func(at time.Time) float64 {
			if restart(at) {
				began = at
			}
			return float64(began.Unix())
		}),
		f.gauge(target, "job_last_success_timestamp_seconds", func(at time.Time) float64 {
			if !f.hit(f.Fault.Full, target, at) && (at.Unix()/5+int64(i))%4 == 0 {
				last = float64(at.Unix())
			}
			return last
		}),
		f.gauge(target, "config_last_reload_successful", func(at time.Time) float64 { return f.either(f.Fault.Full, target, at, 1, 0) }),
		f.gauge(target, "probe_ssl_earliest_cert_expiry", func(at time.Time) float64 {
			return float64(f.Now.Unix()) + 86400*f.either(f.Fault.Full, target, at, 60+5*r.Float64(), 2)
		}),
	}
}

// session is there for a quarter of an hour, unless a fault makes it vanish.
func (f Fleet) session(target []string) Series {
	s := Series{Labels: named(target, "__name__", "session_active")}
	for at := f.Now.Add(-15 * time.Minute); !at.After(f.Now); at = at.Add(Scrape) {
		if !f.hit(f.Fault.Gone, target, at) {
			s.Samples = append(s.Samples, Sample{At: at, Value: 1})
			continue
		}
		// Prometheus marks the end of a series that its target no longer shows.
		s.Samples = append(s.Samples, Sample{At: at, Value: math.Float64frombits(value.StaleNaN)})
		break
	}
	return s
}

// native makes an exponential histogram: log-normal around 60 ms, a fault
// around 600 ms.
func (f Fleet) native(r *rand.Rand, target []string) Series {
	s := Series{Labels: named(target, "__name__", "rpc_duration_seconds")}
	const schema, low = 2, -30 // 4 buckets to a factor of 2, from 2^(low/4) s
	var counts [60]float64
	sum, n := 0.0, 0.0
	for _, at := range f.scrapes() {
		middle := f.either(f.Fault.Slow, target, at, .06, .6)
		for range int(poisson(r, 60)) {
			took := middle * math.Exp(.6*r.NormFloat64())
			b := int(math.Ceil(math.Log2(took)*4)) - low
			counts[min(max(b, 0), len(counts)-1)]++
			sum, n = sum+took, n+1
		}
		h := &histogram.FloatHistogram{
			Schema: schema, Count: n, Sum: sum,
			PositiveSpans:   []histogram.Span{{Offset: low, Length: uint32(len(counts))}},
			PositiveBuckets: append([]float64(nil), counts[:]...),
		}
		s.Samples = append(s.Samples, Sample{At: at, Histogram: h})
	}
	return s
}

// Recorded is a series that a recording rule made of a sample: its value in the
// minute before at.
func Recorded(name string, at time.Time, sample map[string]string, v float64) Series {
	b := labels.NewBuilder(labels.FromMap(sample))
	b.Set("__name__", name)
	s := Gauge(at, v)
	s.Labels = b.Labels()
	return s
}

// Joined puts series with the same labels together; those of the earlier lists
// must be older.
func Joined(lists ...[]Series) []Series {
	at := map[string]int{}
	var out []Series
	for _, s := range slices.Concat(lists...) {
		if len(s.Samples) == 0 {
			continue
		}
		k := s.Labels.String()
		if i, ok := at[k]; ok {
			if old := out[i].Samples; s.Samples[0].At.Before(old[len(old)-1].At) { // of a series that is there all the time
				old = slices.DeleteFunc(slices.Clone(old), func(p Sample) bool { return !p.At.Before(s.Samples[0].At) })
				out[i].Samples = old
			}
			out[i].Samples = append(out[i].Samples, s.Samples...)
			continue
		}
		at[k] = len(out)
		out = append(out, s)
	}
	return out
}
