// Package drill strikes a fault in a running world, watches the page come, and
// judges it by what people saw first: the ledgers of the fake Slack and the fake
// PagerDuty, never Tocsin's own word.
package drill

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
	"github.com/tocsin/tocsin/page"
)

// Outcome is what became of one fault.
type Outcome struct {
	Fault      scenario.Fault `json:"fault"`
	Times      ttn.Times      `json:"times"`
	Slack      string         `json:"slack"`     // what the first post said
	PagerDuty  string         `json:"pagerduty"` // what the trigger said
	SlackRight bool           `json:"slack_right"`
	PDRight    bool           `json:"pagerduty_right"`
	Roots      int            `json:"roots"`     // Slack roots about this fault; one is right
	Incidents  int            `json:"incidents"` // PagerDuty incidents about it; one is right
	Edits      int            `json:"edits"`     // edits of the Slack root
	Resolved   bool           `json:"resolved"`  // told in both places
	Dating     Dating         `json:"dating"`    // what the page said of when it began, where that was waited for
	Err        string         `json:"error,omitempty"`
	Page       page.Page      `json:"page"` // as Tocsin's API had it once it was delivered
}

// Right reports whether the first words in both places were right.
func (o Outcome) Right() bool { return o.SlackRight && o.PDRight }

// Runner drills one world.
type Runner struct {
	World *world.World
	// Passed, if set, is told each stage as soon as it is known.
	Passed func(f scenario.Fault, stage string, at time.Time)
	// Announces tells Tocsin of the deploys around each fault: an innocent one
	// ten minutes before and, of a bad deploy, itself.
	Announces bool

	client *http.Client
}

// New returns a runner for a world that is up.
func New(w *world.World) *Runner {
	return &Runner{World: w, client: &http.Client{Timeout: 5 * time.Second}}
}

// Deliver strikes a fault and waits until its page stands in Slack and in
// PagerDuty. An error means it did not, in time; the outcome then holds what
// was seen. Heal the fault by its ID.
func (r *Runner) Deliver(ctx context.Context, kind scenario.Kind, service string) (Outcome, error) {
	f, err := r.World.Board.Strike(kind, service, 0)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{Fault: f, Times: ttn.Times{}}
	r.pass(&o, ttn.StageFault, f.At)
	if r.Announces {
		if err := r.announce(ctx, f); err != nil {
			return o, err
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r.observe(ctx, &o)
		if r.judge(&o) {
			r.settle(ctx, &o)
			return o, nil
		}
		select {
		case <-ctx.Done():
			r.settle(context.WithoutCancel(ctx), &o)
			o.Err = "page not delivered: " + context.Cause(ctx).Error()
			return o, fmt.Errorf("%s: %s", f.ID, o.Err)
		case err := <-r.World.Failed():
			o.Err = err.Error()
			return o, err
		case <-tick.C:
		}
	}
}

// pass records a stage once.
func (r *Runner) pass(o *Outcome, stage string, at time.Time) {
	if _, ok := o.Times[stage]; ok || at.IsZero() {
		return
	}
	o.Times[stage] = at
	if r.Passed != nil {
		r.Passed(o.Fault, stage, at)
	}
}

// judge reads the ledgers and reports whether both services have the page.
func (r *Runner) judge(o *Outcome) bool {
	slack := r.roots(o.Fault)
	pd := r.incidents(o.Fault)
	if len(slack) == 0 || len(pd) == 0 {
		return false
	}
	r.pass(o, ttn.StageDelivered, later(slack[0].Accepted, pd[0].Accepted))
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// about reports whether a message is about the fault: it names its alert and
// its service. (Its trait is what is judged, so that has no say here.)
func about(f scenario.Fault, text string) bool {
	return strings.Contains(text, f.Alert) && strings.Contains(text, f.Service)
}

// roots returns the Slack messages about a fault that are no thread replies, in
// the order of their arrival.
func (r *Runner) roots(f scenario.Fault) []fakeslack.Message {
	var out []fakeslack.Message
	for _, m := range r.World.FakeSlack.Ledger().Roots() {
		if m.ThreadTS == "" && !m.Accepted.Before(f.At) && about(f, said(m.First)) {
			out = append(out, m)
		}
	}
	return out
}

// said is what a version of a Slack message says, on the phone and in the channel.
func said(v fakeslack.Version) string { return v.Visible + "\n" + v.Text }

func (r *Runner) incidents(f scenario.Fault) []fakepagerduty.Incident {
	var out []fakepagerduty.Incident
	for _, in := range r.World.FakePD.Ledger().Incidents {
		if !in.Accepted.Before(f.At) && about(f, triggered(in)) {
			out = append(out, in)
		}
	}
	return out
}

// triggered is what the first event of an incident says.
func triggered(in fakepagerduty.Incident) string { return in.Title + "\n" + string(in.Details) }

// settle fills in what is judged once the page stands, or once it never came.
func (r *Runner) settle(ctx context.Context, o *Outcome) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r.readScrape(ctx, o)
	r.readPage(ctx, o)
	r.count(o)
}

// count takes the figures that may still change from the ledgers.
func (r *Runner) count(o *Outcome) {
	slack, pd := r.roots(o.Fault), r.incidents(o.Fault)
	o.Roots, o.Incidents = len(slack), len(pd)
	if len(slack) > 0 {
		o.Slack, o.Edits = slack[0].First.Visible, len(slack[0].Versions)-1
		o.SlackRight = o.Fault.Says(said(slack[0].First))
	}
	if len(pd) > 0 {
		o.PagerDuty = pd[0].Title
		o.PDRight = o.Fault.Says(triggered(pd[0]))
	}
}

// Resolve heals the fault and waits until both places say that it is over.
func (r *Runner) Resolve(ctx context.Context, o *Outcome) error {
	r.World.Board.Heal(o.Fault.ID)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if r.over(o.Fault) {
			o.Resolved = true
			r.count(o)
			return nil
		}
		select {
		case <-ctx.Done():
			r.count(o)
			return fmt.Errorf("%s: resolve not told: %w", o.Fault.ID, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (r *Runner) over(f scenario.Fault) bool {
	slack, pd := r.roots(f), r.incidents(f)
	if len(slack) == 0 || len(pd) == 0 {
		return false
	}
	for _, m := range slack {
		if len(m.Versions) < 2 || !strings.Contains(strings.ToLower(said(m.Current)), "resolved") {
			return false
		}
	}
	for _, in := range pd {
		if in.Status != "resolved" {
			return false
		}
	}
	return true
}
