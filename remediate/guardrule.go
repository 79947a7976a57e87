package remediate

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Rules judges candidates by the guards over a world.
type Rules struct {
	guards  []Guard
	sources Sources
	now     func() time.Time
}

// NewRules returns the judge over a world.
func NewRules(w World, now func() time.Time) *Rules {
	return &Rules{guards: Guards(w), sources: w.Sources, now: now}
}

// Ask asks every guard, in their order.
func (r *Rules) Ask(ctx context.Context, c Candidate) []Verdict {
	return Decide(ctx, r.guards, c).Verdicts
}

// Holds asks a question of the first source whose samples must all be other than
// zero, and says what was seen. An answer that is empty, doubtful, stale or not a
// number is an error: it is not known.
func (r *Rules) Holds(ctx context.Context, query string, t Target) (ok bool, saw string, err error) {
	values, err := r.values(ctx, "", query, t)
	if err != nil {
		return false, "", err
	}
	ok, saw = true, number(values[0])
	for _, v := range values {
		if v == 0 {
			ok, saw = false, number(v)
		}
	}
	return ok, among(saw, len(values)), nil
}

// Saw asks a question of the source of this name, "" the first, and says what the
// first of its samples is, by the rules of Holds.
func (r *Rules) Saw(ctx context.Context, source, query string, t Target) (string, error) {
	values, err := r.values(ctx, source, query, t)
	if err != nil {
		return "", err
	}
	return among(number(values[0]), len(values)), nil
}

func among(saw string, n int) string {
	if n > 1 {
		saw += " among " + number(float64(n)) + " samples"
	}
	return saw
}

// values are the samples of an answer that is known: one of them at least.
func (r *Rules) values(ctx context.Context, source, query string, t Target) ([]float64, error) {
	if r.sources == nil {
		return nil, errors.New("no source is configured")
	}
	q, err := pose(query, t)
	if err != nil {
		return nil, err
	}
	now := r.now()
	if err := notStale(ctx, r.sources, source, q, now); err != nil {
		return nil, err
	}
	values, err := reliable(ctx, r.sources, source, q.String(), now)
	switch {
	case err != nil:
		return nil, err
	case len(values) == 0:
		return nil, errors.New("the answer is empty")
	case slices.ContainsFunc(values, math.IsNaN):
		return nil, errors.New("the answer is NaN")
	}
	return values, nil
}

// notStale refuses a question whose selectors hold old samples. One that holds
// none is no concern of it: that something is gone may be what is asked.
func notStale(ctx context.Context, sources Sources, source string, q parser.Expr, now time.Time) error {
	fresh, err := freshnesses(q)
	if err != nil {
		return err
	}
	for _, f := range fresh {
		at, err := reliable(ctx, sources, source, f.query, now)
		if err != nil {
			return err
		}
		for _, oldest := range at {
			if err := f.check(oldest, now); err != nil {
				return err
			}
		}
	}
	return nil
}
