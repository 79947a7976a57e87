package remediate

import (
	"context"
	"errors"
	"math"
	"time"
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
// zero, and says what was seen. An answer that is empty, doubtful or not a number
// is an error: it is not known.
func (r *Rules) Holds(ctx context.Context, query string, t Target) (ok bool, saw string, err error) {
	if r.sources == nil {
		return false, "", errors.New("no source is configured")
	}
	text, err := Pose(query, t)
	if err != nil {
		return false, "", err
	}
	a, err := r.sources.Ask(ctx, "", text, r.now())
	switch {
	case err != nil:
		return false, "", err
	case a.Doubt != "":
		return false, "", errors.New("the answer cannot be relied on: " + a.Doubt)
	case len(a.Values) == 0:
		return false, "", errors.New("the answer is empty")
	}
	ok, saw = true, number(a.Values[0])
	for _, v := range a.Values {
		if math.IsNaN(v) {
			return false, "", errors.New("the answer is NaN")
		}
		if v == 0 {
			ok, saw = false, number(v)
		}
	}
	if n := len(a.Values); n > 1 {
		saw += " among " + number(float64(n)) + " samples"
	}
	return ok, saw, nil
}
