package ttn

import (
	"math"
	"slices"
	"time"
)

// Times is when one fault's page passed each stage, by stage name. A stage
// that was not observed is absent.
type Times map[string]time.Time

// Since returns how long after the fault a stage was passed.
func (t Times) Since(stage string) (time.Duration, bool) {
	at, ok := t[stage]
	fault, has := t[StageFault]
	return at.Sub(fault), ok && has
}

// Took returns how long a stage took: since the last earlier stage that was
// observed. Clocks of several processes on one machine may disagree by a
// little, so a step back counts as none.
func (t Times) Took(stage string) (time.Duration, bool) {
	at, ok := t[stage]
	if !ok {
		return 0, false
	}
	names := StageNames()
	for i := slices.Index(names, stage) - 1; i >= 0; i-- {
		if before, ok := t[names[i]]; ok {
			return max(0, at.Sub(before)), true
		}
	}
	return 0, false
}

// Quantile is the nearest-rank quantile (q of 0..1), 0 for no values.
func Quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Summary is one stage over many faults.
type Summary struct {
	Stage    string        `json:"stage"`
	N        int           `json:"n"`
	TookP50  time.Duration `json:"took_p50_ns"`
	TookP95  time.Duration `json:"took_p95_ns"`
	SinceP50 time.Duration `json:"since_fault_p50_ns"`
	SinceP95 time.Duration `json:"since_fault_p95_ns"`
	SinceMax time.Duration `json:"since_fault_max_ns"`
}

// Summarise returns one line per stage after the fault.
func Summarise(runs []Times) []Summary {
	var out []Summary
	for _, stage := range StageNames()[1:] {
		var took, since []time.Duration
		for _, t := range runs {
			if d, ok := t.Since(stage); ok {
				since = append(since, d)
			}
			if d, ok := t.Took(stage); ok {
				took = append(took, d)
			}
		}
		out = append(out, Summary{
			Stage: stage, N: len(since),
			TookP50: Quantile(took, 0.5), TookP95: Quantile(took, 0.95),
			SinceP50: Quantile(since, 0.5), SinceP95: Quantile(since, 0.95), SinceMax: Quantile(since, 1),
		})
	}
	return out
}
