package remediate

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tocsin/tocsin/store"
)

// Metrics of the room. Policies and guards are named by the config, never by an alert.
type Metrics struct {
	decisions  *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	claims     *prometheus.CounterVec
	retries    prometheus.Counter
	unknowns   prometheus.Counter
	duplicates prometheus.Counter
	unsafe     prometheus.Counter
	clear      prometheus.Histogram
	stages     *prometheus.GaugeVec
	oldest     prometheus.Gauge
	breakers   *prometheus.GaugeVec
	frozen     prometheus.Gauge
	ready      *prometheus.GaugeVec
}

// NewMetrics makes the room's metrics; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		decisions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_remediate_decisions_total", Help: "Decisions on dispatches: launch, ask (a person), observe (it would run), expired (nobody answered).",
		}, []string{"policy", "decision"}),
		refusals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_remediate_refusals_total", Help: "Times a guard did not let a dispatch through: wait, deny, or blind (it could not be asked).",
		}, []string{"policy", "guard", "outcome"}),
		outcomes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_remediate_dispatches_total", Help: "Dispatches that are over, by what came of them.",
		}, []string{"policy", "outcome"}),
		claims: f.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_remediate_claims_total", Help: "Claims of playbooks, by what they were answered.",
		}, []string{"code"}),
		retries: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_remediate_retries_total", Help: "Steps that were put back because the store was in trouble.",
		}),
		unknowns: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_remediate_unknown_launches_total", Help: "Launches of which it was not known whether they came through.",
		}),
		duplicates: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_remediate_duplicate_launches_total", Help: "Jobs that were started beside the one that was meant.",
		}),
		unsafe: f.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_remediate_unsafe_launches_total", Help: "Jobs that were not as they were asked for, and were cancelled.",
		}),
		clear: f.NewHistogram(prometheus.HistogramOpts{
			Name: "tocsin_remediate_clear_seconds", Help: "From a launch to the alert's end, of repairs that were verified.",
			Buckets: []float64{15, 30, 60, 120, 300, 600, 1200, 3600},
		}),
		stages: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_remediate_dispatches", Help: "Dispatches that are not over, by stage.",
		}, []string{"stage"}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_remediate_unknown_age_seconds", Help: "Age of the oldest launch of which it is not known whether it came through.",
		}),
		breakers: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_remediate_breaker_open", Help: "1 while a policy's breaker is open: it does nothing until a person resets it.",
		}, []string{"policy"}),
		frozen: f.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_remediate_frozen", Help: "Number of switches that are frozen.",
		}),
		ready: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_remediate_policy_ready", Help: "1 if every step of a policy could be launched as it is meant, 0 if not.",
		}, []string{"policy"}),
	}
}

func (m *Metrics) decided(policy, decision string) {
	m.decisions.WithLabelValues(policy, decision).Inc()
}

func (m *Metrics) refused(policy string, verdicts []Verdict) {
	for _, v := range verdicts {
		if v.Outcome != Pass {
			m.refusals.WithLabelValues(policy, v.Guard, string(v.Outcome)).Inc()
		}
	}
}

func (m *Metrics) moved(d *Dispatch, from Stage) {
	if d.Stage.Over() && !from.Over() {
		m.outcomes.WithLabelValues(d.Policy, string(d.Stage)).Inc()
	}
}

func (m *Metrics) cleared(d time.Duration) { m.clear.Observe(d.Seconds()) }

const (
	// gaugeEvery is how often the gauges are set.
	gaugeEvery = 15 * time.Second
	// readyEvery is how often templates are looked at while nothing is launched.
	readyEvery = 5 * time.Minute
	// scanned is how many records are read at once.
	scanned = 100
)

// watch keeps the gauges, and asks now and then whether policies are ready.
func (e *Engine) watch(ctx context.Context) {
	var last time.Time
	for ctx.Err() == nil {
		if err := e.measure(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("measure dispatches", "err", err)
		}
		if now := e.Now(); now.Sub(last) >= readyEvery {
			last = now
			e.CheckPolicies(ctx)
		}
		pause(ctx, gaugeEvery)
	}
}

func (e *Engine) measure(ctx context.Context) error {
	count, oldest := map[Stage]int{}, 0.0
	err := Each(ctx, e.Store, e.Now().Add(-Lately), func(d Dispatch) error {
		if !d.Stage.Over() {
			count[d.Stage]++
		}
		if d.Stage == Unknown && d.Intent != nil {
			oldest = max(oldest, e.Now().Sub(d.Intent.At).Seconds())
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range Stages() {
		if !s.Over() {
			e.Metrics.stages.WithLabelValues(string(s)).Set(float64(count[s]))
		}
	}
	e.Metrics.oldest.Set(oldest)
	_, _, seen, err := e.past(ctx)
	if err != nil {
		return err
	}
	e.Metrics.frozen.Set(float64(len(seen.Switches)))
	for _, list := range e.Policies {
		for _, p := range list {
			open := 0.0
			if _, ok := seen.Breakers[p.Name]; ok {
				open = 1
			}
			e.Metrics.breakers.WithLabelValues(p.Name).Set(open)
		}
	}
	return nil
}

// Lately is how far back the episodes of dispatches lie that are not over, but for
// some that wait: nothing is launched so late.
const Lately = 7 * 24 * time.Hour

// Each reads every dispatch of episodes that began since, the oldest first; of
// all episodes where since is zero.
func Each(ctx context.Context, s store.Store, since time.Time, fn func(Dispatch) error) error {
	after := ""
	if !since.IsZero() {
		after = store.DispatchKey(idOf(since, nil))
	}
	for {
		recs, err := s.Scan(ctx, store.DispatchPrefix, after, scanned)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			after = rec.Key
			var d Dispatch
			if err := store.Unmarshal(rec.Value, &d); err != nil {
				return err
			}
			if err := fn(d); err != nil {
				return err
			}
		}
		if len(recs) < scanned {
			return nil
		}
	}
}

// Readiness is whether a step could be launched as its policy means it.
type Readiness struct {
	Policy string
	Step   string
	Err    error // nil: it could; *NotReady: why not; any other: it is not known
}

// CheckPolicies asks the backends whether every step of every policy could be launched.
func (e *Engine) CheckPolicies(ctx context.Context) []Readiness {
	var out []Readiness
	seen := map[string]bool{}
	for _, list := range e.Policies {
		for _, p := range list {
			if seen[p.Name] || p.Mode == Off {
				continue
			}
			seen[p.Name] = true
			ready := 1.0
			for _, s := range p.Steps {
				r := Readiness{Policy: p.Name, Step: s.Name, Err: e.ready(ctx, p, s)}
				if out = append(out, r); r.Err != nil {
					ready = 0
					e.Log.Warn("policy is not ready", "policy", p.Name, "step", s.Name, "err", r.Err)
				}
			}
			e.Metrics.ready.WithLabelValues(p.Name).Set(ready)
		}
	}
	return out
}

func (e *Engine) ready(ctx context.Context, p *Policy, s Step) error {
	b := e.Backends[s.Backend]
	if b == nil {
		return &NotReady{Reasons: []string{"no backend is called " + s.Backend}}
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTiming().Post)
	defer cancel()
	_, err := b.Ready(ctx, s, Target{Kind: p.Target.Kind})
	return err
}
