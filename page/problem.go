package page

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// State of a problem.
type State string

// A problem is open from its first firing alert until its last one resolves.
const (
	Open   State = "open"
	Closed State = "resolved"
)

// Member is one alert's own episode inside a problem.
type Member struct {
	Alert    Alert     `json:"alert"`
	Open     bool      `json:"open"`
	Episode  int       `json:"episode"`             // counts this alert's firings
	Began    time.Time `json:"began"`               // startsAt of this episode, as first seen
	Seen     time.Time `json:"seen"`                // last notification that held it
	Ended    time.Time `json:"ended,omitzero"`      // endsAt as Alertmanager reported it
	Closed   time.Time `json:"closed,omitzero"`     // when Tocsin learned of the end
	LeftOnly bool      `json:"left_only,omitempty"` // it left the group without a resolve (silenced, inhibited, expired)
}

// Problem is the durable state of one Alertmanager group of one receiver.
// Only the pipeline writes it, one writer at a time, by compare-and-set.
type Problem struct {
	ID       string            `json:"id"`
	Cluster  string            `json:"cluster"`
	Receiver string            `json:"receiver"`
	GroupKey string            `json:"group_key"`
	State    State             `json:"state"`
	Episode  int               `json:"episode"`  // counts openings; part of every dedup key
	Revision uint64            `json:"revision"` // grows with every change that is worth showing; never reset
	Opened   time.Time         `json:"opened,omitzero"`
	Updated  time.Time         `json:"updated"`
	Ended    time.Time         `json:"ended,omitzero"`
	Test     bool              `json:"test,omitempty"` // a test page: marked as such wherever it is shown
	Self     bool              `json:"self,omitempty"` // Tocsin's own alarm
	Group    Notification      `json:"group"`          // the last notification, without its alerts
	Members  map[string]Member `json:"members"`        // by Alert.ID
	Context  Context           `json:"context"`
	Clock    Clock             `json:"clock"`
	Told     []string          `json:"told,omitempty"` // targets of this episode, "slack/payments": they hear its end, also when the route has changed since

	Peak     Peak        `json:"peak,omitzero"`
	Updates  []Update    `json:"updates,omitempty"`  // of this episode: the last MaxUpdates
	Ack      *Ack        `json:"ack,omitempty"`      // of this episode
	Silences []Silence   `json:"silences,omitempty"` // of this episode
	Useless  []string    `json:"useless,omitempty"`  // who found it not useful
	Openings []time.Time `json:"openings,omitempty"` // of the last hour, over episodes: what comes and goes shows here
	Flapping int         `json:"flapping,omitempty"` // how often it came back within this episode
	Settling time.Time   `json:"settling,omitzero"`  // nothing fires and it flaps: closed if it is quiet until then
	Storm    *Storm      `json:"storm,omitempty"`    // this problem is a storm
	Folded   string      `json:"folded,omitempty"`   // problem ID of the storm whose message tells of it
	Entries  int         `json:"entries,omitempty"`  // lines of this episode's timeline so far
	Charted  time.Time   `json:"charted,omitzero"`   // when its chart was made
	Runs     []Run       `json:"runs,omitempty"`     // of this episode: what is done about it
	Repeated bool        `json:"repeated,omitempty"` // the timeline's last line is of an event that brought nothing: further ones get none

	Trace string `json:"trace,omitempty"` // W3C traceparent of the step that made this revision
}

// OwnCluster is the cluster of what Tocsin says about itself; no Alertmanager
// may have its name.
const OwnCluster = "tocsin"

// CanaryReceiver is the receiver of the problems by which Tocsin tries itself.
const CanaryReceiver = "tocsin-canary"

// IsCanary reports whether the problem is one by which Tocsin tries itself:
// nobody is told of it, and it counts nowhere.
func (p Problem) IsCanary() bool { return p.Cluster == OwnCluster && p.Receiver == CanaryReceiver }

// IsCanary is Problem.IsCanary.
func (p Page) IsCanary() bool { return p.Cluster == OwnCluster && p.Receiver == CanaryReceiver }

// LogLevel is how loud the log tells of the problem's steps.
func (p Problem) LogLevel() slog.Level {
	return Page{Cluster: p.Cluster, Receiver: p.Receiver}.LogLevel()
}

// LogLevel is Problem.LogLevel.
func (p Page) LogLevel() slog.Level {
	if p.IsCanary() {
		return slog.LevelDebug // every minute
	}
	return slog.LevelInfo
}

// MaxUpdates is how many updates a problem keeps. Who is further behind says
// how many it leaves out.
const MaxUpdates = 64

// Clock is when the open episode passed each stage; zero where it has not.
type Clock struct {
	Started  time.Time `json:"started,omitzero"`   // earliest startsAt: the rule fired
	Received time.Time `json:"received,omitzero"`  // the webhook's last byte was read
	Durable  time.Time `json:"durable,omitzero"`   // the store said it is on disk
	Enriched time.Time `json:"enriched,omitzero"`  // the first answer to "what do they share?"
	Deadline time.Time `json:"deadline,omitzero"`  // the page leaves by then with whatever is known
	Decided  time.Time `json:"decided,omitzero"`   // handed to notify
	Sent     time.Time `json:"delivered,omitzero"` // the first target accepted it
}

// Firing returns the open members' alerts, worst severity first, then by name and id.
func (p Problem) Firing() []Alert { return p.alerts(true) }

// Ceased returns the alerts that closed in this episode, in the same order.
func (p Problem) Ceased() []Alert { return p.alerts(false) }

func (p Problem) alerts(open bool) []Alert {
	out := make([]Alert, 0, len(p.Members))
	for _, m := range p.Members {
		if m.Open == open && (open || !m.Closed.Before(p.Opened)) {
			out = append(out, m.Alert)
		}
	}
	slices.SortFunc(out, func(a, b Alert) int {
		return cmp.Or(
			cmp.Compare(a.Severity().Rank(), b.Severity().Rank()),
			cmp.Compare(a.Name(), b.Name()),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return out
}

// Severity is the worst severity among firing alerts, or among all once none fires.
func (p Problem) Severity() Severity {
	firing, ceased, fires := Info, Info, false
	for _, m := range p.Members {
		switch s := m.Alert.Severity(); {
		case m.Open:
			fires = true
			firing = worse(firing, s)
		case !m.Closed.Before(p.Opened):
			ceased = worse(ceased, s)
		}
	}
	if fires {
		return firing
	}
	return ceased
}

func worse(a, b Severity) Severity {
	if b.Rank() < a.Rank() {
		return b
	}
	return a
}
