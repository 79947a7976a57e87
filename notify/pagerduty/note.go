package pagerduty

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

const (
	maxNote  = 25   // lines
	maxRunes = 2000 // webhooks trim longer notes, and then ours are not known as such
)

// worthNote reports whether an update alone is worth a note. What only says that
// alerts come and go is not: it is told with the next note that is.
func worthNote(k page.UpdateKind) bool {
	switch k {
	case page.UpdateContext, page.UpdateAcked, page.UpdateUnacked, page.UpdateSilenced, page.UpdateUnsilenced,
		page.UpdateNote, page.UpdateRun, page.UpdateFlapping, page.UpdateStorm:
		return true
	case page.UpdateJoined, page.UpdateLeft, page.UpdateBetter, page.UpdateWorse, page.UpdateResolved:
		return false
	}
	return true // what is new is better said than kept
}

// noteOf is the note that says the updates, "" where none deserves one. What
// was done in PagerDuty itself stands there already.
func (t *target) noteOf(m notify.Message) string {
	var lines []string
	worth, came, left := false, 0, 0
	for _, u := range m.Updates {
		switch {
		case t.doneHere(m, u) || u.Kind == page.UpdateResolved:
		case u.Kind == page.UpdateJoined:
			came++
		case u.Kind == page.UpdateLeft:
			left++
		default:
			worth = worth || worthNote(u.Kind)
			lines = append(lines, line(u))
		}
	}
	if !worth {
		return ""
	}
	if n := len(lines); n > maxNote {
		lines = append([]string{fmt.Sprintf("(%d earlier updates are left out)", n-maxNote)}, lines[n-maxNote:]...)
	}
	if came+left > 0 {
		lines = append(lines, fmt.Sprintf("meanwhile: alerts joined %d×, left %d×", came, left))
	}
	if u, ok := page.WebURL(m.PageURL); ok {
		lines = append(lines, u)
	}
	last := m.Updates[len(m.Updates)-1].N
	return notify.Cut(strings.Join(lines, "\n"), maxRunes) + "\n" + sign(m.Receipt, last)
}

// doneHere reports whether an update is of what was done in PagerDuty.
func (t *target) doneHere(m notify.Message, u page.Update) bool {
	a := m.Page.Ack
	return u.Via == t.name || u.Kind == page.UpdateAcked && a != nil && a.Via == t.name
}

// markWorse stands before what got worse, once, whoever wrote it there.
const markWorse = "worse: "

// markNeeds stands before what machines leave to people.
const markNeeds = "people are needed: "

func line(u page.Update) string {
	s := u.At.UTC().Format("15:04:05 ")
	if u.At.IsZero() {
		s = ""
	}
	text := notify.Clean(u.Text, maxUpdate)
	if u.Kind == page.UpdateWorse && !strings.HasPrefix(text, markWorse) {
		s += markWorse
	}
	s += text
	if l, ok := page.WebURL(u.Link); ok && len(l) <= maxUpdate {
		s += " " + l
	}
	return s
}

// sign is the last line of a note of ours: which delivery, up to which update,
// and the marker it was sent under.
func sign(r page.Receipt, last int) string {
	return strings.TrimSpace(fmt.Sprintf("%s%s/%d %s", signed, r.Delivery[:min(len(r.Delivery), 16)], last, notify.Clean(r.Marker, 100)))
}

const signed = "tocsin "

// signature reads that line. It must be a line of its own, and the last one: no
// text inside of a note can pass for it, for that is one line each.
func signature(content, delivery string) (upTo int, ours bool) {
	content = strings.TrimSpace(content)
	last := content[strings.LastIndexByte(content, '\n')+1:]
	rest, ok := strings.CutPrefix(last, signed)
	if !ok {
		return 0, false
	}
	word, _, _ := strings.Cut(rest, " ")
	id, n, ok := strings.Cut(word, "/")
	upTo, err := strconv.Atoi(n)
	if !ok || err != nil || len(id) != 16 || delivery != "" && !strings.HasPrefix(delivery, id) {
		return 0, false
	}
	return upTo, true
}

// tellChanges sends the changes that the problem follows, and steps of a
// remediation, as change events. They ring nobody and nothing depends on them:
// one that fails is tried again with the next message. Each is sent once by one
// process; PagerDuty knows no repeats.
func (t *target) tellChanges(ctx context.Context, m notify.Message) {
	if !t.changes {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, c := range changesOf(m) {
		if _, told := t.told.get(c.id); told {
			continue
		}
		c.event.RoutingKey = t.events.key.Reveal()
		body, err := encode(c.event)
		if err == nil {
			err = t.events.send(ctx, changePath, body)
		}
		if err != nil {
			t.log.Warn("change event is not sent", "page", m.Page.Problem, "notifier", t.name, "err", err)
			return
		}
		t.told.change(c.id, func(struct{}) struct{} { return struct{}{} })
	}
}

type change struct {
	id    string
	event pagerduty.ChangeEvent
}

const maxChanges = 5

func changesOf(m notify.Message) []change {
	changes := slices.Clone(m.Page.Changes)
	if o := m.Page.Onset; o != nil && o.After != nil {
		changes = append([]page.Change{*o.After}, changes...)
	}
	var out []change
	for i, c := range changes {
		if i > 0 && c.Kind != "deploy" || len(out) == maxChanges {
			continue
		}
		id, _ := json.Marshal([]string{c.Source, c.ID, c.Kind, c.Title, c.At.UTC().Format(time.RFC3339)}) // strings always encode
		out = append(out, changeEvent(string(id), c.Words(), c.Source, c.At, c.Link, c.Labels))
	}
	for _, u := range m.Updates {
		if u.Kind == page.UpdateRun {
			id := fmt.Sprintf("%s/%d", m.Receipt.Delivery, u.N)
			out = append(out, changeEvent(id, "remediation: "+u.Text, "tocsin", u.At, u.Link, nil))
		}
	}
	return out
}

func changeEvent(id, says, source string, at time.Time, href string, labels page.Labels) change {
	e := pagerduty.ChangeEvent{Payload: pagerduty.ChangeEventPayload{
		Summary: cmp.Or(notify.Clean(says, maxSummary), "change"), Source: notify.Clean(source, maxSource),
		CustomDetails: map[string]any{},
	}}
	if !at.IsZero() {
		e.Payload.Timestamp = at.UTC().Format(time.RFC3339)
	}
	for name, v := range cleaned(labels) {
		e.Payload.CustomDetails[name] = v
	}
	if u, ok := page.WebURL(href); ok {
		e.Links = []pagerduty.ChangeEventLink{{Href: u, Text: "details"}}
	}
	return change{id: id, event: e}
}
