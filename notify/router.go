package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Target is a notifier under the name it has in logs, metrics and receipts.
type Target struct {
	Kind     string
	Name     string
	Notifier Notifier
}

// String is kind/name, "slack/payments": the target's lane and part of its receipts' keys.
func (t Target) String() string { return t.Kind + "/" + t.Name }

// Router turns a problem into work for the targets of its receiver. It is
// pipeline's Outbox.
type Router struct {
	Receivers  map[string][]Target // by Alertmanager's receiver name
	First      string              // the receiver that takes what nobody else does when there is no last resort
	LastResort []Target            // Tocsin's own alarms, problems of receivers that are not named here
	Canary     []Target            // where Tocsin tries itself
	// Fallbacks are who is told, in order, of a critical page that the target of
	// that name ("slack/payments") does not take. After them comes LastResort.
	Fallbacks map[string][]Target
	// Patience is how long a critical page may wait for a target before somebody
	// else is told; 0 means DefaultPatience.
	Patience time.Duration
}

// DefaultPatience leaves 5 s of a minute to tell who stands in.
const DefaultPatience = 55 * time.Second

// work is the value of an item in a target's lane. It names the episode, not a
// revision: the latest page wins.
type work struct {
	Problem  string `json:"problem"`
	Episode  int    `json:"episode"`
	Receiver string `json:"receiver"`
	Note     string `json:"note,omitempty"`    // what the router owes the reader
	At       int64  `json:"at"`                // when the revision was made, Unix milliseconds
	Trace    string `json:"trace,omitempty"`   // W3C traceparent of the step that made it
	Chart    bool   `json:"chart,omitempty"`   // it is about the chart, not the message
	Target   string `json:"target,omitempty"`  // overdue: the one to look after, "" for all of the receiver
	Instead  string `json:"instead,omitempty"` // the target that could not be told
}

func (w work) encode() []byte {
	b, _ := json.Marshal(w) // strings and numbers always encode
	return b
}

// Ops returns one Enqueue per target, and one to look after a critical page that
// is new to any of them. The items are the same for the same revision, so
// applying them again changes nothing. A problem that a storm tells of has none,
// but for those who were told of it before.
func (r *Router) Ops(p page.Problem) []store.Op {
	targets, note := r.Route(p.Receiver, p.Self)
	if p.Folded != "" {
		targets = nil
	}
	targets = r.alsoTold(emerged(targets, p.Told), p.Told)
	if p.IsCanary() {
		targets, note = r.Canary, ""
	}
	value := work{Problem: p.ID, Episode: p.Episode, Receiver: p.Receiver, Note: note, At: p.Updated.UnixMilli(), Trace: p.Trace}.encode()
	ops := make([]store.Op, 0, len(targets))
	anew := false
	for _, t := range targets {
		fresh := !slices.Contains(p.Told, t.String())
		anew = anew || fresh && len(r.Chain(t)) > 0
		ops = append(ops, store.Enqueue(store.Item{
			Lane:     store.LaneDeliver + t.String(),
			ID:       fmt.Sprintf("%s/%d/%d", p.ID, p.Episode, p.Revision),
			Key:      p.ID,
			Priority: priority(p.Severity(), fresh),
			Value:    value,
		}))
	}
	if p.State == page.Open && p.Severity() == page.Critical && (anew || r.aloud(p)) {
		ops = append(ops, r.overdue(p.Updated, work{Problem: p.ID, Episode: p.Episode, Receiver: p.Receiver, At: p.Updated.UnixMilli()},
			fmt.Sprintf("%s/%d/%d", p.ID, p.Episode, p.Revision)))
	}
	return ops
}

// aloud reports whether a page that was told has something new that is worth a
// ring, and there is somebody to be told of it in the place of who is not.
func (r *Router) aloud(p page.Problem) bool {
	fresh := func(u page.Update) bool { return u.Aloud && p.Updated.Sub(u.At) < time.Minute }
	return len(r.LastResort)+len(r.Fallbacks) > 0 && slices.ContainsFunc(p.Updates, fresh)
}

// priority puts what is new before what changes a page that is there, then the
// more severe before the less.
func priority(s page.Severity, fresh bool) int {
	p := page.Info.Rank() - s.Rank()
	if fresh {
		p += page.Info.Rank() + 1
	}
	return p
}

// alsoTold adds those who were told of the episode before a reload sent it
// elsewhere: what stands open there must be ended there.
func (r *Router) alsoTold(targets []Target, told []string) []Target {
	for _, t := range r.Targets() {
		is := func(o Target) bool { return o.String() == t.String() }
		if slices.Contains(told, t.String()) && !slices.ContainsFunc(targets, is) {
			targets = append(slices.Clip(targets), t)
		}
	}
	return targets
}

// Route returns who is told of a receiver's problems, or of Tocsin's own, and
// what they are told beside it when that is not who was meant.
func (r *Router) Route(receiver string, self bool) (targets []Target, note string) {
	named, known := r.receiver(receiver)
	switch {
	case self && len(r.LastResort) > 0:
		return r.LastResort, ""
	case known:
		return named, ""
	case self:
		return r.Receivers[r.First], ""
	}
	note = fmt.Sprintf("receiver %q is not configured in Tocsin: sent to the last resort", receiver)
	if len(r.LastResort) == 0 {
		note = fmt.Sprintf("receiver %q is not configured in Tocsin: sent to receiver %q", receiver, r.First)
		return r.Receivers[r.First], note
	}
	return r.LastResort, note
}

// Serves reports whether a receiver is named in the config.
func (r *Router) Serves(receiver string) bool {
	_, known := r.receiver(receiver)
	return known
}

// receiver finds a receiver by its name in a webhook's body, which some
// versions of Alertmanager quote as for a regular expression: "team\-payments".
func (r *Router) receiver(name string) ([]Target, bool) {
	if t, ok := r.Receivers[name]; ok {
		return t, true
	}
	t, ok := r.Receivers[unquoteMeta(name)]
	return t, ok
}

// unquoteMeta undoes regexp.QuoteMeta, and takes a quoted hyphen too.
func unquoteMeta(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Targets returns every target once, in the order of their names. With a shadow
// comes the target it is of, to which earlier episodes may have been sent.
func (r *Router) Targets() []Target {
	all := append(slices.Clone(r.LastResort), r.Canary...)
	for _, targets := range r.Fallbacks {
		all = append(all, targets...)
	}
	for _, targets := range r.Receivers {
		for _, t := range targets {
			all = append(all, t, t.Real())
		}
	}
	slices.SortStableFunc(all, func(a, b Target) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(all, func(a, b Target) bool { return a.String() == b.String() })
}
