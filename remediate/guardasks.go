package remediate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Sources answers the questions of guards. App wires it.
type Sources interface {
	// Ask evaluates PromQL now at the source of this name, "" the first.
	Ask(ctx context.Context, source, promql string, at time.Time) (Answer, error)
}

// Answer is what a source said: at most the first MaxSamples of its samples.
type Answer struct {
	Values []float64
	Doubt  string // why this may not be all: partial, warned, cut; "" if it is
}

// MaxSamples is how many samples of an answer are read: a guard wants one.
const MaxSamples = 100

// Prometheus is Sources over servers that speak Prometheus' API. They should be
// made with partial_response=false.
type Prometheus struct {
	First   string
	Clients map[string]*prometheus.Client
}

// Ask asks the client of that name.
func (p Prometheus) Ask(ctx context.Context, source, promql string, at time.Time) (Answer, error) {
	if source == "" {
		source = p.First
	}
	client := p.Clients[source]
	if client == nil {
		return Answer{}, fmt.Errorf("no source %q is configured", source)
	}
	var out Answer
	// one more than is kept: that there are more is told by the cut
	said, err := client.Query(ctx, promql, at, prometheus.Limits{Series: MaxSamples, Bytes: 1 << 20}, func(_ []page.Label, v float64) {
		out.Values = append(out.Values, v)
	})
	if err != nil {
		return Answer{}, err
	}
	for _, w := range said.Doubts {
		out.Doubt = "it came with a warning: " + w
	}
	for _, w := range said.Warnings {
		out.Doubt = "it is partial: " + w
	}
	if said.Cut {
		out.Doubt = "it is cut off"
	}
	return out, nil
}

// maxStale is how old the newest sample behind an answer may be: a sample is
// shown for five minutes after its target has gone.
const maxStale = 2 * time.Minute

// sampleOf asks for the one number a question gives, and first whether each of
// its selectors still has fresh data. Any error means: not known.
func sampleOf(ctx context.Context, sources Sources, source, text string, c Candidate) (float64, error) {
	if sources == nil {
		return 0, errors.New("no source is configured")
	}
	q, err := pose(text, c.Target)
	if err != nil {
		return 0, err
	}
	fresh, err := freshnesses(q)
	if err != nil {
		return 0, err
	}
	for _, f := range fresh {
		at, err := one(ctx, sources, source, f.query, c.Now)
		if err != nil {
			return 0, fmt.Errorf("how fresh the data is: %w", err)
		}
		if err := f.check(at, c.Now); err != nil {
			return 0, err
		}
	}
	return one(ctx, sources, source, q.String(), c.Now)
}

// check refuses a selector whose oldest sample, in seconds, is too old.
func (f freshness) check(oldest float64, now time.Time) error {
	age := float64(now.Add(-f.offset).UnixMilli())/1000 - oldest
	if math.Abs(age) <= maxStale.Seconds() {
		return nil
	}
	return fmt.Errorf("the data is stale: a sample is %s off", time.Duration(age*float64(time.Second)).Round(time.Second))
}

// one is the single sample of an answer.
func one(ctx context.Context, sources Sources, source, promql string, at time.Time) (float64, error) {
	values, err := reliable(ctx, sources, source, promql, at)
	switch {
	case err != nil:
		return 0, err
	case len(values) == 0:
		return 0, errors.New("the answer is empty")
	case len(values) > 1:
		return 0, fmt.Errorf("the answer has %d samples, not one", len(values))
	case math.IsNaN(values[0]) || math.IsInf(values[0], 0):
		return 0, fmt.Errorf("the answer is %s", number(values[0]))
	}
	return values[0], nil
}

// reliable are the samples of an answer that is whole.
func reliable(ctx context.Context, sources Sources, source, promql string, at time.Time) ([]float64, error) {
	a, err := sources.Ask(ctx, source, promql, at)
	if err == nil && a.Doubt != "" {
		err = errors.New("the answer cannot be relied on: " + a.Doubt)
	}
	return a.Values, err
}
