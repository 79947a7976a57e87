package ttn

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules/latency"
)

// Window is one condition of a rule: the share over Range is above Threshold.
type Window struct {
	Range     time.Duration
	Threshold float64 // 0..1
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

// Named returns the settings of that name, or those of a file that changes one
// of them.
func Named(name string) (Settings, error) {
	for _, s := range []Settings{Fast(), Stock()} {
		if s.Name == name {
			return s, nil
		}
	}
	if strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml") {
		return read(name)
	}
	return Settings{}, fmt.Errorf("settings %q are not known: write fast, stock, or the name of a .yml file", name)
}

// file is settings as they are written: those of a lane, and what differs.
type file struct {
	From          string           `yaml:"from" need:"true" doc:"fast or stock."`
	Scrape        *config.Duration `yaml:"scrape" doc:"Scrape interval."`
	Eval          *config.Duration `yaml:"eval" doc:"Evaluation interval."`
	For           *config.Duration `yaml:"for" doc:"for of rules over windows."`
	ForState      *config.Duration `yaml:"for_state" doc:"for of rules over states."`
	KeepFiring    *config.Duration `yaml:"keep_firing" doc:"keep_firing_for."`
	GroupWait     *config.Duration `yaml:"group_wait" doc:"group_wait of the route."`
	GroupInterval *config.Duration `yaml:"group_interval" doc:"group_interval of the route."`
	Window        *config.Duration `yaml:"window" doc:"The one window of all rules over windows."`
}

func read(path string) (Settings, error) {
	root, err := config.Read(path)
	if err != nil {
		return Settings{}, err
	}
	var f file
	if err := root.Decode(&f); err != nil {
		return Settings{}, err
	}
	if f.From != "fast" && f.From != "stock" {
		return Settings{}, fmt.Errorf("%s: from: write fast or stock", path)
	}
	s, err := Named(f.From)
	if err != nil {
		return Settings{}, err
	}
	for _, c := range []struct {
		into *time.Duration
		from *config.Duration
	}{
		{&s.Scrape, f.Scrape},
		{&s.Eval, f.Eval},
		{&s.For, f.For},
		{&s.ForState, f.ForState},
		{&s.KeepFiring, f.KeepFiring},
		{&s.GroupWait, f.GroupWait},
		{&s.GroupInterval, f.GroupInterval},
	} {
		if c.from != nil {
			*c.into = c.from.D()
		}
	}
	if f.Window != nil {
		s.Errors = []Window{{f.Window.D(), s.Errors[0].Threshold}}
		s.Latency = []Window{{f.Window.D(), s.Latency[0].Threshold}}
	}
	s.Name = path
	return s, nil
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
		lag, ok := latency.Lag(latency.Rated(w.Range, s.Scrape), w.Threshold, level)
		if !ok {
			return c, false
		}
		c.Condition = latency.Constant(max(c.Condition.Mean, lag))
	}
	return c, true
}
