package page

import "time"

// Entry is one line of a problem's timeline: an event and what was decided on
// it, or what came of a delivery. Together they answer "why was I paged, and
// why not?".
type Entry struct {
	At       time.Time `json:"at"`
	Room     string    `json:"room"`               // pipeline, notify, remediate
	Episode  int       `json:"episode"`            //
	Revision uint64    `json:"revision"`           //
	Kind     string    `json:"kind"`               // of the event, or the verb of the delivery
	Actor    string    `json:"actor"`              // alertmanager/dc1, slack/payments, operator/alice
	Text     string    `json:"text"`               // the decision in words
	Evidence []string  `json:"evidence,omitempty"` // further lines: what was seen
	Event    string    `json:"event,omitempty"`    // its ID
	Target   string    `json:"target,omitempty"`   // of a delivery
	Failed   bool      `json:"failed,omitempty"`   // the delivery did not come through, or the act was refused
}
