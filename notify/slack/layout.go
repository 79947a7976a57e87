package slack

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
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
	maxChars  = 9000  // of text in them
)

// content is a message as Slack takes it.
type content struct {
	text        string
	blocks      []slack.Block
	attachments []slack.Attachment
}

// layout lays the message out: on top, where it is never folded away, the
// answer, which alert it is, how it stands and what can be done; all else beside
// a bar whose colour is the state. Phones notify with text, which says the same
// first line. All that comes from outside goes into plain_text objects and
// rich_text elements, which interpret nothing; only text is markup, and escaped.
func layout(m notify.Message, now time.Time, o offer) content {
	t := m.Text
	c := content{
		text:   plainText(t, m.PageURL, m.Plain),
		blocks: []slack.Block{}, attachments: []slack.Attachment{}, // an edit to nothing is [] on the wire
	}
	if m.Plain {
		return c
	}
	buttons := o.buttons(m, now)
	for level := range levels {
		short := shorten(t, level)
		c.blocks = append([]slack.Block{headline(short.Headline), which(short)}, buttons...)
		c.attachments = []slack.Attachment{}
		if b := append(body(short, m, len(buttons) == 0), owner(short, m.Owner.Slack)...); len(b) > 0 {
			c.attachments = append(c.attachments, slack.Attachment{
				Color:    colour(m.Page, now), //nolint:misspell // Slack's word
				Fallback: escape(short.Headline),
				Blocks:   slack.Blocks{BlockSet: b},
			})
		}
		if fits(c) {
			break
		}
	}
	return c
}

// which says which alert it is and how it stands.
func which(t notify.Text) slack.Block {
	return section(bold(t.Title), text("\n"+t.Status+" · "+t.Since))
}

// plainText is the notification, and the whole message in plain form.
func plainText(t notify.Text, pageURL string, whole bool) string {
	lines := []string{t.Headline, t.Title, t.Status + " · " + t.Since}
	if whole {
		lines = append(lines, t.Same, t.Alone, t.Events, t.Impact, t.Summary)
		lines = append(lines, t.Notes...)
		lines = append(lines, t.Clock, pageURL)
	}
	lines = nonEmpty(lines)
	return escape(strings.Join(lines, "\n"))
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

// colour is the state: over, in somebody's hands, or how bad it is.
func colour(p page.Page, now time.Time) string {
	_, quiet := silenced(p, now)
	switch {
	case p.State == page.Closed:
		return "#2eb67d"
	case p.Test:
		return "#7c3aed"
	case p.Ack != nil || quiet:
		return "#4a6fa5"
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

// body is the evidence, in the order of notify.Text.
func body(t notify.Text, m notify.Message, link bool) []slack.Block {
	var b []slack.Block
	if facts := nonEmpty([]string{t.Same, t.Alone, t.Events, t.Impact}); len(facts) > 0 {
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
	b = append(b, members(t, m.PageURL)...)
	pageURL := ""
	if link {
		pageURL = m.PageURL
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

// members lists the alerts, or the rules of a storm; the rest stands on the
// page's own page.
func members(t notify.Text, pageURL string) []slack.Block {
	var b []slack.Block
	if len(t.Members) > 0 {
		b = append(b, list(t.Members, true))
	}
	rest := strings.Join(nonEmpty([]string{plus(t.More), t.Ceased}), " · ")
	if rest == "" {
		return b
	}
	parts := []slack.RichTextSectionElement{text(rest)}
	if u, ok := page.WebURL(pageURL); ok && t.More > 0 {
		parts = append(parts, text(" · "), slack.NewRichTextSectionLinkElement(u, "all of them", nil))
	}
	return append(b, section(parts...))
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
		t.Same, t.Alone, t.Events, t.Impact = "", "", "", ""
	}
	return t
}

// fits keeps Slack's budgets over all blocks.
func fits(c content) bool {
	b, err := encode([]any{c.blocks, c.attachments})
	if err != nil || len(b) > maxBytes {
		return false
	}
	if utf8.RuneCount(b) <= maxChars {
		return true
	}
	var v any
	return json.Unmarshal(b, &v) == nil && chars(v) <= maxChars
}

// chars counts the characters of all texts in decoded blocks.
func chars(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += chars(x)
		}
	case map[string]any:
		for name, x := range v {
			if s, ok := x.(string); ok && name == "text" {
				n += utf8.RuneCountInString(s)
			} else {
				n += chars(x)
			}
		}
	}
	return n
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

// escape cuts s until its escaped form fits a text, and escapes Slack's three
// control characters (docs.slack.dev, formatting): without them
// there is no mention, no link, no command.
func escape(s string) string {
	r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	for at := maxText; ; at -= max(1, at/8) {
		out := r.Replace(notify.Cut(s, at))
		if utf8.RuneCountInString(out) <= maxText {
			return out
		}
	}
}
