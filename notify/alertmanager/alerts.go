package alertmanager

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// Budgets of what a notifier is fed with.
const (
	maxAlerts      = 1000 // of a group; how many more there are stands in tocsin_notes
	maxPlainAlerts = 5    // of a message in its simplest form
	maxLabel       = 1024 // runes of a label
	maxValue       = 4096 // runes of an annotation
	maxPlainValue  = 256  // of a message in its simplest form
	prefix         = "tocsin_"
)

// fact is an annotation that every alert of a notification carries, so that
// templates find it in .CommonAnnotations.
type fact struct {
	name string
	doc  string
	of   func(m notify.Message) string
}

// facts lists them all; docs/targets.md shows the table.
func facts() []fact {
	return []fact{
		{"headline", "what the failing share that the healthy do not, or how long it took; marks such as `TEST PAGE` stand before it", func(m notify.Message) string { return m.Text.Headline }},
		{"title", "which alert, where, how many", func(m notify.Message) string { return m.Text.Title }},
		{"status", "`firing · critical · 12 alerts`", func(m notify.Message) string { return m.Text.Status }},
		{"since", "since when, or from when to when", func(m notify.Message) string { return m.Text.Since }},
		{"same", "how else what they share can be said: `the same as pod=cart-1`", func(m notify.Message) string { return m.Text.Same }},
		{"traits", "further traits, one per line", func(m notify.Message) string { return strings.Join(m.Text.Traits, "\n") }},
		{"version", "the only version that fails, where one does", func(m notify.Message) string { return m.Text.Alone }},
		{"exemplars", "what sets the failing events apart", func(m notify.Message) string { return m.Text.Events }},
		{"impact", "how much is hit", func(m notify.Message) string { return m.Text.Impact }},
		{"owner", "whose it is", func(m notify.Message) string { return m.Text.Owner }},
		{"notes", "what is missing or was left out, one per line", notesOf},
		{"links", "runbooks, dashboards, traces: `word: address`, one per line", linksOf},
		{"page", "address of the problem's own page", pageOf},
		{"clock", "how long the page took, and where", func(m notify.Message) string { return m.Text.Clock }},
		{"update", "what is new, in a notification that follows the first; one per line", updateOf},
		{"mark", "`TEST PAGE`, `possible repeat`; nothing on a common page", markOf},
		{"message", "names this notification: sent twice, it is the same", messageOf},
	}
}

func notesOf(m notify.Message) string {
	lines := slices.Clone(m.Text.Notes)
	if over := len(m.Page.Alerts) - limit(m); over > 0 {
		lines = append(lines, fmt.Sprintf("%d more alerts are not listed here", over))
	}
	return strings.Join(lines, "\n")
}

func linksOf(m notify.Message) string {
	var lines []string
	for _, l := range m.Text.Links {
		lines = append(lines, l.Text+": "+l.URL)
	}
	return strings.Join(lines, "\n")
}

func pageOf(m notify.Message) string {
	u, _ := page.WebURL(m.PageURL)
	return u
}

func updateOf(m notify.Message) string {
	var lines []string
	for _, u := range m.Updates {
		lines = append(lines, notify.Clean(u.Text, maxPlainValue))
	}
	return strings.Join(lines, "\n")
}

func markOf(m notify.Message) string {
	var marks []string
	if m.Page.Test {
		marks = append(marks, "TEST PAGE")
	}
	if m.Repeat {
		marks = append(marks, "possible repeat")
	}
	return strings.Join(marks, " · ")
}

func messageOf(m notify.Message) string {
	return m.Receipt.Delivery + "-" + step(m, 0)
}

// step names what is told: firing, resolved, or the update it tells of.
func step(m notify.Message, nth int) string {
	switch {
	case m.Verb == notify.VerbFollow && len(m.Updates) > 0:
		return fmt.Sprintf("follow-%d", m.Updates[len(m.Updates)-1].N)
	case m.Page.State == page.Closed && nth > 0:
		return fmt.Sprintf("resolved-%d", nth)
	case m.Page.State == page.Closed:
		return "resolved"
	default:
		return "firing"
	}
}

// maxWorse bounds the further incidents of one episode.
const maxWorse = 20

// nths are the incidents that a message is about, at a service which folds what
// has one key and rings no more for it: 0 is the first, n the one that was opened
// when people were rung again for the nth time. The end is that of them all.
func nths(m notify.Message, integration string) []int {
	worse := min(max(m.Page.Further(), len(m.Receipt.Further)), maxWorse)
	switch {
	case worse == 0 || !slices.Contains(keyed(), integration):
	case m.Page.State == page.Closed:
		out := []int{0}
		for n := range worse {
			out = append(out, n+1)
		}
		return out
	case m.Verb == notify.VerbFollow && slices.ContainsFunc(m.Updates, page.Update.Rings):
		return []int{worse}
	}
	return []int{0}
}

// folds reports whether an integration, "opsgenie[0]", is of such a service.
func folds(name string) bool {
	kind, _, _ := strings.Cut(name, "[")
	return slices.Contains(keyed(), kind)
}

func groupKey(m notify.Message, nth int) string {
	if nth == 0 {
		return m.Page.Problem
	}
	return fmt.Sprintf("%s/worse/%d", m.Page.Problem, nth)
}

func limit(m notify.Message) int {
	if m.Plain {
		return maxPlainAlerts
	}
	return maxAlerts
}

// alerts returns the page's alerts as Alertmanager's notifiers take them:
// clean, for they are data from outside; with the page's facts as annotations;
// and passed through say, which takes the meaning of markup away.
func alerts(m notify.Message, now time.Time, resolved bool, say func(string) string) []*alert.Alert {
	if m.Plain {
		cut := say
		say = func(s string) string { return notify.Cut(cut(s), maxPlainValue) }
	}
	common := model.LabelSet{}
	for _, f := range facts() {
		if v := notify.CleanLines(f.of(m), maxValue); v != "" {
			if f.name != "page" && f.name != "links" { // ours, and http
				v = say(v)
			}
			common[model.LabelName(prefix+f.name)] = model.LabelValue(v)
		}
	}
	closed := m.Page.State == page.Closed
	var out []*alert.Alert
	for i, a := range m.Page.Alerts {
		if i == limit(m) {
			break
		}
		out = append(out, clone(a, closed, common, now, say))
	}
	for i, a := range m.Page.Resolved {
		if closed || !resolved || i == limit(m) {
			break
		}
		out = append(out, clone(a, true, common, now, say))
	}
	return out
}

func clone(a page.Alert, resolved bool, common model.LabelSet, now time.Time, say func(string) string) *alert.Alert {
	out := &alert.Alert{UpdatedAt: now}
	out.Labels = labelSet(a.Labels, maxLabel, notify.Clean, say)
	out.Annotations = labelSet(a.Annotations, maxValue, notify.CleanLines, say)
	for name := range out.Annotations {
		if strings.HasPrefix(string(name), prefix) { // nobody else speaks in our name
			delete(out.Annotations, name)
		}
	}
	maps.Copy(out.Annotations, common)
	if u, ok := page.WebURL(a.GeneratorURL); ok {
		out.GeneratorURL = u
	}
	out.StartsAt = a.StartsAt
	if resolved {
		if out.EndsAt = a.EndsAt; out.EndsAt.IsZero() || out.EndsAt.After(now) {
			out.EndsAt = now
		}
	}
	return out
}

func labelSet(in page.Labels, n int, clean func(string, int) string, say func(string) string) model.LabelSet {
	out := make(model.LabelSet, len(in))
	for name, v := range in {
		if name = say(notify.Clean(name, maxPlainValue)); name != "" {
			out[model.LabelName(name)] = model.LabelValue(say(clean(v, n)))
		}
	}
	return out
}

// scene is what the notifiers look for in their context.
func scene(ctx context.Context, m notify.Message, nth int, now time.Time, say func(string) string) context.Context {
	reason := amnotify.ReasonFirstNotification
	switch {
	case m.Verb == notify.VerbFollow:
		reason = amnotify.ReasonNewAlertsInGroup
	case m.Page.State == page.Closed:
		reason = amnotify.ReasonAllAlertsResolved
	}
	ctx = amnotify.WithGroupKey(ctx, groupKey(m, nth))
	ctx = amnotify.WithReceiverName(ctx, say(notify.Clean(m.Page.Receiver, maxPlainValue)))
	ctx = amnotify.WithGroupLabels(ctx, labelSet(m.Page.GroupLabels, maxLabel, notify.Clean, say))
	ctx = amnotify.WithRouteLabels(ctx, model.LabelSet{})
	ctx = amnotify.WithNotificationReason(ctx, reason)
	ctx = amnotify.WithNow(ctx, now)
	return amnotify.WithNflogStore(ctx, nflog.NewStore(nil))
}
