package ttn

import (
	"fmt"
	"time"
)

// Window is one condition of a rule: the share over Range is above Threshold.
type Window struct {
	Range     time.Duration
	Threshold float64 // 0..1
}

// Lag is how long a step fault to share level needs to lift the window's
// average over the threshold: W·θ/L. It is 0 where the fault never does;
// ok tells the two apart.
func (w Window) Lag(level float64) (lag time.Duration, ok bool) {
	if level <= w.Threshold {
		return 0, false
	}
	return time.Duration(float64(w.Range) * w.Threshold / level), true
}

// Settings are the intervals of one lane: what the lab's Prometheus, rules and
// route are made with, and what its prediction is made from.
type Settings struct {
	Name          string
	Scrape        time.Duration
	Eval          time.Duration
	For           time.Duration // of rules over windows
	ForState      time.Duration // of rules over states (up == 0): no window filters the one scrape that went wrong
	KeepFiring    time.Duration // keep_firing_for: adds nothing to the time to notify
	Resend        time.Duration // --rules.alert.resend-delay
	GroupWait     time.Duration
	GroupInterval time.Duration
	Errors        []Window // all must hold: share of requests that fail
	Latency       []Window // all must hold: share of requests slower than LatencyBound
}

// LatencyBound is the latency, in seconds, that the rules hold requests to.
const LatencyBound = 0.5

// Fast is the shipped fast lane: short intervals, windows instead of `for` (two
// evaluations where there is no window), a page route that does not wait.
func Fast() Settings {
	return Settings{
		Name: "fast", Scrape: 5 * time.Second, Eval: 5 * time.Second,
		ForState: 10 * time.Second, KeepFiring: 15 * time.Second, Resend: 15 * time.Second,
		GroupWait: 0, GroupInterval: 10 * time.Second,
		Errors:  []Window{{30 * time.Second, 0.03}, {2 * time.Minute, 0.01}},
		Latency: []Window{{time.Minute, 0.05}},
	}
}

// Stock is what kube-prometheus and Alertmanager ship: 30 s intervals, `for: 5m`
// over five-minute rates, group_wait 30s, group_interval 5m.
func Stock() Settings {
	return Settings{
		Name: "stock", Scrape: 30 * time.Second, Eval: 30 * time.Second,
		For: 5 * time.Minute, ForState: 5 * time.Minute, Resend: time.Minute,
		GroupWait: 30 * time.Second, GroupInterval: 5 * time.Minute,
		Errors:  []Window{{5 * time.Minute, 0.03}},
		Latency: []Window{{5 * time.Minute, 0.05}},
	}
}

// Named returns the settings of that name.
func Named(name string) (Settings, error) {
	for _, s := range []Settings{Fast(), Stock()} {
		if s.Name == name {
			return s, nil
		}
	}
	return Settings{}, fmt.Errorf("settings %q are not known: write fast or stock", name)
}

// Symptom is what a rule watches.
type Symptom string

// The symptoms the lab's rules watch.
const (
	Errors  Symptom = "errors"
	Latency Symptom = "latency"
	Down    Symptom = "down"
)

// Chain returns the chain for a fault that lifts a symptom to level (0..1) at
// once. ok is false where the rule would never fire.
func (s Settings) Chain(symptom Symptom, level float64) (c Chain, ok bool) {
	c = Chain{
		Scrape: s.Scrape, Eval: s.Eval, For: s.For, Resend: s.Resend,
		GroupWait: s.GroupWait, GroupInterval: s.GroupInterval,
	}
	var windows []Window
	switch symptom {
	case Errors:
		windows = s.Errors
	case Latency:
		windows = s.Latency
	case Down:
		c.For = s.ForState
	}
	for _, w := range windows {
		lag, ok := w.Lag(level)
		if !ok {
			return c, false
		}
		c.Condition = max(c.Condition, lag)
	}
	return c, true
}
