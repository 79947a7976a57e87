package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tocsin/tocsin/config"
)

// Step is one line of a scenario file.
type Step struct {
	At      config.Duration `yaml:"at"`      // after the start
	Fault   Kind            `yaml:"fault"`   // of the catalogue
	Service string          `yaml:"service"` // "": the fleet's first
	For     config.Duration `yaml:"for"`     // heals by itself; 0: never
}

// Steps is a scenario file: a YAML list of steps.
type Steps []Step

// Validate reports what cannot be meant.
func (s Steps) Validate() error {
	var errs []error
	for i, step := range s {
		if !slices.Contains(Kinds(), step.Fault) {
			errs = append(errs, config.Bad(fmt.Sprintf("[%d].fault", i), "%s", unknown(step.Fault)))
		}
		if step.At < 0 || step.For < 0 {
			errs = append(errs, config.Bad(fmt.Sprintf("[%d].at", i), "times are not negative"))
		}
	}
	return errors.Join(errs...)
}

// Parse reads a scenario file. All mistakes come together, each with its line.
// Steps are returned in the order of their times.
func Parse(name string, data []byte) (Steps, error) {
	section, err := config.Parse(name, data)
	if err != nil {
		return nil, err
	}
	var steps Steps
	if err := section.Decode(&steps); err != nil {
		return nil, err
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return steps, nil
}
