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
	"unicode/utf8"

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
	var said []page.Update
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
			said = append(said, u)
		}
	}
	if !worth {
		return ""
	}
	var end []string
	if came+left > 0 {
		end = append(end, fmt.Sprintf("meanwhile: alerts joined %d×, left %d×", came, left))
	}
	if u, ok := page.WebURL(m.PageURL); ok && len(u) <= maxUpdate {
		end = append(end, u)
	}
	last := m.Updates[len(m.Updates)-1].N
	return strings.Join(slices.Concat(fitting(said, maxRunes-runes(end)), end), "\n") + "\n" + sign(m.Receipt, last)
}

// fitting are the lines of updates that fit: the latest updates, and of their
// evidence, the latest first, what is left room for. It is cut between lines, and
// says how many are left out.
func fitting(said []page.Update, room int) []string {
	heads := make([][]string, len(said))
	first := len(said)
	room -= runes([]string{leftOut(len(said))})
	for i, u := range slices.Backward(said) {
		heads[i] = []string{line(u)}
		if room -= runes(heads[i]); room < 0 && first < len(said) || len(said)-i > maxNote {
			break
		}
		first = i
	}
	for i := len(said) - 1; i >= first; i-- {
		evidence, more := said[i].Evidence, runes([]string{moreLines(page.MaxEvidence)})
		for n, e := range evidence {
			e = "  " + notify.Clean(e, maxUpdate)
			if room -= runes([]string{e}); room < more && (n < len(evidence)-1 || room < 0) {
				heads[i], room = append(heads[i], moreLines(len(evidence)-n)), 0
				break
			}
			heads[i] = append(heads[i], e)
		}
	}
	lines := slices.Concat(heads[first:]...)
	if first > 0 {
		lines = append([]string{leftOut(first)}, lines...)
	}
	return lines
}

func leftOut(n int) string { return fmt.Sprintf("(%d earlier updates are left out)", n) }

func moreLines(n int) string { return fmt.Sprintf("  … %d lines more on the page", n) }

// runes is how long lines are, each with its end.
func runes(lines []string) int {
	n := 0
	for _, l := range lines {
		n += utf8.RuneCountInString(l) + 1
	}
	return n
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
