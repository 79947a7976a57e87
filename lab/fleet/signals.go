package fleet

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// What a target holds.
const (
	disk       = 100 << 30 // bytes
	memory     = 2 << 30   // bytes it may use
	poolSize   = 50        // connections
	tooHot     = 80        // degrees Celsius
	seriesMost = 100_000   // that a user may have
)

// signals are what a target tells beside its requests: what is full, stuck,
// throttled, lagging or gone, for itself and for each of its users.
type signals struct {
	rng                          *rand.Rand
	cpuIdle, cpuUser             float64 // seconds
	periods, throttled, restarts float64
	workerStarted                time.Time
	nextRestart                  time.Time
	lastSuccess                  time.Time
	lastSync                     [userCount]time.Time
	received, rejected           [userCount]float64
	fullFor                      float64 // seconds
	calls                        [userCount]exponential
}

func newSignals(start time.Time, rng *rand.Rand) *signals {
	s := &signals{rng: rng, workerStarted: start, lastSuccess: start}
	for u := range s.lastSync {
		s.lastSync[u] = start
	}
	return s
}

// restart is what a new process does to the old one's counters.
func (s *signals) restart() {
	clear(s.received[:])
	clear(s.rejected[:])
	clear(s.calls[:])
}

// advance lives through dt seconds that end at t.at.
func (s *signals) advance(t *target, dt float64) {
	load := 0.2
	if t.cond.full {
		load = 0.97
		s.fullFor += dt
		s.crash(t.at, dt)
	} else {
		s.fullFor, s.lastSuccess, s.nextRestart = 0, t.at, time.Time{}
	}
	s.cpuIdle, s.cpuUser = s.cpuIdle+dt*(1-load), s.cpuUser+dt*load
	s.periods += 10 * dt
	s.throttled += 10 * dt * max(0, load-0.2) * 0.8
	for u, weight := range t.users.weights {
		n := float64(poisson(s.rng, 100*weight*dt))
		s.received[u] += n
		if t.cond.starved[u] {
			s.rejected[u] += float64(int(n * 0.6))
		} else {
			s.lastSync[u] = t.at
		}
	}
}

// crash restarts the worker every six seconds of the dt that end now.
func (s *signals) crash(now time.Time, dt float64) {
	if s.nextRestart.IsZero() {
		s.nextRestart = now.Add(-time.Duration(dt * float64(time.Second)))
	}
	for !s.nextRestart.After(now) {
		s.workerStarted = s.nextRestart
		s.nextRestart = s.nextRestart.Add(6 * time.Second)
		s.restarts++
	}
}

// writer appends metrics in Prometheus' text format.
type writer struct{ b []byte }

func (w *writer) family(name, kind, help string) {
	for _, part := range []string{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"} {
		w.b = append(w.b, part...)
	}
}

// sample appends one series; its labels are written as {a="b"}.
func (w *writer) sample(name, labels string, v float64) {
	w.b = append(append(append(w.b, name...), labels...), ' ')
	w.b = append(strconv.AppendFloat(w.b, v, 'g', -1, 64), '\n')
}

// one appends a family of one series.
func (w *writer) one(name, kind, help, labels string, v float64) {
	w.family(name, kind, help)
	w.sample(name, labels, v)
}

func unix(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

func either(sick bool, ill, well float64) float64 {
	if sick {
		return ill
	}
	return well
}

// exposition appends the signals in Prometheus' text format.
func (s *signals) exposition(t *target, b []byte) []byte {
	w := &writer{b}
	s.failures(t, w)
	s.saturation(t, w)
	s.progress(t, w)
	s.tenants(t, w)
	return w.b
}

// failures are counted by metrics of their own beside one of all.
func (s *signals) failures(t *target, w *writer) {
	var all, failed uint64
	for _, routes := range t.counts {
		for _, codes := range routes {
			all, failed = all+codes[0]+codes[1]+codes[2], failed+codes[2]
		}
	}
	timeouts := failed * 2 / 3
	w.one("http_server_requests_total", "counter", "Requests that came in.", "", float64(all))
	w.one("http_server_timeouts_total", "counter", "Requests that timed out.", `{reason="upstream"}`, float64(timeouts))
	w.one("http_server_panics_total", "counter", "Requests that ended in a panic.", "", float64(failed-timeouts))
}

func (s *signals) saturation(t *target, w *writer) {
	full := t.cond.full
	about := func(ill, well float64) float64 { return either(full, ill, well) * (1 + 0.05*s.rng.NormFloat64()) }
	w.one("queue_length", "gauge", "Tasks that wait.", `{queue="work"}`, about(200, 10))
	w.one("pool_connections_in_use", "gauge", "Connections lent.", "", min(poolSize, about(48, 12)))
	w.one("pool_connections_max", "gauge", "Connections there may be.", "", poolSize)
	w.one("memory_working_set_bytes", "gauge", "Memory that cannot be given back.", "", min(memory, about(0.97*memory, 0.4*memory)))
	w.one("memory_limit_bytes", "gauge", "Memory it may use.", "", memory)
	w.one("hwmon_temp_celsius", "gauge", "Temperature.", "", about(95, 50))
	w.one("hwmon_temp_max_celsius", "gauge", "Temperature it may have.", "", tooHot)
	w.one("consumergroup_lag", "gauge", "Messages not read yet.", `{consumergroup="orders",topic="orders"}`, about(5000, 50))
	w.one("cpu_cfs_periods_total", "counter", "Scheduling periods.", "", s.periods)
	w.one("cpu_cfs_throttled_periods_total", "counter", "Scheduling periods in which it was throttled.", "", s.throttled)
	w.family("cpu_seconds_total", "counter", "Processor time by what it was spent on.")
	w.sample("cpu_seconds_total", `{mode="idle"}`, s.cpuIdle)
	w.sample("cpu_seconds_total", `{mode="user"}`, s.cpuUser)
	w.one("machine_cpu_cores", "gauge", "Cores.", "", 1)
	// the volume fills within half a minute; the read-only one always was full
	left := 0.6 * max(0.03, 1-s.fullFor/30)
	w.family("filesystem_avail_bytes", "gauge", "Bytes that are free.")
	w.sample("filesystem_avail_bytes", `{device="sda1"}`, disk*left*(1+0.001*s.rng.NormFloat64()))
	w.sample("filesystem_avail_bytes", `{device="snap1"}`, 0)
	w.family("filesystem_size_bytes", "gauge", "Size of the volume.")
	w.sample("filesystem_size_bytes", `{device="sda1"}`, disk)
	w.sample("filesystem_size_bytes", `{device="snap1"}`, disk)
	w.family("filesystem_readonly", "gauge", "1 for a volume that cannot be written to.")
	w.sample("filesystem_readonly", `{device="sda1"}`, 0)
	w.sample("filesystem_readonly", `{device="snap1"}`, 1)
}

// progress stops, or starts again and again.
func (s *signals) progress(t *target, w *writer) {
	full := t.cond.full
	w.one("worker_restarts_total", "counter", "Restarts of the worker.", "", s.restarts)
	w.one("worker_start_time_seconds", "gauge", "When the worker started, in Unix time.", "", unix(s.workerStarted))
	w.one("job_last_success_timestamp_seconds", "gauge", "When the job last succeeded, in Unix time.", "", unix(s.lastSuccess))
	w.one("config_last_reload_successful", "gauge", "1 if the last reload succeeded.", "", either(full, 0, 1))
	w.one("cert_not_after_timestamp_seconds", "gauge", "When the certificate ends, in Unix time.", "", unix(t.at)+either(full, 2, 60)*86400)
	w.one("maintenance_mode", "gauge", "1 while somebody works on it.", "", 0)
	if !full {
		w.one("session_active", "gauge", "1 for a session with the coordinator.", "", 1)
	}
}

// tenants are told apart as a service with many customers does.
func (s *signals) tenants(t *target, w *writer) {
	each := func(name, kind, help string, of func(u int) float64) {
		w.family(name, kind, help)
		for u, user := range t.users.names {
			w.sample(name, `{user="`+user+`"}`, of(u))
		}
	}
	about := func(u int, ill, well float64) float64 {
		return either(t.cond.starved[u], ill, well) * (1 + 0.05*s.rng.NormFloat64())
	}
	each("tenant_queue_length", "gauge", "Tasks of a user that wait.", func(u int) float64 { return about(u, 150, 8) })
	each("tenant_active_series", "gauge", "Series of a user.", func(u int) float64 { return about(u, 0.97*seriesMost, 0.3*seriesMost) })
	each("tenant_max_series", "gauge", "Series a user may have.", func(int) float64 { return seriesMost })
	each("tenant_last_sync_timestamp_seconds", "gauge", "When a user's data was last in step, in Unix time.", func(u int) float64 { return unix(s.lastSync[u]) })
	each("tenant_received_samples_total", "counter", "Samples of a user that came in.", func(u int) float64 { return s.received[u] })
	each("tenant_rejected_samples_total", "counter", "Samples of a user that were refused.", func(u int) float64 { return s.rejected[u] })
}
