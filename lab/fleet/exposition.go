package fleet

import (
	"fmt"
	"strconv"
)

const bucketCount = 9

func bounds() [bucketCount - 1]float64 {
	return [...]float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
}

func bucket(seconds float64) int {
	for i, le := range bounds() {
		if seconds <= le {
			return i
		}
	}
	return bucketCount - 1
}

// exposition writes the target's metrics in Prometheus' text format, version
// 0.0.4. Series at zero are there from the start, so that a rate sees the first
// failure.
func (t *target) exposition() []byte {
	b := make([]byte, 0, 12<<10)
	v := t.version
	b = append(b, "# HELP app_build_info The build that runs, always 1.\n# TYPE app_build_info gauge\n"...)
	b = fmt.Appendf(b, "app_build_info{version=%q,go_version=\"go1.26.8\"} 1\n", v)
	b = append(b, "# HELP process_start_time_seconds When the process started, in Unix time.\n# TYPE process_start_time_seconds gauge\n"...)
	b = fmt.Appendf(b, "process_start_time_seconds %.3f\n", float64(t.started.UnixMilli())/1000)
	b = append(b, "# HELP process_resident_memory_bytes Memory the process holds.\n# TYPE process_resident_memory_bytes gauge\n"...)
	b = fmt.Appendf(b, "process_resident_memory_bytes %d\n", 180<<20+t.rng.IntN(20<<20))

	b = append(b, "# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n"...)
	for u, name := range t.users.names {
		for r, method := range [routeCount]string{"GET", "POST"} {
			for c, code := range [codeCount]string{"200", "404", "500"} {
				b = append(b, `http_requests_total{method="`...)
				b = append(b, method...)
				b = append(b, `",code="`...)
				b = append(b, code...)
				b = append(b, `",user="`...)
				b = append(b, name...)
				b = append(b, `",version="`...)
				b = append(b, v...)
				b = append(b, `"} `...)
				b = strconv.AppendUint(b, t.counts[u][r][c], 10)
				b = append(b, '\n')
			}
		}
	}
	return t.histogram(b)
}

func (t *target) histogram(b []byte) []byte {
	b = append(b, "# HELP http_request_duration_seconds How long requests took.\n# TYPE http_request_duration_seconds histogram\n"...)
	var sum uint64
	for i, n := range t.buckets {
		le := "+Inf"
		if bs := bounds(); i < len(bs) {
			le = strconv.FormatFloat(bs[i], 'g', -1, 64)
		}
		sum += n
		b = fmt.Appendf(b, "http_request_duration_seconds_bucket{version=%q,le=%q} %d\n", t.version, le, sum)
	}
	b = fmt.Appendf(b, "http_request_duration_seconds_sum{version=%q} %g\n", t.version, t.seconds)
	return fmt.Appendf(b, "http_request_duration_seconds_count{version=%q} %d\n", t.version, sum)
}
