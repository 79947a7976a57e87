package slack

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// Slack's limits and, where it documents none, a budget below what was measured
// as accepted (15.5 KB of blocks).
const (
	maxHeader = 150   // characters of a header block
	maxText   = 3000  // of the notification text, after escaping; Slack splits text over 4,000
	maxBytes  = 14000 // of all blocks and attachments as JSON
)

// content is a message as Slack takes it.
type content struct {
	text        string
	blocks      []slack.Block
	attachments []slack.Attachment
}

// layout lays the message out: the answer alone on top, where it is never
// folded away, and all else beside a bar whose colour is the severity. Phones
// notify with text, which says the same first line. All that comes from outside
// goes into plain_text objects and rich_text elements, which interpret nothing;
// only text is markup, and escaped.
func layout(m notify.Message) content {
	t := m.Text
	c := content{
		text:   plainText(t, m.PageURL, m.Plain),
		blocks: []slack.Block{}, attachments: []slack.Attachment{}, // an edit to nothing is [] on the wire
	}
	if m.Plain {
		return c
	}
	for level := range levels {
		short := shorten(t, level)
		c.blocks = []slack.Block{headline(short.Headline)}
		c.attachments = []slack.Attachment{{
			Color:    colour(m.Page), //nolint:misspell // Slack's word
			Fallback: escape(short.Headline, maxText),
			Blocks:   slack.Blocks{BlockSet: append(body(short, m.PageURL), owner(short, m.Owner.Slack)...)},
		}}
		if fits(c) {
			break
		}
	}
	return c
}

// plainText is the notification, and the whole message in plain form.
func plainText(t notify.Text, pageURL string, whole bool) string {
	lines := []string{t.Headline, t.Title, t.Status + " · " + t.Since}
	if whole {
		lines = append(lines, t.Alone, t.Events, t.Impact, t.Summary)
		lines = append(lines, t.Notes...)
		lines = append(lines, t.Clock, pageURL)
	}
	lines = nonEmpty(lines)
	return escape(strings.Join(lines, "\n"), maxText)
}

func nonEmpty(in []string) []string {
	var out []string
	for _, s := range in {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func colour(p page.Page) string {
	switch {
	case p.State == page.Closed:
		return "#2eb67d"
	case p.Test:
		return "#7c3aed"
	}
	switch p.Severity {
	case page.Critical:
		return "#c8102e"
	case page.Error:
		return "#e8590c"
	case page.Warning:
		return "#e9b000"
	case page.Info:
		return "#3b82c4"
	}
	return "#8a8a8a"
}

func headline(s string) slack.Block {
	if utf8.RuneCountInString(s) <= maxHeader {
		return slack.NewHeaderBlock(plain(s))
	}
	return slack.NewRichTextBlock("", slack.NewRichTextSection(bold(s)))
}

// body is everything under the headline, in the order of notify.Text.
func body(t notify.Text, pageURL string) []slack.Block {
	var b []slack.Block
	b = append(b, section(bold(t.Title), text("\n"+t.Status+" · "+t.Since)))
	if facts := nonEmpty([]string{t.Alone, t.Events, t.Impact}); len(facts) > 0 {
		b = append(b, section(text(strings.Join(facts, "\n"))))
	}
	if t.Summary != "" {
		b = append(b, section(text(t.Summary)))
	}
	if t.Details != "" && t.Details != t.Summary {
		b = append(b, section(text(t.Details)))
	}
	if len(t.Traits) > 0 {
		b = append(b, list(also(t.Traits), false))
	}
	if members := t.Members; len(members) > 0 {
		b = append(b, list(members, true))
	}
	if more := strings.Join(nonEmpty([]string{plus(t.More), t.Ceased}), " · "); more != "" {
		b = append(b, small(more))
	}
	if links := linkLine(t.Links, pageURL); len(links) > 0 {
		b = append(b, section(links...))
	}
	if len(t.Notes) > 0 {
		b = append(b, small("⚠ "+strings.Join(t.Notes, "\n⚠ ")))
	}
	if t.Clock != "" {
		b = append(b, small(t.Clock))
	}
	return b
}

// also sets further traits off from the headline's.
func also(traits []string) []string {
	out := make([]string, 0, len(traits))
	for _, t := range traits {
		out = append(out, "also: "+t)
	}
	return out
}

func linkLine(links []page.Link, pageURL string) []slack.RichTextSectionElement {
	if u, ok := page.WebURL(pageURL); ok {
		links = append([]page.Link{{Text: "open in Tocsin", URL: u}}, links...)
	}
	var out []slack.RichTextSectionElement
	for i, l := range links {
		if i > 0 {
			out = append(out, text(" · "))
		}
		out = append(out, slack.NewRichTextSectionLinkElement(l.URL, l.Text, nil))
	}
	return out
}

// levels of brevity; the last always fits.
const levels = 4

// shorten gives up what a reader misses least.
func shorten(t notify.Text, level int) notify.Text {
	few := func(s []string, n int) []string { return s[:min(len(s), n)] }
	if level >= 1 {
		t.Details = notify.Cut(t.Details, 400)
	}
	if level >= 2 {
		t.Details, t.Summary = "", notify.Cut(t.Summary, 200)
		t.More += len(t.Members) - min(len(t.Members), 5)
		t.Members, t.Traits, t.Notes = few(t.Members, 5), few(t.Traits, 1), few(t.Notes, 3)
		t.Links = t.Links[:min(len(t.Links), 3)]
	}
	if level >= 3 {
		t.More += len(t.Members)
		t.Members, t.Traits, t.Notes, t.Links, t.Summary = nil, nil, few(t.Notes, 1), nil, ""
		t.Alone, t.Events, t.Impact = "", "", ""
	}
	return t
}

// fits keeps the budget. That the characters stay below Slack's other, hidden
// one follows from notify's own budgets, which add up to less than 7,000.
func fits(c content) bool {
	b, err := encode([]any{c.blocks, c.attachments})
	return err == nil && len(b) <= maxBytes
}

// encode is JSON without the escapes for HTML, which would count against the budget.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// escape cuts s until its escaped form has at most n characters, and escapes
// Slack's three control characters (docs.slack.dev, formatting): without them
// there is no mention, no link, no command.
func escape(s string, n int) string {
	r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	for at := n; ; at -= max(1, at/8) {
		out := r.Replace(notify.Cut(s, at))
		if utf8.RuneCountInString(out) <= n {
			return out
		}
	}
}
