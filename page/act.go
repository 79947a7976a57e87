package page

import "time"

// Verb is what a person does to a problem, by a button, the page or the API.
type Verb string

// The verbs of people.
const (
	Acknowledge   Verb = "ack"
	Unacknowledge Verb = "unack"
	SilenceIt     Verb = "silence"   // ask Alertmanager to be quiet about exactly this group
	UnsilenceIt   Verb = "unsilence" // end the silence Act.Silence
	NotUseful     Verb = "useless"   // counted per rule
	Remark        Verb = "note"
	ApproveIt     Verb = "approve" // the dispatch Act.Dispatch may go on
	DenyIt        Verb = "deny"    // it may not
)

// Act is one thing somebody did. It enters by the door, as an Event of kind Acted.
type Act struct {
	Verb    Verb      `json:"verb"`
	By      string    `json:"by"`                // as people are called: "Jane Doe", "operator alice"
	Via     string    `json:"via,omitempty"`     // target it was done at, "slack/payments"; "" for the page or the API
	Until   time.Time `json:"until,omitzero"`    // SilenceIt
	Silence string    `json:"silence,omitempty"` // UnsilenceIt: Silence.ID
	Text    string    `json:"text,omitempty"`    // Remark; untrusted

	Dispatch string `json:"dispatch,omitempty"` // ApproveIt, DenyIt: Run.Dispatch
}

// Ack says who has taken a problem.
type Ack struct {
	By  string    `json:"by"`
	Via string    `json:"via,omitempty"`
	At  time.Time `json:"at"`
}

// Silence is a silence in Alertmanager that was asked for here.
type Silence struct {
	ID       string    `json:"id"`                 // Alertmanager's
	By       string    `json:"by"`                 //
	At       time.Time `json:"at"`                 //
	Until    time.Time `json:"until"`              //
	Matchers []string  `json:"matchers,omitempty"` // as Alertmanager writes them: service="checkout"
	Ended    time.Time `json:"ended,omitzero"`     // by its undo
	Error    string    `json:"error,omitempty"`    // it does not stand: Alertmanager refused, in words
}

// Vote is what people think of a rule's pages.
type Vote struct {
	Alert   string    `json:"alert"`   // the rule
	Useless int       `json:"useless"` // how often a person found an episode of it not useful
	Last    time.Time `json:"last"`
}
