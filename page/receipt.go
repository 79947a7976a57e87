package page

import "time"

// DeliveryState is the state of one problem's episode at one target.
type DeliveryState string

// A delivery is written down as Intent before the request leaves; what came of
// it replaces the intent. An Intent found after a crash is an ambiguous outcome.
const (
	Intent    DeliveryState = "intent"
	Waiting   DeliveryState = "waiting" // surely not accepted: it is sent again
	Sent      DeliveryState = "sent"
	Ambiguous DeliveryState = "ambiguous" // the request may have been accepted: reconcile before sending again
	Failed    DeliveryState = "failed"    // the service will never take it in this form
)

// Receipt is the ledger's line for one episode of a problem at one target.
type Receipt struct {
	Delivery string        `json:"delivery"` // stable id of (problem, episode, target); also the marker the service is asked for
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Receiver string        `json:"receiver"`
	Target   string        `json:"target"` // kind/name, "slack/payments"
	State    DeliveryState `json:"state"`
	Verb     string        `json:"verb"` // what the intent is to do: open, update, resolve, follow, chart

	Channel  string    `json:"channel,omitempty"`  // where the service says it stands
	Ref      string    `json:"ref,omitempty"`      // the service's own id: Slack ts, PagerDuty dedup_key
	Link     string    `json:"link,omitempty"`     // opens it in the service's own UI
	Revision uint64    `json:"revision"`           // the problem's revision it shows; an older edit is dropped
	Resolved bool      `json:"resolved,omitempty"` // the service was told that it is over
	Repeat   bool      `json:"repeat,omitempty"`   // sent again although the first may have arrived: it says so
	Attempt  int       `json:"attempt"`            // requests made for the current intent
	Since    time.Time `json:"since"`              // first intent: where a search in the service's history starts
	At       time.Time `json:"at"`                 // last change of this receipt
	First    time.Time `json:"first,omitzero"`     // when the first message was accepted
	Error    string    `json:"error,omitempty"`    // of the last attempt, secrets removed
	Said     string    `json:"said,omitempty"`     // in shadow: the first line of the message that was not sent
	Followed int       `json:"followed,omitempty"` // Update.N of the last update said beside the message
	Further  []string  `json:"further,omitempty"`  // refs of what was opened since because it got worse, oldest first
	Marker   string    `json:"marker,omitempty"`   // what a follow or chart under way is found by
	Instead  string    `json:"instead,omitempty"`  // the target it stands in for, which could not be told
	Parts    []string  `json:"parts,omitempty"`    // of a target that is several: who has accepted what, until all have
	Traits   []Labels  `json:"traits,omitempty"`   // traits the first message carried: a strong one that comes later is said aloud
	Entries  int       `json:"entries,omitempty"`  // lines of the timeline this target has written
}
