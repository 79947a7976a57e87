package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// job is an item of store.LaneLater: what the pipeline owes itself. Its answer
// comes back by the front door, as an event.
type job struct {
	Do      string       `json:"do"`
	Problem string       `json:"problem"`
	Episode int          `json:"episode"`
	Alerts  []page.Alert `json:"alerts,omitempty"` // recheck: those that were held
	Act     *page.Act    `json:"act,omitempty"`    // silence: what was asked for
	Event   string       `json:"event,omitempty"`  // silence: the act's, by which Alertmanager knows a repeat
	At      time.Time    `json:"at,omitzero"`      // silence: when it was asked for
}

// What a job does.
const (
	doContext = "context" // ask for context with more time than the page had
	doSince   = "since"   // find out when it began, and after what
	doRecheck = "recheck" // ask Alertmanager whether held alerts fire
	doShow    = "show"    // a storm shows its counts
	doLull    = "lull"    // see whether a storm is over
	doQuiet   = "quiet"   // close a self-alarm that was not raised again
	doSettle  = "settle"  // close what flaps and was quiet
	doChart   = "chart"   // draw the chart of a page that has left
	doWake    = "wake"    // after a silence, ask Alertmanager what still fires
	doSilence = "silence" // make a silence in Alertmanager, or end it
)

const (
	// secondLook is when "nothing in common" is asked again: rates and shares
	// of the first seconds are from windows that are mostly of before the fault.
	secondLook = 30 * time.Second
	// contextFor bounds one ask of a page that has left already.
	contextFor = 45 * time.Second
	// contextTries bounds the asks of one episode after its deadline.
	contextTries = 4
	// recheckAfter lets Alertmanager's peers settle before they are asked.
	recheckAfter = 10 * time.Second
	// quietAfter closes a self-alarm that was not raised again.
	quietAfter = time.Hour
)

// followUps are the jobs a step leaves behind; they are written with it.
func (w *Worker) followUps(s Step, e page.Event) []store.Op {
	p := s.Problem
	jobs := owed{worker: w, problem: p, event: e.ID}
	switch {
	case p.Storm != nil:
		w.stormJobs(s, &jobs)
		return jobs.ops
	case p.Self && (s.Opened || e.Kind == page.Alarmed && p.State == page.Open):
		jobs.add(job{Do: doQuiet}, quietAfter)
	case p.Folded != "": // sources are not asked about it
	case s.Opened && p.Context.Pending, s.Grew, s.Unfolded:
		jobs.add(job{Do: doContext}, 0)
	case s.Opened && len(p.Context.Traits) == 0:
		jobs.add(job{Do: doContext}, secondLook)
	}
	if w.undated(s, e) {
		jobs.add(job{Do: doSince}, 0)
	}
	if w.charts(s, e) {
		jobs.add(job{Do: doChart}, chartFirst)
	}
	if len(s.Held) > 0 {
		jobs.add(job{Do: doRecheck, Alerts: s.Held}, recheckAfter)
	}
	if s.Changed && !p.Settling.IsZero() {
		jobs.add(job{Do: doSettle}, p.Settling.Sub(w.Now()))
	}
	if !s.wake.IsZero() {
		jobs.add(job{Do: doWake}, s.wake.Sub(w.Now()))
	}
	if s.ask != nil {
		jobs.add(job{Do: doSilence, Act: s.ask, Event: e.ID, At: e.At}, 0)
	}
	return jobs.ops
}

// stormJobs are those of a storm. However many gusts ask for it, its counts are
// shown once.
func (w *Worker) stormJobs(s Step, jobs *owed) {
	if s.blows {
		jobs.add(job{Do: doLull}, s.Problem.Settling.Sub(w.Now()))
	}
	jobs.event = "counts"
	switch {
	case s.Opened:
		jobs.add(job{Do: doShow}, stormAfter)
	case !s.later.IsZero():
		jobs.add(job{Do: doShow}, s.later.Sub(w.Now()))
	}
}

// owed gathers the jobs of one step.
type owed struct {
	worker  *Worker
	problem page.Problem
	event   string // part of their ids: a job whose id waits already is not added
	ops     []store.Op
}

func (o *owed) add(j job, after time.Duration) {
	p, w := o.problem, o.worker
	j.Problem, j.Episode = p.ID, p.Episode
	value, err := json.Marshal(j)
	if err != nil { // strings, numbers and times: cannot be
		w.Log.Error("encode job", "page", p.ID, "err", err)
		return
	}
	key := p.ID + "/" + j.Do
	if j.Do == doWake { // an undo comes before the end it replaces
		key += "/" + o.event
	}
	o.ops = append(o.ops, store.Enqueue(store.Item{
		Lane: store.LaneLater, Key: key, Value: value, Due: w.Now().Add(after),
		ID: fmt.Sprintf("%s/%s/%d/%s", p.ID, j.Do, p.Episode, o.event), Priority: -p.Severity().Rank(),
	}))
}

// later does one job; the event it makes and the end of the job are one batch.
func (w *Worker) later(ctx context.Context, l store.Lease) error {
	var j job
	if err := json.Unmarshal(l.Value, &j); err != nil {
		w.Log.Error("job cannot be read and is dropped", "item", l.ID, "err", err)
		return w.Store.Apply(ctx, store.Done(l))
	}
	p, _, err := Load(ctx, w.Store, j.Problem)
	if err != nil {
		return err
	}
	if p.Episode != j.Episode && j.Do != doRecheck && j.Do != doSilence {
		return w.Store.Apply(ctx, store.Done(l))
	}
	e := page.Event{Problem: j.Problem, ID: "later/" + l.ID, Actor: "tocsin", At: w.Now(), Episode: j.Episode}
	switch j.Do {
	case doContext:
		return w.lateContext(ctx, l, p, e)
	case doSince:
		return w.since(ctx, l, p, e)
	case doRecheck:
		return w.recheck(ctx, l, j, p, e)
	case doQuiet:
		return w.quiet(ctx, l, p, e)
	case doShow:
		return w.show(ctx, l, p, e)
	case doLull:
		return w.lull(ctx, l, p, e)
	case doChart:
		return w.draw(ctx, l, p, e)
	case doSettle:
		return w.settled(ctx, l, p, e)
	case doWake:
		return w.wake(ctx, l, p, e)
	case doSilence:
		return w.silence(ctx, l, j, p, e)
	default:
		w.Log.Error("job of unknown kind is dropped", "item", l.ID, "do", j.Do)
		return w.Store.Apply(ctx, store.Done(l))
	}
}

func (w *Worker) lateContext(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	if p.State != page.Open {
		return w.Store.Apply(ctx, store.Done(l))
	}
	ctx, cancel := context.WithTimeout(ctx, contextFor)
	found := w.Enricher.Context(ctx, p)
	cancel()
	ctx = context.WithoutCancel(ctx)
	if !found.Known() && l.Attempt+1 < contextTries {
		return w.Store.Apply(ctx, store.Retry(l, w.Now().Add(time.Duration(l.Attempt+1)*15*time.Second)))
	}
	found.Pending = false // nothing more is coming: the page says so
	e.Kind, e.Context = page.Enriched, &found
	return w.submit(ctx, l, p, e)
}

// recheck asks Alertmanager about alerts that look like an echo. Those that do
// fire, and all of them when it cannot be asked, are believed: a doubled page
// is better than a lost one.
func (w *Worker) recheck(ctx context.Context, l store.Lease, j job, p page.Problem, e page.Event) error {
	active, err := w.Asker.Active(ctx, p.Cluster, j.Alerts)
	if err != nil {
		w.Log.Warn("held alerts are believed: Alertmanager could not be asked", "page", p.ID, "err", err)
		active = j.Alerts
	}
	n := p.Group // without any alert it says that they were an echo
	n.Alerts = active
	for _, a := range j.Alerts { // one that opened all the same is over
		gone := !slices.ContainsFunc(active, func(b page.Alert) bool { return a.ID == b.ID })
		if gone && p.Members[a.ID].Open {
			a.Status, a.EndsAt = page.Resolved, e.At
			n.Alerts = append(n.Alerts, a)
		}
	}
	e.Kind, e.Notification = page.Recheck, &n
	return w.submit(ctx, l, p, e)
}

// quiet resolves a self-alarm unless it was raised again meanwhile; then the
// later alarm's own job will look again.
func (w *Worker) quiet(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	if p.State != page.Open || w.Now().Sub(p.Updated) < quietAfter {
		return w.Store.Apply(ctx, store.Done(l))
	}
	n := p.Group
	for _, a := range p.Firing() {
		a.Status, a.EndsAt = page.Resolved, w.Now()
		n.Alerts = append(n.Alerts, a)
	}
	e.Kind, e.Notification = page.Notified, &n
	return w.submit(ctx, l, p, e)
}

// submit ends a job by handing its event to the front door.
func (w *Worker) submit(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	value, err := store.Marshal(e)
	if err != nil {
		return err
	}
	return w.Store.Apply(ctx, store.Done(l), store.Enqueue(store.Item{
		Lane: store.LaneEvents, ID: e.ID, Key: e.Problem, Priority: -p.Severity().Rank(), Value: value,
	}))
}
