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
)

// Event is the one way in: a webhook, late context, a self-alert, and
// later a button, a change, a job's end. Exactly one payload is set, by Kind.
type Event struct {
	Problem string    `json:"problem"` // page.ProblemID
	Kind    EventKind `json:"kind"`
	ID      string    `json:"id"`    // unique; an event that was applied is not applied again
	Actor   string    `json:"actor"` // who: "alertmanager/dc1", "tocsin", "operator/alice"
	At      time.Time `json:"at"`    // when the door accepted it

	Notification *Notification `json:"notification,omitempty"` // Notified, Recheck, Alarmed
	Context      *Context      `json:"context,omitempty"`      // Enriched, Dated
	Receipts     []Receipt     `json:"receipts,omitempty"`     // Notified: who was told of it already, past a store that was unusable
	Episode      int           `json:"episode,omitempty"`      // Enriched, Dated, Recheck, Unshadowed: the episode it is about
	Trace        string        `json:"trace,omitempty"`        // W3C traceparent, so that a trace survives the store
}
