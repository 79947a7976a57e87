package remediate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Reading is what one question of a policy saw before the launch, and in the end.
type Reading struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"` // "": nothing was launched, or it was not asked
	After  string `json:"after,omitempty"`
}

const (
	// readTime is how long all readings together may take: they hold up a launch.
	readTime = 5 * time.Second
	// maxReadings bounds the questions that are read.
	maxReadings = 10
)

// read asks what the policy looks at, whatever it requires of it: how many alerts
// of the target fire, what the step's verification asks, the pre-checks, the proof.
func (w *walk) read(ctx context.Context) (names, saw []string) {
	d := &w.v.Dispatch
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	names, saw = []string{"alerts of it that fire"}, []string{w.alerts(ctx)}
	questions := []PreCheck{}
	if q := d.Step.Verify.PromQL; q != "" {
		questions = append(questions, PreCheck{Name: "verification", PromQL: q})
	}
	if p := w.policy(d); p != nil {
		questions = append(questions, p.Guards.PreChecks...)
		if p.Guards.Proof != nil {
			questions = append(questions, *p.Guards.Proof)
		}
	}
	questions = questions[:min(len(questions), maxReadings)]
	answers := make([]string, len(questions))
	var asking sync.WaitGroup
	for i, q := range questions {
		asking.Go(func() {
			var err error
			if answers[i], err = w.Judge.Saw(ctx, q.Source, q.PromQL, d.Target); err != nil {
				answers[i] = "not known (" + shown(err.Error()) + ")"
			}
		})
	}
	asking.Wait()
	for i, q := range questions {
		names, saw = append(names, shown(q.Name)), append(saw, answers[i])
	}
	return names, saw
}

// alerts counts those of the target that fire.
func (w *walk) alerts(ctx context.Context) string {
	d := &w.v.Dispatch
	p, err := problem(ctx, w.Store, d.Problem)
	pol := w.policy(d)
	if err != nil || pol == nil {
		return "not known"
	}
	if p.Episode != d.Episode || p.State != page.Open {
		return "0"
	}
	return fmt.Sprint(len(pol.AlertsOf(p.View(), d.Target)))
}

// before are the readings of a launch.
func (w *walk) before(ctx context.Context) []Reading {
	names, saw := w.read(ctx)
	out := make([]Reading, len(names))
	for i, name := range names {
		out[i] = Reading{Name: name, Before: saw[i]}
	}
	return out
}

// after are the readings of the launch with what they are now.
func (w *walk) after(ctx context.Context) []Reading {
	names, saw := w.read(ctx)
	out := make([]Reading, len(names))
	for i, name := range names {
		out[i] = Reading{Name: name, After: saw[i]}
		for _, r := range w.v.Readings {
			if r.Name == name {
				out[i].Before = r.Before
			}
		}
	}
	return out
}

// readings are lines of them.
func readings(all []Reading) []string {
	out := make([]string, 0, len(all))
	for _, r := range all {
		line := r.Name + ": " + r.After
		if r.Before != "" {
			line = fmt.Sprintf("%s: %s before the launch, %s now", r.Name, r.Before, r.After)
		}
		out = append(out, line)
	}
	return out
}

// maxOutput bounds the lines of a job's output that stand in the evidence.
const maxOutput = 12

// evidence is what people who are needed want to see first: what changed, what
// the job did, how its output ends, what the guards said.
func (d *Dispatch) evidence(read []Reading) []string {
	out := readings(read)
	if d.Evidence != nil {
		out = append(out, d.Evidence.hosts()...)
		lines := strings.FieldsFunc(d.Evidence.Tail, func(r rune) bool { return r == '\n' || r == '\r' })
		var kept []string
		for _, l := range lines {
			if strings.TrimSpace(l) != "" {
				kept = append(kept, "| "+shown(strings.TrimRight(l, " *")))
			}
		}
		if len(kept) > 0 {
			out = append(append(out, "output ends:"), kept[max(0, len(kept)-maxOutput):]...)
		}
	}
	return append(out, d.guards()...)
}

// line is what a guard said.
func (v Verdict) line() string {
	s := fmt.Sprintf("%s: %s, %s", v.Guard, v.Outcome, shown(v.Reason))
	if v.Value != "" {
		s += " (" + shown(v.Value) + ")"
	}
	return s
}

// guards is the table of guards as it was last: what did not pass first.
func (d *Dispatch) guards() []string {
	if len(d.Verdicts) == 0 {
		return nil
	}
	var not, passed []string
	for _, v := range d.Verdicts {
		if v.Outcome == Pass {
			passed = append(passed, v.line())
		} else {
			not = append(not, v.line())
		}
	}
	head := fmt.Sprintf("guards: %d of %d pass", len(passed), len(d.Verdicts))
	if len(not) == 0 {
		head = guardsPass(len(passed))
	}
	return append(append([]string{head}, not...), passed...)
}
