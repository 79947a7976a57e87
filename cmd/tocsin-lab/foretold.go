package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

// Foretold is what `tocsin doctor` says of the very files that a world runs on,
// beside what was measured in it, averaged over the same faults.
type Foretold struct {
	ttn.Span
	N        int           `json:"n"` // faults that were delivered
	Measured time.Duration `json:"measured_ns"`
	Exceeded int           `json:"exceeded"` // faults that took longer than the worst
}

// Off is how far the measured mean is from the predicted one, as a share of it.
func (f Foretold) Off() float64 {
	if f.Mean == 0 {
		return 0
	}
	return float64(f.Measured-f.Mean) / float64(f.Mean)
}

// foretell asks the doctor about each fault that was delivered.
func foretell(ctx context.Context, dir string, outcomes []drill.Outcome) (Foretold, error) {
	var f Foretold
	for _, o := range outcomes {
		took, ok := o.Times.Since(ttn.StageDelivered)
		if !ok {
			continue
		}
		x, err := app.Examine(ctx, app.DoctorOptions{
			Rules: []string{filepath.Join(dir, "rules.yml")}, Level: o.Fault.Level,
			Prometheus:   filepath.Join(dir, "prometheus-"+world.Replica(0)+".yml"),
			Alertmanager: filepath.Join(dir, "alertmanager.yml"), ConfigFile: filepath.Join(dir, "tocsin.yml"),
		})
		if err != nil {
			return f, fmt.Errorf("ask the doctor: %w", err)
		}
		for _, r := range x.Rules {
			if r.Alert != o.Fault.Alert {
				continue
			}
			f.N++
			f.Span = f.Plus(r.Span)
			f.Measured += took
			if took > r.Worst {
				f.Exceeded++
			}
		}
	}
	if n := time.Duration(f.N); n > 0 {
		f.Span = ttn.Span{Best: f.Best / n, Mean: f.Mean / n, Worst: f.Worst / n}
		f.Measured /= n
	}
	return f, nil
}

func (s *screen) foretold(f Foretold) {
	s.line("  tocsin doctor, of the files it ran on: best %s, mean %s, worst %s; measured mean %s of %d (%+.1f %%), worst exceeded %d times",
		seconds(f.Best), seconds(f.Mean), seconds(f.Worst), seconds(f.Measured), f.N, 100*f.Off(), f.Exceeded)
}
