package app

import (
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/pipeline"
)

// Storms says when new problems are too many to tell of each.
type Storms struct {
	Problems int             `yaml:"problems" doc:"New problems of one receiver within the time below that are told one by one; those beyond are told by one storm message. 0: no storms."`
	Within   config.Duration `yaml:"within" doc:"The time in which they are counted."`
	Calm     config.Duration `yaml:"calm" doc:"How long no problem is folded in until the storm is over."`
}

// Flapping says which problems come and go.
type Flapping struct {
	Openings int             `yaml:"openings" doc:"The opening within the time below from which on a problem flaps: it stays one open item while it comes and goes. 0: nothing flaps."`
	Within   config.Duration `yaml:"within" doc:"The time in which openings are counted."`
	Quiet    config.Duration `yaml:"quiet" doc:"How long a flapping problem must not fire until it is closed."`
}

// Silences bounds what people may silence from a page.
type Silences struct {
	Max config.Duration `yaml:"max" doc:"The longest silence a button, the page or the API makes; a longer one is cut."`
}

func defaultStorms() Storms {
	return Storms{Problems: 20, Within: config.Duration(time.Minute), Calm: config.Duration(2 * time.Minute)}
}

func defaultFlapping() Flapping {
	return Flapping{Openings: 3, Within: config.Duration(time.Hour), Quiet: config.Duration(15 * time.Minute)}
}

// validateLife refuses numbers by which no problem could live.
func (c *Config) validateLife() []error {
	var errs []error
	s, f := c.Storms, c.Flapping
	if s.Problems < 0 || s.Problems > 0 && (s.Within <= 0 || s.Within.D() > time.Hour || s.Calm <= 0 || s.Calm.D() > time.Hour) {
		errs = append(errs, config.Bad("storms", "write problems: 20, within: 1m, calm: 2m, or problems: 0 for no storms; no time may be over 1h"))
	}
	if f.Openings < 0 || f.Openings == 1 || f.Openings > maxOpenings || f.Openings > 0 && (f.Within <= 0 || f.Within.D() > 24*time.Hour || f.Quiet <= 0 || f.Quiet.D() > 24*time.Hour) {
		errs = append(errs, config.Bad("flapping", "write openings: 3 (2 to %d), within: 1h, quiet: 15m, or openings: 0 for no flapping; no time may be over 24h", maxOpenings))
	}
	if c.Silences.Max <= 0 || c.Silences.Max.D() > 30*24*time.Hour {
		errs = append(errs, config.Bad("silences.max", "write it as 24h; at most 30d"))
	}
	return errs
}

// maxOpenings bounds what a problem remembers of its openings.
const maxOpenings = 20

// rules are the numbers by which problems live.
func (p *plan) rules() pipeline.Rules {
	return pipeline.Rules{
		Redact: p.redacted(), SilenceMax: p.Silences.Max.D(),
		Storms:   pipeline.Storms{Problems: p.Storms.Problems, Within: p.Storms.Within.D(), Calm: p.Storms.Calm.D()},
		Flapping: pipeline.Flapping{Openings: p.Flapping.Openings, Within: p.Flapping.Within.D(), Quiet: p.Flapping.Quiet.D()},
	}
}
