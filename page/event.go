package page

import "time"

// EventKind says what happened.
type EventKind string

// The kinds of event. Every one of them enters by the door and is applied by
// the pipeline, in order, by the one writer its problem has.
const (
	Notified EventKind = "notified" // Alertmanager sent a webhook
	Enriched EventKind = "enriched" // context arrived after the page had left
	Dated    EventKind = "dated"    // it was found out when the badness began, and after what
	Recheck  EventKind = "recheck"  // a held late firing is due: ask Alertmanager whether it is real
	Alarmed  EventKind = "alarmed"  // Tocsin has something to say about itself
	// Unshadowed says that the problem's receiver left the shadow while it was
	// open: nobody was told of it yet.
	Unshadowed EventKind = "unshadowed"

	Acted    EventKind = "acted"    // somebody pressed a button
	Silenced EventKind = "silenced" // what came of a silence that was asked for, or of its undo
	Charted  EventKind = "charted"  // the chart is there
	Blown    EventKind = "blown"    // a problem was folded into this storm, or one of it is over
	Calmed   EventKind = "calmed"   // the storm, or the flapping, has passed
	Ran      EventKind = "ran"      // a step of a remediation has come further
	Told     EventKind = "told"     // a target could not be told in time: somebody else was
)

// Event is the one way in: a webhook, late context, a self-alert, a button.
// Exactly one payload is set, by Kind.
type Event struct {
	Problem string    `json:"problem"` // page.ProblemID
	Kind    EventKind `json:"kind"`
	ID      string    `json:"id"`    // unique; an event that was applied is not applied again
	Actor   string    `json:"actor"` // who: "alertmanager/dc1", "tocsin", "operator/alice"
	At      time.Time `json:"at"`    // when the door accepted it

	Notification *Notification `json:"notification,omitempty"` // Notified, Recheck, Alarmed
	Context      *Context      `json:"context,omitempty"`      // Enriched, Dated
	Receipts     []Receipt     `json:"receipts,omitempty"`     // Notified: who was told of it already, past a store that was unusable
	Episode      int           `json:"episode,omitempty"`      // the episode it is about; 0 for Notified and Alarmed, which may begin one
	Act          *Act          `json:"act,omitempty"`          // Acted
	Silence      *Silence      `json:"silence,omitempty"`      // Silenced
	Chart        *Chart        `json:"chart,omitempty"`        // Charted
	Gust         *Gust         `json:"gust,omitempty"`         // Blown
	Run          *Run          `json:"run,omitempty"`          // Ran
	Text         string        `json:"text,omitempty"`         // Told: what failed and who was told instead
	Trace        string        `json:"trace,omitempty"`        // W3C traceparent, so that a trace survives the store
}
