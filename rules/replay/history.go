package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Client asks a server for its history; prometheus.Client is one.
type Client interface {
	Range(ctx context.Context, text string, from, to time.Time, step time.Duration, limits prometheus.Limits, each func([]page.Label, []prometheus.Point)) (prometheus.Answer, error)
	Query(ctx context.Context, text string, at time.Time, limits prometheus.Limits, each func([]page.Label, float64)) (prometheus.Answer, error)
}

const (
	mostSteps = 5000             // of a range: Prometheus refuses more than 11,000
	tries     = 5                // of a question that may come through yet
	settled   = 10 * time.Minute // after which an answer about the past does not change any more
)

// errRefused marks a question that the server will not answer, however often it is asked.
var errRefused = errors.New("refused")

// History asks a server one question at a time, and remembers the answers.
type History struct {
	Client Client
	Limits prometheus.Limits
	Load   float64 // share of the time in which a question is open: (0, 1]; 0 for 1
	Memory *Memory // nil: nothing is kept
	Now    func() time.Time
	Pause  func(context.Context, time.Duration) error

	// Remarks of the server, each once: a part of the history is missing.
	Remarks []string
	// Asked and Known count the questions that went to the server and those
	// that had been answered before.
	Asked, Known int

	steps   int // of the next range: it shrinks where the server refuses, and grows again
	answers map[string]promql.Vector
}

// NewHistory returns one that waits by the wall's clock.
func NewHistory(c Client, limits prometheus.Limits, load float64, memory *Memory) *History {
	return &History{Client: c, Limits: limits, Load: load, Memory: memory, Now: time.Now, Pause: pause, steps: mostSteps, answers: map[string]promql.Vector{}}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// chunk is the answers to an expression at evenly spaced times.
type chunk struct {
	steps  int
	series []series
}

// series has values at some of a chunk's times.
type series struct {
	Labels []page.Label
	Steps  []int32
	Values []float64

	metric  labels.Labels
	dressed labels.Labels // with the labels that a rule gives to all of its alerts
	next    int
}

// chunk asks for the expression from from to at most last.
func (h *History) chunk(ctx context.Context, text string, from, last time.Time, step time.Duration) (*chunk, error) {
	left := int(last.Sub(from)/step) + 1
	for {
		n := min(left, h.steps)
		to := from.Add(time.Duration(n-1) * step)
		c, err := h.ask(ctx, text, from, to, step)
		if err == nil {
			h.steps = min(mostSteps, h.steps*2)
			return c, nil
		}
		if !errors.Is(err, errRefused) || n < 2 {
			return nil, err
		}
		h.steps = max(1, n/4) // too much for one answer, perhaps
	}
}

// ask makes one range query, or remembers what came of it.
func (h *History) ask(ctx context.Context, text string, from, to time.Time, step time.Duration) (*chunk, error) {
	c := &chunk{steps: int(to.Sub(from)/step) + 1}
	key := fmt.Sprintf("range\n%s\n%d\n%d\n%d", text, from.UnixMilli(), to.UnixMilli(), step.Milliseconds())
	past := h.Now().Sub(to) > settled
	if past && h.Memory.recall(key, &c.series) {
		h.Known++
	} else {
		err := h.patiently(ctx, func() (prometheus.Answer, error) {
			c.series = c.series[:0]
			return h.Client.Range(ctx, text, from, to, step, h.Limits, func(l []page.Label, points []prometheus.Point) {
				c.add(l, points, from, step)
			})
		})
		if err != nil {
			return nil, err
		}
		if past {
			if err := h.Memory.keep(key, c.series); err != nil {
				return nil, err
			}
		}
	}
	for i := range c.series {
		s := &c.series[i]
		b := labels.NewScratchBuilder(len(s.Labels))
		for _, l := range s.Labels {
			b.Add(l.Name, l.Value)
		}
		b.Sort()
		s.metric = b.Labels()
	}
	return c, nil
}

func (c *chunk) add(l []page.Label, points []prometheus.Point, from time.Time, step time.Duration) {
	s := series{Labels: slices.Clone(l), Steps: make([]int32, 0, len(points)), Values: make([]float64, 0, len(points))}
	for _, p := range points {
		k := int((p.At.Sub(from) + step/2) / step)
		if k < 0 || k >= c.steps || len(s.Steps) > 0 && int(s.Steps[len(s.Steps)-1]) >= k {
			continue // not a time that was asked for
		}
		s.Steps, s.Values = append(s.Steps, int32(k)), append(s.Values, p.Value) //nolint:gosec // k < mostSteps
	}
	c.series = append(c.series, s)
}

// dress prepares the series' labels as those of alerts.
func (c *chunk) dress(with labels.Labels) {
	for i := range c.series {
		b := labels.NewBuilder(c.series[i].metric)
		with.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		c.series[i].dressed = b.Labels()
	}
}

// vector is the answer at the k-th time, at milliseconds; k must not go back.
func (c *chunk) vector(k int, at int64, dressed bool, into promql.Vector) promql.Vector {
	for i := range c.series {
		s := &c.series[i]
		for s.next < len(s.Steps) && int(s.Steps[s.next]) < k {
			s.next++
		}
		if s.next < len(s.Steps) && int(s.Steps[s.next]) == k {
			metric := s.metric
			if dressed {
				metric = s.dressed
			}
			into = append(into, promql.Sample{Metric: metric, T: at, F: s.Values[s.next]})
		}
	}
	return into
}

// instant answers a question that a template asks.
func (h *History) instant(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	key := fmt.Sprintf("instant\n%s\n%d", text, at.UnixMilli())
	if v, ok := h.answers[key]; ok {
		return v, nil
	}
	v := promql.Vector{}
	err := h.patiently(ctx, func() (prometheus.Answer, error) {
		v = v[:0]
		return h.Client.Query(ctx, text, at, h.Limits, func(l []page.Label, f float64) {
			b := labels.NewScratchBuilder(len(l))
			for _, x := range l {
				b.Add(x.Name, x.Value)
			}
			b.Sort()
			v = append(v, promql.Sample{Metric: b.Labels(), T: timestamp.FromTime(at), F: f})
		})
	})
	if err != nil {
		return nil, err
	}
	if len(h.answers) > 10_000 {
		clear(h.answers)
	}
	h.answers[key] = v
	return v, nil
}

// patiently asks until there is an answer, a refusal, or patience ends; then it
// leaves the server as much time as it may.
func (h *History) patiently(ctx context.Context, ask func() (prometheus.Answer, error)) error {
	for try := 1; ; try++ {
		begun := h.Now()
		answer, err := ask()
		h.Asked++
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, w := range answer.Warnings {
			if !slices.Contains(h.Remarks, w) && len(h.Remarks) < 20 {
				h.Remarks = append(h.Remarks, w)
			}
		}
		var rest time.Duration
		if h.Load > 0 && h.Load < 1 {
			rest = time.Duration(float64(h.Now().Sub(begun)) * (1 - h.Load) / h.Load)
		}
		switch {
		case err == nil && answer.Cut:
			return fmt.Errorf("%w: the answer is over the limit of %d series and %d MB", errRefused, h.Limits.Series, h.Limits.Bytes>>20)
		case err == nil:
			return h.Pause(ctx, rest)
		case tooMuch(err):
			return fmt.Errorf("%w: %w", errRefused, err)
		case remote.ClassOf(err) == remote.Config, try == tries:
			return err
		}
		if err := h.Pause(ctx, max(rest, remote.RetryAfter(err), time.Second<<(try-1))); err != nil {
			return err
		}
	}
}

// tooMuch says that the server will not answer this question as it stands.
func tooMuch(err error) bool {
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Reason == "timeout" {
		return true
	}
	return remote.ClassOf(err) == remote.Content
}
