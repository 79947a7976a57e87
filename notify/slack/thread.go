package slack

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// followType marks replies as eventType marks roots.
const followType = "tocsin_follow"

// marker is what a reply or a chart is found by.
func marker(r page.Receipt) string { return cmp.Or(r.Marker, r.Delivery+"/follow") }

// Follow says in the thread what changed: one reply, however much it is. It
// shows in the channel too, and rings those who follow it, if one of the
// changes is worth that.
func (t *target) Follow(ctx context.Context, m notify.Message) (page.Receipt, error) {
	r := m.Receipt
	if len(m.Updates) == 0 {
		return r, nil
	}
	f, err := t.reply(m)
	if err != nil {
		return r, &remote.Error{Op: "render reply", Class: remote.Content, Err: err}
	}
	a, err := t.api.call(ctx, "chat.postMessage", f)
	if err != nil {
		return r, err
	}
	if a.Message.TS != "" && a.Message.ThreadTS == "" && t.withdraw(ctx, a) {
		return r, &remote.Error{Op: "chat.postMessage", Class: remote.Gone, Status: 200, Reason: "the message of this thread was deleted"}
	}
	r.Followed = m.Updates[len(m.Updates)-1].N
	return r, nil
}

// withdraw takes back a reply that came to stand in the channel by itself,
// because its root is gone. If that cannot be done, it has been said.
func (t *target) withdraw(ctx context.Context, a answer) bool {
	_, err := t.api.call(ctx, "chat.delete", url.Values{"channel": {a.Channel}, "ts": {a.TS}})
	if err != nil {
		t.log.Warn("reply without its thread stays in the channel", "err", err)
	}
	return err == nil
}

func (t *target) reply(m notify.Message) (url.Values, error) {
	last := 0
	if n := len(m.Updates); n > 0 {
		last = m.Updates[n-1].N
	}
	f, err := form(changes(m, t.morning), followType, map[string]any{"id": marker(m.Receipt), "last": last})
	if err != nil {
		return nil, err
	}
	f.Set("channel", m.Receipt.Channel)
	f.Set("thread_ts", m.Receipt.Ref)
	if slices.ContainsFunc(m.Updates, aloud) {
		f.Set("reply_broadcast", "true")
	}
	return f, nil
}

func aloud(u page.Update) bool { return u.Aloud }

// Budgets of a reply.
const (
	maxChanges = 30
	maxChange  = 400 // runes of one

	maxEvidence     = 20  // lines of what was seen, of one change
	maxEvidenceLine = 160 // runes
)

// changes lays a reply out: a line for each change, in order.
func changes(m notify.Message, at morning) content {
	c := content{blocks: []slack.Block{}, attachments: []slack.Attachment{}}
	for n := maxChanges; n > 0; n /= 2 {
		shown, left := fold(m.Updates, n)
		if first := m.Updates; len(first) > 0 {
			left += max(0, first[0].N-m.Receipt.Followed-1) // the page has forgotten those
		}
		lines := []string{head(m, shown)}
		for _, u := range shown {
			lines = append(append(lines, change(u, at)), evidence(u)...)
		}
		if left > 0 {
			lines = append(lines, fmt.Sprintf("… and %d more changes", left))
		}
		c.text = escape(strings.Join(nonEmpty(lines), "\n"))
		if m.Plain {
			return c
		}
		c.blocks = replyBlocks(m, at, shown, left)
		if fits(c) {
			return c
		}
	}
	return c
}

// fold keeps n changes: those said aloud before the quiet ones, and the latest
// of either.
func fold(all []page.Update, n int) (shown []page.Update, left int) {
	if len(all) <= n {
		return all, 0
	}
	loud := 0
	for _, u := range all {
		if u.Aloud {
			loud = min(loud+1, n)
		}
	}
	quiet := n - loud
	for _, u := range slices.Backward(all) {
		budget := &quiet
		if u.Aloud {
			budget = &loud
		}
		if *budget == 0 {
			left++
			continue
		}
		*budget--
		shown = append(shown, u)
	}
	slices.Reverse(shown)
	return shown, left
}

func replyBlocks(m notify.Message, at morning, shown []page.Update, left int) []slack.Block {
	var lines []slack.RichTextElement
	if s := head(m, shown); s != "" {
		lines = append(lines, slack.NewRichTextSection(bold(s)))
	}
	for _, u := range shown {
		say := text
		if u.Aloud {
			say = bold
		}
		parts := []slack.RichTextSectionElement{say(change(u, at))}
		if address, ok := page.WebURL(u.Link); ok && len(address) <= maxLink {
			parts = append(parts, text(" · "), slack.NewRichTextSectionLinkElement(address, "open", nil))
		}
		lines = append(lines, slack.NewRichTextSection(parts...))
		if shown := evidence(u); len(shown) > 0 {
			lines = append(lines, &slack.RichTextPreformatted{
				Type: slack.RTEPreformatted, Elements: []slack.RichTextSectionElement{text(strings.Join(shown, "\n"))},
			})
		}
	}
	if left > 0 {
		parts := []slack.RichTextSectionElement{text(fmt.Sprintf("… and %d more changes", left))}
		if address, ok := page.WebURL(m.PageURL); ok {
			parts = append(parts, text(" · "), slack.NewRichTextSectionLinkElement(address, "all of them", nil))
		}
		lines = append(lines, slack.NewRichTextSection(parts...))
	}
	if len(lines) == 0 {
		return []slack.Block{}
	}
	return []slack.Block{slack.NewRichTextBlock("", lines...)}
}

// evidence are the first lines of what was seen: people read the rest on the page.
func evidence(u page.Update) []string {
	var out []string
	for i, e := range u.Evidence {
		if i == maxEvidence {
			return append(out, fmt.Sprintf("… %d lines more on the page", len(u.Evidence)-i))
		}
		out = append(out, notify.Clean(e, maxEvidenceLine))
	}
	return out
}

// head names the alert where the reply is heard in the channel, which does not
// see whose thread it is, and warns of a repeat.
func head(m notify.Message, shown []page.Update) string {
	var parts []string
	if m.Repeat {
		parts = append(parts, "possible repeat")
	}
	if slices.ContainsFunc(shown, aloud) {
		parts = append(parts, m.Text.Title)
	}
	return strings.Join(parts, " · ")
}

const maxLink = 2000 // bytes

// change is one update as a line of text.
func change(u page.Update, at morning) string {
	line := notify.Clean(u.Text, maxChange)
	if line == "" {
		line = string(u.Kind)
	}
	if by := notify.Clean(u.Actor, maxName); by != "" && !strings.Contains(line, by) {
		line += " · " + by
	}
	if !u.At.IsZero() {
		line += " · " + u.At.In(at.zone).Format("15:04:05 MST")
	}
	return icon(u.Kind) + " " + line
}

const maxName = 60 // runes of a person's name

func icon(k page.UpdateKind) string {
	switch k {
	case page.UpdateJoined:
		return "➕"
	case page.UpdateLeft:
		return "➖"
	case page.UpdateWorse:
		return "🔺"
	case page.UpdateBetter:
		return "🔽"
	case page.UpdateContext:
		return "🔎"
	case page.UpdateAcked:
		return "👀"
	case page.UpdateUnacked:
		return "↩️"
	case page.UpdateSilenced:
		return "🔕"
	case page.UpdateUnsilenced:
		return "🔔"
	case page.UpdateNote:
		return "💬"
	case page.UpdateRun:
		return "⚙️"
	case page.UpdateFlapping:
		return "🔁"
	case page.UpdateStorm:
		return "🌪️"
	case page.UpdateResolved:
		return "✅"
	}
	return "•"
}
